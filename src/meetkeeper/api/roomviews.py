"""What is answered about rooms."""

from msgspec import Struct, field

from meetkeeper.api import queries, times
from meetkeeper.api.queries import Found
from meetkeeper.api.standing import calendar_standing
from meetkeeper.api.views import MeetingView, meeting_view
from meetkeeper.core.configuration import ClusterConfig, RoomConfig
from meetkeeper.core.state import State
from meetkeeper.core.words import RoomId
from meetkeeper.engine.status import RoomStatus


class _View(Struct, frozen=True, kw_only=True):
    pass


class CalendarView(_View, frozen=True, kw_only=True):
    """How a room's calendar does. `state`: `ok`, `failing`, `waiting` (never read yet) or `none` (it has none)."""

    state: str
    source: str
    last_pass: str | None
    last_change: str | None
    error: str
    problems: tuple[str, ...]
    held: int
    held_since: str | None
    reading: int | None
    """Items read so far by a pass under way."""
    full_passes: int
    """Complete passes since this server began to act."""
    cookie: str
    last_audit: str | None
    unreported: int
    mended: int


class RoomView(_View, frozen=True, kw_only=True):
    """A room."""

    id: str
    name: str
    email: str
    capacity: int
    time_zone: str
    bridge: str
    calendar: CalendarView
    now: MeetingView | None
    next: MeetingView | None


class RoomList(_View, frozen=True, kw_only=True):
    """All rooms, in the order of the configuration."""

    rooms: tuple[RoomView, ...]


class Agenda(_View, frozen=True, kw_only=True):
    """A room's meetings in a span, by start. `complete` is false when there are more than one answer holds."""

    room: str
    time_zone: str
    from_: str = field(name="from")
    until: str | None
    meetings: tuple[MeetingView, ...]
    complete: bool


class BusySpan(_View, frozen=True, kw_only=True):
    """A span in which a room is taken."""

    start: str
    end: str
    meeting: str


class RoomBusy(_View, frozen=True, kw_only=True):
    """One room's busy spans."""

    room: str
    busy: tuple[BusySpan, ...]


class FreeBusy(_View, frozen=True, kw_only=True):
    """Rooms free for the whole span (of those asked for, if any were), and the busy spans of those asked for."""

    from_: str = field(name="from")
    until: str
    free: tuple[str, ...]
    rooms: tuple[RoomBusy, ...]


def room_view(
    state: State, room: RoomConfig, status: RoomStatus | None, cluster: ClusterConfig, now_s: float
) -> RoomView:
    """A room as it is answered."""
    room_id = RoomId(room.id)
    news = state.rooms_news.get(room_id)
    now, following = queries.now_and_next(state, room_id, now_s)
    held = 0 if news is None else news.held
    return RoomView(
        id=room.id,
        name=room.name,
        email=room.email,
        capacity=room.capacity,
        time_zone=room.time_zone or cluster.time_zone,
        bridge=room.bridge,
        calendar=CalendarView(
            state=calendar_standing(room, status),
            source="" if status is None else status.source,
            last_pass=_moment(0.0 if status is None else status.last_pass_s),
            last_change=_moment(0.0 if status is None else status.last_change_s),
            error="" if status is None else status.error,
            problems=() if status is None else status.problems,
            held=held,
            held_since=_moment(news.since_s) if news is not None and held else None,
            reading=None if status is None else status.reading,
            full_passes=0 if status is None else status.full_passes,
            cookie="" if status is None else status.cookie,
            last_audit=_moment(0.0 if news is None else news.audited_s),
            unreported=0 if news is None else news.unreported,
            mended=0 if news is None else news.mended,
        ),
        now=_meeting(now, cluster),
        next=_meeting(following, cluster),
    )


def _meeting(found: Found | None, cluster: ClusterConfig) -> MeetingView | None:
    return None if found is None else meeting_view(found.meeting, found.step, found.series, cluster)


def _moment(at_s: float) -> str | None:
    return times.iso_utc(at_s) if at_s else None
