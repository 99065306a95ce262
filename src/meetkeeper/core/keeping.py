"""From "this meeting ought to be" to changes and effects: the one way in which bookings and calendars make meetings.

Rules of this file. A meeting keeps its VMR through every change. The revision grows by one with each change a person
would notice, and each revision is announced once; a meeting whose VMR the bridge has not confirmed yet is announced by
that confirmation (`EnsureVmr` with turn "new"), so a mail never names a door that turned out to be somebody else's.
"""

from itertools import count

import msgspec

from meetkeeper.core import vmr as vmrs
from meetkeeper.core.changes import (
    EffectMoved,
    EffectOpen,
    MeetingKept,
    MeetingStepped,
    SeriesKept,
    raw,
)
from meetkeeper.core.configuration import NoCalendar
from meetkeeper.core.drafting import Draft
from meetkeeper.core.effects import Announce, EnsureVmr, Phase, RetireVmr, WriteItem, key_of
from meetkeeper.core.identity import meeting_id
from meetkeeper.core.recurrence import following
from meetkeeper.core.state import Kept, Series, State, Status
from meetkeeper.core.vmr import Scope
from meetkeeper.core.words import (
    OPEN_STEPS,
    RUNNING_STEPS,
    Alias,
    EffectKey,
    Meeting,
    MeetingId,
    RoomId,
    Step,
    Uid,
    Vmr,
)
from meetkeeper.core.writeback import tell

NEW = "new"
"""The turn of the `EnsureVmr` whose success is announced."""
JOINED = "joined"
"""The turn of the `EnsureVmr` for occurrences that join a series behind a door people know: nobody is told."""

_STANDS = frozenset({Step.PROVISIONED, *RUNNING_STEPS})


def bridge_for(state: State, rooms: tuple[RoomId, ...], wish: str = "") -> str:
    """The bridge for a meeting: as wished, else the first of its rooms' that names one, else the first configured."""
    if wish:
        return wish
    for room_id in rooms:
        room = state.rooms.get(room_id)
        if room is not None and room.bridge:
            return room.bridge
    bridges = state.settings().bridges
    return bridges[0].id if bridges else ""


def choose_vmr(state: State, scope: Scope, bridge: str, attempt: int = 0) -> Vmr:
    """The first derived VMR, from `attempt` on, that nobody else holds or held lately."""
    config = state.settings()
    for tried in count(attempt):
        vmr = vmrs.derive(config, scope, bridge, tried)
        if not _held_by_other(state, vmr, scope.uid):
            return vmr
    raise AssertionError("unreachable: count() does not end")


def _held_by_other(state: State, vmr: Vmr, uid: Uid) -> bool:
    holder = state.by_alias.get(vmr.alias)
    if holder is not None:
        meeting = state.meeting(holder)
        return meeting is None or meeting.uid != uid
    series = state.series_by_alias.get(vmr.alias)
    if series is not None:
        return series != uid
    tombstone = state.tombstones.get(vmr.alias)
    if tombstone is not None:
        return tombstone.uid != uid
    return vmr.numeric_id in state.numeric_ids


def kept(meeting: Meeting, step: Step, series: Uid | None, *, own_vmr: bool) -> MeetingKept:
    """The change that keeps this meeting. `own_vmr` is False for occurrences that share their series' VMR."""
    vmr = meeting.vmr
    return MeetingKept(
        meeting.id,
        meeting.start_s,
        meeting.end_s,
        meeting.rooms,
        step,
        raw(meeting),
        None if vmr is None else vmr.alias,
        vmr.numeric_id if vmr is not None and own_vmr else None,
        series,
    )


def shares_vmr(state: State, row: Kept) -> bool:
    """True for an occurrence that meets in its series' VMR and is announced with its series."""
    return row.series is not None and (row.alias is None or row.alias in state.series_by_alias)


