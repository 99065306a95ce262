"""The three-way diff: last seen (`State.items`), theirs (a calendar page), ours (meetings and series).

How `core.keeper` uses it. Every function reads State and returns values; nothing is written here.

1. `PageSeen` → `digest_page(state, page, now_s)`: put `findings.changes` and `findings.notes` into the plan. They are
   item rows (each with the instant at which it counts as settled), the room's brake and the cookie.
2. `Ticked` → for each of `due_uids(state, now_s)`, the soonest meeting first, as many as fit a plan:
   `settle(state, uid, now_s)`. Its `items` go into the plan as they are; `series` and `meetings` become `SeriesKept`,
   `MeetingKept`, `MeetingStepped` and effects. One UID per plan or several: they do not touch each other.
3. `Ticked`, once a day: for each series with `expanded_until_s < horizon_s(state, now_s)` → `roll(state, uid, now_s)`:
   new occurrences only, nobody is told. Series booked here are rolled by `core.series`. After new zone data: `settle`
   for every series, which finds moved occurrences.
4. `ReleaseBrake` → `release_brake(state, room, how, now_s)`.

Rules. A fingerprint decides whether an item changed, never an etag. A sweep needs a listing. Deletions come last and
wait for the settle time, so that "deleted and made again" is one change. Past meetings are never made, changed or
cancelled. A meeting is in every room whose copy shows it; its content comes from the newest copy. The same calendars
give the same meetings, whatever order, repetition or failure the pages came in.
"""

from typing import Literal

from msgspec.structs import replace

from meetkeeper.core.changes import CookieKept, ItemForgotten, ItemKept, RoomTold
from meetkeeper.core.configuration import NoCalendar
from meetkeeper.core.events import PageSeen
from meetkeeper.core.findings import PageFindings
from meetkeeper.core.identity import meeting_id
from meetkeeper.core.judging import is_judged_otherwise, rules_of
from meetkeeper.core.plan import Note
from meetkeeper.core.settling import horizon_s, kept_row, roll, settle
from meetkeeper.core.state import ItemRow, RoomNews, State
from meetkeeper.core.theirs import is_ahead, zone_of
from meetkeeper.core.words import OPEN_STEPS, CalendarItem, RoomId, Uid
from meetkeeper.core.zones import DAY_S, wall_s

__all__ = ["digest_page", "due_uids", "horizon_s", "release_brake", "roll", "settle"]

DUE_LOOKED_AT_MAX = 10_000
"""Settled items among which the soonest are sought: a first pass over a big site brings a million at once."""

_DISPLACED = "\n"
"""Stands in the names of rows whose own name has been given to another UID; no calendar gives such a name."""


def digest_page(state: State, page: PageSeen, now_s: float) -> PageFindings:
    """What the page changes in what was last seen of the room; nothing for a page that says what is known."""
    return _Page(state, page, now_s).digest()


def release_brake(state: State, room: RoomId, how: Literal["gone", "kept"], now_s: float) -> PageFindings:
    """A person has decided about the vanished items that the brake holds in the room.

    `gone`: they are cancelled with the next tick. `kept`: they stay until their calendar shows them again.
    """
    held = [row for row in state.items.get(room, {}).values() if row.held]
    changes: list[ItemKept | RoomTold] = []
    if how == "gone":
        changes.extend(kept_row(replace(row, held=False, gone=True, settle_at_s=now_s)) for row in held)
    if state.rooms_news.get(room, RoomNews()).held:
        news = replace(state.rooms_news[room], held=0, since_s=0.0)
        changes.append(RoomTold(room, news))
    if not changes:
        return PageFindings()
    why = f"a person decided that {len(held)} vanished items are {how}"
    return PageFindings(tuple(changes), (Note("sync.released", room, why),))


def due_uids(state: State, now_s: float) -> tuple[Uid, ...]:
    """UIDs with items that have settled, the soonest meeting first; of very many, some."""
    soonest: dict[Uid, float] = {}
    looked_at = 0
    for (room, href), settle_at_s in state.unsettled.items():
        if settle_at_s > now_s:
            continue
        row = state.items[room][href]
        urgency = _urgency(row, now_s)
        soonest[row.uid] = min(urgency, soonest.get(row.uid, urgency))
        looked_at += 1
        if looked_at == DUE_LOOKED_AT_MAX:
            break
    return tuple(sorted(soonest, key=lambda uid: (soonest[uid], uid)))


