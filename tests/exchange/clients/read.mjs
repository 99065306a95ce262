// Does with a room mailbox what the EWS Managed API's port to JavaScript can do, and tells what it saw as JSON.
// node read.mjs URL USER PASSWORD ROOM
import ews from "ews-javascript-api";

const [url, user, password, room] = process.argv.slice(2);
ews.EwsLogging.DebugLogEnabled = false;
const service = new ews.ExchangeService(ews.ExchangeVersion.Exchange2013_SP1);
service.Credentials = new ews.WebCredentials(user, password);
service.Url = new ews.Uri(url);
service.ImpersonatedUserId = new ews.ImpersonatedUserId(ews.ConnectingIdType.SmtpAddress, room);
service.HttpHeaders.Add?.("X-AnchorMailbox", room);
const calendar = new ews.FolderId(ews.WellKnownFolderName.Calendar, new ews.Mailbox(room));
const scope = ews.SyncFolderItemsScope.NormalItems;
const told = {};

async function sync(state) {
  const pages = [];
  for (;;) {
    const answer = await service.SyncFolderItems(calendar, ews.PropertySet.IdOnly, null, 3, scope, state);
    const changes = answer.Responses ? answer.Responses[0].Changes : answer;
    const items = [];
    for (let at = 0; at < changes.Count; at++) {
      const change = changes._getItem ? changes._getItem(at) : changes.__thisIndexer(at);
      items.push([ews.ChangeType[change.ChangeType], change.ItemId.UniqueId]);
    }
    pages.push(items);
    state = changes.SyncState;
    if (!changes.MoreChangesAvailable) return { pages, state };
  }
}

const first = await sync(null);
told.pages = first.pages;
const id = first.pages[0][0][1];
const shown = await ews.Appointment.Bind(service, new ews.ItemId(id));
told.item = {
  subject: shown.Subject,
  start: shown.Start.ToISOString?.() ?? String(shown.Start),
  end: shown.End.ToISOString?.() ?? String(shown.End),
  organizer: shown.Organizer.Address,
  kind: ews.AppointmentType[shown.AppointmentType],
  response: ews.MeetingResponseType[shown.MyResponseType],
  interval: shown.Recurrence.Interval,
  moved: shown.ModifiedOccurrences.Count,
  deleted: shown.DeletedOccurrences.Count,
};
const view = new ews.CalendarView(new ews.DateTime("2026-12-01T00:00:00Z"), new ews.DateTime("2026-12-31T00:00:00Z"));
told.view = (await service.FindAppointments(calendar, view)).Items.length;

const made = new ews.Appointment(service);
made.Subject = "From JavaScript";
made.Start = new ews.DateTime("2026-12-20T10:00:00Z");
made.End = new ews.DateTime("2026-12-20T11:00:00Z");
await made.Save(calendar, ews.SendInvitationsMode.SendToNone);
const second = await sync(first.state);
told.after = second.pages;
made.Subject = "From JavaScript, later";
await made.Update(ews.ConflictResolutionMode.AlwaysOverwrite, ews.SendInvitationsOrCancellationsMode.SendToNone);
told.updated = (await sync(second.state)).pages;
await made.Delete(ews.DeleteMode.MoveToDeletedItems, ews.SendCancellationsMode.SendToNone);
told.removed = (await sync(second.state)).pages;
try {
  await sync("Z2FyYmFnZQ==");
} catch (error) {
  told.refused = ews.ServiceError[error.ErrorCode ?? error.Error?.ErrorCode] ?? String(error.message);
}
console.log(JSON.stringify(told));
