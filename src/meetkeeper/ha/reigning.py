"""Moves of a server that acts: its partner, its doubts, its endings, and how it hands over."""

from typing import assert_never

from msgspec.structs import replace

from meetkeeper.ha import happenings as on
from meetkeeper.ha.happenings import Action, Event
from meetkeeper.ha.moves import Moved, confirm, excuse, held_by_all, noted, own_proof, remembering
from meetkeeper.ha.view import LONG_AGO_S, Change, Kind, View, is_in_sync
from meetkeeper.ha.words import Found, Leaving, Lost, Record, Won, Yielded

# --- the active and its partner -------------------------------------------------------------------------------


def _ask(view: View, kind: Kind, record: Record, now_s: float) -> Moved:
    asked = on.ChangeRegister(view.version, record)
    return replace(view, change=Change(kind, view.version, record, asked_s=now_s), asked_s=now_s), [asked]


def _next(view: View, in_sync: tuple[str, ...], epoch: int, why: str) -> Record:
    holds = held_by_all(view, in_sync)
    return Record(view.cluster, epoch, view.me, in_sync, view.mode, view.me, why, 0.0, holds=holds)


def drop_peer(view: View, event: Event, now_s: float) -> Moved:
    """R2."""
    after, _ = excuse(view, event, now_s) if isinstance(event, on.PeerLeft) else (view, [])
    return _ask(after, Kind.DROP, _next(view, (view.me,), view.epoch, f"without {view.peer}"), now_s)


def drop_set_back(view: View, _: Event, now_s: float) -> Moved:
    """Its disk is not the one that was counted on."""
    was, now = view.peer_was_at, view.peer_position
    why = f"{view.peer} came with seq {now.seq} of epoch {now.epoch} and had held seq {was.seq} of epoch {was.epoch}"
    return _ask(view, Kind.DROP, _next(view, (view.me,), view.epoch, why), now_s)


def admit(view: View, event: Event, now_s: float) -> Moved:
    """R4: duties first."""
    assert isinstance(event, on.PeerKept)
    after, _ = require(view, event, now_s)
    both = tuple(sorted((view.me, view.peer)))
    return _ask(after, Kind.ADMIT, _next(after, both, view.epoch, f"with {view.peer}"), now_s)


def require(view: View, event: Event, now_s: float) -> Moved:
    """R4's first half."""
    assert isinstance(event, on.PeerKept)
    lease_s = max(view.lease_until_s, now_s + view.timing.holder_s)
    return replace(view, requires=True, peer_position=event.position, lease_until_s=lease_s), []


def note_kept(view: View, event: Event, _: float) -> Moved:
    """How far it is."""
    assert isinstance(event, on.PeerKept)
    return replace(view, peer_position=event.position), []


def raise_epoch(view: View, event: Event, now_s: float) -> Moved:
    """As high as the other server's promise."""
    after, _ = confirm(view, event, now_s)
    assert after.record is not None
    record = _next(after, after.record.in_sync, view.peer_epoch, f"{view.peer} has promised this epoch")
    return _ask(after, Kind.RAISE, record, now_s)


def reset_register(view: View, event: Event, now_s: float) -> Moved:
    """R9: a person says that what we know is right, not what the register says."""
    assert isinstance(event, on.ForceAsked)
    assert view.record is not None
    epoch = max(view.epoch, view.peer_epoch) + 1
    after, actions = _ask(view, Kind.RAISE, _next(view, view.record.in_sync, epoch, event.proof.why), now_s)
    return after, [on.Answer(True, "writing it anew"), *actions]


def act_on_change(view: View, event: Event, now_s: float) -> Moved:
    """It stands."""
    assert isinstance(event, on.ChangeEnded)
    assert isinstance(event.outcome, Won)
    return _settled(view, event.outcome.version, now_s)


def settle_change(view: View, event: Event, now_s: float) -> Moved:
    """It stands, and the answer was lost."""
    assert isinstance(event, on.RegisterSaid)
    assert isinstance(event.reading, Found)
    return _settled(view, event.reading.version, now_s)


def _settled(view: View, version: int, now_s: float) -> Moved:
    change = view.change
    if change is None:
        return view, []
    record = change.record
    after = replace(
        view, record=record, version=version, change=None, trouble="", read_s=now_s, epoch=record.epoch
    )
    actions: list[Action] = [on.Remember(record, version)]
    match change.kind:
        case Kind.DROP:
            after = replace(after, requires=False)
        case Kind.ADMIT:
            after = replace(after, requires=True)
        case Kind.RAISE | Kind.CLAIM:
            actions.append(on.RaiseReign(record.epoch))
        case _ as never:
            assert_never(never)
    return after, actions


