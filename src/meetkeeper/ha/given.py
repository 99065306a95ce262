"""Guards of the table: what must be so for a row to be taken. Each asks one question."""

from msgspec.structs import replace

from meetkeeper.ha import happenings as on
from meetkeeper.ha.happenings import Event
from meetkeeper.ha.view import (
    LONG_AGO_S,
    View,
    claim_reason,
    is_alone,
    is_before,
    is_behind,
    is_empty,
    is_in_doubt,
    is_in_sync,
    learned,
)
from meetkeeper.ha.words import Empty, Found, Lost, Mode, Position, Record, Role, Won


def _look_is_due(view: View, now_s: float, every_s: float) -> bool:
    return now_s >= view.asked_s + every_s


# --- about the register ---------------------------------------------------------------------------------------


def wants_to_look(view: View, _: Event, now_s: float) -> bool:
    """A passive server has a reason to claim, or does not know what stands: what it was told may be old."""
    unread = view.read_s == LONG_AGO_S or bool(view.trouble) or not view.linked
    wants = unread or claim_reason(view, now_s) is not None
    return _look_is_due(view, now_s, view.timing.read_again_s if wants else view.timing.look_s)


def wants_to_settle(view: View, _: Event, now_s: float) -> bool:
    """A claim's outcome is unknown."""
    unknown = view.change is not None and view.change.unknown
    return unknown and _look_is_due(view, now_s, view.timing.read_again_s)


def wants_to_look_active(view: View, event: Event, now_s: float) -> bool:
    """An active server has to know whether it still is."""
    if view.change is not None and not view.change.unknown:
        return False
    urgent = (
        is_in_doubt(view) or view.change is not None or view.peer_epoch > view.epoch or bool(view.trouble)
    )
    if urgent:
        return _look_is_due(view, now_s, view.timing.read_again_s)
    return _look_is_due(view, now_s, view.timing.solo_look_s if is_alone(view) else view.timing.look_s)


def _found(event: Event) -> Found | None:
    if isinstance(event, on.RegisterSaid) and isinstance(event.reading, Found):
        return event.reading
    return None


def says_something(_: View, event: Event, __: float) -> bool:
    """The register answered with a record."""
    return _found(event) is not None


def says_the_impossible(view: View, event: Event, _: float) -> bool:
    """What it says can't be true: it was rolled back, lost, or is another cluster's."""
    assert isinstance(event, on.RegisterSaid)
    reading, known = event.reading, view.record
    if isinstance(reading, Empty):
        return known is not None and view.forced is None
    if isinstance(reading, Found):
        if reading.record.cluster != view.cluster:
            return True
        return known is not None and reading.record.epoch < known.epoch and view.forced is None
    return False


def may_claim(view: View, event: Event, now_s: float) -> bool:
    """What the register says now gives a reason to claim."""
    assert isinstance(event, on.RegisterSaid)
    match event.reading:
        case Found(record, version):
            return claim_reason(_with(view, record, version, now_s), now_s) is not None
        case Empty():
            fits = view.record is None or view.forced is not None
            return fits and claim_reason(view, now_s) is not None
        case _:
            return False


def _with(view: View, record: Record, version: int, now_s: float) -> View:
    return replace(learned(view, record, version, now_s), trouble="")


def reason_is_gone(view: View, _: Event, now_s: float) -> bool:
    """While the promise was written the active came back."""
    return claim_reason(view, now_s) is None


def distrusts(view: View, _: Event, __: float) -> bool:
    """The register says what can't be true, and a person has been told."""
    return bool(view.trouble) and view.change is None


def shows_our_change(view: View, event: Event, _: float) -> bool:
    """What was asked of it stands, and we wrote it."""
    found, change = _found(event), view.change
    if found is None or change is None:
        return False
    return found.record.by == view.me and found.record.same_rights(change.record)


def force_came_to_nothing(view: View, event: Event, now_s: float) -> bool:
    """The register was away for longer than an operator's word counts, and stands as it stood."""
    return force_is_stale(view, event, now_s) and still_as_before(view, event, now_s)