def _urgency(row: ItemRow, now_s: float) -> float:
    """When the row's meeting begins, roughly. A series or a vanished item may concern this moment; the past waits."""
    if row.gone or row.item is None or row.item.repeats or row.item.master is None:
        return now_s
    start_s = wall_s(row.item.master.start)
    return start_s if start_s > now_s - DAY_S else float("inf")


class _Page:
    """One page being digested: rows of the room as they will be, beside those that are."""

    def __init__(self, state: State, page: PageSeen, now_s: float) -> None:
        self.state, self.page, self.now_s = state, page, now_s
        self.rows = state.items.get(page.room, {})
        self.items = {item.href: item for item in page.items}
        self.names: dict[Uid, list[str]] = {}
        for item in self.items.values():
            self.names.setdefault(item.uid, []).append(item.href)
        config = state.rooms.get(page.room)
        calendar = NoCalendar() if config is None else config.calendar
        self.settle_at_s = now_s + (0.0 if isinstance(calendar, NoCalendar) else calendar.settle_s)
        self.zone = zone_of(state, page.room)
        self.after: dict[str, ItemRow | None] = {}
        self.released = 0
        self.braked = 0
        self.judged_otherwise = 0
        self.notes: list[Note] = []

    def digest(self) -> PageFindings:
        """What `digest_page` says. Deletions come last: what is deleted and made again in one page has only moved."""
        for item in self.items.values():
            self._show(item)
        vanished = self._vanished()
        held = self._held_by_brake(vanished)
        for row in vanished:
            self._let_go(row)
        for row in held:
            settle_at_s = self.settle_at_s if row.gone else row.settle_at_s
            self._put(replace(row, gone=False, held=True, settle_at_s=settle_at_s))
        changes: list[ItemKept | ItemForgotten | RoomTold | CookieKept] = []
        for href, after in self.after.items():
            if after is None:
                changes.append(ItemForgotten(self.page.room, href))
            elif after != self.rows.get(href):
                changes.append(kept_row(after))
        changes.extend(self._news())
        cookie = self.page.cookie
        if cookie is not None and cookie != self.state.cookies.get(self.page.room):
            changes.append(CookieKept(self.page.room, cookie))
        for href, problem in self.page.problems:
            self.notes.append(Note("sync.unreadable", self.page.room, f"{href}: {problem}"))
        return PageFindings(tuple(changes), tuple(self.notes))

    # --- what is there ---------------------------------------------------------------------------------------------

    def _show(self, item: CalendarItem) -> None:
        row = self.rows.get(item.href)
        if row is not None and row.uid != item.uid:
            # The name now stands for something else: what it stood for goes under a name that no calendar gives.
            name = f"{row.href}{_DISPLACED}{row.uid}"
            self._put(replace(row, href=name, gone=True, held=False, settle_at_s=self.settle_at_s))
            self.released += row.held
            row = None
        if row is not None and row.fingerprint == item.fingerprint and not row.gone:
            if self._is_judged_otherwise(row, item):
                self.released += row.held
                self._put(replace(row, etag=item.etag, item=item, settle_at_s=self.settle_at_s, held=False))
                self.judged_otherwise += 1
            elif row.held or row.etag != item.etag:
                self.released += row.held
                self._put(replace(row, etag=item.etag, held=False))
            return
        pending = row is not None and not row.gone and row.settle_at_s is not None
        self.released += row is not None and row.held
        self._put(
            ItemRow(
                room=self.page.room,
                href=item.href,
                uid=item.uid,
                etag=item.etag,
                fingerprint=item.fingerprint,
                item=item,
                settle_at_s=row.settle_at_s if row is not None and pending else self.settle_at_s,
                gone=False,
                held=False,
            )
        )
        self.notes.extend(Note("sync.remark", item.uid, remark) for remark in item.remarks)
        for other in self._others(item.uid, item.href):
            if other.held:
                self.released += 1
                self._put(replace(other, held=False, gone=True, settle_at_s=self.settle_at_s))

    def _is_judged_otherwise(self, row: ItemRow, item: CalendarItem) -> bool:
        if not self.page.judged_by or row.settle_at_s is not None:
            return False
        return is_judged_otherwise(self.state, item, self.now_s)

    def _put(self, row: ItemRow) -> None:
        self.after[row.href] = row

    def _now(self, href: str) -> ItemRow | None:
        return self.after[href] if href in self.after else self.rows.get(href)

    def _others(self, uid: Uid, href: str) -> list[ItemRow]:
        """The room's other rows with this UID, as they are by now."""
        known = [other for room, other in self.state.items_by_uid.get(uid, ()) if room == self.page.room]
        names = dict.fromkeys([*known, *self.names.get(uid, ())])
        rows = (self._now(name) for name in names if name != href)
        return [row for row in rows if row is not None and row.uid == uid]

    # --- what is not there any more --------------------------------------------------------------------------------

    def _vanished(self) -> list[ItemRow]:
        """Rows that the calendar shows no more: named as gone, or missing from a complete listing. By name."""
        names = {href for href in self.page.gone if href in self.rows}
        listing = self.page.listing
        if listing is not None:
            for href, row in self.rows.items():
                if href not in listing:
                    names.add(href)
                elif (row.gone or row.held) and href not in self.items and href not in names:
                    # There, but it could not be read: at least it is not gone.
                    self.released += row.held
                    pending = self.settle_at_s if row.gone else row.settle_at_s
                    self._put(replace(row, gone=False, held=False, settle_at_s=pending))
        rows = (self.rows[href] for href in sorted(names) if href not in self.items)
        return [row for row in rows if not (row.gone or row.held)]

    def _let_go(self, row: ItemRow) -> None:
        """A vanished row: forgotten at once when nothing can follow from it, else gone once that has settled."""
        lone = len(self.state.items_by_uid.get(row.uid, ())) == 1 and not self._others(row.uid, row.href)
        over = row.settle_at_s is None and row.item is None and not self._is_ahead(row)
        if lone and over:
            self.after[row.href] = None
        else:
            self._put(replace(row, gone=True, settle_at_s=self.settle_at_s))

    def _is_ahead(self, row: ItemRow) -> bool:
        """The row stands for a meeting that is not over."""
        if row.item is None:
            kept = self.state.meetings.get(meeting_id(row.uid, None))
            return kept is not None and kept.step in OPEN_STEPS and kept.end_s > self.now_s
        return is_ahead(row.item, self.zone, self.now_s)

    # --- the brake -------------------------------------------------------------------------------------------------

    def _held_by_brake(self, vanished: list[ItemRow]) -> list[ItemRow]:
        """All that vanish together, if they are too many: in this page, in those before it that have not settled, and
        what the brake holds already.
        """
        if not vanished:
            return []
        brake = self.state.settings().brake
        held = max(0, self.state.rooms_news.get(self.page.room, RoomNews()).held - self.released)
        leaving = vanished + [row for row in self.rows.values() if self._is_leaving(row)]
        if len(leaving) + held > brake.items_min:
            names = {row.href for row in leaving}
            leaving = [row for row in leaving if not self._has_moved(row, names) and self._is_ahead(row)]
        together = len(leaving) + held
        if together <= brake.items_min:
            return []
        ahead = held + sum(1 for row in self.rows.values() if not row.held and self._is_ahead(row))
        if together * 100 <= brake.percent * ahead:
            return []
        self.braked = len(leaving)
        why = (
            f"{together} of {ahead} items with meetings ahead have vanished: they are held until they are seen "
            "again or a person releases the brake"
        )
        self.notes.append(Note("sync.brake", self.page.room, why))
        return leaving

    def _is_leaving(self, row: ItemRow) -> bool:
        """An earlier page has found it gone, nothing has been done about that, and this page does not show it."""
        waits = row.gone and (row.settle_at_s or 0.0) > self.now_s
        return waits and _DISPLACED not in row.href and self._now(row.href) is row

    def _has_moved(self, row: ItemRow, leaving: set[str]) -> bool:
        """The room shows the same UID under another name."""
        others = self._others(row.uid, row.href)
        return any(not other.gone and other.href not in leaving for other in others)

    def _news(self) -> list[RoomTold]:
        """How many items the brake holds, and by which rules all have been judged, if that has changed."""
        room = self.page.room
        before = self.state.rooms_news.get(room, RoomNews())
        held = max(0, before.held - self.released) + self.braked
        since_s = before.since_s
        if held != before.held:
            if not held:
                why = "the items that the brake held were seen again"
                self.notes.append(Note("sync.released", room, why))
            since_s = before.since_s if before.held and held else (self.now_s if held else 0.0)
        if self.judged_otherwise:
            why = f"{self.judged_otherwise} items are looked at again: rules for the way into meetings have changed"
            self.notes.append(Note("sync.judged", room, why))
        judged = before.judged
        # Whoever changes the rules in the middle of a pass has the room read once more.
        is_end = self.page.listing is not None or self.page.cookie is not None
        is_whole = is_end and self.page.judged_by != ""
        if is_whole and self.page.judged_by == rules_of(self.state, room):
            judged = self.page.judged_by
        after = replace(before, held=held, since_s=since_s, judged=judged)
        return [] if after == before else [RoomTold(room, after)]
