"""Moves of the table: what a server knows afterwards, and what it does. Each does one thing; roles are the rows'."""

from typing import assert_never

from msgspec.structs import replace

from meetkeeper.ha import happenings as on
from meetkeeper.ha.happenings import Action, Event
from meetkeeper.ha.view import (
    LONG_AGO_S,
    Change,
    Kind,
    Reason,
    View,
    claim_reason,
    fences,
    is_before,
    is_in_sync,
    learned,
)
from meetkeeper.ha.words import (
    ORIGIN,
    Beacon,
    Empty,
    Found,
    Hello,
    Lost,
    Position,
    Proof,
    Record,
    Role,
    Unknown,
    Unreachable,
    Witness,
    Won,
    Yielded,
)

Moved = tuple[View, list[Action]]
EPOCH_LEAP = 100
"""So many epochs are left out where the other server may have reigned under some of them, unseen: an epoch has one
writer, and what it wrote under lower ones can then be told apart and set aside."""


def nothing(view: View, _: Event, __: float) -> Moved:
    """Stay."""
    return view, []


# --- the register ---------------------------------------------------------------------------------------------


def look(view: View, _: Event, now_s: float) -> Moved:
    """Read it."""
    return replace(view, asked_s=now_s), [on.ReadRegister()]


def distrust(view: View, event: Event, now_s: float) -> Moved:
    """Say what can't be true."""
    assert isinstance(event, on.RegisterSaid)
    known = view.record
    match event.reading:
        case Found(record, _) if record.cluster != view.cluster:
            why = f"it belongs to another cluster ({record.cluster}). Point node.json at this pair's register"
        case Found(record, _):
            assert known is not None
            why = (
                f"it says epoch {record.epoch}, and epoch {known.epoch} has been: it was rolled back. "
                "`meetkeeper register reset` puts it right"
            )
        case _:
            why = "it is empty, and was not: it was lost. `meetkeeper register reset` puts it right"
    version = view.version if isinstance(event.reading, Unreachable) else event.reading.version
    return _troubled(replace(view, read_s=now_s, version=version), why, now_s), []


def _troubled(view: View, why: str, now_s: float) -> View:
    since_s = view.trouble_since_s if view.trouble else now_s
    return replace(view, trouble=why, trouble_since_s=since_s)


def noted(view: View, event: on.RegisterSaid, now_s: float) -> View:
    """What is known after the register was read."""
    match event.reading:
        case Found(record, version):
            return replace(learned(view, record, version, now_s), read_s=now_s, trouble="")
        case Empty(version):
            return replace(view, version=version, read_s=now_s, trouble="")
        case Unreachable(why):
            return _troubled(view, why, now_s)
        case _ as never:
            assert_never(never)


def note_reading(view: View, event: Event, now_s: float) -> Moved:
    """Remember what it says, here and on disk."""
    assert isinstance(event, on.RegisterSaid)
    after = noted(view, event, now_s)
    return after, remembering(view, after)


def remembering(before: View, after: View) -> list[Action]:
    """Keep another record than before on this server's own disk."""
    record = after.record
    if record is None or (before.record == record and before.version == after.version):
        return []
    return [on.Remember(record, after.version)]


def confirm(view: View, event: Event, now_s: float) -> Moved:
    """Nobody was put in our place: what we were before a pause we still are, if we are alone."""
    assert isinstance(event, on.RegisterSaid)
    after = noted(view, event, now_s)
    alone = after.record is not None and after.record.in_sync == (view.me,)
    if isinstance(event.reading, Found) and alone and view.asked_s >= view.doubt_s:
        after = replace(after, doubt_s=LONG_AGO_S)
    return after, remembering(view, after)


def ask_again(view: View, event: Event, now_s: float) -> Moved:
    """The same change from the same version: at most one of the two can arrive."""
    assert view.change is not None
    change = replace(view.change, unknown=False)
    asked = on.ChangeRegister(change.expected, change.record)
    return replace(view, change=change, asked_s=now_s), [asked]


