"""What calendars and bridges show becomes meetings and effects: the keeper's hand on the findings of `reconcile`.

Of a meeting that was booked here the copies in the rooms' calendars are ours. A person who moves such a copy moves the
meeting; who removes it takes its room out, and with the last one the meeting.
"""

from typing import assert_never

import msgspec

from meetkeeper.core.asking import wants_vmr
from meetkeeper.core.changes import CookieKept, EffectMoved, RoomTold
from meetkeeper.core.commands import ReleaseBrake
from meetkeeper.core.drafting import Draft
from meetkeeper.core.effects import Announce, EnsureVmr, Phase, RetireVmr, WriteItem, key_of
from meetkeeper.core.errors import NotFound
from meetkeeper.core.events import Audited, BridgeSurveyed, PageSeen
from meetkeeper.core.findings import (
    Changed,
    Field,
    MeetingFinding,
    New,
    SeriesEvent,
    SeriesFinding,
    UidFindings,
    Vanished,
)
from meetkeeper.core.identity import meeting_id
from meetkeeper.core.keeping import (
    ask_bridge_for_series,
    cancel,
    dropped,
    is_needed,
    is_untold,
    is_written,
    keep_again,
    keep_changed,
    keep_new,
    keep_series,
    kept,
    leave_vmr,
    retire,
    tells_foreign,
    untold_key,
    write_series,
)
from meetkeeper.core.mending import mend_settled, mend_shown
from meetkeeper.core.plan import Decision
from meetkeeper.core.reconcile import digest_page, due_uids, horizon_s, roll, settle
from meetkeeper.core.reconcile import release_brake as released
from meetkeeper.core.series import roll_booked
from meetkeeper.core.state import Kept, RoomNews, Series, State, Status
from meetkeeper.core.vmr import Scope, marker_lineage
from meetkeeper.core.ways import (
    change_way,
    leave_for_link,
    note_link,
    own_vmr_of,
    series_left,
    vmr_again,
    vmr_of_changed,
)
from meetkeeper.core.words import OPEN_STEPS, RUNNING_STEPS, Meeting, Step, Uid
from meetkeeper.core.writeback import tell

UIDS_MAX = 200
"""UIDs settled in one plan; the rest follow in the next."""
SERIES_ROLLED_MAX = 200
PLAN_BYTES = 4 * 1024 * 1024
"""A plan this large takes no further UID."""
UID_BYTES_MAX = 8 * 1024 * 1024
"""Meetings of one UID that fit into a plan together with what may stand there already."""
RESTORED_MAX = 5_000
"""VMRs brought back to a bridge by one survey, the soonest meetings' first; the next survey finds the others."""
MENDED_NOTED_MAX = 20
"""Items that one audit names; more are counted."""
COPIED = (Field.TIME, Field.SUBJECT, Field.ROOMS)
"""What a person may change of a meeting booked here by changing its copy in a room's calendar."""


def page(state: State, draft: Draft, event: PageSeen) -> None:
    """Keep what a page shows, with its cookie, in one plan."""
    findings = digest_page(state, event, draft.now_s)
    draft.change(*findings.changes)
    draft.notes(findings.notes)
    mend_shown(state, draft, event.room, event.items)


def audited(state: State, draft: Draft, event: Audited) -> None:
    """Remember when a room's calendar was audited and what it had not reported; the items came with its pages."""
    news = state.rooms_news.get(event.room, RoomNews())
    found = len(event.found)
    told = msgspec.structs.replace(news, audited_s=draft.now_s, unreported=found, mended=news.mended + found)
    draft.change(RoomTold(event.room, told))
    if event.cookie is not None and event.cookie != state.cookies.get(event.room):
        draft.change(CookieKept(event.room, event.cookie))
    for href, sentence in event.found[:MENDED_NOTED_MAX]:
        draft.note("sync.mended", event.room, f"{href}: {sentence}")
    if event.older:
        why = f"{event.older} items were known from a release that compared less of them; they are compared anew"
        draft.note("sync.renewed", event.room, why)
    if found > MENDED_NOTED_MAX:
        draft.note("sync.mended", event.room, f"and {found - MENDED_NOTED_MAX} more")


def release_brake(state: State, command: ReleaseBrake, now_s: float) -> Decision:
    """A person has decided about held items. Raises `NotFound` for an unknown room."""
    if command.room not in state.rooms:
        raise NotFound(
            "unknown-room", f"There is no room {command.room!r}. `meetkeeper rooms` lists the rooms."
        )
    draft = Draft(state, now_s)
    findings = released(state, command.room, command.how, now_s)
    draft.change(*findings.changes)
    draft.notes(findings.notes)
    return Decision(draft.plan(), command.room)