def still_as_before(view: View, event: Event, _: float) -> bool:
    """Nobody has changed it since we asked."""
    assert isinstance(event, on.RegisterSaid)
    change = view.change
    if change is None or not change.unknown or not isinstance(event.reading, Found | Empty):
        return False
    return event.reading.version == change.expected


def has_asked(view: View, event: Event, _: float) -> bool:
    """The epoch has been asked for, or the promise is an earlier claim's."""
    assert isinstance(event, on.Promised)
    return view.change is not None or event.epoch < view.epoch


def asked_earlier(view: View, _: Event, __: float) -> bool:
    """What the register says was asked for before the claim: it says nothing about it."""
    return view.change is None or not view.change.unknown


def answers_another(view: View, event: Event, _: float) -> bool:
    """An answer that was late, to a change which has been given up or settled since."""
    assert isinstance(event, on.ChangeEnded)
    asked = event.record
    return asked is not None and (view.change is None or not view.change.record.same_rights(asked))


def change_has_failed(view: View, event: Event, _: float) -> bool:
    """What was asked of it stands not, and never will: the version it was compared with has passed."""
    found, change = _found(event), view.change
    return found is not None and change is not None and change.unknown and found.version > change.expected


def is_deposed(view: View, event: Event, _: float) -> bool:
    """Somebody else acts, or has acted since."""
    found = _found(event)
    if found is None or found.record.cluster != view.cluster or shows_our_change(view, event, 0.0):
        return False
    return found.record.epoch > view.epoch or (
        found.record.epoch == view.epoch and found.record.active != view.me
    )


def won(_: View, event: Event, __: float) -> bool:
    """The change stands."""
    return isinstance(event, on.ChangeEnded) and isinstance(event.outcome, Won)


def lost(_: View, event: Event, __: float) -> bool:
    """Somebody else was first."""
    return isinstance(event, on.ChangeEnded) and isinstance(event.outcome, Lost)


def lost_to_another(view: View, event: Event, _: float) -> bool:
    """Somebody else was first, and it is no longer us who acts."""
    if not (isinstance(event, on.ChangeEnded) and isinstance(event.outcome, Lost)):
        return False
    found = event.outcome.found
    if not isinstance(found, Found):
        return False
    return found.record.epoch > view.epoch or found.record.active != view.me


def must_raise(view: View, event: Event, _: float) -> bool:
    """We are active by the register, and the other server follows nobody below a higher epoch."""
    found = _found(event)
    return found is not None and view.change is None and view.peer_epoch > view.epoch and view.linked


# --- about the other server -----------------------------------------------------------------------------------


def wants_proof(view: View, _: Event, now_s: float) -> bool:
    """The active is not there, and nobody has said that it stopped."""
    record = view.record
    if view.linked or record is None or record.active == view.me or view.me not in record.in_sync:
        return False
    known = view.proof is not None and view.proof.epoch >= record.epoch
    return not known and now_s >= view.proof_asked_s + view.timing.prove_again_s


def force_is_stale(view: View, _: Event, now_s: float) -> bool:
    """An operator's word could not be carried out for too long."""
    return view.forced is not None and now_s >= view.forced_s + view.timing.force_s


def gives_way(view: View, _: Event, now_s: float) -> bool:
    """R names us as active, and the other server, in sync, holds more, or what we held is damaged."""
    return _is_outdone(view) and now_s >= view.stands_back_until_s


def has_given_way(view: View, event: Event, _: float) -> bool:
    """The promise that our word rests on is on the disk, and there is still reason to give it."""
    assert isinstance(event, on.Promised)
    return _is_outdone(view) and view.record is not None and event.epoch > view.record.epoch


def _is_outdone(view: View) -> bool:
    record = view.record
    return (
        record is not None
        and record.active == view.me
        and view.linked
        and view.peer_role is Role.PASSIVE
        and is_in_sync(view, view.peer)
        and (is_behind(view) or view.cut_back)
    )