def unsure(view: View, event: Event, now_s: float) -> Moved:
    """R5."""
    assert isinstance(event, on.ChangeEnded)
    if view.change is None:
        return view, []
    why = event.outcome.why if isinstance(event.outcome, Unknown) else ""
    return _troubled(replace(view, change=replace(view.change, unknown=True)), why, now_s), []


# --- claiming -------------------------------------------------------------------------------------------------


def claim(view: View, event: Event, now_s: float) -> Moved:
    """Promise the next epoch. What the register said is what the claim is compared with."""
    assert isinstance(event, on.RegisterSaid)
    after = noted(view, event, now_s)
    known = 0 if after.record is None else after.record.epoch
    epoch = max(after.epoch, known) + (EPOCH_LEAP if _is_blind(after) else 1)
    return replace(after, epoch=epoch), [*remembering(view, after), on.Promise(epoch)]


def _is_blind(view: View) -> bool:
    """Nobody knows how many reigns the other server has begun alone: a fence and a person can't say, nor a register."""
    witness = view.forced or view.proof
    return (
        not view.arbitrates and witness is not None and witness.witness in (Witness.FENCE, Witness.OPERATOR)
    )


def ask_for_epoch(view: View, event: Event, now_s: float) -> Moved:
    """R3, R7, R9: this server active, under the promised epoch."""
    assert isinstance(event, on.Promised)
    why = claim_reason(view, now_s) or Reason.RESUME
    in_sync = _in_sync_of_claim(view, why)
    record = Record(
        cluster=view.cluster,
        epoch=event.epoch,
        active=view.me,
        in_sync=in_sync,
        mode=view.mode,
        by=view.me,
        why=str(why) if view.forced is None else f"{why}: {view.forced.why}",
        at_s=0.0,
        holds=held_by_all(view, in_sync),
    )
    change = Change(Kind.CLAIM, view.version, record, asked_s=now_s)
    asked = on.ChangeRegister(view.version, record)
    return replace(view, epoch=event.epoch, change=change, asked_s=now_s), [asked]


def held_by_all(view: View, in_sync: tuple[str, ...]) -> Position:
    """What certainly stands on the disks of these servers."""
    if view.peer in in_sync and is_before(view.peer_position, view.position):
        return view.peer_position
    return view.position


def _in_sync_of_claim(view: View, why: Reason) -> tuple[str, ...]:
    """A server that is alive and holds everything stays in sync; one that is gone does not."""
    both = tuple(sorted((view.me, view.peer)))
    if why is Reason.YIELDED and view.linked:
        return both
    if why is Reason.RESUME and view.linked and is_in_sync(view, view.peer):
        return both
    return (view.me,)


def reign(view: View, event: Event, now_s: float) -> Moved:
    """Won."""
    assert isinstance(event, on.ChangeEnded)
    assert isinstance(event.outcome, Won)
    return _reigning(view, event.outcome.version, now_s)


def reign_after_all(view: View, event: Event, now_s: float) -> Moved:
    """Won, and the answer was lost."""
    assert isinstance(event, on.RegisterSaid)
    assert isinstance(event.reading, Found)
    return _reigning(view, event.reading.version, now_s)


def _reigning(view: View, version: int, now_s: float) -> Moved:
    assert view.change is not None
    record = view.change.record
    after = replace(
        view,
        record=record,
        version=version,
        epoch=record.epoch,
        change=None,
        proof=None,
        forced=None,
        trouble="",
        read_s=now_s,
        requires=view.peer in record.in_sync,
        lease_until_s=view.change.asked_s + view.timing.holder_s
        if view.peer in record.in_sync
        else LONG_AGO_S,
        doubt_s=LONG_AGO_S,
        leaves=None,
        ending=False,
    )
    return after, [on.Remember(record, version), on.BeginReign(record.epoch)]


def step_back(view: View, event: Event, now_s: float) -> Moved:
    """Somebody else was first."""
    assert isinstance(event, on.ChangeEnded)
    assert isinstance(event.outcome, Lost)
    return _stepped_back(view, on.RegisterSaid(event.outcome.found), now_s)


def step_back_reading(view: View, event: Event, now_s: float) -> Moved:
    """Somebody else was first, as the register shows."""
    assert isinstance(event, on.RegisterSaid)
    return _stepped_back(view, event, now_s)


