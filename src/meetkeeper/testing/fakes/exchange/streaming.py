"""Streaming notifications of the fake: Subscribe, Unsubscribe, and GetStreamingEvents as an answer that hangs.

Subscriptions live on a mailbox server and die with it (`FakeExchange.stop`, `forget`). Which server a request reaches
is decided as Exchange does it: by the cookie that the first answer gave, else by X-AnchorMailbox. As on a real one
nothing is told of what happened before the subscription.
"""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING

from msgspec import Struct

from meetkeeper.testing.fakes.exchange import soap
from meetkeeper.testing.fakes.exchange.reading import folder_id, which_folder
from meetkeeper.testing.fakes.exchange.soap import MES, TYP
from meetkeeper.testing.fakes.exchange.wire import Request
from meetkeeper.testing.fakes.mailbox import Change, Mailbox

if TYPE_CHECKING:
    from meetkeeper.testing.fakes.exchange.server import FakeExchange

COOKIE = "X-BackEndOverrideCookie"
PER_CONNECTION_MAX = 200
_EVENTS = {"create": "CreatedEvent", "update": "ModifiedEvent", "delete": "DeletedEvent"}


class Subscription(Struct):
    """Whose calendar, who asked, on which mailbox server it lives, and up to which version everything was told."""

    mailbox: Mailbox
    user: str
    place: str
    told: int
    stream: int = 0
    """The newest connection that listens to it; older ones end."""


class Streaming:
    """Everything subscribed. Switches are plain attributes; turn them at any time.

    `places` mailbox → the mailbox server that holds it; others are on "one". `subscriptions_max` at once.
    `heartbeat_s` between signs of life (a real one: 45); None: it falls silent after the first word. `tick_s` how
    often a mailbox is looked at. `minute_s` what a minute of ConnectionTimeout lasts. `noise` is sent once in the
    middle of a stream.
    """

    def __init__(self) -> None:
        self.places: dict[str, str] = {}
        self.subscriptions_max = 5_000
        self.heartbeat_s: float | None = 0.2
        self.tick_s = 0.02
        self.minute_s = 60.0
        self.noise = b""
        self.open: dict[str, Subscription] = {}
        self._hanging: set[int] = set()
        self._issued = 0
        self._begun = 0

    @property
    def hanging(self) -> int:
        """How many connections hang."""
        return len(self._hanging)

    def is_heard(self, name: str) -> bool:
        """A connection hangs on this subscription."""
        return name in self.open and self.open[name].stream in self._hanging

    def forget(self) -> None:
        """The mailbox servers have started anew."""
        self.open.clear()

    def place_of(self, request: Request) -> str:
        """The mailbox server that a request reaches."""
        cookies = (one.strip().partition("=") for one in request.header("cookie").split(";"))
        named = next((value for name, _, value in cookies if name == COOKIE), "") or request.header(COOKIE)
        return named or self.places.get(request.header("x-anchormailbox").lower(), "one")

    def subscribe(self, fake: "FakeExchange", asked: soap.Asked, user: str, place: str) -> bytes:
        """Subscribe, streaming only. A mailbox of another mailbox server is refused."""
        asks = asked.element.find(f"{MES}StreamingSubscriptionRequest")
        if asks is None:
            return soap.response("Subscribe", soap.failure("Subscribe", "ErrorInvalidSubscriptionRequest"))
        found = which_folder(fake, asks.find(f"{TYP}FolderIds"), asked.acting_as)
        if isinstance(found, str):
            return soap.response("Subscribe", soap.failure("Subscribe", found))
        mailbox, folder = found
        if self.places.get(mailbox.address, "one") != place:
            return soap.response("Subscribe", soap.failure("Subscribe", "ErrorProxyRequestNotAllowed"))
        if len(self.open) >= self.subscriptions_max:
            return soap.response("Subscribe", soap.failure("Subscribe", "ErrorExceededSubscriptionCount"))
        if folder != "calendar":
            fake.complaints.append(f"Subscribe: nobody needs to hear of {folder}")
        self._issued += 1
        name = f"sub-{place}-{self._issued}"
        self.open[name] = Subscription(mailbox, user, place, mailbox.version)
        inside = f"<m:SubscriptionId>{name}</m:SubscriptionId>"
        return soap.response("Subscribe", soap.success("Subscribe", inside))

    def unsubscribe(self, asked: soap.Asked, place: str) -> bytes:
        """Unsubscribe."""
        name = asked.element.findtext(f"{MES}SubscriptionId") or ""
        if name not in self.open or self.open[name].place != place:
            return soap.response("Unsubscribe", soap.failure("Unsubscribe", "ErrorSubscriptionNotFound"))
        del self.open[name]
        return soap.response("Unsubscribe", soap.success("Unsubscribe", ""))

    def events(self, asked: soap.Asked, user: str, place: str) -> bytes | AsyncGenerator[bytes, None]:
        """GetStreamingEvents: a refusal, or the stream."""
        name = "GetStreamingEvents"
        ids = [one.text or "" for one in asked.element.iter(f"{TYP}SubscriptionId")]
        minutes = int(asked.element.findtext(f"{MES}ConnectionTimeout") or "0")
        if not 1 <= minutes <= 30 or not 1 <= len(ids) <= PER_CONNECTION_MAX:
            return soap.fault("ErrorInvalidRequest", "1 to 30 minutes, 1 to 200 subscriptions.")
        unknown = [one for one in ids if one not in self.open or self.open[one].place != place]
        if unknown:
            return soap.response(name, _lost(unknown))
        if any(self.open[one].user != user for one in ids):
            return soap.response(name, soap.failure(name, "ErrorSubscriptionAccessDenied"))
        return self._stream(ids, minutes * self.minute_s)

    async def _stream(self, ids: list[str], lasts_s: float) -> AsyncGenerator[bytes, None]:
        self._begun += 1
        own = self._begun
        for one in ids:
            self.open[one].stream = own
        self._hanging.add(own)
        try:
            loop = asyncio.get_running_loop()
            ends, beat = loop.time() + lasts_s, loop.time() + (self.heartbeat_s or 0.0)
            yield _said("<m:ConnectionStatus>OK</m:ConnectionStatus>")
            while loop.time() < ends:
                lost = [one for one in ids if one not in self.open]
                if lost:
                    yield _streamed(_lost(lost))
                    return
                if any(self.open[one].stream != own for one in ids):
                    break
                told = "".join(self._news(one) for one in ids)
                if told:
                    yield _said(f"<m:Notifications>{told}</m:Notifications>")
                if self.noise:
                    noise, self.noise = self.noise, b""
                    yield noise
                if self.heartbeat_s is not None and loop.time() >= beat:
                    beat = loop.time() + self.heartbeat_s
                    yield _said(f"<m:Notifications>{''.join(map(_alive, ids))}</m:Notifications>")
                await asyncio.sleep(self.tick_s)
            yield _said("<m:ConnectionStatus>Closed</m:ConnectionStatus>")
        finally:
            self._hanging.discard(own)

    def _news(self, name: str) -> str:
        one = self.open[name]
        changes = one.mailbox.changes(one.told)
        one.told = one.mailbox.version
        events = "".join(_event(one.mailbox, change) for change in changes)
        return _notification(name, events) if events else ""


