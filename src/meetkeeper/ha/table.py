"""Every decision about who may act, as numbered rows: role, event, guard, next role, what is done, and why.

The first row of (role, event) whose guard holds is taken. Every pair of role and event has a last row without a guard,
or is ignored by name with a reason. `explain --ha`, the diagram in the documentation, the status page and the tests
read these very rows. A row's number never changes; a new row takes a new number.
"""

from collections.abc import Callable

from msgspec import Struct

from meetkeeper.ha import given
from meetkeeper.ha import happenings as on
from meetkeeper.ha import moves as do
from meetkeeper.ha import reigning as act
from meetkeeper.ha.happenings import Action, Event
from meetkeeper.ha.view import View
from meetkeeper.ha.words import Role

Guard = Callable[[View, Event, float], bool]
Move = Callable[[View, Event, float], tuple[View, list[Action]]]


class Row(Struct, frozen=True):
    """One decision. `then` is the role afterwards, None: the same."""

    number: int
    role: Role
    event: type
    guard: Guard | None
    then: Role | None
    move: Move
    when: str
    does: str
    why: str


class Ignored(Struct, frozen=True):
    """An event that changes nothing in this role, and why that is right."""

    role: Role
    event: type
    why: str


P, C, A, Y, E = Role.PASSIVE, Role.CLAIMING, Role.ACTIVE, Role.YIELDING, Role.ENDED


def _row(
    number: int,
    where: tuple[Role, type],
    guard: Guard | None,
    move: tuple[Move, Role | None],
    said: tuple[str, str, str],
) -> Row:
    (role, event), (does, then), (when, doing, why) = where, move, said
    return Row(number, role, event, guard, then, does, when, doing, why)


