"""What set-aside records say, booking by booking, and how each lies to what is in force.

Place in the journey: `ops.aside` reads the bytes and asks here. A booking counts as acknowledged when a later record of
the same history shows that it had been flushed: its caller may have been told. Records after the last such one were on
their way, and nobody can know.
"""

import hashlib
from datetime import UTC
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from meetkeeper.api.asides import Acknowledged, AsideBooking, Verdict
from meetkeeper.api.moments import iso_utc
from meetkeeper.codec import frame, record
from meetkeeper.core.changes import Change, IdempotencyKept, MeetingKept, MeetingStepped, SeriesKept
from meetkeeper.core.commands import Amend, Book, Cancel, Command
from meetkeeper.core.errors import Corrupt, TheirMistake
from meetkeeper.core.state import Series, State
from meetkeeper.core.words import OPEN_STEPS, Meeting, MeetingId, RoomId, Step

OPEN_VERDICTS = frozenset({"missing", "collides", "differs", "cancelled"})
"""Somebody has to decide."""
_SAYS: dict[Verdict, str] = {
    "missing": "Not known here, and its rooms are free: replay books it again, with the same URI.",
    "collides": "Not known here, and its rooms are taken by {conflicts}: talk to both, then replay or discard it.",
    "differs": "In force here otherwise: replay it by its id to have it as it was there, or discard it.",
    "cancelled": "Was cancelled there, stands here: replay it by its id to cancel it here too, or discard it.",
    "there": "In force here as it was there: nothing to do.",
    "calendar": "Lives in a calendar: the next pass brings what stands there. Nothing to do.",
    "over": "Its time is past: nothing to do.",
}


class Told(Struct, frozen=True, kw_only=True):
    """One booking as the records last have it: a `meeting`, or a whole `series` booked here."""

    id: str
    meeting: Meeting | None = None
    series: Series | None = None
    of_series: bool = False
    cancelled: bool = False
    acknowledged: Acknowledged
    idempotency: tuple[str, str] | None = None


class Judged(Struct, frozen=True):
    """A booking and how it lies to what is in force. `again`: the meeting its caller has booked in its place."""

    told: Told
    verdict: Verdict
    conflicts: tuple[str, ...] = ()
    again: str = ""

    @property
    def says(self) -> str:
        """The verdict in a sentence."""
        if self.again and self.again != self.told.id:
            return f"Its caller has booked it again as {self.again}: nothing to do."
        return _SAYS[self.verdict].format(conflicts=", ".join(self.conflicts))


class _Seen(Struct, frozen=True):
    seq: int
    changes: tuple[Change, ...]
    acknowledged: Acknowledged


def told_by(data: bytes) -> tuple[list[Told], int]:
    """The bookings in set-aside bytes, and how many whole records there are. What can't be read is passed over."""
    seen = _seen(data)
    found: dict[str, Told] = {}
    keys: dict[str, tuple[str, str]] = {}
    for one in seen:
        for change in one.changes:
            if isinstance(change, IdempotencyKept):
                keys[change.answer] = (change.key, change.request)
            else:
                _take(found, change, one.acknowledged)
    booked_series = {told.id for told in found.values() if told.series is not None}
    rows = [
        msgspec.structs.replace(told, idempotency=keys.get(told.id))
        for told in found.values()
        if not (told.of_series and told.meeting is not None and told.meeting.uid in booked_series)
    ]
    return rows, len(seen)


def judge(state: State, told: Told, now_s: float) -> Judged:
    """How a booking lies to what is in force now."""
    row = None if told.idempotency is None else state.idempotency.get(told.idempotency[0])
    if row is not None and row.answer != told.id and not told.cancelled:
        return Judged(told, "there", again=row.answer)
    if told.series is not None:
        return Judged(told, _series_verdict(state, told.series))
    meeting = told.meeting
    if meeting is None:  # only a step of it was set aside
        kept = state.meetings.get(MeetingId(told.id))
        stands = kept is not None and kept.step in OPEN_STEPS and kept.end_s > now_s
        return Judged(told, "cancelled" if stands else "there")
    return _meeting_judged(state, told, meeting, now_s)


def shown(state: State, judged: Judged, decided: str) -> AsideBooking:
    """As people and programs see it."""
    told, meeting = judged.told, judged.told.meeting or state.meeting(MeetingId(judged.told.id))
    series = told.series
    if series is not None:
        master = series.item.master
        return AsideBooking(
            meeting=told.id,
            subject=series.subject,
            organizer=series.organizer.email,
            rooms=tuple(series.rooms),
            start=iso_utc(_series_start_s(series)),
            end=iso_utc(_series_start_s(series) + (0 if master is None else master.duration_s)),
            acknowledged=told.acknowledged,
            verdict=judged.verdict,
            says=judged.says,
            repeats="" if master is None else master.rrule,
            decided=decided,
        )
    return AsideBooking(
        meeting=told.id,
        subject="" if meeting is None else meeting.subject,
        organizer="" if meeting is None else meeting.organizer.email,
        rooms=() if meeting is None else tuple(meeting.rooms),
        start="" if meeting is None else iso_utc(meeting.start_s),
        end="" if meeting is None else iso_utc(meeting.end_s),
        acknowledged=told.acknowledged,
        verdict=judged.verdict,
        says=judged.says,
        conflicts=judged.conflicts,
        decided=decided,
    )


