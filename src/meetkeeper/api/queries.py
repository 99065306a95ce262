"""Looks at the state: each is a plain function that runs inside `engine.read` and answers with records of its own.

Nothing here waits or writes. Every list is bounded and comes in pages by (start, id), so that a page costs what it
shows and not what there is.
"""

import heapq
from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_left
from collections.abc import Iterable, Iterator

from msgspec import Struct

from meetkeeper.api.problems import FieldError, Invalid
from meetkeeper.core.agenda import Agenda
from meetkeeper.core.configuration import ClusterConfig
from meetkeeper.core.errors import NotFound
from meetkeeper.core.state import Kept, OutboxRow, State, Status, TokenRow
from meetkeeper.core.words import Alias, Meeting, MeetingId, RoomId, Step, Uid

LIMIT_MAX = 1_000
"""Most rows on one page."""
FOREVER_S = 1 << 40


class Found(Struct, frozen=True, gc=False):
    """A meeting and where it stands."""

    meeting: Meeting
    step: Step
    series: Uid | None
    live_at_s: float | None = None


class Wanted(Struct, frozen=True, kw_only=True):
    """Which meetings: those that share an instant with [from_s, until_s), after a place in their order."""

    from_s: int = 0
    until_s: int = FOREVER_S
    room: RoomId | None = None
    step: Step | None = None
    after: tuple[int, str] | None = None
    limit: int = 100


class Page(Struct, frozen=True):
    """Some of them, and the place after which the next page begins."""

    found: tuple[Found, ...]
    next: tuple[int, str] | None


def find(state: State, meeting_id: MeetingId) -> Found | None:
    """One meeting, however it stands."""
    kept = state.meetings.get(meeting_id)
    return None if kept is None else _found(state, kept)


def need(state: State, meeting_id: MeetingId) -> Found:
    """One meeting. Raises `NotFound`."""
    found = find(state, meeting_id)
    if found is None:
        raise NotFound(
            "unknown-meeting", f"There is no meeting {meeting_id[:40]!r}. GET /api/v1/meetings lists them."
        )
    return found


def page(state: State, wanted: Wanted) -> Page:
    """Meetings by (start, id). Cancelled ones are shown to those who ask for them alone."""
    if wanted.step is Step.CANCELLED:
        rows: Iterable[Kept] = sorted(_cancelled(state, wanted), key=_order)
    elif wanted.room is not None:
        agenda = state.agendas.get(wanted.room)
        rows = () if agenda is None else _walk(agenda, wanted)
    else:
        rows = _each_once(
            heapq.merge(*(_walk(agenda, wanted) for agenda in state.agendas.values()), key=_order)
        )
    taken: list[Kept] = []
    for row in rows:
        if wanted.after is not None and _order(row) <= wanted.after:
            continue
        if wanted.step is not None and row.step is not wanted.step:
            continue
        if len(taken) == wanted.limit:
            return Page(tuple(_found(state, row) for row in taken), _order(taken[-1]))
        taken.append(row)
    return Page(tuple(_found(state, row) for row in taken), None)


def _order(row: Kept) -> tuple[int, str]:
    return row.start_s, row.id


def _found(state: State, kept: Kept) -> Found:
    return Found(state.decode(kept), kept.step, kept.series, state.live_at_s.get(kept.id))


def _cancelled(state: State, wanted: Wanted) -> Iterator[Kept]:
    for kept in state.meetings.values():
        inside = kept.end_s > wanted.from_s and kept.start_s < wanted.until_s
        if kept.step is Step.CANCELLED and inside and (wanted.room is None or wanted.room in kept.rooms):
            yield kept


def _walk(agenda: Agenda, wanted: Wanted) -> Iterator[Kept]:
    """One room's meetings in the span, by (start, id), made while they are asked for."""
    first_s = wanted.from_s - agenda.longest_s
    if wanted.after is not None:
        first_s = max(first_s, wanted.after[0])
    at, end = bisect_left(agenda.starts, first_s), bisect_left(agenda.starts, wanted.until_s)
    while at < end:
        same = at + 1
        while same < end and agenda.starts[same] == agenda.starts[at]:
            same += 1
        rows = [row for row in agenda.meetings[at:same] if row.end_s > wanted.from_s]
        yield from sorted(rows, key=_order)  # type: ignore[arg-type,misc]  # State puts Kept rows into its agendas
        at = same


