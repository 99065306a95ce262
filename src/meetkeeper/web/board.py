"""The board: what is wrong, what is live, what starts next, the day by room, and how the server stands.

One look at the state makes all of it, as plain values a template only has to lay out. Everything is bounded: a house
of a thousand rooms shows those where something happens.
"""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct

from meetkeeper.api import queries, times
from meetkeeper.api.counted import counted
from meetkeeper.api.gate import EngineStatus
from meetkeeper.api.queries import Found, Wanted
from meetkeeper.api.risks import Risk, risks
from meetkeeper.api.standing import bridge_standing, calendar_standing, mail_standing
from meetkeeper.core.configuration import RoomConfig
from meetkeeper.core.state import State, Status
from meetkeeper.core.words import RUNNING_STEPS, Meeting, RoomId, Step
from meetkeeper.web.grid import HOURS_MAX, LANES_MAX, SLOT_S, SLOTS_PER_HOUR
from meetkeeper.web.pages import clock, day_and_clock, span, zone_word
from meetkeeper.web.pairboard import PairPanel, pair_panel

LINES_MAX = 6
RISKS_MAX = 12
ROOMS_MAX = 60
BARS_MAX = 60
NEXT_WITHIN_S = 86_400
DAY_FROM_H, DAY_UNTIL_H = 7, 19
"""Hours the timeline shows at least."""

WORDS = {
    Step.SCHEDULED: "being prepared",
    Step.PROVISIONED: "ready",
    Step.LIVE: "live",
    Step.ENDING: "ends soon",
    Step.ENDED: "over",
    Step.CANCELLED: "cancelled",
    Step.FAILED: "failed",
}
TONES = {
    Step.SCHEDULED: "unknown",
    Step.PROVISIONED: "info",
    Step.LIVE: "good",
    Step.ENDING: "warn",
    Step.ENDED: "past",
    Step.CANCELLED: "past",
    Step.FAILED: "bad",
}


class Line(Struct, frozen=True, kw_only=True):
    """A meeting in a list. `when` is its relation to now."""

    id: str
    subject: str
    rooms: str
    span: str
    when: str
    word: str
    tone: str
    organizer: str
    has_vmr: bool
    platform: str = ""
    """Whose link is the way in, when it is not ours."""


class Bar(Struct, frozen=True, kw_only=True):
    """A meeting on the timeline: from `slot` on, `width` slots, in `lane`."""

    id: str
    subject: str
    span: str
    word: str
    tone: str
    slot: int
    width: int
    lane: int


class Track(Struct, frozen=True, kw_only=True):
    """A room's day."""

    room: str
    name: str
    standing: str
    bars: tuple[Bar, ...]


class Timeline(Struct, frozen=True, kw_only=True):
    """The day, rooms down, hours across. `now_slot` is None when the day is not today."""

    title: str
    day: str
    before: str
    after: str
    today: bool
    hours: tuple[str, ...]
    now_slot: int | None
    now: str
    tracks: tuple[Track, ...]
    hidden: int


class Neighbour(Struct, frozen=True, kw_only=True):
    """A calendar, a bridge, the mail: one word and one sentence."""

    name: str
    standing: str
    text: str
    held: int = 0
    room: str = ""
    """Whose calendar it is: a page of its own."""


class Server(Struct, frozen=True, kw_only=True):
    """How this server stands."""

    name: str
    release: str
    role: str
    tone: str
    epoch: int
    seq: int
    up: str
    revision: int
    rooms: int
    calendars: tuple[Neighbour, ...]
    calendars_ok: int
    calendars_failing: int
    bridges: tuple[Neighbour, ...]
    mail: Neighbour
    outbox: tuple[tuple[str, int, str], ...]
    failed: str


class Board(Struct, frozen=True, kw_only=True):
    """Everything on the page. `live_count` and `risk_count` count those not listed too."""

    now: str
    now_iso: str
    zone: str
    wrong: tuple[Risk, ...]
    wrong_red: int
    wrong_count: int
    live: tuple[Line, ...]
    live_count: int
    following: tuple[Line, ...]
    timeline: Timeline
    server: Server
    pair: PairPanel | None


