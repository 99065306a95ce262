"""Series that were booked here: a rule, its occurrences as meetings, and changes to one of them or all.

A series is kept as the calendar item it would be in any calendar; its occurrences within the horizon are meetings of
their own. A change to one occurrence is an override in the item, so that rolling the horizon, writing the item into a
room's calendar and telling the invitees all start from one truth.
"""

from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import msgspec

from meetkeeper.core import identity
from meetkeeper.core.changes import EffectMoved
from meetkeeper.core.commands import Book
from meetkeeper.core.drafting import Draft
from meetkeeper.core.effects import Announce
from meetkeeper.core.errors import TheirMistake
from meetkeeper.core.keeping import (
    ask_bridge_for_series,
    bridge_for,
    cancel,
    choose_vmr,
    dropped,
    is_untold,
    keep_changed,
    keep_new,
    keep_series,
    retire,
    untold_key,
    write_series,
)
from meetkeeper.core.reconcile import horizon_s
from meetkeeper.core.recurrence import expand
from meetkeeper.core.rules import check_free, check_zone, other_kind, owned_by_calendar
from meetkeeper.core.state import Kept, Series, State, Status
from meetkeeper.core.vmr import Scope
from meetkeeper.core.words import (
    OPEN_STEPS,
    CalendarItem,
    Entry,
    Meeting,
    MeetingId,
    Occurrence,
    RoomId,
    Uid,
    Vmr,
)
from meetkeeper.core.zones import to_instant, to_wall, wall_of, wall_s


def book_series(state: State, draft: Draft, command: Book, uid: Uid, rooms: tuple[RoomId, ...]) -> MeetingId:
    """Book every occurrence within the horizon; answers with the first one's id.

    Raises `TheirMistake` for a rule that can't be read or never happens, `Refused` for conflicts of any occurrence.
    """
    config = state.settings()
    zone = check_zone(command.time_zone)
    item = _item_of(command, uid, zone)
    until_s = horizon_s(state, draft.now_s)
    expansion = expand(item, command.time_zone, min(command.start_s, int(draft.now_s)), until_s)
    if expansion.problems:
        raise TheirMistake(
            "recurrence", f"The recurrence can't be used: {expansion.problems[0]} Correct the rule."
        )
    ahead = [one for one in expansion.occurrences if one.end_s > draft.now_s]
    if not ahead:
        days = config.time.horizon_days
        raise TheirMistake(
            "recurrence", f"The series has no meeting in the next {days} days. Correct start or rule."
        )
    old = state.one_series(uid)
    if old is not None and not old.over and old.origin != "api":
        raise owned_by_calendar(old.rooms)
    single = state.meetings.get(identity.meeting_id(uid, None))
    if single is not None and single.step in OPEN_STEPS:
        raise other_kind("a single meeting")
    _check_overlap(state, rooms, ahead)
    mine = _leaving(state, uid, ahead, draft.now_s)
    for one in ahead:
        check_free(state, rooms, ((one.start_s, one.end_s),), except_ids=mine)
    anew = old is None or old.over
    own_vmrs = command.vmr and config.vmr.each_occurrence if anew else old is not None and old.own_vmrs
    known = (None if old is None else old.vmr) or (None if single is None else state.decode(single).vmr)
    vmr = None if own_vmrs else known
    if anew and vmr is None and command.vmr and not own_vmrs:
        vmr = choose_vmr(state, Scope(uid), bridge_for(state, rooms, command.bridge))
    series = Series(
        uid=uid,
        subject=command.subject,
        organizer=command.organizer,
        invitees=command.invitees,
        rooms=rooms,
        revision=1 if old is None else old.revision + 1,
        sequence=0 if old is None else old.sequence + 1,
        modified_s=int(draft.now_s),
        time_zone=command.time_zone,
        description=command.description,
        private=command.private,
        vmr=vmr,
        item=item,
        digest=item.fingerprint,
        origin="api",
        own_vmrs=own_vmrs,
    )
    if old is not None and old.digest == series.digest and old.rooms == rooms and not old.over:
        return identity.meeting_id(uid, ahead[0].original_start_s)
    keep_series(draft, series, until_s)
    tell_series(state, draft, series, old, known=known)
    spread(state, draft, series, ahead)
    return identity.meeting_id(uid, ahead[0].original_start_s)


def _check_overlap(state: State, rooms: tuple[RoomId, ...], ahead: list[Occurrence]) -> None:
    """Raise `TheirMistake` when one meeting of the series would still run when the next one begins in the same room."""
    if all(state.rooms[room].conflicts for room in rooms):
        return
    for one, after in pairwise(ahead):
        if after.start_s < one.end_s:
            raise TheirMistake(
                "recurrence",
                "The meetings of this series would overlap each other. Shorten them, or let them repeat less often.",
            )