def settle_due(state: State, draft: Draft) -> None:
    """Make meetings of what has settled, and let the horizon bring further occurrences."""
    if state.unsettled:
        for uid in due_uids(state, draft.now_s)[:UIDS_MAX]:
            _carry_over(state, draft, settle(state, uid, draft.now_s))
            if draft.body_bytes > PLAN_BYTES:
                break
    horizon = horizon_s(state, draft.now_s)
    if state.rolled_until_s < horizon and not len(draft):
        _roll(state, draft, horizon)


def _roll(state: State, draft: Draft, horizon: int) -> None:
    """The horizon has moved: calendars first, for they decide for themselves; what was booked here takes what is left.

    A plan takes some; the rest follow in the next.
    """
    booked: list[Uid] = []
    left = SERIES_ROLLED_MAX
    for row in state.series.values():
        if row.expanded_until_s >= horizon:
            continue
        series = state.one_series(row.uid)
        if series is None or series.over:
            continue
        if series.origin == "api":
            booked.append(row.uid)
            continue
        found = roll(state, row.uid, draft.now_s)
        if found.series is not None:
            if not left or draft.body_bytes > PLAN_BYTES:
                return
            left -= 1
            _carry_over(state, draft, found)
    for uid in booked[:left]:
        roll_booked(state, draft, uid, horizon)
        if draft.body_bytes > PLAN_BYTES:
            return
    if len(booked) <= left:
        state.rolled_until_s = horizon


def _carry_over(state: State, draft: Draft, found: UidFindings) -> None:
    """The findings about one UID, unless they are more than one plan can hold: then a problem says so."""
    part = Draft(state, draft.now_s)
    _carry(state, part, found)
    if part.body_bytes <= UID_BYTES_MAX:
        draft.take(part)
        return
    draft.change(*found.items)
    why = f"its meetings take {part.body_bytes:,} bytes together: it is left as it was; let it say less, or less often"
    draft.note("sync.too-large", found.uid, why)


def _carry(state: State, draft: Draft, found: UidFindings) -> None:
    draft.notes(found.notes)
    draft.change(*found.items)
    booked_here = _booked_here(state, found.uid)
    meetings = _as_booked(found.meetings) if booked_here else found.meetings
    series = None
    if found.series is not None:
        series = _carry_series(state, draft, found.series, quiet=booked_here and not meetings)
    for finding in meetings:
        _carry_meeting(state, draft, finding, series)
    if series is not None and not booked_here:
        _follow_series(state, draft, series, found)
    if not meetings and not booked_here and (found.series is None or not found.series.told):
        mend_settled(state, draft, found.uid)
    if booked_here and meetings:
        _write_back(state, draft, series, meetings)


def _follow_series(state: State, draft: Draft, series: Series, found: UidFindings) -> None:
    """Occurrences that nothing else changes, and that met in the VMR which their series has left."""
    before = None if found.series is None else found.series.before
    if before is None or before.vmr is None or series.vmr is not None or series.over:
        return
    changed = {one.after.id if isinstance(one, Changed) else one.meeting.id for one in found.meetings}
    for one in state.occurrences.get(series.uid, {}):
        row = state.meetings[one]
        if one not in changed and row.alias == before.vmr.alias and row.step in OPEN_STEPS:
            meeting = state.decode(row)
            same = Changed(before=meeting, after=meeting, step=row.step, fields=(Field.JOIN,))
            _carry_changed(state, draft, row, same, series)


def _booked_here(state: State, uid: Uid) -> bool:
    series = state.one_series(uid)
    if series is not None:
        return series.origin == "api"
    rows = state.meetings_of(uid)
    return any(state.decode(row).origin == "api" for row in rows)


def _as_booked(findings: tuple[MeetingFinding, ...]) -> tuple[MeetingFinding, ...]:
    """Findings about a meeting booked here: what a copy says of its people and words is ours to say."""
    kept_findings: list[MeetingFinding] = []
    for finding in findings:
        match finding:
            case Changed():
                fields = tuple(field for field in finding.fields if field in COPIED)
                if fields:
                    after = msgspec.structs.replace(
                        finding.before,
                        start_s=finding.after.start_s,
                        end_s=finding.after.end_s,
                        subject=finding.after.subject,
                        rooms=finding.after.rooms,
                        sequence=finding.after.sequence,
                        modified_s=finding.after.modified_s,
                    )
                    kept_findings.append(msgspec.structs.replace(finding, after=after, fields=fields))
            case Vanished():
                kept_findings.append(finding)
            case New():
                if finding.revived is None:
                    kept_findings.append(finding)
            case _ as never:
                assert_never(never)
    return tuple(kept_findings)