def make_board(state: State, status: EngineStatus, now_s: float, day: str = "", query: str = "") -> Board:
    """The board at an instant. `day` is an ISO date (empty: today), `query` part of a room's or meeting's name."""
    config = state.settings()
    zone = times.display_zone(config.cluster.time_zone)
    wrong = risks(state, status, now_s)
    running = _running(state, now_s)
    return Board(
        now=clock(now_s, zone),
        now_iso=times.iso(now_s, zone),
        zone=zone_word(zone.key),
        wrong=wrong[:RISKS_MAX],
        wrong_red=sum(risk.level == "red" for risk in wrong),
        wrong_count=len(wrong),
        live=tuple(_line(one, now_s, zone, state.rooms) for one in running[:LINES_MAX]),
        live_count=len(running),
        following=tuple(_line(one, now_s, zone, state.rooms) for one in _following(state, now_s)),
        timeline=_timeline(state, status, _day_of(day, now_s, zone), (now_s, zone), query.strip().lower()),
        server=_server(state, status, now_s),
        pair=pair_panel(status),
    )


def subject_of(meeting: Meeting) -> str:
    """What may be shown on a wall."""
    return "Private meeting" if meeting.private else meeting.subject or "(no subject)"


def word_of(found: Found) -> str:
    """How a meeting stands, for people."""
    unprovided = found.step is Step.SCHEDULED and found.meeting.vmr is None
    return "booked" if unprovided else WORDS[found.step]


def tone_of(found: Found) -> str:
    """The same as a tone."""
    unprovided = found.step is Step.SCHEDULED and found.meeting.vmr is None
    return "info" if unprovided else TONES[found.step]


def _running(state: State, now_s: float) -> list[Found]:
    wanted = Wanted(from_s=int(now_s), until_s=int(now_s) + 1, limit=queries.LIMIT_MAX)
    found = [one for one in queries.page(state, wanted).found if one.step in RUNNING_STEPS]
    return sorted(found, key=lambda one: (one.meeting.end_s, one.meeting.id))


def _following(state: State, now_s: float) -> list[Found]:
    """The next ones, and those that ought to have begun and have not."""
    wanted = Wanted(from_s=int(now_s), until_s=int(now_s) + NEXT_WITHIN_S, limit=64)
    waiting = (Step.SCHEDULED, Step.PROVISIONED)
    return [one for one in queries.page(state, wanted).found if one.step in waiting][:LINES_MAX]


def _line(found: Found, now_s: float, zone: ZoneInfo, rooms: dict[RoomId, RoomConfig]) -> Line:
    meeting = found.meeting
    if found.step in RUNNING_STEPS:
        when = f"{span(meeting.end_s - now_s)} left"
    elif meeting.start_s > now_s:
        when = f"in {span(meeting.start_s - now_s)}"
    else:
        when = f"late by {span(now_s - meeting.start_s)}"
    names = [rooms[room].name or room if room in rooms else room for room in meeting.rooms]
    return Line(
        id=meeting.id,
        subject=subject_of(meeting),
        rooms=", ".join(names),
        span=f"{clock(meeting.start_s, zone)}–{clock(meeting.end_s, zone)}",
        when=when,
        word=word_of(found),
        tone="bad" if when.startswith("late") else tone_of(found),
        organizer=meeting.organizer.name or meeting.organizer.email,
        has_vmr=meeting.vmr is not None,
        platform="" if meeting.foreign is None else meeting.foreign.platform,
    )


# --- the day ---------------------------------------------------------------------------------------------------------


def _day_of(text: str, now_s: float, zone: ZoneInfo) -> date:
    today = datetime.fromtimestamp(now_s, zone).date()
    try:
        day = date.fromisoformat(text) if text else today
    except ValueError:
        return today
    return day if abs((day - today).days) < 3_660 else today