def keep_new(
    state: State, draft: Draft, meeting: Meeting, series: Uid | None = None, *, own_vmr: bool = True
) -> None:
    """A meeting nobody knew. A VMR of its own is asked of the bridge, and announced once it stands.

    Where opening the address makes the room there is nobody to ask: the VMR stands as soon as it is named. An
    occurrence that shares its series' VMR joins it (`step_joining`); that the series is asked for comes before.
    """
    stands = own_vmr and meeting.vmr is not None and meeting.vmr.bridge in state.link_bridges
    step = Step.PROVISIONED if stands else Step.SCHEDULED
    if not own_vmr and series is not None and meeting.vmr is not None:
        step = step_joining(state, draft, meeting, meeting.vmr.alias, series)
    draft.change(kept(meeting, step, series, own_vmr=own_vmr))
    draft.place(meeting)
    if stands or (series is None and tells_foreign(state, meeting)):
        tell(state, draft, meeting)
    elif own_vmr:
        ask_bridge_or_tell(draft, meeting)
    if series is None and meeting.origin == "api":
        write_items(state, draft, meeting)


def step_joining(state: State, draft: Draft, meeting: Meeting, alias: Alias, series: Uid) -> Step:
    """Where an occurrence begins that meets in its series' VMR from here on: provisioned where the VMR stands.

    It stands for every sibling that is provisioned or runs. One that is over proves nothing, for the VMR may have been
    taken down since: then the bridge is asked, once and quietly, unless somebody has asked already.
    """
    for one in state.occurrences.get(series, ()):
        sibling = state.meetings[one]
        if sibling.alias == alias and sibling.id != meeting.id and sibling.step in _STANDS:
            return Step.PROVISIONED
    if alias not in draft.asked and not is_untold(state, alias):
        draft.effect(EnsureVmr(alias, meeting.id, Phase.BOOKED, JOINED))
    return Step.SCHEDULED


def tells_foreign(state: State, told: Meeting | Series) -> bool:
    """True when its way in is foreign and its invitees are told by us all the same."""
    return told.foreign is not None and state.settings().links.mail == "all"


def ask_bridge_or_tell(draft: Draft, meeting: Meeting) -> None:
    """First the bridge, then the invitees; a meeting without a VMR that was booked here is told at once."""
    if meeting.vmr is not None:
        draft.effect(EnsureVmr(meeting.vmr.alias, meeting.id, Phase.BOOKED, NEW))
    elif meeting.origin == "api":
        draft.effect(Announce(meeting.revision, meeting=meeting.id))


def ask_bridge_for_series(
    state: State, draft: Draft, series: Series, before: Meeting | Series | None
) -> None:
    """First the bridge, then the invitees; people who know the door, having been told of `before`, are told at once."""
    if series.vmr is None:
        return
    alias = series.vmr.alias
    first = next(iter(state.occurrences.get(series.uid, ())), None) or meeting_id(series.uid, None)
    if before is None or is_untold(state, alias):
        draft.effect(EnsureVmr(alias, first, Phase.BOOKED, NEW))
    else:
        draft.effect(EnsureVmr(alias, first, Phase.BOOKED, f"r{series.revision}"))
        tell(state, draft, series, dropped=dropped(before, series))


def write_items(state: State, draft: Draft, meeting: Meeting, *, remove: bool = False) -> None:
    """Let the rooms' calendars show a meeting that was booked here."""
    for room_id in meeting.rooms:
        if is_written(state, room_id):
            draft.effect(WriteItem(room_id, meeting.revision, meeting=meeting.id, remove=remove))


def write_series(state: State, draft: Draft, series: Series, *, remove: bool = False) -> None:
    """Let the rooms' calendars show a series that was booked here."""
    if series.origin == "api":
        for room_id in series.rooms:
            if is_written(state, room_id):
                draft.effect(WriteItem(room_id, series.revision, series=series.uid, remove=remove))


