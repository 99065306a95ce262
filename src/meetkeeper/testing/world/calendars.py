"""Rooms' calendars as their servers would show them: items with names and marks, and every trick they play."""

from collections.abc import Iterator

from meetkeeper.core.state import Series
from meetkeeper.core.words import Meeting, RoomId
from meetkeeper.ports.calendar import Page


class RoomSource:
    """One room's calendar as a server reads it."""

    room: RoomId
    name: str
    poll_s: float

    def first_s(self) -> float:
        """Seconds until the first pass."""
        raise NotImplementedError

    def one_way_s(self) -> float:
        """How long a question or an answer travels."""
        raise NotImplementedError

    def changes(self, mark: str) -> Iterator[Page]:
        """Pages since a mark."""
        raise NotImplementedError

    def write(self, meeting: Meeting | None, series: Series | None) -> None:
        """Show a meeting that was booked here."""
        raise NotImplementedError

    def remove(self, uid: str) -> None:
        """Show it no more."""
        raise NotImplementedError