def _timeline(
    state: State, status: EngineStatus, day: date, now: tuple[float, ZoneInfo], query: str
) -> Timeline:
    now_s, zone = now
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=zone)
    day_from_s, day_until_s = times.day_span_s(noon.timestamp(), zone)
    rooms, hidden = _rooms_of_day(state, day_from_s, day_until_s, query)
    found = {room: _day_in(state, room, day_from_s, day_until_s, query) for room in rooms}
    every = [one.meeting for several in found.values() for one in several]
    from_s, hours = _shown_hours(every, day_from_s, day_until_s, now_s)
    statuses = {one.room: one for one in status.rooms}
    today = day_from_s <= now_s < day_until_s
    now_slot = int(now_s - from_s) // SLOT_S
    return Timeline(
        title=f"{day:%A} {day.day} {day:%B %Y}",
        day=day.isoformat(),
        before=(day - timedelta(days=1)).isoformat(),
        after=(day + timedelta(days=1)).isoformat(),
        today=today,
        hours=tuple(clock(from_s + hour * 3_600, zone) for hour in range(hours)),
        now_slot=now_slot if today and 0 <= now_slot < hours * SLOTS_PER_HOUR else None,
        now=clock(now_s, zone),
        tracks=tuple(
            Track(
                room=room,
                name=state.rooms[room].name or room,
                standing=calendar_standing(state.rooms[room], statuses.get(room)),
                bars=_bars(several, from_s, from_s + hours * 3_600, zone),
            )
            for room, several in found.items()
        ),
        hidden=hidden,
    )


def _rooms_of_day(state: State, from_s: int, until_s: int, query: str) -> tuple[list[RoomId], int]:
    """Rooms to show and how many stay hidden: all of a small house, else those where something happens."""
    matching = [
        room
        for room, one in state.rooms.items()
        if not query
        or query in room.lower()
        or query in one.name.lower()
        or _says(state, room, from_s, until_s, query)
    ]
    if len(matching) <= ROOMS_MAX:
        return matching, 0
    busy = [room for room in matching if state.agenda(room, from_s, until_s)]
    return busy[:ROOMS_MAX], len(matching) - min(len(busy), ROOMS_MAX)


def _says(state: State, room: RoomId, from_s: int, until_s: int, query: str) -> bool:
    return any(
        query in subject_of(state.decode(row)).lower()
        for row in state.agenda(room, from_s, until_s)[:BARS_MAX]
    )


def _day_in(state: State, room: RoomId, from_s: int, until_s: int, query: str) -> list[Found]:
    wanted = Wanted(from_s=from_s, until_s=until_s, room=room, limit=BARS_MAX)
    return list(queries.page(state, wanted).found)