def _said(inside: str) -> bytes:
    return _streamed(soap.success("GetStreamingEvents", inside))


def _streamed(message: str) -> bytes:
    """A document of a stream. Its envelope has no prefix, and clients (ews-javascript-api) cut by that."""
    plain = b'<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/" '
    whole = soap.response("GetStreamingEvents", message)
    return whole.replace(b"<s:Envelope ", plain, 1).replace(b"</s:Envelope>", b"</Envelope>")


def _lost(names: list[str]) -> str:
    ids = "".join(f"<m:SubscriptionId>{escape(one)}</m:SubscriptionId>" for one in names)
    inside = f"<m:ErrorSubscriptionIds>{ids}</m:ErrorSubscriptionIds>"
    return soap.failure("GetStreamingEvents", "ErrorSubscriptionNotFound", inside)


def _notification(name: str, events: str) -> str:
    return f"<m:Notification><t:SubscriptionId>{name}</t:SubscriptionId>{events}</m:Notification>"


def _alive(name: str) -> str:
    return _notification(name, "<t:StatusEvent/>")


def _event(mailbox: Mailbox, change: Change) -> str:
    tag = _EVENTS[change.kind]
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return (
        f"<t:{tag}><t:TimeStamp>{stamp}</t:TimeStamp>"
        f'<t:ItemId Id="{escape(change.id)}" ChangeKey="AAAA"/>'
        f'<t:ParentFolderId Id="{folder_id(mailbox, "calendar")}" ChangeKey="AQAAAA=="/></t:{tag}>'
    )
