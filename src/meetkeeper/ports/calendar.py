"""A room calendar as the house sees it: whatever can say what changed since a mark, and say everything when asked.

Every adapter passes `testing.contracts.calendar`. Adapters raise only `core.errors`: `Unavailable` (away, busy, 5xx,
429 with its `retry_after_s`), `Refused` (401/403/404: a person must act), `TheirMistake` (the answer is not what the
protocol allows). An error is never "empty": a pass that did not end cleanly yields no `listing`.
"""

from collections.abc import AsyncIterator, Callable
from typing import Protocol, runtime_checkable

from msgspec import Struct

from meetkeeper.core.joinblock import JoinBlock
from meetkeeper.core.roomsettings import Finding
from meetkeeper.core.words import CalendarItem


class CookieRefused(Exception):
    """The source does not know this mark (any more): ask again without one. Never an error for people."""


class Page(Struct, frozen=True):
    """Part of an answer: items new or changed, names gone, the mark after it.

    `cookie` is None while the mark must not move yet. In a complete pass only the last page has one: a pass taken up in
    its middle could never say what is gone. Otherwise every page may have its own, where the protocol makes it safe to
    go on from there (EWS: each answer of SyncFolderItems has a SyncState); it is kept with its page, as one atom.
    A name that is gone and a new one with the same UID belong into one page: that is one change.
    `listing` is set on the last page of a complete pass alone and names every item the calendar holds. `problems` are
    (href, sentence) of unreadable items: they belong to `listing`, so that they are not taken as gone.
    `unswept` ends a complete pass that can't say yet what is gone: everything else was given, `cookie` is good, and a
    later pass from it brings the listing.
    """

    items: tuple[CalendarItem, ...] = ()
    gone: tuple[str, ...] = ()
    cookie: str | None = None
    listing: frozenset[str] | None = None
    problems: tuple[tuple[str, str], ...] = ()
    unswept: bool = False


class CalendarSource(Protocol):
    """One room's calendar."""

    def changes(self, cookie: str) -> AsyncIterator[Page]:
        """Pages of what changed since `cookie`; with an empty one, a complete pass. Raises `CookieRefused`."""
        ...

    async def write(self, uid: str, calendar_text: bytes) -> None:
        """Create or replace the item of this UID with an iCalendar object. `Refused` when the calendar objects."""
        ...

    async def remove(self, uid: str) -> None:
        """Remove the item of this UID; one that is not there is removed already."""
        ...

    async def probe(self) -> str:
        """Reach the calendar and log in; a sentence about what answered."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


@runtime_checkable
class NearestFirst(Protocol):
    """A source that can give a span of time by itself: before a complete pass the next hours are asked for."""

    def soon(self, from_s: int, until_s: int) -> AsyncIterator[Page]:
        """Pages of items with a meeting in the span, as far as the server finds them; no cookie, listing or gone.

        A series is given whole. Pages may show too much or too little: the complete pass follows. Nothing at all where
        the server can't be asked so.
        """
        ...


@runtime_checkable
class Hinting(Protocol):
    """A source whose server may say by itself that something has changed: a hint to look, never a fact."""

    def listen(self, wake: Callable[[], None]) -> None:
        """From now on, until it is closed, call `wake` (in the loop's thread) when a look seems worth while.

        It may be called for nothing, and need not be called at all: whoever asks goes on asking in his own time.
        """
        ...


@runtime_checkable
class Annotating(Protocol):
    """A source that can write how to join into an item of somebody else's (`testing.contracts.annotating`)."""

    async def annotate(self, uid: str, block: JoinBlock | None) -> bool:
        """Put this block into the body of the item of this UID in the place of any other of ours; None takes it out.

        Nothing else of the item changes, and nobody is mailed. False when there is no such item any more. Raises
        `Refused` when the calendar objects, or would mail people about it.
        """
        ...


@runtime_checkable
class Doctor(Protocol):
    """A source that can look at the room's own settings and at its way there (`meetkeeper room doctor`)."""

    async def doctor(self) -> tuple[Finding, ...]:
        """What is wrong or worth knowing: login, rights, folder, latency, settings. Raises as `changes` does."""
        ...