def is_written(state: State, room_id: RoomId) -> bool:
    """True when meetings booked here are to appear in this room's own calendar."""
    room = state.rooms.get(room_id)
    return room is not None and not isinstance(room.calendar, NoCalendar) and room.calendar.write


def is_untold(state: State, alias: Alias | None) -> bool:
    """True while the bridge has not confirmed the VMR and nobody has been told of it."""
    return alias is not None and untold_key(alias) in state.outbox


def untold_key(alias: Alias) -> EffectKey:
    """The outbox key of the effect whose success is announced."""
    return key_of(EnsureVmr(alias, MeetingId(""), Phase.BOOKED, NEW))


def keep_changed(state: State, draft: Draft, row: Kept, old: Meeting, new: Meeting) -> Meeting:
    """A known meeting as it ought to be now: keeps id and VMR, gets the next revision, is announced once.

    `new` carries the wanted fields; its id, revision, sequence and VMR are taken from `old`. An occurrence that shares
    its series' VMR is announced by whoever changes the series. Returns what was kept.
    """
    shared = shares_vmr(state, row)
    meeting = msgspec.structs.replace(
        new,
        id=old.id,
        vmr=old.vmr,
        revision=old.revision + 1,
        sequence=next_sequence(old, new),
        origin=old.origin,
        original_start_s=old.original_start_s,
    )
    step = step_after(row, meeting, draft.now_s, state.settings().time.open_before_s)
    draft.change(kept(meeting, step, row.series, own_vmr=not shared))
    draft.place(meeting)
    revived = step is Step.SCHEDULED and row.step not in OPEN_STEPS
    if meeting.vmr is not None:
        turn, alias = f"r{meeting.revision}", meeting.vmr.alias
        if row.step in RUNNING_STEPS and step not in RUNNING_STEPS:
            draft.effect(EnsureVmr(alias, meeting.id, Phase.CLOSED, turn))
        elif revived or meeting.subject != old.subject:
            draft.effect(EnsureVmr(alias, meeting.id, Phase.BOOKED, turn))
    told = meeting.vmr is not None or meeting.origin == "api" or tells_foreign(state, meeting)
    if told and not shared and not is_untold(state, row.alias):
        tell(state, draft, meeting, dropped=dropped(old, meeting))
    return meeting


def keep_again(
    state: State, draft: Draft, meeting: Meeting, series: Uid | None, before: Meeting | Series
) -> None:
    """A meeting that comes back, or goes on as another kind, behind a door that people know: told at once."""
    draft.change(kept(meeting, Step.SCHEDULED, series, own_vmr=True))
    draft.place(meeting)
    if meeting.vmr is not None:
        alias = meeting.vmr.alias
        draft.effect(EnsureVmr(alias, meeting.id, Phase.BOOKED, f"r{meeting.revision}"))
        if not is_untold(state, alias):
            tell(state, draft, meeting, dropped=dropped(before, meeting))


def dropped(before: Meeting | Series, after: Meeting | Series) -> tuple[str, ...]:
    """Addresses that were concerned before and are not any more."""
    left = {person.email for person in (after.organizer, *after.invitees)}
    return tuple(one.email for one in (before.organizer, *before.invitees) if one.email not in left)


def next_sequence(old: Meeting, new: Meeting) -> int:
    """The iCalendar SEQUENCE of a changed meeting. Of one that a calendar brought the organizer alone counts it up:

    a number ahead of theirs would make their own next update look stale (RFC 5546 §2.1.5).
    """
    return new.sequence if old.origin == "calendar" else max(old.sequence + 1, new.sequence)


def step_after(row: Kept, meeting: Meeting, now_s: float, open_before_s: int) -> Step:
    """Where a changed meeting stands: moved ahead it waits again, extended it is live again, revived it starts over.

    A running meeting whose start stays runs on, whatever the clock or the configuration say by now.
    """
    step = row.step
    if step in (Step.ENDED, Step.CANCELLED, Step.FAILED):
        return Step.SCHEDULED if meeting.end_s > now_s else step
    if step in RUNNING_STEPS:
        if meeting.start_s != row.start_s and meeting.start_s - open_before_s > now_s:
            return Step.PROVISIONED
        return Step.LIVE
    return step


