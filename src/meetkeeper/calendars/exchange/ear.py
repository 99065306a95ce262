"""One hanging connection to an Exchange server: subscribe mailboxes, then read what is told until it ends. Blocks.

Runs in the threads of `hints`. All requests of one ear go through one session, because subscriptions live on the
mailbox server that made them: the first answer's cookie (X-BackEndOverrideCookie) leads the others there
(learn.microsoft.com "Maintain affinity between a group of subscriptions and the Mailbox server in Exchange").
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from exchangelib.services.common import EWSAccountService
from exchangelib.util import create_element
from msgspec.structs import replace

from meetkeeper.calendars.exchange import soap
from meetkeeper.calendars.exchange.asking import calendar_of
from meetkeeper.calendars.exchange.line import API, Acting, Line, Raw
from meetkeeper.calendars.exchange.stream import OPERATION, Cutter, Told, told_in
from meetkeeper.calendars.exchange.terms import Limits, Secrets
from meetkeeper.core.configuration import ExchangeServer
from meetkeeper.core.errors import TheirMistake, Unavailable

EVENTS = ("CreatedEvent", "ModifiedEvent", "DeletedEvent", "MovedEvent")
"""What is listened to. Read flags are no event of their own and no reason to look (T38)."""


class _Near(Raw, EWSAccountService):  # type: ignore[misc] # an untyped package
    """An operation that has to reach the mailbox server of the group's anchor."""

    def __init__(self, operation: str, account: Acting, anchor: str) -> None:
        self.SERVICE_NAME = operation
        self._anchor = anchor
        super().__init__(account=account)

    def _extra_headers(self) -> dict[str, str]:
        return {"X-AnchorMailbox": self._anchor, "X-PreferServerAffinity": "true"}

    def ask(self, payload: Any) -> tuple[soap.Node, ...]:
        """Send it; response messages."""
        return tuple(self._get_elements(payload))

    def packed(self, payload: Any) -> tuple[bytes, dict[str, str]]:
        """The request as it goes out: body and headers."""
        return self.wrap(content=payload, api_version=API.api_version), self._extra_headers()


class Ear:
    """The connection of one group of mailboxes. `anchor` is the first of them."""

    def __init__(
        self, config: ExchangeServer, secrets: Secrets, limits: Limits, origin: str, *, silence_s: float
    ) -> None:
        """No I/O. `silence_s`: so long after the last word the connection counts as dead."""
        self.anchor = ""
        self._is_app = config.auth == "oauth"
        self._silence_s = silence_s
        self._where = origin.partition("://")[2]
        self._line = Line(
            replace(config, concurrency=1),
            secrets,
            replace(limits, read_s=silence_s, request_s=3_600.0),
            origin,
        )

    def subscribe(self, mailbox: str) -> str:
        """Subscribe to the mailbox's calendar; the subscription's id. Raises `soap.Fault` and our errors."""
        request = create_element("m:StreamingSubscriptionRequest")
        request.append(_holding("t:FolderIds", calendar_of(mailbox)))
        request.append(_holding("t:EventTypes", *(_text("t:EventType", name) for name in EVENTS)))
        payload = _holding("m:Subscribe", request)
        for message in self._line.ask(
            mailbox, lambda acting: _Near("Subscribe", acting, self.anchor).ask(payload)
        ):
            name = soap.check(message).say("SubscriptionId")
            if name:
                return name
        raise TheirMistake(
            "calendar.odd-answer", f"{self._where} subscribed without an id. Look at the server's log."
        )

    def listen(self, names: Sequence[str], minutes: int, tell: Callable[[Told], bool]) -> None:
        """Hang on these subscriptions for so many minutes. Each document goes to `tell`, which may end it with False.

        Returns when the server says that it has ended. Raises `Unavailable` when it ends otherwise or falls silent,
        `Fault` and `TheirMistake` as `stream.told_in` does.
        """
        # An app has no mailbox of its own to ask from; everybody else hears of all mailboxes under the own name.
        acting = Acting(self._line, self.anchor, impersonate=self._is_app)
        ids = _holding("m:SubscriptionIds", *(_text("t:SubscriptionId", one) for one in names))
        payload = _holding(f"m:{OPERATION}", ids, _text("m:ConnectionTimeout", str(minutes)))
        cutter = Cutter()
        heard_s = time.monotonic()
        for piece in self._line.stream(*_Near(OPERATION, acting, self.anchor).packed(payload)):
            for document in cutter.feed(piece):
                heard_s = time.monotonic()
                told = told_in(document)
                if not tell(told) or told.closed or told.lost or told.lost_all:
                    return
            if time.monotonic() - heard_s > self._silence_s:
                break
        raise Unavailable("calendar.silent", f"{self._where} stopped telling of changes; rooms are polled.")

    def hang_up(self) -> None:
        """End what hangs, from any thread; whoever reads there wakes up."""
        self._line.hang_up()


def _holding(tag: str, *inside: Any) -> Any:
    element = create_element(tag)
    for one in inside:
        element.append(one)
    return element


def _text(tag: str, text: str) -> Any:
    element = create_element(tag)
    element.text = text
    return element
