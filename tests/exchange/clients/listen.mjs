// Listens to a room mailbox by streaming notifications, as the EWS Managed API's port to JavaScript does it; a line of
// JSON for everything told. node listen.mjs URL USER PASSWORD ROOM
import ews from "ews-javascript-api";

const [url, user, password, room] = process.argv.slice(2);
ews.EwsLogging.DebugLogEnabled = false;
const service = new ews.ExchangeService(ews.ExchangeVersion.Exchange2013_SP1);
service.Credentials = new ews.WebCredentials(user, password);
service.Url = new ews.Uri(url);
service.ImpersonatedUserId = new ews.ImpersonatedUserId(ews.ConnectingIdType.SmtpAddress, room);
service.HttpHeaders.Add?.("X-AnchorMailbox", room);
const calendar = new ews.FolderId(ews.WellKnownFolderName.Calendar, new ews.Mailbox(room));
const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);

const kinds = [ews.EventType.Created, ews.EventType.Modified, ews.EventType.Deleted];
const subscription = await service.SubscribeToStreamingNotifications([calendar], ...kinds);
const connection = new ews.StreamingSubscriptionConnection(service, 1);
connection.AddSubscription(subscription);
connection.OnNotificationEvent.push((_, told) => {
  for (const one of told.Events ?? told.events) say([ews.EventType[one.EventType], one.ItemId.UniqueId]);
});
connection.OnSubscriptionError.push((_, told) => say(["error", String(told.Exception?.message ?? told)]));
connection.OnDisconnect.push(() => {
  say(["closed"]);
  process.exit(0);
});
connection.Open();
say(["subscribed", subscription.Id]);