def _leaving(state: State, uid: Uid, ahead: list[Occurrence], now_s: float) -> set[MeetingId]:
    """Occurrences that stand in nobody's way: they become one of those ahead, or are cancelled for them."""
    ids = state.occurrences.get(uid, {})
    become = {identity.meeting_id(uid, one.original_start_s) for one in ahead}
    return {one for one in ids if one in become or state.meetings[one].start_s > now_s}


def spread(state: State, draft: Draft, series: Series, occurrences: list[Occurrence]) -> None:
    """Make the occurrences of a series booked here meetings: new, changed, and those no longer among them cancelled."""
    wanted: set[MeetingId] = set()
    for one in occurrences:
        meeting = _meeting_of(state, series, one)
        wanted.add(meeting.id)
        row = state.meetings.get(meeting.id)
        if row is None:
            keep_new(state, draft, meeting, series.uid, own_vmr=series.own_vmrs)
            continue
        old = state.decode(row)
        if row.step not in OPEN_STEPS or _moved(old, meeting):
            keep_changed(state, draft, row, old, meeting)
    for meeting_id in state.occurrences.get(series.uid, {}):
        row = state.meetings[meeting_id]
        if meeting_id not in wanted and row.step in OPEN_STEPS and row.start_s > draft.now_s:
            cancel(state, draft, row, state.decode(row), "the series no longer has this occurrence")


def tell_series(state: State, draft: Draft, series: Series, old: Series | None, *, known: Vmr | None) -> None:
    """New series: ask the bridge, then tell. Known series: tell the new revision. And let the calendars show it.

    `known` is the VMR that people were told of before, None when it is new. Occurrences with VMRs of their own are
    told by themselves.
    """
    if series.vmr is not None and (old is None or old.over):
        ask_bridge_for_series(state, draft, series, None if known is None else old or series)
    elif not series.own_vmrs and (series.vmr is None or not is_untold(state, series.vmr.alias)):
        gone = () if old is None else dropped(old, series)
        draft.effect(Announce(series.revision, series=series.uid, dropped=gone))
    write_series(state, draft, series, remove=series.over)


def amend_occurrence(state: State, draft: Draft, row: Kept, old: Meeting, new: Meeting) -> None:
    """Change one occurrence: it becomes an override in the series' item."""
    series = _series_of(state, row)
    keep_changed(state, draft, row, old, new)
    _keep_item(state, draft, series, _with_override(series.item, new, series.time_zone))


def cancel_occurrence(state: State, draft: Draft, row: Kept, meeting: Meeting) -> None:
    """Take one occurrence out: it becomes an exception date in the series' item."""
    series = _series_of(state, row)
    cancel(state, draft, row, meeting, "this occurrence was cancelled by request")
    _keep_item(state, draft, series, _without(series.item, meeting, series.time_zone))


def cancel_series(state: State, draft: Draft, uid: Uid) -> None:
    """Cancel every occurrence that is not over, and the series with them."""
    old = state.one_series(uid)
    for meeting_id in list(state.occurrences.get(uid, {})):
        row = state.meetings[meeting_id]
        if row.step in OPEN_STEPS:
            cancel(state, draft, row, state.decode(row), "the series was cancelled")
    if old is None or old.over:
        return
    series = msgspec.structs.replace(old, over=True, revision=old.revision + 1, sequence=old.sequence + 1)
    keep_series(draft, series, state.series[uid].expanded_until_s)
    draft.note("series.cancelled", uid, "the series was cancelled")
    if series.vmr is not None:
        retire(state, draft, series.vmr.alias, series.vmr.bridge)
    if series.vmr is not None and is_untold(state, series.vmr.alias):
        key = untold_key(series.vmr.alias)
        draft.change(EffectMoved(key, Status.DONE, reason="cancelled before anyone was told"))
    elif not series.own_vmrs:
        draft.effect(Announce(series.revision, series=uid, cancelled=True))
    write_series(state, draft, series, remove=True)


def roll_booked(state: State, draft: Draft, uid: Uid, until_s: int) -> None:
    """The horizon has moved: the next occurrences of an unchanged series booked here become meetings, quietly.

    An occurrence whose room somebody else has taken by now is left out, with a note.
    """
    series, row = state.one_series(uid), state.series[uid]
    if series is None or until_s <= row.expanded_until_s:
        return
    expansion = expand(series.item, series.time_zone, row.expanded_until_s, until_s)
    for one in expansion.occurrences:
        meeting = _meeting_of(state, series, one)
        if meeting.id in state.meetings or one.end_s <= draft.now_s:
            continue
        taken = _taken_by(state, draft, meeting)
        if taken is not None:
            draft.note("series.conflict", meeting.id, f"{', '.join(meeting.rooms)}: taken by {taken}")
            continue
        keep_new(state, draft, meeting, uid, own_vmr=series.own_vmrs)
    keep_series(draft, series, until_s)