ROWS: tuple[Row, ...] = (
    # --- passive: follows, and waits for the moment ------------------------------------------------------------------
    _row(115, (P, on.Ticked), given.force_is_stale, (do.forget_force, None), (
        "an operator's word could not be carried out in time", "give it up",
        "it was said about how things stood then; nobody expects it to take effect an hour later")),
    _row(10, (P, on.Ticked), given.wants_to_look, (do.look, None), (
        "something would be claimed, or the other server is not there to tell", "read the register",
        "a claim rests on what the register says now, never on what it said")),
    _row(11, (P, on.Ticked), given.wants_proof, (do.ask_proof, None), (
        "the active is gone and nobody has proved that it stopped", "ask its agent, then fence it",
        "a proof is faster than waiting for the lease, and without a third place it is the only way")),
    _row(12, (P, on.Ticked), given.gives_way, (do.give_way, None), (
        "we were active and the other server, in sync, holds more", "promise never to act under that reign again",
        "our disk is not the one we had; who holds everything has to go on")),
    _row(13, (P, on.Ticked), None, (do.nothing, None), ("else", "nothing", "there is nothing to decide")),
    _row(14, (P, on.RegisterSaid), given.says_the_impossible, (do.distrust, None), (
        "it knows less than we do, another cluster, or nothing any more", "alarm; claim nothing",
        "a register that was rolled back or lost would give the same right twice")),
    _row(15, (P, on.RegisterSaid), given.may_claim, (do.claim, C), (
        "we are in sync, and the active is gone, or we were it", "promise the next epoch durably",
        "R3: from then on nothing of a lower epoch is taken here, whoever wins")),
    _row(16, (P, on.RegisterSaid), None, (do.note_reading, None), ("else", "remember it", "others may have acted")),
    _row(17, (P, on.Linked), None, (do.note_hello, None), ("always", "note it", "the other server is there")),
    _row(18, (P, on.Unlinked), None, (do.lost_active, None), (
        "always", "ask for a proof of stop; read the register",
        "a process that died leaves an agent who knows; what we were told may be old")),
    _row(19, (P, on.BeaconHeard), None, (do.note_beacon, None), (
        "always", "the active lives: wait anew", "G counts from when it was heard")),
    _row(20, (P, on.Echoed), None, (do.note_echo, None), (
        "always", "note the epoch", "only the active needs the lease")),
    _row(21, (P, on.ProofCame), given.proof_counts, (do.take_proof, None), (
        "it is about the other server and the reign that stands", "keep it and read the register",
        "whoever has stopped can't acknowledge any more")),
    _row(22, (P, on.ProofCame), None, (do.nothing, None), ("else", "nothing", "it proves the end of an older reign")),
    _row(23, (P, on.PeerLeft), None, (do.excuse, None), (
        "always", "wait until it may be back", "an announced reboot or upgrade is no failure")),
    _row(102, (P, on.ForceAsked), given.holds_nothing, (do.refuse_empty, None), (
        "this server holds nothing yet", "say so", "there is nothing to act with; not even a configuration")),
    _row(24, (P, on.ForceAsked), None, (do.take_force, None), (
        "else", "read the register, then claim", "R9: a person answers for it, with a reason")),
    _row(25, (P, on.SwitchoverAsked), None, (do.refuse_passive, None), (
        "always", "say who can", "only the active can hand over")),
    _row(26, (P, on.LeaveAsked), None, (act.leave, E), ("always", "say goodbye", "the active goes on alone at once")),
    _row(27, (P, on.Paused), None, (do.wait_anew, None), (
        "always", "wait for the lease anew", "what was sent meanwhile has not been read yet")),
    _row(112, (P, on.Promised), given.has_given_way, (do.say_given_way, None), (
        "we were active, and the other server, in sync, holds more", "say that we have stopped",
        "our word is a proof of stop, and outlives this process: the promise stands before it is said")),
    _row(113, (P, on.Promised), None, (do.nothing, None), (
        "else", "nothing", "a claim that was given up, or the other server's reign")),
    # --- claiming: one change of the register under way --------------------------------------------------------------
    _row(107, (C, on.Promised), given.has_asked, (do.nothing, None), (
        "it is an earlier claim's, or the epoch has been asked for", "nothing", "one question at a time")),
    _row(29, (C, on.Promised), given.reason_is_gone, (do.nothing, P), (
        "the reason is gone", "follow again", "the active came back; a promise alone costs nothing")),
    _row(30, (C, on.Promised), None, (do.ask_for_epoch, None), (
        "else", "ask the register for the epoch", "R3: the promise stands before the claim")),
    _row(108, (C, on.ChangeEnded), given.answers_another, (do.nothing, None), (
        "it answers another change than ours", "nothing", "a right follows from its own answer alone")),
    _row(31, (C, on.ChangeEnded), given.won, (do.reign, A), (
        "won", "remember it, begin the reign", "exactly one server wins an epoch")),
    _row(32, (C, on.ChangeEnded), given.lost, (do.step_back, P), ("lost", "follow whoever won", "somebody was first")),
    _row(33, (C, on.ChangeEnded), None, (do.unsure, None), (
        "no answer", "act on nothing, read again", "R5: an unknown outcome is a refusal for rights")),
    _row(109, (C, on.RegisterSaid), given.asked_earlier, (do.nothing, None), (
        "the claim is under way", "nothing", "it was asked before the claim; the claim's own answer decides")),
    _row(34, (C, on.RegisterSaid), given.shows_our_change, (do.reign_after_all, A), (
        "our change stands", "remember it, begin the reign", "the answer was lost, not the change")),
    _row(116, (C, on.RegisterSaid), given.force_came_to_nothing, (do.give_up_force, P), (
        "nothing has changed, and the claim was an operator's word that is too old", "follow again",
        "it was said about how things stood then; who still means it says it again")),
    _row(35, (C, on.RegisterSaid), given.still_as_before, (do.ask_again, None), (
        "nothing has changed", "ask again, from the same version", "whichever arrives first is the only one")),
    _row(36, (C, on.RegisterSaid), given.says_something, (do.step_back_reading, P), (
        "somebody else's change stands", "follow whoever won", "somebody was first")),
    _row(37, (C, on.RegisterSaid), None, (do.note_reading, None), ("no answer", "wait", "nothing is known")),
    _row(38, (C, on.Ticked), given.wants_to_settle, (do.look, None), (
        "the outcome is unknown", "read the register", "R5: until it has been read again")),
    _row(39, (C, on.Ticked), None, (do.nothing, None), ("else", "nothing", "the answer is under way")),
    _row(40, (C, on.Linked), None, (do.note_hello, None), ("always", "note it", "the register decides")),
    _row(41, (C, on.Unlinked), None, (do.note_gone, None), ("always", "note it", "the register decides")),
    _row(42, (C, on.BeaconHeard), None, (do.note_beacon, None), ("always", "note it", "the register decides")),
    _row(43, (C, on.Echoed), None, (do.note_echo, None), ("always", "note it", "the register decides")),
    _row(44, (C, on.SwitchoverAsked), None, (do.refuse_passive, None), ("always", "say who can", "nobody acts yet")),
    _row(45, (C, on.ForceAsked), None, (do.already, None), ("always", "say so", "it is being done")),
    _row(46, (C, on.LeaveAsked), None, (act.leave, E), ("always", "end", "a claim that is won is claimed anew later")),
    _row(47, (C, on.ProofCame), given.proof_counts, (do.take_proof_quietly, None), (
        "about the reign that stands", "keep it", "the next claim may need it")),
    _row(48, (C, on.ProofCame), None, (do.nothing, None), ("else", "nothing", "it proves the end of an older reign")),
    _row(111, (C, on.Paused), None, (do.forget_lease, None), (
        "always", "go on, without the lease that comes with an epoch",
        "the register decides by versions; but the lease counts from when the claim was asked, by a clock that ran")),
    # --- active ------------------------------------------------------------------------------------------------------
    _row(114, (A, on.Ticked), given.must_drop_set_back, (act.drop_set_back, None), (
        "the other server, in sync, came with less than it had held", "R2: ask for in_sync without it",
        "a reign of its own would lack what people were told; in strict mode it is still waited for")),
    _row(50, (A, on.Ticked), given.must_go_alone, (act.drop_peer, None), (
        "the other server has not echoed within the lease", "R2: ask for in_sync without it",
        "to go on alone the register must say so first; D ends before G, so the active asks first")),
    _row(51, (A, on.Ticked), given.wants_to_look_active, (do.look, None), (
        "a change is unsettled, we are alone, in doubt, or the other has promised more", "read the register",
        "R5; R9: whoever is alone looks whether somebody was put in its place")),
    _row(52, (A, on.Ticked), None, (do.nothing, None), ("else", "nothing", "the lease is live")),
    _row(53, (A, on.RegisterSaid), given.is_deposed, (act.end_deposed, E), (
        "a higher epoch, or another active", "stop at once", "one actor: the register has decided")),
    _row(54, (A, on.RegisterSaid), given.says_the_impossible, (do.distrust, None), (
        "it knows less than we do, another cluster, or nothing any more", "alarm; change nothing in it",
        "in sync the register is not needed; a person mends it")),
    _row(55, (A, on.RegisterSaid), given.shows_our_change, (act.settle_change, None), (
        "our change stands", "act on it", "the answer was lost, not the change")),
    _row(56, (A, on.RegisterSaid), given.still_as_before, (do.ask_again, None), (
        "nothing has changed", "ask again, from the same version", "whichever arrives first is the only one")),
    _row(103, (A, on.RegisterSaid), given.change_has_failed, (act.forget_change, None), (
        "the version has moved on, and what stands is not our change", "take what stands",
        "our change can't arrive any more; the next tick decides anew")),
    _row(57, (A, on.RegisterSaid), given.must_raise, (act.raise_epoch, None), (
        "we are still active, and the other server has promised more", "ask for as high an epoch",
        "its claim was in vain, and it follows nobody below its promise")),
    _row(58, (A, on.RegisterSaid), None, (do.confirm, None), (
        "else", "remember it; doubts end", "we are still active")),
    _row(110, (A, on.ChangeEnded), given.answers_another, (do.nothing, None), (
        "it answers another change than ours", "nothing", "rights and duties follow from a change's own answer")),
    _row(59, (A, on.ChangeEnded), given.won, (act.act_on_change, None), (
        "won", "act on it", "the register has decided")),
    _row(60, (A, on.ChangeEnded), given.lost_to_another, (act.end_lost, E), (
        "lost to a higher epoch or another active", "stop at once", "one actor: the register has decided")),
    _row(61, (A, on.ChangeEnded), given.lost, (act.think_again, None), (
        "lost to something older of ours", "take what stands", "the next tick decides anew")),
    _row(62, (A, on.ChangeEnded), None, (do.unsure, None), (
        "no answer", "keep every duty, take no right", "R5: unknown is a refusal for rights, a success for duties")),
    _row(100, (A, on.PeerKept), given.holds_everything, (act.admit, None), (
        "it holds everything that anybody was told", "R4: ask for in_sync with it",
        "from now on it may be promoted")),
    _row(63, (A, on.PeerKept), given.is_near, (act.require, None), (
        "it lacks little", "R4: wait for its disk from now on",
        "duties begin before rights: what is acknowledged from here on is on its disk")),
    _row(64, (A, on.PeerKept), None, (act.note_kept, None), (
        "else", "note it", "it is not there yet, or long admitted")),
    _row(65, (A, on.Linked), None, (do.note_hello, None), ("always", "note it", "frames follow from where it stands")),
    _row(66, (A, on.Unlinked), None, (do.lost_passive, None), (
        "always", "ask for a proof of stop", "with a proof nobody waits for the lease")),
    _row(67, (A, on.BeaconHeard), None, (do.note_beacon, None), ("always", "note it", "it lives")),
    _row(68, (A, on.Echoed), None, (do.extend_lease, None), (
        "always", "the lease counts from when the beacon was sent", "the other server waits longer than that")),
    _row(69, (A, on.ProofCame), given.may_drop_proven, (act.drop_peer, None), (
        "the other server has stopped", "R2: ask for in_sync without it", "nobody has to wait for the lease")),
    _row(70, (A, on.ProofCame), None, (do.nothing, None), ("else", "nothing", "it is not in sync anyway")),
    _row(71, (A, on.PeerLeft), given.may_drop, (act.drop_peer, None), (
        "it is in sync", "R2: ask for in_sync without it", "it stops on purpose: nobody has to wait")),
    _row(72, (A, on.PeerLeft), None, (do.excuse, None), ("else", "note it", "an announced stop is no failure")),
    _row(73, (A, on.SwitchoverAsked), given.can_hand_over, (act.freeze, Y), (
        "the other server is there, in sync and passive", "decide nothing more", "what is decided is to be on both")),
    _row(74, (A, on.SwitchoverAsked), None, (do.refuse_switchover, None), (
        "else", "say what is in the way", "a switchover loses nothing or does not begin")),
    _row(75, (A, on.LeaveAsked), given.hands_over_leaving, (act.freeze_leaving, Y), (
        "the other server can take over, and may", "hand over first", "meetings go on while we are away")),
    _row(76, (A, on.LeaveAsked), None, (act.leave, E), (
        "else", "say goodbye; stop in good order", "nothing is lost: it is all on disk")),
    _row(77, (A, on.ActorFailed), None, (act.end_failed, E), (
        "always", "stop at once", "a failed disk is final; the other server takes over on our agent's proof")),
    _row(78, (A, on.Paused), None, (act.doubt, None), (
        "always", "speak to nobody until confirmed", "meanwhile somebody else may have become active")),
    _row(101, (A, on.ForceAsked), given.distrusts, (act.reset_register, None), (
        "the register says what can't be true", "write it anew, under a higher epoch",
        "R9: a person answers for it, with a reason")),
    _row(79, (A, on.ForceAsked), None, (do.already, None), ("else", "say so", "this server is active")),
    # --- yielding: a switchover's first half -------------------------------------------------------------------------
    _row(80, (Y, on.Drained), None, (act.end_in_order, None), (
        "always", "stop the engine", "everything decided is on both disks")),
    _row(81, (Y, on.ReignEnded), None, (act.promise_next, None), (
        "always", "promise never to act below the next epoch", "then, and only then, our word is a proof of stop")),
    _row(82, (Y, on.Promised), given.is_leaving, (act.hand_over, E), (
        "leaving", "hand over the proof; end", "the other server claims at once")),
    _row(83, (Y, on.Promised), None, (act.hand_over, P), (
        "else", "hand over the proof; stand back for a while", "the other server claims at once; if it can't, we do")),
    _row(104, (Y, on.Ticked), given.leaves_late, (act.leave_unhanded, E), (
        "leaving, and it takes too long", "say goodbye; end", "whoever waits for this process has waited long enough")),
    _row(84, (Y, on.Ticked), given.takes_too_long, (act.thaw, A), (
        "staying, and it takes too long", "go on", "callers wait; giving up costs nothing else")),
    _row(85, (Y, on.Ticked), None, (do.nothing, None), ("else", "nothing", "the disks are at work")),
    _row(105, (Y, on.Unlinked), given.leaves_alone, (act.leave_unhanded, E), (
        "leaving, and the engine still stands", "say goodbye; end", "nobody is there to hand over to")),
    _row(86, (Y, on.Unlinked), given.can_thaw, (act.thaw_gone, A), (
        "staying, and the engine still stands", "go on", "nobody is there to hand over to")),
    _row(87, (Y, on.Unlinked), None, (do.note_gone, None), ("else", "finish", "its agent or the register decides")),
    _row(88, (Y, on.RegisterSaid), given.is_deposed, (act.end_deposed, E), (
        "a higher epoch, or another active", "stop at once", "one actor: the register has decided")),
    _row(89, (Y, on.RegisterSaid), None, (do.note_reading, None), ("else", "note it", "the switchover goes on")),
    _row(90, (Y, on.Linked), None, (do.note_hello, None), ("always", "note it", "the switchover goes on")),
    _row(91, (Y, on.BeaconHeard), None, (do.note_beacon, None), ("always", "note it", "it lives")),
    _row(92, (Y, on.Echoed), None, (do.extend_lease, None), ("always", "note it", "it lives")),
    _row(93, (Y, on.ActorFailed), None, (act.end_failed, E), ("always", "stop at once", "a failed disk is final")),
    _row(94, (Y, on.SwitchoverAsked), None, (do.already, None), ("always", "say so", "it is being done")),
    _row(95, (Y, on.ForceAsked), None, (do.already, None), ("always", "say so", "first it is handed over")),
    _row(96, (Y, on.LeaveAsked), None, (act.leave_after, None), (
        "always", "end after it", "the handing over comes first")),
    _row(97, (Y, on.Paused), None, (act.doubt, None), (
        "always", "speak to nobody", "somebody else may have become active")),
    _row(106, (Y, on.PeerLeft), given.leaves_alone, (act.leave_unhanded, E), (
        "leaving, and the engine still stands", "say goodbye; end", "nobody is there to hand over to")),
    _row(98, (Y, on.PeerLeft), given.can_thaw, (act.thaw_gone, A), (
        "staying, and the engine still stands", "go on", "nobody is there to hand over to")),
    _row(99, (Y, on.PeerLeft), None, (do.excuse, None), ("else", "finish", "it will come back")),
)  # fmt: skip