def command_for(state: State, judged: Judged, name: str) -> Command | None:
    """What brings it about by the ordinary way; None when there is nothing to bring about."""
    told = judged.told
    if judged.verdict == "cancelled":
        return Cancel(id=MeetingId(told.id), whole_series=told.series is not None)
    if told.series is not None:
        return _book_series(state, told, told.series, name) if judged.verdict == "missing" else None
    meeting = told.meeting
    if meeting is None:
        return None
    if judged.verdict == "differs":
        return Amend(
            id=meeting.id,
            rooms=meeting.rooms,
            subject=meeting.subject,
            invitees=meeting.invitees,
            description=meeting.description,
            start_s=meeting.start_s,
            end_s=meeting.end_s,
            time_zone=meeting.time_zone,
        )
    if judged.verdict not in ("missing", "collides") or told.of_series:
        return None
    return Book(
        rooms=meeting.rooms,
        subject=meeting.subject,
        organizer=meeting.organizer,
        start_s=meeting.start_s,
        end_s=meeting.end_s,
        time_zone=meeting.time_zone,
        nonce=meeting.uid,
        invitees=meeting.invitees,
        description=meeting.description,
        private=meeting.private,
        vmr=meeting.vmr is not None,
        bridge=_bridge(state, "" if meeting.vmr is None else meeting.vmr.bridge),
        uid=meeting.uid,
        idempotency=told.idempotency or _own_key(name, told),
    )


# --- reading ---------------------------------------------------------------------------------------------------------


def _seen(data: bytes) -> list[_Seen]:
    """Whole records, each with whether a later one shows it kept."""
    found: list[_Seen] = []
    kept = 0
    for one in reversed(list(frame.survivors(data, 0))):
        seq = one.position.seq
        try:
            plan = record.decode(one.body).plan
        except (Corrupt, TheirMistake):
            continue
        found.append(_Seen(seq, plan.changes, "yes" if kept >= seq else "not known"))
        kept = max(kept, record.kept_of(one.body))
    return found[::-1]


def _take(found: dict[str, Told], change: Change, acknowledged: Acknowledged) -> None:
    if isinstance(change, MeetingKept):
        known = found.get(change.id)
        found[change.id] = Told(
            id=change.id,
            meeting=msgspec.json.decode(change.body, type=Meeting),
            of_series=change.series is not None,
            cancelled=change.step is Step.CANCELLED,
            acknowledged="yes" if known is not None and known.acknowledged == "yes" else acknowledged,
        )
    elif isinstance(change, MeetingStepped) and change.step is Step.CANCELLED:
        known = found.get(change.id) or Told(id=change.id, acknowledged=acknowledged)
        found[change.id] = msgspec.structs.replace(known, cancelled=True)
    elif isinstance(change, SeriesKept):
        series = msgspec.json.decode(change.body, type=Series)
        known = found.get(change.uid)
        found[change.uid] = Told(
            id=change.uid,
            series=series,
            cancelled=series.over,
            acknowledged="yes" if known is not None and known.acknowledged == "yes" else acknowledged,
        )


# --- judging ---------------------------------------------------------------------------------------------------------


def _meeting_judged(state: State, told: Told, meeting: Meeting, now_s: float) -> Judged:
    kept = state.meetings.get(meeting.id)
    stands = kept is not None and kept.step in OPEN_STEPS
    if meeting.origin == "calendar":
        return Judged(told, "calendar")
    if meeting.end_s <= now_s:
        return Judged(told, "over")
    if told.cancelled:
        return Judged(told, "cancelled" if stands else "there")
    if kept is None:
        taken = _taken(state, meeting)
        return Judged(told, "collides" if taken else "missing", taken)
    same = stands and _content(state.decode(kept)) == _content(meeting)
    return Judged(told, "there" if same else "differs")


def _series_verdict(state: State, series: Series) -> Verdict:
    known = state.one_series(series.uid)
    if series.origin == "calendar":
        return "calendar"
    if series.over:
        return "there" if known is None or known.over else "cancelled"
    if known is None:
        return "missing"
    same = not known.over and (known.subject, known.rooms) == (series.subject, series.rooms)
    return "there" if same and known.item.fingerprint == series.item.fingerprint else "differs"


def _content(meeting: Meeting) -> tuple[object, ...]:
    return (
        meeting.start_s,
        meeting.end_s,
        meeting.rooms,
        meeting.subject,
        meeting.organizer,
        meeting.invitees,
        meeting.description,
    )


def _taken(state: State, meeting: Meeting) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for room in meeting.rooms:
        for row in state.occupying(RoomId(room), meeting.start_s, meeting.end_s):
            if row.id != meeting.id:
                found[row.id] = None
    return tuple(found)


# --- booking again ---------------------------------------------------------------------------------------------------


def _book_series(state: State, told: Told, series: Series, name: str) -> Book | None:
    master = series.item.master
    if master is None or not master.rrule:
        return None
    start_s = _series_start_s(series)
    return Book(
        rooms=series.rooms,
        subject=series.subject,
        organizer=series.organizer,
        start_s=start_s,
        end_s=start_s + master.duration_s,
        time_zone=series.time_zone,
        nonce=series.uid,
        invitees=series.invitees,
        description=series.description,
        private=series.private,
        recurrence=master.rrule,
        vmr=series.vmr is not None or series.own_vmrs,
        bridge=_bridge(state, "" if series.vmr is None else series.vmr.bridge),
        uid=series.uid,
        idempotency=told.idempotency or _own_key(name, told),
    )


def _series_start_s(series: Series) -> int:
    master = series.item.master
    if master is None:
        return 0
    zone = ZoneInfo(master.zone or series.time_zone) if master.zone or series.time_zone else UTC
    return int(master.start.replace(tzinfo=zone).timestamp())


def _bridge(state: State, name: str) -> str:
    return name if any(one.id == name for one in state.settings().bridges) else ""


def _own_key(name: str, told: Told) -> tuple[str, str]:
    """The idempotency key of what was booked without one: the same records, booked again, book once."""
    body = msgspec.json.encode((told.meeting, told.series))
    return f"set-aside|{name}|{told.id}", hashlib.sha256(body).hexdigest()
