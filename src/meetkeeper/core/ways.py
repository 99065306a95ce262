"""A known meeting or series that gets another way in: a foreign link instead of its VMR, or a VMR instead of a link.

Rules. The VMR that leaves is remembered, and the same one comes back. Who was told of it is told that it is gone, once;
who was not hears nothing. It is taken off its bridge after the usual grace, so that nobody is thrown out of a meeting.
"""

import msgspec

from meetkeeper.core import vmr as vmrs
from meetkeeper.core.asking import wants_vmr
from meetkeeper.core.changes import EffectMoved
from meetkeeper.core.drafting import Draft
from meetkeeper.core.effects import EnsureVmr, Phase
from meetkeeper.core.keeping import (
    NEW,
    bridge_for,
    choose_vmr,
    dropped,
    is_untold,
    kept,
    next_sequence,
    retire,
    shares_vmr,
    step_after,
    step_joining,
    tells_foreign,
    untold_key,
)
from meetkeeper.core.state import Kept, Series, State, Status
from meetkeeper.core.vmr import Scope
from meetkeeper.core.words import Meeting, Step, Vmr
from meetkeeper.core.writeback import annotate, tell

_LINK = "a link of another platform took its place before anyone was told"


def vmr_again(state: State, told: Meeting | Series, scope: Scope) -> Vmr:
    """The VMR it had before a link took its place; else a new one."""
    former = told.former_vmr
    if former is not None and any(bridge.id == former.bridge for bridge in state.settings().bridges):
        return choose_vmr(state, scope, former.bridge, former.attempt)
    return choose_vmr(state, scope, bridge_for(state, told.rooms))


def own_vmr_of(state: State, meeting: Meeting) -> Vmr | None:
    """The VMR that it had, unless that is the whole UID's and the meeting one occurrence of a series without it.

    Such an occurrence met there as long as the series did; now the VMR may be another's.
    """
    vmr = meeting.vmr
    if vmr is None or meeting.original_start_s is None:
        return vmr
    of_uid = vmrs.derive(state.settings(), Scope(meeting.uid), vmr.bridge, vmr.attempt)
    return None if of_uid.alias == vmr.alias else vmr


def vmr_of_changed(
    state: State, row: Kept, before: Meeting, after: Meeting, series: Series | None
) -> Vmr | None:
    """The VMR that a changed meeting of a calendar ought to have; `series` as it is kept from here on."""
    if before.origin == "api":
        return before.vmr
    if after.foreign is not None:
        return None
    shared = row.series is not None and shares_vmr(state, row)
    if before.vmr is not None and not shared:
        return before.vmr
    if series is not None and row.series is not None and series.vmr is not None:
        return series.vmr
    if not wants_vmr(state, after):
        return None
    return vmr_again(state, before, Scope(before.uid, before.original_start_s))


def change_way(
    state: State, draft: Draft, row: Kept, before: Meeting, after: Meeting, *, vmr: Vmr | None, shared: bool
) -> None:
    """Keep a changed meeting with another VMR than it had, or with none. `shared`: `vmr` is its series'."""
    had_own = before.vmr is not None and not shares_vmr(state, row)
    former = None if vmr is not None else before.vmr or before.former_vmr
    meeting = msgspec.structs.replace(
        after,
        id=before.id,
        vmr=vmr,
        former_vmr=None if shared else former,
        revision=before.revision + 1,
        sequence=next_sequence(before, after),
        origin=before.origin,
        original_start_s=before.original_start_s,
    )
    step = step_after(row, meeting, draft.now_s, state.settings().time.open_before_s)
    stands = vmr is not None and vmr.bridge in state.link_bridges and not shared
    if stands and step is Step.SCHEDULED:
        step = Step.PROVISIONED
    elif vmr is not None and shared and row.series is not None and step in (Step.SCHEDULED, Step.PROVISIONED):
        step = step_joining(state, draft, meeting, vmr.alias, row.series)
    elif vmr is not None and step is Step.PROVISIONED:
        step = Step.SCHEDULED
    draft.change(kept(meeting, step, row.series, own_vmr=not shared))
    draft.place(meeting)
    if had_own and before.vmr is not None:
        _leave(state, draft, before.vmr)
    if vmr is None:
        note_link(draft, meeting)
    if shared:
        return
    gone = dropped(before, meeting)
    if vmr is None:
        was_told = had_own and before.vmr is not None and not is_untold(state, before.vmr.alias)
        if was_told or (row.series is None and tells_foreign(state, meeting)):
            tell(state, draft, meeting, dropped=gone, turn="gone")
        elif had_own:
            annotate(state, draft, meeting, "gone")
    elif stands:
        tell(state, draft, meeting, dropped=gone)
    else:
        draft.effect(EnsureVmr(vmr.alias, meeting.id, Phase.BOOKED, NEW))


def leave_for_link(state: State, draft: Draft, meeting: Meeting, vmr: Vmr) -> Meeting:
    """A meeting that is new or comes back, and whose UID had this VMR, has a link now: the VMR is taken down."""
    _leave(state, draft, vmr)
    note_link(draft, meeting)
    return msgspec.structs.replace(meeting, vmr=None, former_vmr=vmr)


def series_left(state: State, draft: Draft, before: Series, series: Series, vmr: Vmr) -> None:
    """A series whose calendar names a link now: its VMR goes, and who was told of it is told."""
    untold = is_untold(state, vmr.alias)
    _leave(state, draft, vmr)
    note_link(draft, series)
    if untold:
        annotate(state, draft, series, "gone")
    else:
        tell(state, draft, series, dropped=dropped(before, series), turn="gone")


def note_link(draft: Draft, told: Meeting | Series) -> None:
    """Which platform, and which rule found it."""
    if told.foreign is not None:
        about = told.uid if isinstance(told, Series) else told.id
        why = (
            f"it is held on {told.foreign.platform} (rule {told.foreign.rule}, in its {told.foreign.source})"
        )
        draft.note("link.found", about, why)


def _leave(state: State, draft: Draft, vmr: Vmr) -> None:
    retire(state, draft, vmr.alias, vmr.bridge)
    if is_untold(state, vmr.alias):
        draft.change(EffectMoved(untold_key(vmr.alias), Status.DONE, reason=_LINK))