def proof_counts(view: View, event: Event, _: float) -> bool:
    """It is about the other server and about the reign that stands, or a newer one."""
    assert isinstance(event, on.ProofCame)
    known = 0 if view.record is None else view.record.epoch
    return event.proof.server == view.peer and event.proof.epoch >= known


def may_drop(view: View, _: Event, __: float) -> bool:
    """It is in sync, or we wait for its disk; nothing is under way; and the mode lets us go on alone."""
    waits = view.requires or is_in_sync(view, view.peer)
    return waits and view.change is None and view.mode is not Mode.STRICT


def may_drop_proven(view: View, event: Event, now_s: float) -> bool:
    """It has stopped, by a proof, and is not linked again."""
    assert isinstance(event, on.ProofCame)
    return not view.linked and event.proof.server == view.peer and may_drop(view, event, now_s)


def must_go_alone(view: View, event: Event, now_s: float) -> bool:
    """D has passed without an echo."""
    return now_s >= view.lease_until_s and not is_in_doubt(view) and may_drop(view, event, now_s)


def must_drop_set_back(view: View, _: Event, __: float) -> bool:
    """In sync by R, it came back with less than its disk had held: an old copy was put in place of it."""
    return (
        is_in_sync(view, view.peer)
        and view.linked
        and view.change is None
        and is_before(view.peer_position, view.peer_was_at)
    )


def is_near(view: View, event: Event, _: float) -> bool:
    """It lacks little: from now on nobody is told before it holds what they are told."""
    assert isinstance(event, on.PeerKept)
    near = event.released_seq - event.position.seq <= view.timing.near_frames
    return near and not view.requires and _may_admit(view, event.position)


def holds_everything(view: View, event: Event, _: float) -> bool:
    """R4: whatever anybody was told stands on its disk. In async mode a little may be missing, but never all."""
    assert isinstance(event, on.PeerKept)
    missing = 0 if view.mode is not Mode.ASYNC else view.timing.near_frames
    return event.released_seq - event.position.seq <= missing and _may_admit(view, event.position)


def _may_admit(view: View, theirs: Position) -> bool:
    return (
        theirs.seq > 0
        and view.linked
        and view.change is None
        and not is_in_doubt(view)
        and not is_in_sync(view, view.peer)
        and view.peer_epoch <= view.epoch
    )


def can_hand_over(view: View, _: Event, __: float) -> bool:
    """The other server is there, passive and in sync, and nothing is under way."""
    return (
        view.linked
        and is_in_sync(view, view.peer)
        and view.peer_role is Role.PASSIVE
        and view.change is None
        and view.peer_epoch <= view.epoch
        and not is_in_doubt(view)
    )


def hands_over_leaving(view: View, event: Event, now_s: float) -> bool:
    """It can, and the policy wants it."""
    assert isinstance(event, on.LeaveAsked)
    return event.hand_over and can_hand_over(view, event, now_s)


# --- about a switchover ---------------------------------------------------------------------------------------


def is_leaving(view: View, _: Event, __: float) -> bool:
    """The process is to end after it."""
    return view.leaves is not None


def leaves_late(view: View, event: Event, now_s: float) -> bool:
    """The process is to end, and handing over takes too long."""
    return is_leaving(view, event, now_s) and takes_too_long(view, event, now_s)


def leaves_alone(view: View, event: Event, now_s: float) -> bool:
    """The process is to end, and nobody is there to hand over to."""
    return is_leaving(view, event, now_s) and can_thaw(view, event, now_s)


def holds_nothing(view: View, _: Event, __: float) -> bool:
    """Not one frame: it has joined and never followed."""
    return is_empty(view)


def takes_too_long(view: View, _: Event, now_s: float) -> bool:
    """The engine still stands, and callers have waited long enough."""
    return not view.ending and now_s >= view.yielding_since_s + view.timing.yield_s


def can_thaw(view: View, _: Event, __: float) -> bool:
    """The engine still stands."""
    return not view.ending