def _shown_hours(meetings: list[Meeting], day_from_s: int, day_until_s: int, now_s: float) -> tuple[int, int]:
    """The first instant shown and the number of hours: the working day, wider where a meeting or now needs it."""
    day_hours = min(HOURS_MAX, (day_until_s - day_from_s) // 3_600)
    first, last = DAY_FROM_H, min(DAY_UNTIL_H, day_hours)
    for meeting in meetings:
        first = min(first, max(0, (meeting.start_s - day_from_s) // 3_600))
        last = max(last, min(day_hours, -(-(meeting.end_s - day_from_s) // 3_600)))
    if day_from_s <= now_s < day_until_s:
        hour = int(now_s - day_from_s) // 3_600
        first, last = min(first, hour), max(last, min(day_hours, hour + 1))
    return day_from_s + first * 3_600, last - first


def _bars(found: list[Found], from_s: int, until_s: int, zone: ZoneInfo) -> tuple[Bar, ...]:
    bars: list[Bar] = []
    free_from = [0] * LANES_MAX
    for one in found:
        meeting = one.meeting
        start_s, end_s = max(meeting.start_s, from_s), min(meeting.end_s, until_s)
        slot = (start_s - from_s) // SLOT_S
        width = max(1, -(-(end_s - from_s) // SLOT_S) - slot)
        lane = next((lane for lane in range(LANES_MAX) if free_from[lane] <= slot), LANES_MAX - 1)
        free_from[lane] = max(free_from[lane], slot + width)
        bars.append(
            Bar(
                id=meeting.id,
                subject=subject_of(meeting),
                span=f"{clock(meeting.start_s, zone)}–{clock(meeting.end_s, zone)}",
                word=word_of(one),
                tone=tone_of(one),
                slot=slot,
                width=width,
                lane=lane,
            )
        )
    return tuple(bars)


# --- the server ------------------------------------------------------------------------------------------------------


def _bridge_words(text: str, vmrs: int) -> str:
    """Janus 1.1.2 “meetkeeper” answers; 3 VMRs."""
    return f"{text.rstrip('.')}; {counted(vmrs, 'VMR')}"


_CALENDAR_WORDS = {"none": "booked here alone", "waiting": "not read yet"}
_WORST = {"failing": 0, "waiting": 1, "ok": 2, "none": 3}


def _server(state: State, status: EngineStatus, now_s: float) -> Server:
    calendars = _calendars(state, status, now_s)
    counted = dict.fromkeys(Status, 0)
    for row in state.outbox.values():
        counted[row.status] += 1
    standing = mail_standing(status.mail)
    return Server(
        name=status.server,
        release=status.release,
        role=status.role,
        tone="good"
        if status.role == "active" and not status.failed
        else "info"
        if not status.failed
        else "bad",
        epoch=status.epoch,
        seq=status.seq,
        up=span(now_s - status.started_at_s),
        revision=state.config_revision,
        rooms=len(state.rooms),
        calendars=tuple(one for one in calendars if one.standing != "none")[:ROOMS_MAX],
        calendars_ok=sum(one.standing == "ok" for one in calendars),
        calendars_failing=sum(one.standing == "failing" for one in calendars),
        bridges=tuple(
            Neighbour(
                name=one.id, standing=bridge_standing(one), text=_bridge_words(one.text or one.kind, one.vmrs)
            )
            for one in status.bridges
        ),
        mail=Neighbour(name="Mail", standing=standing, text=status.mail.text),
        outbox=tuple(
            (word, counted[one], tone if counted[one] else "past")
            for one, word, tone in (
                (Status.OPEN, "to do", "info"),
                (Status.SENDING, "being sent", "info"),
                (Status.WAITING, "waiting", "warn"),
                (Status.UNKNOWN, "unknown", "warn"),
                (Status.PARKED, "parked", "bad"),
            )
        ),
        failed=status.failed,
    )


def _calendars(state: State, status: EngineStatus, now_s: float) -> list[Neighbour]:
    """Every room's calendar, the worst first."""
    statuses = {one.room: one for one in status.rooms}
    found = []
    for room, configured in state.rooms.items():
        one = statuses.get(room)
        standing = calendar_standing(configured, one)
        news = state.rooms_news.get(room)
        text = _CALENDAR_WORDS.get(standing, "")
        if one is not None and standing == "failing":
            text = one.error
        elif one is not None and one.reading is not None:
            text = f"being read, {one.reading:,} items"
        elif one is not None and standing == "ok":
            text = f"read {span(now_s - one.last_pass_s)} ago"
        found.append(
            Neighbour(
                name=configured.name or room,
                standing=standing,
                text=text,
                held=0 if news is None else news.held,
                room=room,
            )
        )
    return sorted(found, key=lambda one: (not one.held, _WORST[one.standing]))


def when_in_full(found: Found, zone: ZoneInfo) -> str:
    """Wed 3 March 2027, 10:30–11:30 (Europe/Oslo)."""
    meeting = found.meeting
    own = times.display_zone(meeting.time_zone, zone.key)
    return f"{day_and_clock(meeting.start_s, own)}–{clock(meeting.end_s, own)} ({zone_word(own.key)})"
