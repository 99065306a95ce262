"""The audit of a room's calendar: what it shows beside what it has reported. Content decides, never ids or etags.

How `engine.audit` uses it. The calendar is read whole, page by page, and each page is compared with what was last seen
before it is kept. Then the calendar is asked, from the mark that was kept before, what has changed: whatever it names
now it does report, be it late. What is left differed and was never reported: the calendar hides changes. Rows that a
release has kept which compared less of an item say nothing: they are counted by themselves, and no alarm.
"""

import hashlib
from collections.abc import Iterable, Mapping

from meetkeeper.core.identity import is_comparable
from meetkeeper.core.state import ItemRow, RoomNews
from meetkeeper.core.words import CalendarItem, RoomId

NEW = "it stood in the calendar and was never reported"
CHANGED = "its content had changed and was never reported"
ROOMS_NAMED_MAX = 5
"""Rooms that an alarm names."""
GONE = "it was no longer in the calendar, which was never reported"


class Comparison:
    """What one room's calendar has not reported, as far as is known; lives until an audit has come to its end."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}
        self._older: set[str] = set()

    def shown(
        self,
        rows: Mapping[str, ItemRow],
        items: Iterable[CalendarItem],
        listing: frozenset[str] | None,
    ) -> None:
        """A page of the whole read, before it is kept; `rows` are what was last seen of the room, by name."""
        for item in items:
            row = rows.get(item.href)
            if row is None or row.gone or row.held:
                self._found.setdefault(item.href, NEW)
            elif row.uid == item.uid and not is_comparable(row.fingerprint):
                self._older.add(item.href)
            elif (row.uid, row.fingerprint) != (item.uid, item.fingerprint):
                self._found.setdefault(item.href, CHANGED)
        if listing is None:
            return
        for href, row in rows.items():
            if href not in listing and not (row.gone or row.held):
                self._found.setdefault(href, GONE)

    def reported(self, names: Iterable[str]) -> None:
        """The calendar names these as changed or gone."""
        for name in names:
            self._found.pop(name, None)

    def forget(self) -> None:
        """Nothing can be said: the mark was refused, or somebody let it go."""
        self._found.clear()

    @property
    def older(self) -> int:
        """Items known from a release that compared less of them; they settle anew, and what differs is a change."""
        return len(self._older)

    def found(self) -> tuple[tuple[str, str], ...]:
        """(href, sentence) of each change that was never reported, by name."""
        return tuple(sorted(self._found.items()))


def is_due(room: RoomId, every_s: int, audited_s: float, begun_s: float, now_s: float) -> bool:
    """Whether the room's turn has come since it was last audited, or since we began where it never was.

    Every room has its own moment within `every_s` (0: never), the same on every server and after every restart.
    """
    if not every_s:
        return False
    phase = (
        int.from_bytes(hashlib.sha256(room.encode("utf-8", "surrogatepass")).digest()[:8], "big") % every_s
    )
    turn_s = now_s - (now_s - phase) % every_s
    since_s = audited_s if 0 < audited_s <= now_s else begun_s
    return since_s < turn_s


def alarm(news: Mapping[RoomId, RoomNews]) -> str:
    """What is wrong with calendars as the latest audits found them; empty when nothing is."""
    hidden = sorted((-one.unreported, room) for room, one in news.items() if one.unreported)
    if not hidden:
        return ""
    named = ", ".join(f"{room} ({-count})" for count, room in hidden[:ROOMS_NAMED_MAX])
    more = f" and {len(hidden) - ROOMS_NAMED_MAX} more" if len(hidden) > ROOMS_NAMED_MAX else ""
    return f"Audits found and mended changes that calendars had never reported: {named}{more}."