def _write_back(
    state: State, draft: Draft, series: Series | None, findings: tuple[MeetingFinding, ...]
) -> None:
    """A person changed one room's copy of a meeting booked here: the other rooms' copies follow."""
    if series is not None:
        if len(series.rooms) > 1 and not series.over:
            write_series(state, draft, series)
        return
    for finding in findings:
        if isinstance(finding, Changed) and len(finding.before.rooms) > 1:
            for room in finding.after.rooms:
                if is_written(state, room):
                    draft.effect(WriteItem(room, finding.before.revision + 1, meeting=finding.before.id))


def _carry_series(state: State, draft: Draft, finding: SeriesFinding, *, quiet: bool) -> Series:
    """Keep the series with its VMR; those concerned are told once the bridge has confirmed it."""
    config = state.settings()
    series, before = finding.series, finding.before
    single = state.meeting(meeting_id(series.uid, None))
    known = series.vmr or (None if single is None else single.vmr)
    left = series.vmr if series.foreign is not None else None
    if left is not None:
        series = msgspec.structs.replace(series, vmr=None, former_vmr=left)
    elif series.vmr is None and wants_vmr(state, series) and not config.vmr.each_occurrence:
        vmr = known or vmr_again(state, series if single is None else single, Scope(series.uid))
        series = msgspec.structs.replace(series, vmr=vmr, former_vmr=None)
    told = finding.told and not quiet
    ended = finding.event is SeriesEvent.ENDED
    if before is not None and told:
        series = msgspec.structs.replace(
            series,
            revision=before.revision + 1,
            sequence=series.sequence
            if before.origin == "calendar"
            else max(before.sequence + 1, series.sequence),
        )
    own_vmrs = before is not None and before.own_vmrs
    series = msgspec.structs.replace(series, over=ended, own_vmrs=own_vmrs)
    as_kept = series
    if finding.replaced:
        # The next revision, so that invitations to it that are still on their way are superseded.
        as_kept = msgspec.structs.replace(series, vmr=None, revision=series.revision + 1)
    keep_series(draft, as_kept, finding.expanded_until_s)
    if finding.replaced:
        return series
    if left is not None and before is not None:
        series_left(state, draft, before, series, left)
        return series
    if series.vmr is None:
        ours = series.origin == "api" and not own_vmrs and before is not None
        if told and (ours or tells_foreign(state, series)):
            gone = () if before is None else dropped(before, series)
            draft.effect(Announce(series.revision, series=series.uid, cancelled=ended, dropped=gone))
        return series
    alias = series.vmr.alias
    gained = before is not None and before.vmr is None and not ended
    if finding.event is SeriesEvent.NEW or gained or (before is not None and before.over and not ended):
        ask_bridge_for_series(state, draft, series, None if known is None else before or single)
    elif ended:
        retire(state, draft, series.vmr.alias, series.vmr.bridge)
        if is_untold(state, alias):
            draft.change(EffectMoved(untold_key(alias), Status.DONE, reason="ended before anyone was told"))
        elif told:
            draft.effect(Announce(series.revision, series=series.uid, cancelled=True))
    elif told and not is_untold(state, alias) and before is not None:
        tell(state, draft, series, dropped=dropped(before, series))
    return series


def _carry_meeting(state: State, draft: Draft, finding: MeetingFinding, series: Series | None) -> None:
    match finding:
        case New():
            _carry_new(state, draft, finding, series)
        case Changed():
            row = state.meetings.get(finding.before.id)
            if row is None:
                return
            if not finding.fields or finding.quiet:
                shared = row.series is not None and row.alias in state.series_by_alias
                draft.change(kept(finding.after, row.step, row.series, own_vmr=not shared))
            else:
                _carry_changed(state, draft, row, finding, series)
        case Vanished():
            row = state.meetings.get(finding.meeting.id)
            if row is None:
                return
            door = series.vmr.alias if series is not None and series.vmr is not None else None
            if finding.replaced and row.alias in (None, door):
                gone = msgspec.structs.replace(finding.meeting, revision=finding.meeting.revision + 1)
                draft.change(kept(gone, Step.CANCELLED, row.series, own_vmr=False))
                draft.note(
                    "meeting.replaced",
                    row.id,
                    "the UID goes on as another kind of meeting with the same door",
                )
            else:
                cancel(state, draft, row, finding.meeting, "no calendar shows it any more")
        case _ as never:
            assert_never(never)


