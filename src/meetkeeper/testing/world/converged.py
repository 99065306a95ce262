"""What must have come true once nothing goes wrong any more: all neighbours agree with the state, and it with them.

Asked once, at the end of a world. Everything here is counted plainly from the neighbours' side.
"""

from collections.abc import Mapping

from msgspec import Struct

from meetkeeper.core.effects import EnsureVmr, Phase, RetireVmr, WriteItem
from meetkeeper.core.keeping import is_written
from meetkeeper.core.state import Kept, State, Status
from meetkeeper.core.vmr import marker_lineage
from meetkeeper.core.words import OPEN_STEPS, RUNNING_STEPS, Meeting, RoomId, Step, Uid
from meetkeeper.testing.world.calendars import RoomSource
from meetkeeper.testing.world.editors import Editors, Expected, instant
from meetkeeper.testing.world.happenings import Violation
from meetkeeper.testing.world.outside import SimulatedBridge
from meetkeeper.testing.world.people import Booking, View

JUST_NOW_S = 30.0
"""What has become due within these last seconds may still be under way."""


class Scene(Struct):
    """Everybody at the end of a world."""

    state: State
    now_s: float
    bridges: Mapping[str, SimulatedBridge]
    sources: Mapping[RoomId, RoomSource]
    editors: Editors
    bookings: list[Booking]


def judge(scene: Scene) -> None:
    """Raises `Violation` for the first thing that does not agree."""
    rows: dict[Uid, list[Kept]] = {}
    for row in scene.state.meetings.values():
        rows.setdefault(scene.state.decode(row).uid, []).append(row)
    _outbox_is_settled(scene.state, scene.now_s)
    _calendars_are_meetings(scene, rows)
    _callers_have_what_they_asked(scene)
    _copies_are_bookings(scene)
    _bridges_hold_what_is_needed(scene)


def _outbox_is_settled(state: State, now_s: float) -> None:
    for row in state.outbox.values():
        if now_s - JUST_NOW_S < row.again_at_s <= now_s:
            continue
        if row.status in (Status.PARKED, Status.UNKNOWN) and row.reason:
            continue
        if isinstance(row.effect, RetireVmr) and row.status is Status.WAITING and not row.tries:
            continue
        raise Violation(f"the outbox still holds {row}")


def _calendars_are_meetings(scene: Scene, rows: dict[Uid, list[Kept]]) -> None:
    state, now_s = scene.state, scene.now_s
    for thing in scene.editors.things:
        series = state.series.get(thing.uid)
        until_s = now_s if series is None else series.expanded_until_s
        expected = scene.editors.expected(thing.uid, now_s, until_s)
        found: dict[int | None, tuple[Expected, Step]] = {}
        over = set()
        for row in rows.get(thing.uid, []):
            if row.step is Step.ENDED and row.id in state.live_at_s:
                # It was held, by a clock that was wrong.
                over.add(state.decode(row).original_start_s)
            if row.step in OPEN_STEPS and row.end_s > now_s:
                meeting = state.decode(row)
                shown = Expected(meeting.start_s, meeting.end_s, meeting.subject, meeting.rooms)
                found[meeting.original_start_s] = shown, row.step
        for key, wanted in expected.items():
            if key not in found and key in over:
                continue
            if key not in found:
                raise Violation(f"calendars show {thing.uid} {key} as {wanted}, there is no such meeting")
            if found[key][0] != wanted:
                raise Violation(f"calendars show {thing.uid} {key} as {wanted}, the meeting is {found[key]}")
        for key, (shown, step) in found.items():
            if key not in expected and step not in RUNNING_STEPS:
                raise Violation(f"no calendar shows {thing.uid} {key}, the meeting is {shown}, {step}")


def _callers_have_what_they_asked(scene: Scene) -> None:
    for booking in scene.bookings:
        row = scene.state.meetings.get(booking.id)
        if booking.touched or row is None:
            continue
        meeting = scene.state.decode(row)
        if not any(_is_as_asked(meeting, row.step, view) for view in booking.views):
            raise Violation(f"asked for {booking.views}, found {meeting}, {row.step}")


def _is_as_asked(meeting: Meeting, step: Step, view: View) -> bool:
    if view.cancelled or step is Step.CANCELLED:
        return view.cancelled and step in (Step.CANCELLED, Step.ENDED)
    found = (meeting.rooms, meeting.subject, meeting.start_s, meeting.end_s, meeting.invitees)
    return found == (view.rooms, view.subject, view.start_s, view.end_s, view.invitees)


def _copies_are_bookings(scene: Scene) -> None:
    state = scene.state
    unwritten = {
        (row.effect.room, row.effect.meeting)
        for row in state.outbox.values()
        if isinstance(row.effect, WriteItem)
    }
    for booking in scene.bookings:
        row = state.meetings.get(booking.id)
        if booking.touched or row is None or row.series is not None:
            continue
        meeting = state.decode(row)
        for room, source in scene.sources.items():
            if not is_written(state, room) or (room, meeting.id) in unwritten:
                continue
            shown = next((item for item in source.fake.items.values() if item.uid == meeting.uid), None)
            wanted = room in meeting.rooms and row.step is not Step.CANCELLED
            if wanted is (shown is None):
                raise Violation(f"the calendar of {room} shows {shown}, {meeting.id} is {row.step}")
            if shown is not None and shown.master is not None:
                start_s = instant(shown.master.start, shown.master.zone)
                if (start_s, shown.master.subject) != (meeting.start_s, meeting.subject):
                    raise Violation(f"the calendar of {room} shows {shown}, it is {meeting}")


def _bridges_hold_what_is_needed(scene: Scene) -> None:
    state = scene.state
    parked = {
        row.effect.alias
        for row in state.outbox.values()
        if isinstance(row.effect, EnsureVmr)
        and (row.status is Status.PARKED or row.again_at_s > scene.now_s - JUST_NOW_S)
    }
    for name, bridge in scene.bridges.items():
        fake = bridge.fake
        needed: set[str] = set()
        for row in state.meetings.values():
            meeting = state.decode(row)
            if row.alias is None or meeting.vmr is None or meeting.vmr.bridge != name:
                continue
            if row.step in OPEN_STEPS:
                needed.add(row.alias)
            if row.step not in (Step.PROVISIONED, *RUNNING_STEPS) or row.alias in {*parked, *fake.taken}:
                continue
            stands = fake.vmrs.get(row.alias)
            if stands is None:
                raise Violation(f"{row.alias} of {row.id}, {row.step}, does not stand on bridge {name}")
            running = any(other.step in RUNNING_STEPS for other in state.meetings_by_alias(row.alias))
            if running is not (stands.phase is Phase.OPEN):
                raise Violation(f"{row.alias} is {stands.phase} on bridge {name}, {row.id} is {row.step}")
        for alias, stands in fake.vmrs.items():
            if marker_lineage(stands.marker, alias) != state.lineage or alias in needed:
                continue
            goes_on = any(
                not one.over
                for uid in state.series
                if (one := state.one_series(uid)) and one.vmr and one.vmr.alias == alias
            )
            if not goes_on and f"vmr/{alias}/retire" not in state.outbox:
                raise Violation(f"{alias} stands on bridge {name} and nobody needs it")
