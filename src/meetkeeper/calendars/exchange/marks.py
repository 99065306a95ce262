"""How far a room's mailbox has been read: the server's sync state, and what waits for the room's answer. Pure.

Exchange may answer an organizer's update with a Delete and a Create, and the room accepts the new item some seconds
later. So what is gone is held back while an invitation is unanswered; the mark remembers it, and the reading goes on.
"""

import base64

import msgspec
from msgspec import Struct

PENDING_MAX = 1_000
"""Names that one mark remembers; beyond that it stays where it is."""
_PACKED = "!"
"""Begins a mark that says more than the sync state, which is base64."""


class Mark(Struct, frozen=True, omit_defaults=True):
    """`awaited` are unanswered items: until when each is waited for, by the server's clock, in seconds since 1970.

    `gone` is held back; `unswept`: a complete pass could not yet say what else is gone.
    """

    state: str
    awaited: dict[str, float] = {}
    gone: tuple[str, ...] = ()
    unswept: bool = False

    @property
    def is_small(self) -> bool:
        """It remembers no more than a mark may."""
        return len(self.awaited) + len(self.gone) <= PENDING_MAX


def pack(mark: Mark) -> str:
    """The mark as a text; the bare state where nothing is pending."""
    if not (mark.awaited or mark.gone or mark.unswept):
        return mark.state
    return _PACKED + base64.b64encode(msgspec.json.encode(mark)).decode("ascii")


def unpack(text: str) -> Mark | None:
    """The mark; None for what `pack` never wrote."""
    if not text.startswith(_PACKED):
        return Mark(text)
    try:
        return msgspec.json.decode(base64.b64decode(text[1:], validate=True), type=Mark)
    except (ValueError, msgspec.DecodeError):
        return None
