"""A stream of notifications as values: bytes → whole SOAP documents → what they tell. Pure.

GetStreamingEvents answers for up to half an hour with one document after the other
(learn.microsoft.com "GetStreamingEvents operation"). What is told is a hint, so a stream that holds anything else is
given up whole: nothing in it is worth guessing at.
"""

import re

from msgspec import Struct

from meetkeeper.bounded import xml
from meetkeeper.calendars.exchange import soap
from meetkeeper.calendars.exchange.soap import Fault, Node
from meetkeeper.core.errors import TheirMistake

OPERATION = "GetStreamingEvents"
DOCUMENT_BYTES_MAX = 4 << 20
_END = re.compile(rb"</(?:[A-Za-z_][\w.\-]*:)?Envelope\s*>")
_TAG_BYTES_MAX = 256
_LOST = frozenset(
    {
        "ErrorExpiredSubscription",
        "ErrorInvalidSubscription",
        "ErrorSubscriptionNotFound",
        "ErrorSubscriptionUnsubscribed",
    }
)
"""The server knows a subscription no more: it was restarted, the mailbox has moved, or half an hour has passed."""


class Told(Struct, frozen=True):
    """What one document says: subscriptions in which something changed, those that are lost, whether it is the last.

    `lost_all`: some are lost and nobody says which.
    """

    changed: frozenset[str] = frozenset()
    lost: frozenset[str] = frozenset()
    lost_all: bool = False
    closed: bool = False


class Cutter:
    """Cuts a stream into its documents."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._looked = 0

    def feed(self, piece: bytes) -> tuple[bytes, ...]:
        """The documents that this piece completes. Raises `TheirMistake` for one that grows without end."""
        self._kept += piece
        found: list[bytes] = []
        while True:
            end = _END.search(self._kept, self._looked)
            if end is None:
                break
            found.append(bytes(self._kept[: end.end()]).lstrip())
            del self._kept[: end.end()]
            self._looked = 0
        self._looked = max(0, len(self._kept) - _TAG_BYTES_MAX)
        if len(self._kept) > DOCUMENT_BYTES_MAX:
            raise TheirMistake(
                xml.TOO_LARGE,
                f"The Exchange server's notification has more than {DOCUMENT_BYTES_MAX} bytes; look at what stands "
                "between.",
            )
        return tuple(found)


def told_in(document: bytes) -> Told:
    """What a document tells. Raises `Fault` for what concerns the whole connection, `TheirMistake` for anything odd."""
    changed: set[str] = set()
    lost: set[str] = set()
    lost_all = closed = False
    for message in soap.messages_in(soap.parse(document), OPERATION):
        closed = closed or message.say("ConnectionStatus") == "Closed"
        try:
            soap.check(message)
        except Fault as fault:
            if fault.code not in _LOST:
                raise
            named = _named(message)
            lost |= named
            lost_all = lost_all or not named
            continue
        for notification in (message.child("Notifications") or _NONE).all("Notification"):
            if any(one.name.endswith("Event") and one.name != "StatusEvent" for one in notification.inside):
                changed.add(notification.say("SubscriptionId"))
    return Told(frozenset(changed), frozenset(lost), lost_all, closed)


def _named(message: Node) -> frozenset[str]:
    """ErrorSubscriptionIds: which ones the error is about."""
    ids = (message.child("ErrorSubscriptionIds") or _NONE).all("SubscriptionId")
    return frozenset(text for one in ids if (text := one.text.strip()))


_NONE = Node("", "")
