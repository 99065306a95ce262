"""What was set aside, as the door shows it: records of a history that lost, booking by booking, and what to do.

`app` provides the hooks (`ops.aside` does the work); a server without them has nothing set aside.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

from msgspec import Struct

from meetkeeper.core.errors import NotFound

Verdict = Literal["missing", "collides", "differs", "cancelled", "there", "calendar", "over"]
"""How a set-aside booking lies to what is in force.

missing: not known here, and its rooms are free · collides: not known here, and its rooms are taken · differs: known
here, otherwise · cancelled: was cancelled there, stands here · there: the same is in force here · calendar: lives in a
calendar, whose next pass decides · over: its time is past
"""
Acknowledged = Literal["yes", "not known"]


class AsideBooking(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One booking among the set-aside records, as it last stood there."""

    meeting: str
    subject: str
    organizer: str
    rooms: tuple[str, ...]
    start: str
    end: str
    acknowledged: Acknowledged
    """yes: a later record shows that it was on that server's disk, so its caller may have been told."""
    verdict: Verdict
    says: str
    """The verdict in a sentence that ends with what to do."""
    conflicts: tuple[str, ...] = ()
    """Meetings in the way."""
    repeats: str = ""
    decided: str = ""
    """What was decided about it: replayed or discarded, by whom, when; empty while nobody has."""


class AsideItem(Struct, frozen=True, kw_only=True):
    """Records that were set aside together. `frames` is how many whole ones there are among `bytes`."""

    id: str
    at: str
    why: str
    seq: int
    frames: int
    bytes: int
    bookings: int
    open: int
    """Bookings somebody has to decide about."""
    kept_until: str = ""
    """When it may be removed; empty while anything is open."""


class AsideList(Struct, frozen=True):
    """Everything set aside on this server."""

    items: tuple[AsideItem, ...]


class AsideDetail(Struct, frozen=True):
    """One item and its bookings."""

    item: AsideItem
    bookings: tuple[AsideBooking, ...]


class AsideOutcome(Struct, frozen=True, omit_defaults=True):
    """What became of one booking that was to be replayed: booked, or left to a person and why."""

    meeting: str
    outcome: Literal["replayed", "left"]
    says: str


class AsideReplay(Struct, frozen=True):
    """What became of all of them."""

    outcomes: tuple[AsideOutcome, ...]
    item: AsideItem


class AsideHooks(Protocol):
    """What may be done with set-aside records. Each raises `NotFound` (`unknown-set-aside`) for an unknown id."""

    async def items(self) -> Sequence[AsideItem]:
        """All of them, oldest first."""
        ...

    async def show(self, name: str) -> AsideDetail:
        """One of them, booking by booking."""
        ...

    async def replay(self, name: str, meeting: str, by: str) -> AsideReplay:
        """Book again what is missing; with `meeting` that one alone, even where it differs or was cancelled."""
        ...

    async def discard(self, name: str, meeting: str, why: str, by: str) -> AsideItem:
        """Decide that the rest (or one meeting) is not wanted. The records stay until their time."""
        ...


class NothingAside:
    """The hooks of a server that sets nothing aside."""

    async def items(self) -> Sequence[AsideItem]:
        """None."""
        return ()

    async def show(self, name: str) -> AsideDetail:
        """Raises `NotFound`."""
        raise unknown_aside(name)

    async def replay(self, name: str, meeting: str, by: str) -> AsideReplay:
        """Raises `NotFound`."""
        raise unknown_aside(name)

    async def discard(self, name: str, meeting: str, why: str, by: str) -> AsideItem:
        """Raises `NotFound`."""
        raise unknown_aside(name)


def unknown_aside(name: str) -> NotFound:
    """Nothing of that name was set aside."""
    return NotFound(
        "unknown-set-aside",
        f"Nothing named {name[:80]!r} is set aside here. `meetkeeper set-aside list` lists it.",
    )


NOTHING_ASIDE = NothingAside()