def think_again(view: View, event: Event, now_s: float) -> Moved:
    """Our own older change stood there; what we wanted is decided anew."""
    assert isinstance(event, on.ChangeEnded)
    assert isinstance(event.outcome, Lost)
    after = replace(noted(view, on.RegisterSaid(event.outcome.found), now_s), change=None)
    return replace(after, requires=is_in_sync(after, view.peer)), remembering(view, after)


def forget_change(view: View, event: Event, now_s: float) -> Moved:
    """It was not done; what we wanted is decided anew."""
    after, actions = confirm(replace(view, change=None), event, now_s)
    return replace(after, requires=is_in_sync(after, view.peer)), actions


def doubt(view: View, _: Event, now_s: float) -> Moved:
    """TILT."""
    after = replace(view, doubt_s=now_s, lease_until_s=LONG_AGO_S, asked_s=now_s)
    return after, [on.ReadRegister()]


# --- endings --------------------------------------------------------------------------------------------------


def end_deposed(view: View, event: Event, now_s: float) -> Moved:
    """By the register."""
    assert isinstance(event, on.RegisterSaid)
    return _deposed(noted(view, event, now_s), view)


def end_lost(view: View, event: Event, now_s: float) -> Moved:
    """By a change that lost."""
    assert isinstance(event, on.ChangeEnded)
    assert isinstance(event.outcome, Lost)
    return _deposed(noted(view, on.RegisterSaid(event.outcome.found), now_s), view)


def _deposed(after: View, before: View) -> Moved:
    assert after.record is not None
    why = f"{after.record.active} acts under epoch {after.record.epoch}, by the register"
    return replace(after, change=None), [*remembering(before, after), on.EndReign(False, why)]


def end_failed(view: View, event: Event, _: float) -> Moved:
    """By its disk."""
    assert isinstance(event, on.ActorFailed)
    return view, [on.EndReign(False, event.why)]


def leave(view: View, event: Event, _: float) -> Moved:
    """A goodbye: of a passive server, or of an active one when nobody can take over or nobody should."""
    assert isinstance(event, on.LeaveAsked)
    return view, [on.Say(Leaving(event.why, event.back_after_s)), on.EndReign(True, event.why)]


# --- switchover -----------------------------------------------------------------------------------------------


def freeze(view: View, event: Event, now_s: float) -> Moved:
    """Decide nothing more."""
    return replace(view, yielding_since_s=now_s, ending=False), [on.Answer(True, "begun"), on.Freeze()]


def freeze_leaving(view: View, event: Event, now_s: float) -> Moved:
    """The same, and the process ends after it."""
    assert isinstance(event, on.LeaveAsked)
    leaving = Leaving(event.why, event.back_after_s)
    return replace(view, yielding_since_s=now_s, ending=False, leaves=leaving), [on.Freeze()]


def leave_after(view: View, event: Event, _: float) -> Moved:
    """End once it has been handed over."""
    assert isinstance(event, on.LeaveAsked)
    return replace(view, leaves=Leaving(event.why, event.back_after_s)), []


def end_in_order(view: View, _: Event, __: float) -> Moved:
    """Everything is on both disks."""
    return replace(view, ending=True), [on.EndReign(True, f"{view.peer} takes over")]


def promise_next(view: View, event: Event, _: float) -> Moved:
    """Never again under this epoch."""
    assert isinstance(event, on.ReignEnded)
    return replace(view, position=event.position), [on.Promise(view.epoch + 1)]


def hand_over(view: View, event: Event, now_s: float) -> Moved:
    """Our word is the proof."""
    assert isinstance(event, on.Promised)
    proof = own_proof(view, event.epoch - 1, "it has handed over")
    after = replace(
        view,
        epoch=event.epoch,
        stands_back_until_s=now_s + view.timing.yield_s,
        heard_s=now_s,
        requires=False,
        lease_until_s=LONG_AGO_S,
        ending=False,
        leaves=None,
        consents=False,
    )
    actions: list[Action] = [on.Say(Yielded(proof))]
    if view.leaves is not None:
        actions += [on.Say(view.leaves), on.EndReign(True, view.leaves.why)]
    return after, actions


def thaw(view: View, _: Event, __: float) -> Moved:
    """It took too long."""
    return _thawed(view, f"handing over took longer than {view.timing.yield_s:g} s")


def thaw_gone(view: View, _: Event, now_s: float) -> Moved:
    """Nobody is there any more."""
    return _thawed(replace(view, linked=False, gone_s=now_s), f"{view.peer} is not there any more")


def leave_unhanded(view: View, _: Event, __: float) -> Moved:
    """The process was to end anyway."""
    assert view.leaves is not None
    return view, [on.Say(view.leaves), on.EndReign(True, view.leaves.why)]


def _thawed(view: View, why: str) -> Moved:
    return replace(view, yielding_since_s=LONG_AGO_S), [on.Thaw(why)]