def cancel(state: State, draft: Draft, row: Kept, meeting: Meeting, why: str) -> None:
    """The meeting will not be, or ends now: its rooms are free at once, everybody who was told is told."""
    if row.step not in OPEN_STEPS:
        return
    shared = shares_vmr(state, row)
    cancelled = msgspec.structs.replace(
        meeting, revision=meeting.revision + 1, sequence=next_sequence(meeting, meeting)
    )
    draft.change(kept(cancelled, Step.CANCELLED, row.series, own_vmr=not shared))
    draft.note("meeting.cancelled", meeting.id, why)
    if row.alias is not None:
        if row.step in RUNNING_STEPS:
            draft.effect(EnsureVmr(row.alias, row.id, Phase.CLOSED, f"r{cancelled.revision}"))
        if not shared and meeting.vmr is not None:
            retire(state, draft, meeting.vmr.alias, meeting.vmr.bridge)
    if shared:
        return
    if row.alias is not None and is_untold(state, row.alias):
        draft.change(
            EffectMoved(untold_key(row.alias), Status.DONE, reason="cancelled before anyone was told")
        )
    elif meeting.vmr is not None or meeting.origin == "api" or tells_foreign(state, meeting):
        draft.effect(Announce(cancelled.revision, meeting=meeting.id, cancelled=True))
    if row.series is None and meeting.origin == "api":
        write_items(state, draft, cancelled, remove=True)


def retire(state: State, draft: Draft, alias: Alias, bridge: str) -> None:
    """After a grace the VMR leaves its bridge and the alias is buried, unless a meeting uses it again by then."""
    effect = RetireVmr(alias, bridge)
    at_s = draft.now_s + state.settings().vmr.retire_after_s
    draft.change(EffectOpen(key_of(effect), effect, Status.WAITING, 0, at_s, "nobody meets there any more"))


def leave_vmr(state: State, draft: Draft, uid: Uid) -> None:
    """A series leaves its VMR to the single meeting that goes by its UID from here on."""
    series = state.one_series(uid)
    if series is not None and series.vmr is not None:
        keep_series(draft, msgspec.structs.replace(series, vmr=None), state.series[uid].expanded_until_s)


def is_needed(state: State, alias: Alias, now_s: float) -> bool:
    """True while a meeting that is not over, or one a series has yet to bring, meets in this VMR."""
    if any(row.step in OPEN_STEPS for row in state.meetings_by_alias(alias)):
        return True
    uid = state.series_by_alias.get(alias)
    return uid is not None and series_goes_on(state, uid, now_s)


def series_goes_on(state: State, uid: Uid, now_s: float) -> bool:
    """True while the series has an occurrence ahead, be it beyond the horizon."""
    series = state.one_series(uid)
    if series is None or series.over:
        return False
    return following(series.item, zone_of(state, series.rooms), int(now_s)) is not None


def zone_of(state: State, rooms: tuple[RoomId, ...]) -> str:
    """The zone in which floating times of a meeting in these rooms are read: the first room's, else the cluster's."""
    room = state.rooms.get(rooms[0]) if rooms else None
    return (room.time_zone if room is not None else "") or state.settings().cluster.time_zone


def keep_series(draft: Draft, series: Series, expanded_until_s: int) -> None:
    """Keep what the occurrences share."""
    vmr = series.vmr
    draft.change(
        SeriesKept(
            series.uid,
            expanded_until_s,
            raw(series),
            None if vmr is None else vmr.alias,
            None if vmr is None else vmr.numeric_id,
        )
    )


def stepped(draft: Draft, row: Kept, step: Step) -> None:
    """The meeting reaches its next step now."""
    draft.steps[row.id] = step
    draft.change(MeetingStepped(row.id, step, draft.now_s))