def _stepped_back(view: View, said: on.RegisterSaid, now_s: float) -> Moved:
    after = replace(noted(view, said, now_s), change=None, forced=None)
    return after, remembering(view, after)


def give_up_force(view: View, event: Event, now_s: float) -> Moved:
    """The claim that it led to is not asked for again. Should it arrive yet, the register says so to everybody."""
    assert isinstance(event, on.RegisterSaid)
    return _stepped_back(view, event, now_s)


def forget_lease(view: View, _: Event, __: float) -> Moved:
    """What is won meanwhile gives no right to speak before the other server has been heard."""
    change = view.change
    return replace(view, change=None if change is None else replace(change, asked_s=LONG_AGO_S)), []


def take_force(view: View, event: Event, now_s: float) -> Moved:
    """R9."""
    assert isinstance(event, on.ForceAsked)
    after = replace(view, forced=event.proof, forced_s=now_s, doubt_s=LONG_AGO_S, asked_s=now_s)
    return after, [on.Answer(True, "claiming"), on.ReadRegister()]


def forget_force(view: View, _: Event, __: float) -> Moved:
    """The register did not answer in time. Who still means it says it again."""
    return replace(view, forced=None), []


def already(view: View, _: Event, __: float) -> Moved:
    """Say so."""
    return view, [on.Answer(view.role is Role.ACTIVE, f"{view.me} is {view.role} already.")]


# --- the other server -----------------------------------------------------------------------------------------


def note_hello(view: View, event: Event, now_s: float) -> Moved:
    """It is there."""
    assert isinstance(event, on.Linked)
    after = _heard(replace(view, linked=True), event.hello, now_s)
    if after.peer_role is Role.ACTIVE:
        after = replace(after, proof=None)
    if view.role is Role.ACTIVE and is_in_sync(view, view.peer):
        after = replace(after, peer_was_at=_newest_known(view))
    return after, remembering(view, after)


def _newest_known(view: View) -> Position:
    """How far the disk of the other server, in sync, was certainly once."""
    held = ORIGIN if view.record is None else view.record.holds
    return held if is_before(view.peer_position, held) else view.peer_position


def note_beacon(view: View, event: Event, now_s: float) -> Moved:
    """It lives."""
    assert isinstance(event, on.BeaconHeard)
    after = _heard(view, event.beacon, now_s)
    return after, remembering(view, after)


def _heard(view: View, said: Hello | Beacon, now_s: float) -> View:
    after = replace(
        view,
        heard_s=now_s if said.role in (Role.ACTIVE, Role.YIELDING) else view.heard_s,
        peer_role=said.role,
        peer_epoch=max(view.peer_epoch, said.epoch),
        peer_position=said.position,
        excused_until_s=LONG_AGO_S,
        stands_back_until_s=LONG_AGO_S if said.role is Role.ACTIVE else view.stands_back_until_s,
    )
    known = -1 if view.record is None else view.record.epoch
    told = said.record
    newer = (
        told is not None
        and told.cluster == view.cluster
        and (told.epoch, said.version) > (known, view.version)
    )
    # What a server says about the register is news, not a right: a claim reads the register itself.
    if newer and told is not None and view.role is Role.PASSIVE:
        after = learned(after, told, said.version, now_s)
    return after


def note_echo(view: View, event: Event, _: float) -> Moved:
    """Its promise is news."""
    assert isinstance(event, on.Echoed)
    return replace(view, peer_epoch=max(view.peer_epoch, event.epoch)), []


def extend_lease(view: View, event: Event, _: float) -> Moved:
    """D counts from the send. Who promised a higher epoch has taken the right back."""
    assert isinstance(event, on.Echoed)
    if event.epoch > view.epoch:
        return replace(view, peer_epoch=max(view.peer_epoch, event.epoch)), []
    after = replace(view, lease_until_s=max(view.lease_until_s, event.sent_s + view.timing.holder_s))
    if event.sent_s > view.doubt_s and is_in_sync(view, view.peer):
        after = replace(after, doubt_s=LONG_AGO_S)
    return after, []


def note_gone(view: View, _: Event, now_s: float) -> Moved:
    """It is not there."""
    return replace(view, linked=False, gone_s=now_s), []