def _each_once(rows: Iterable[Kept]) -> Iterator[Kept]:
    """A meeting in several rooms comes from several agendas, one right after the other."""
    last: MeetingId | None = None
    for row in rows:
        if row.id != last:
            yield row
        last = row.id


# --- cursors ---------------------------------------------------------------------------------------------------------


def cursor_of(place: tuple[int, str] | None) -> str | None:
    """A place in the order, sealed for the caller to hand back."""
    if place is None:
        return None
    return urlsafe_b64encode(f"{place[0]}:{place[1]}".encode()).rstrip(b"=").decode()


def place_of(cursor: str | None) -> tuple[int, str] | None:
    """The place in a cursor. Raises `Invalid` for one we did not make."""
    if cursor is None:
        return None
    try:
        text = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)).decode("ascii")
        start, _, meeting_id = text.partition(":")
        return int(start[:20]), meeting_id
    except ValueError:
        raise Invalid(
            [FieldError("cursor", "is not one of ours; hand back the `next` of the page before, unchanged.")]
        ) from None


# --- rooms -----------------------------------------------------------------------------------------------------------


class Busy(Struct, frozen=True, gc=False):
    """A span in which a room is taken."""

    start_s: int
    end_s: int
    meeting: MeetingId


def busy(state: State, room: RoomId, from_s: int, until_s: int) -> list[Busy]:
    """Who holds the room in the span."""
    return [Busy(row.start_s, row.end_s, row.id) for row in state.occupying(room, from_s, until_s)]


def now_and_next(state: State, room: RoomId, at_s: float) -> tuple[Found | None, Found | None]:
    """The meeting that holds the room now and the one after it, looking a day ahead."""
    now: Found | None = None
    for row in state.occupying(room, int(at_s), int(at_s) + 86_400):
        if row.start_s <= at_s < row.end_s:
            now = now or _found(state, row)
        elif row.start_s > at_s:
            return now, _found(state, row)
    return now, None


# --- outbox ----------------------------------------------------------------------------------------------------------

_WORST_FIRST = (Status.PARKED, Status.UNKNOWN, Status.WAITING, Status.SENDING, Status.OPEN)


def outbox(state: State, status: Status | None, limit: int) -> tuple[list[OutboxRow], int]:
    """Effects in that status (None: all that are not done), the worst first, and how many there are."""
    if status is Status.DONE:
        rows = list(reversed(state.done.values()))
        return rows[:limit], len(rows)
    rows = [row for row in state.outbox.values() if status is None or row.status is status]
    rank = {one: place for place, one in enumerate(_WORST_FIRST)}
    return heapq.nsmallest(limit, rows, key=lambda row: (rank[row.status], row.again_at_s, row.key)), len(
        rows
    )


def tokens(state: State) -> list[TokenRow]:
    """Every token's row, by name."""
    return sorted(state.tokens.values(), key=lambda row: row.name)


# --- the invitees' door ----------------------------------------------------------------------------------------------


class AtDoor(Struct, frozen=True):
    """What stands behind an alias at an instant: the meeting that counts now."""

    alias: Alias
    meeting: Meeting
    step: Step
    cluster: ClusterConfig
    open_before_s: int
    warn_before_s: int
    attempts_per_minute: int


def at_door(state: State, alias: Alias, now_s: float) -> AtDoor | None:
    """The meeting an alias stands for now: the running one, else the next, else the last that was."""
    row = _chosen(state.meetings_by_alias(alias), now_s, state.settings().time.open_before_s)
    if row is None:
        return None
    meeting = state.decode(row)
    if meeting.vmr is None or meeting.vmr.alias != alias:
        return None
    config = state.settings()
    return AtDoor(
        alias,
        meeting,
        row.step,
        config.cluster,
        config.time.open_before_s,
        config.time.warn_before_s,
        config.access.join_attempts_per_minute,
    )


def _chosen(rows: list[Kept], now_s: float, open_before_s: int) -> Kept | None:
    ahead = [row for row in rows if row.end_s > now_s and row.step not in _OVER]
    if ahead:
        return min(ahead, key=lambda row: (row.start_s - open_before_s > now_s, row.start_s, row.id))
    return max(rows, key=lambda row: (row.step is not Step.CANCELLED, row.start_s, row.id), default=None)


_OVER = frozenset({Step.ENDED, Step.CANCELLED, Step.FAILED})