def _carry_changed(state: State, draft: Draft, row: Kept, finding: Changed, series: Series | None) -> None:
    """A changed meeting keeps its VMR, unless its calendar names another way in, or none any more."""
    before, after = finding.before, finding.after
    known = series if series is not None or row.series is None else state.one_series(row.series)
    vmr = vmr_of_changed(state, row, before, after, known)
    if vmr == before.vmr:
        keep_changed(state, draft, row, before, after)
        return
    shared = vmr is not None and known is not None and row.series is not None and vmr == known.vmr
    change_way(state, draft, row, before, after, vmr=vmr, shared=shared)


def _carry_new(state: State, draft: Draft, finding: New, series: Series | None) -> None:
    """A new meeting shares its series' VMR, brings back the one it had or follows a series there, or gets its own."""
    meeting = finding.meeting
    known = series or state.one_series(meeting.uid)
    of_series = None if known is None or meeting.original_start_s is None else known.uid
    if of_series is not None and known is not None:
        meeting = msgspec.structs.replace(meeting, origin=known.origin)
        if known.origin == "api":
            meeting = msgspec.structs.replace(meeting, foreign=None)
    if meeting.foreign is not None:
        _carry_linked(state, draft, finding, meeting, series)
        return
    if of_series is not None and known is not None and known.vmr is not None:
        shared = msgspec.structs.replace(meeting, vmr=known.vmr)
        keep_new(state, draft, shared, of_series, own_vmr=False)
        return
    vmr = own_vmr_of(state, meeting)
    if of_series is None and known is not None and known.vmr is not None:
        vmr = known.vmr
        if series is None:
            leave_vmr(state, draft, meeting.uid)
    fresh = vmr is None
    if fresh and wants_vmr(state, meeting):
        vmr = vmr_again(state, meeting, Scope(meeting.uid, meeting.original_start_s))
        meeting = msgspec.structs.replace(meeting, former_vmr=None)
    full = msgspec.structs.replace(meeting, vmr=vmr)
    before = finding.revived or known
    if fresh or before is None:
        keep_new(state, draft, full, of_series, own_vmr=of_series is None or vmr is not None)
    else:
        keep_again(state, draft, full, of_series, before)


def _carry_linked(state: State, draft: Draft, finding: New, meeting: Meeting, series: Series | None) -> None:
    """A new meeting whose way in is foreign: nothing of ours stands for it any more."""
    known = series or state.one_series(meeting.uid)
    of_series = None if known is None or meeting.original_start_s is None else known.uid
    vmr = meeting.vmr
    if of_series is None and known is not None and known.vmr is not None:
        vmr = known.vmr
        if series is None:
            leave_vmr(state, draft, meeting.uid)
    shared = of_series is not None and (known is None or vmr is None or known.vmr == vmr)
    told = vmr is not None and finding.revived is None and not is_untold(state, vmr.alias)
    if vmr is not None and not shared:
        meeting = leave_for_link(state, draft, meeting, vmr)
    else:
        meeting = msgspec.structs.replace(meeting, vmr=None)
        note_link(draft, meeting)
    keep_new(state, draft, meeting, of_series, own_vmr=of_series is None)
    if told and not shared:
        tell(state, draft, meeting, turn="gone")


def survey(state: State, draft: Draft, event: BridgeSurveyed) -> None:
    """Compare what stands on a bridge with what ought to: bring back what is missing, take down what nobody needs.

    Only VMRs of this very history are taken down: another lineage's may belong to a database that was restored.
    """
    missing = [
        row
        for row in state.meetings.values()
        if row.alias is not None
        and row.alias not in event.aliases
        and row.step in (Step.PROVISIONED, *RUNNING_STEPS)
    ]
    missing.sort(key=lambda row: (row.step not in RUNNING_STEPS, row.start_s, row.id))
    restored: set[str] = set()
    for row in missing:
        vmr = state.decode(row).vmr
        if vmr is None or vmr.bridge != event.bridge or vmr.alias in restored:
            continue
        restored.add(vmr.alias)
        phase = Phase.OPEN if row.step in RUNNING_STEPS else Phase.BOOKED
        draft.effect(EnsureVmr(vmr.alias, row.id, phase, "restore"))
        draft.note("vmr.missing", vmr.alias, "it was not on the bridge and is brought back")
        if len(restored) == RESTORED_MAX:
            break
    for alias, text in sorted(event.aliases.items()):
        if marker_lineage(text, alias) != state.lineage or is_needed(state, alias, draft.now_s):
            continue
        if key_of(RetireVmr(alias, event.bridge)) not in state.outbox:
            retire(state, draft, alias, event.bridge)
            draft.note(
                "vmr.orphan", alias, "it stands on the bridge under our marker and no meeting needs it"
            )