def lost_active(view: View, event: Event, now_s: float) -> Moved:
    """The one we follow, or might, is gone: who knows whether it has stopped?"""
    after, _ = note_gone(view, event, now_s)
    if view.record is not None and view.record.active == view.peer:
        after, _ = ask_proof(after, event, now_s)
        return replace(after, asked_s=now_s), [on.AskProof(view.record.epoch), on.ReadRegister()]
    return replace(after, asked_s=now_s), [on.ReadRegister()]


def lost_passive(view: View, event: Event, now_s: float) -> Moved:
    """The one that keeps with us is gone. Nobody waits for one that R does not name and was never asked to name."""
    after, _ = note_gone(view, event, now_s)
    if not is_in_sync(after, after.peer) and after.change is None:
        after = replace(after, requires=False)
    return ask_proof(after, event, now_s) if after.requires else (after, [])


def ask_proof(view: View, _: Event, now_s: float) -> Moved:
    """Of its agent."""
    epoch = 0 if view.record is None else view.record.epoch
    return replace(view, proof_asked_s=now_s), [on.AskProof(epoch, fences(view, now_s))]


def take_proof(view: View, event: Event, now_s: float) -> Moved:
    """A reason to claim."""
    after, _ = take_proof_quietly(view, event, now_s)
    return replace(after, asked_s=now_s), [on.ReadRegister()]


def take_proof_quietly(view: View, event: Event, _: float) -> Moved:
    """For the next claim."""
    assert isinstance(event, on.ProofCame)
    return replace(view, proof=event.proof), []


def excuse(view: View, event: Event, now_s: float) -> Moved:
    """It said when it will be back."""
    assert isinstance(event, on.PeerLeft)
    return replace(view, excused_until_s=now_s + event.leaving.back_after_s), []


def give_way(view: View, _: Event, now_s: float) -> Moved:
    """Our word that we do not act, once it is promised: the other server goes on from what it holds."""
    assert view.record is not None
    epoch = max(view.epoch, view.record.epoch + 1)
    return replace(view, stands_back_until_s=now_s + view.timing.yield_s, epoch=epoch), [on.Promise(epoch)]


def say_given_way(view: View, _: Event, now_s: float) -> Moved:
    """The promise stands: whoever starts this server again finds it. Our agent's vouching is older than our word."""
    assert view.record is not None
    after = replace(view, stands_back_until_s=now_s + view.timing.yield_s, consents=False)
    proof = own_proof(view, view.record.epoch, "its disk holds less than the other server's")
    return after, [on.Say(Yielded(proof))]


def wait_anew(view: View, event: Event, now_s: float) -> Moved:
    """After a pause: what was sent meanwhile has not been read yet."""
    return replace(
        view, heard_s=now_s, gone_s=max(view.gone_s, now_s) if not view.linked else view.gone_s
    ), []


def own_proof(view: View, epoch: int, why: str) -> Proof:
    """Our own word that we do not act any more."""
    return Proof(view.me, epoch, Witness.ITSELF, view.position, view.record, why, 0.0)


# --- refusals -------------------------------------------------------------------------------------------------


def refuse_passive(view: View, _: Event, __: float) -> Moved:
    """Only the active can."""
    active = "nobody" if view.record is None else view.record.active
    return view, [on.Answer(False, f"{view.me} is {view.role}; {active} is active: ask there.")]


def refuse_empty(view: View, _: Event, __: float) -> Moved:
    """It has nothing to act with."""
    why = f"{view.me} holds nothing yet. Let it follow {view.peer} first, or restore a backup here."
    return view, [on.Answer(False, why)]


def refuse_switchover(view: View, _: Event, __: float) -> Moved:
    """What is in the way."""
    if not view.linked:
        why = f"{view.peer} is not there"
    elif not is_in_sync(view, view.peer):
        why = f"{view.peer} does not hold everything yet"
    elif view.change is not None:
        why = f"a change of the register ({view.change.kind}) is under way"
    else:
        why = f"{view.peer} is {view.peer_role}, or we wait to be confirmed"
    return view, [on.Answer(False, f"{why}. Nothing was changed.")]