def _taken_by(state: State, draft: Draft, meeting: Meeting) -> MeetingId | None:
    """Somebody who holds one of the meeting's rooms at its time, in the state or by this very plan."""
    for room_id in meeting.rooms:
        room = state.rooms.get(room_id)
        if room is not None and room.conflicts:
            continue
        for row in state.occupying(room_id, meeting.start_s, meeting.end_s):
            return row.id
        for other in draft.placed.get(room_id, ()):
            if other.start_s < meeting.end_s and meeting.start_s < other.end_s:
                return other.id
    return None


def _item_of(command: Book, uid: Uid, zone: ZoneInfo) -> CalendarItem:
    start = wall_of(to_wall(command.start_s, zone))
    if to_instant(wall_s(start), zone) != command.start_s:
        raise TheirMistake(
            "start",
            f"{start:%Y-%m-%d %H:%M} occurs twice in {command.time_zone}, and a series can only begin at the first of "
            "the two. Choose another start, or another time zone.",
        )
    master = Entry(
        start=start,
        duration_s=command.end_s - command.start_s,
        zone=command.time_zone,
        subject=command.subject,
        description=command.description,
        organizer=command.organizer,
        attendees=command.invitees,
        private=command.private,
        rrule=command.recurrence.removeprefix("RRULE:"),
    )
    return CalendarItem(
        href=f"{uid}.ics", uid=uid, fingerprint=identity.fingerprint(master, ()), master=master
    )


def _meeting_of(state: State, series: Series, one: Occurrence) -> Meeting:
    entry = one.entry
    vmr = series.vmr
    if series.own_vmrs:
        known = state.meeting(identity.meeting_id(series.uid, one.original_start_s))
        vmr = known.vmr if known is not None else None
        if vmr is None:
            bridge = bridge_for(state, series.rooms)
            vmr = choose_vmr(state, Scope(series.uid, one.original_start_s), bridge)
    return Meeting(
        id=identity.meeting_id(series.uid, one.original_start_s),
        uid=series.uid,
        subject=entry.subject or series.subject,
        organizer=series.organizer,
        rooms=series.rooms,
        start_s=one.start_s,
        end_s=one.end_s,
        time_zone=series.time_zone,
        modified_s=series.modified_s,
        invitees=entry.attendees or series.invitees,
        original_start_s=one.original_start_s,
        description=entry.description,
        vmr=vmr,
        private=series.private,
        origin="api",
    )


def _moved(old: Meeting, new: Meeting) -> bool:
    return (old.start_s, old.end_s, old.rooms, old.subject, old.organizer, old.invitees, old.description) != (
        new.start_s,
        new.end_s,
        new.rooms,
        new.subject,
        new.organizer,
        new.invitees,
        new.description,
    )


def _series_of(state: State, row: Kept) -> Series:
    series = None if row.series is None else state.one_series(row.series)
    if series is None:
        raise AssertionError(f"meeting {row.id} names a series that is not kept")
    return series


def _keep_item(state: State, draft: Draft, old: Series, item: CalendarItem) -> None:
    fingerprint = identity.fingerprint(item.master, item.overrides)
    series = msgspec.structs.replace(
        old,
        item=msgspec.structs.replace(item, fingerprint=fingerprint),
        digest=fingerprint,
        revision=old.revision + 1,
        sequence=old.sequence + 1,
        modified_s=int(draft.now_s),
    )
    keep_series(draft, series, state.series[old.uid].expanded_until_s)
    tell_series(state, draft, series, old, known=series.vmr)


def _original_wall(meeting: Meeting, zone: str) -> datetime:
    original_s = meeting.start_s if meeting.original_start_s is None else meeting.original_start_s
    return wall_of(to_wall(original_s, ZoneInfo(zone)))


def _with_override(item: CalendarItem, meeting: Meeting, zone: str) -> CalendarItem:
    recurrence_id = _original_wall(meeting, zone)
    start = to_wall(meeting.start_s, ZoneInfo(zone))
    twice = to_instant(start, ZoneInfo(zone)) != meeting.start_s
    override = Entry(
        start=wall_of(meeting.start_s if twice else start),
        duration_s=meeting.end_s - meeting.start_s,
        zone="UTC" if twice else zone,
        subject=meeting.subject,
        description=meeting.description,
        organizer=meeting.organizer,
        attendees=meeting.invitees,
        private=meeting.private,
        recurrence_id=recurrence_id,
    )
    others = tuple(one for one in item.overrides if one.recurrence_id != recurrence_id)
    return msgspec.structs.replace(item, overrides=(*others, override))


def _without(item: CalendarItem, meeting: Meeting, zone: str) -> CalendarItem:
    recurrence_id = _original_wall(meeting, zone)
    master = item.master
    if master is None:
        raise AssertionError("a series booked here has a master")
    others = tuple(one for one in item.overrides if one.recurrence_id != recurrence_id)
    return msgspec.structs.replace(
        item,
        master=msgspec.structs.replace(master, exdates=(*master.exdates, recurrence_id)),
        overrides=others,
    )
