"""What one server of a pair knows, and the questions that the table's guards ask of it. Values and arithmetic alone."""

from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from meetkeeper.ha.words import (
    ORIGIN,
    Leaving,
    Mode,
    Position,
    Proof,
    Record,
    Role,
    Timing,
    Witness,
)

LONG_AGO_S = float("-inf")


class Kind(StrEnum):
    """What a change of the register is for."""

    CLAIM = "claim"
    """R3, R7, R9: a new epoch for this server."""
    DROP = "drop"
    """R2: go on alone."""
    ADMIT = "admit"
    """R4: the other server holds everything again."""
    RAISE = "raise"
    """The other server has promised a higher epoch in vain: only under one as high will it follow again."""


class Change(Struct, frozen=True):
    """A change that was asked of the register and has not been answered for certain."""

    kind: Kind
    expected: int
    record: Record
    unknown: bool = False
    asked_s: float = LONG_AGO_S
    """When it was asked first: it may have been done at any time since."""


class View(Struct, frozen=True, kw_only=True):
    """One server's knowledge. Times are of its own steady clock."""

    me: str
    peer: str
    cluster: str
    mode: Mode = Mode.SYNC
    timing: Timing = Timing()
    arbitrates: bool = True
    """The register is at a third place: it decides a partition."""
    founds: bool = False
    """This server may write the first record: the pair was founded here."""
    consents: bool = False
    """Without a third place: this host's agent vouches that nobody was given a proof against us."""
    role: Role = Role.PASSIVE
    epoch: int = 0
    """The highest epoch promised; while active, our reign's."""
    position: Position = ORIGIN
    record: Record | None = None
    version: int = 0
    read_s: float = LONG_AGO_S
    """When the register last answered."""
    asked_s: float = LONG_AGO_S
    """When it was last asked."""
    trouble: str = ""
    """Why the register can't be used, or why what it says can't be true."""
    trouble_since_s: float = 0.0
    change: Change | None = None
    linked: bool = False
    gone_s: float = LONG_AGO_S
    """Since when the other server is not linked."""
    heard_s: float = LONG_AGO_S
    peer_role: Role = Role.PASSIVE
    peer_epoch: int = 0
    peer_position: Position = ORIGIN
    cut_back: bool = False
    """Frames that had been kept were cut from this journal for damage: people may have been told of them."""
    peer_was_at: Position = ORIGIN
    """What the other server's disk held before it came with less, in sync by R: it has to be taken out first."""
    requires: bool = False
    """R1: the other server's disk is waited for before anybody is told."""
    lease_until_s: float = LONG_AGO_S
    doubt_s: float = LONG_AGO_S
    """Since when this server may be somebody's past; cleared by whoever can know."""
    proof: Proof | None = None
    proof_asked_s: float = LONG_AGO_S
    stands_back_until_s: float = LONG_AGO_S
    excused_until_s: float = LONG_AGO_S
    """The other server said that it would be away until then."""
    maintenance_until_s: float = LONG_AGO_S
    forced: Proof | None = None
    forced_s: float = LONG_AGO_S
    """When the operator said so."""
    yielding_since_s: float = LONG_AGO_S
    ending: bool = False
    """Yielding, and the engine has been told to stop: there is no way back."""
    leaves: Leaving | None = None


# --- rights ---------------------------------------------------------------------------------------------------


def is_in_sync(view: View, who: str) -> bool:
    """R names it: it holds everything that was acknowledged."""
    return view.record is not None and who in view.record.in_sync


def learned(view: View, record: Record, version: int, now_s: float) -> View:
    """This record stands. What we did not know of may have been written just now, with a lease for whoever wrote it:
    it has to be waited for from here on, whenever the other server was heard last.
    """
    new = record.active == view.peer and version != view.version
    heard_s = max(view.heard_s, now_s) if new else view.heard_s
    return replace(view, record=record, version=version, heard_s=heard_s)


def is_empty(view: View) -> bool:
    """Not one frame, so no configuration either: it has joined and never followed, or its disk was emptied."""
    return view.position.seq == 0


def was_set_back(view: View) -> bool:
    """R says that this server held more: an old copy of its disk was put in place."""
    return (
        is_in_sync(view, view.me) and view.record is not None and is_before(view.position, view.record.holds)
    )


def is_whole(view: View) -> bool:
    """R names this server in sync, and its disk holds what R counts on."""
    return is_in_sync(view, view.me) and not was_set_back(view) and not view.cut_back


def is_before(one: Position, other: Position) -> bool:
    """It lies before the other in the order of epochs and numbers, whatever their histories."""
    return (one.epoch, one.seq) < (other.epoch, other.seq)


def is_alone(view: View) -> bool:
    """R says for certain that nobody but us may act."""
    return view.record is not None and view.record.in_sync == (view.me,) and view.change is None


def is_in_doubt(view: View) -> bool:
    """This process was paused, and nobody has confirmed it since."""
    return view.doubt_s > LONG_AGO_S


def may_speak(view: View, now_s: float) -> bool:
    """R8: readers may be answered and neighbours called. Safety of acknowledgements does not rest on this."""
    if view.role not in (Role.ACTIVE, Role.YIELDING) or is_in_doubt(view):
        return False
    return is_alone(view) or now_s < view.lease_until_s


def waits_for_peer(view: View) -> bool:
    """R1: an acknowledgement needs the other server's disk."""
    return view.mode is not Mode.ASYNC and (view.requires or view.mode is Mode.STRICT)