IGNORED: tuple[Ignored, ...] = (
    Ignored(P, on.ChangeEnded, "an answer to a claim that was given up"),
    Ignored(P, on.PeerKept, "only an active is told what the other one holds"),
    Ignored(P, on.ReignBegan, "a reign that ended while it began"),
    Ignored(P, on.Drained, "a switchover that is over"),
    Ignored(P, on.ReignEnded, "nothing reigns here"),
    Ignored(P, on.ActorFailed, "nothing acts here; the process ends by itself"),
    Ignored(P, on.MaintenanceSet, "handled before the table: it is policy alone"),
    Ignored(C, on.PeerKept, "we do not act yet"),
    Ignored(C, on.PeerLeft, "the claim goes on"),
    Ignored(C, on.ReignBegan, "a reign that ended while it began"),
    Ignored(C, on.Drained, "a switchover that is over"),
    Ignored(C, on.ReignEnded, "nothing reigns here"),
    Ignored(C, on.ActorFailed, "nothing acts here; the process ends by itself"),
    Ignored(C, on.MaintenanceSet, "handled before the table: it is policy alone"),
    Ignored(A, on.Promised, "a promise of a claim that is settled"),
    Ignored(A, on.ReignBegan, "the shell shows it; rights came with the register's answer"),
    Ignored(A, on.Drained, "a switchover that was given up"),
    Ignored(A, on.ReignEnded, "only a yielding server ends in order"),
    Ignored(A, on.MaintenanceSet, "handled before the table: it is policy alone"),
    Ignored(Y, on.ChangeEnded, "a switchover begins with nothing under way"),
    Ignored(Y, on.PeerKept, "the drain looks at the disks itself"),
    Ignored(Y, on.ProofCame, "the switchover ends by itself"),
    Ignored(Y, on.ReignBegan, "it began before"),
    Ignored(Y, on.MaintenanceSet, "handled before the table: it is policy alone"),
    *(Ignored(E, kind, "this process ends") for kind in Event.__args__),
)