def may_acknowledge(view: View, now_s: float) -> bool:
    """Frames that everybody holds who must may be spoken of. In async mode the lease stands in for R1."""
    return view.mode is not Mode.ASYNC or may_speak(view, now_s)


# --- guards of the passive ------------------------------------------------------------------------------------


class Reason(StrEnum):
    """Why a server claims the next epoch."""

    FOUND = "founds the pair"
    RESUME = "was active and has started again"
    YIELDED = "the active has handed over"
    PROVEN = "the active is proven to have stopped"
    SILENT = "the active has been silent for longer than its lease"
    FORCED = "an operator says so"


def claim_reason(view: View, now_s: float) -> Reason | None:
    """Why this server ought to claim now, going by what it knows; None when it ought not."""
    record, proof = view.record, view.proof
    if is_in_doubt(view) or is_empty(view):
        return None
    if view.forced is not None:
        return Reason.FORCED
    if record is None:
        return Reason.FOUND if view.founds and not view.trouble and not view.cut_back else None
    if not is_whole(view) or now_s < view.stands_back_until_s:
        return None
    if record.active == view.me:
        return Reason.RESUME if _may_resume(view, now_s) else None
    if proof is not None and proof.epoch >= record.epoch and _holds_all(view, proof):
        if proof.witness is Witness.ITSELF:
            return Reason.YIELDED
        return Reason.PROVEN if now_s >= _patience_s(view) else None
    silent_s = view.heard_s + view.timing.taker_s + view.timing.failover_after_s
    if view.arbitrates and now_s >= max(silent_s, _patience_s(view)):
        return Reason.SILENT
    return None


def fences(view: View, now_s: float) -> bool:
    """Without a third place a silent host may be ended, once both safety and policy have waited long enough.

    In strict mode alone: else the active may have gone on by itself since the cut, and a fence does not say how far;
    what it told people then would be lost without a word.
    """
    if view.role is not Role.PASSIVE or view.arbitrates or view.mode is not Mode.STRICT:
        return False
    silent_s = view.heard_s + view.timing.taker_s + view.timing.failover_after_s
    return now_s >= max(silent_s, _patience_s(view))


def _patience_s(view: View) -> float:
    """Policy: until when a stopped active is waited for."""
    return max(
        view.gone_s + view.timing.failover_after_s if not view.linked else LONG_AGO_S,
        view.excused_until_s,
        view.maintenance_until_s,
    )


def _may_resume(view: View, now_s: float) -> bool:
    """R7. Who is known to hold more than we do goes first; without a third place the other server is asked."""
    if view.linked:
        return view.peer_role is not Role.ACTIVE and not is_behind(view)
    if view.proof is not None or view.consents:
        return True
    alone = view.record is not None and view.record.in_sync == (view.me,)
    return view.arbitrates and (alone or now_s >= view.heard_s + view.timing.beacon_s * 2)


def is_behind(view: View) -> bool:
    """The other server, in sync by R, holds more than we do: our disk is not the one we had."""
    return is_in_sync(view, view.peer) and is_before(view.position, view.peer_position)


def _holds_all(view: View, proof: Proof) -> bool:
    """A proof names how far the stopped journal went. Where acknowledgements wait for both disks, R says enough."""
    if proof.accept_loss or view.mode is not Mode.ASYNC or view.arbitrates:
        return True
    return proof.position is not None and view.position.seq >= proof.position.seq


def possible_loss(view: View, released_seq: int) -> int:
    """How many acknowledged frames would be lost if this host vanished now."""
    return max(0, released_seq - view.peer_position.seq)


# --- alarms ---------------------------------------------------------------------------------------------------


def alarms(view: View, now_s: float) -> dict[str, str]:
    """What a person should know about the pair now; gone when it is mended."""
    found: dict[str, str] = {}
    alert_s = view.timing.alert_after_s
    if view.trouble and now_s >= view.trouble_since_s + alert_s:
        found["register"] = f"The register can't be used: {view.trouble}"
    if not view.linked and now_s >= max(view.gone_s + alert_s, view.excused_until_s):
        found["peer"] = f"{view.peer} is not there. Nothing is kept on a second disk."
    elif view.role is Role.ACTIVE and view.linked and not is_in_sync(view, view.peer):
        found["catching-up"] = f"{view.peer} does not hold everything yet; it can't take over."
    if view.record is not None and view.role is Role.PASSIVE and view.me not in view.record.in_sync:
        found["not-in-sync"] = f"{view.me} does not hold everything yet; it can't take over."
    if view.role is Role.PASSIVE and was_set_back(view):
        found["set-back"] = (
            f"{view.me} holds less than it did when the register was written: an old copy of its disk was put in "
            f"place. It follows {view.peer} when that one acts, and never takes over by itself."
        )
    if view.cut_back:
        found["cut-back"] = (
            f"Frames that {view.me} had kept were damaged and are set aside. It follows {view.peer} until it has them "
            "again, and never takes over by itself before."
        )
    if view.forced is not None:
        found["forced"] = (
            f"An operator has put {view.me} in charge ({view.forced.why}), and the register has not answered yet. "
            f"After {view.timing.force_s:g} s this is given up."
        )
    if is_in_doubt(view):
        found["doubt"] = f"{view.me} was paused and waits to hear that it may go on."
    if view.mode is Mode.STRICT and view.role is Role.ACTIVE and not view.linked:
        found["strict"] = f"In strict mode nothing is acknowledged without {view.peer}."
    return found
