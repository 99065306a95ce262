"""`files` mode: a standby whose files an outside tool copies is started by hand, on a proof that the active stopped.

Place in the journey: `meetkeeper start` and `meetkeeper stop-proof`. The HA guide's failover is three steps: the active
has stopped, the copying has stopped, start the passive. Each is checked as far as a computer can, and the rest is the
operator's typed statement, kept with the takeover. Rules:

- nothing is changed before every check has passed; every step stands in `local/takeover.json`; run again after an
  interruption it ends the same;
- the new reign is two epochs above everything the copy holds: a stopped server that somebody starts once by mistake
  opens a lower one, and is told apart for ever;
- a stopped server that gave a proof is a standby itself until a failback or another takeover.
"""

from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from meetkeeper.core.errors import Refused
from meetkeeper.ha.words import ORIGIN, Position, Proof, Witness
from meetkeeper.host.disk import RealDisk
from meetkeeper.ops import copies, histories, standing
from meetkeeper.ops.durable import Hands, read_record
from meetkeeper.ops.histories import Opened
from meetkeeper.ops.means import Done, Means, check_stopped, file_stamp, moment, place, span
from meetkeeper.ops.standing import Stance, Standing
from meetkeeper.store import promises, recovery
from meetkeeper.store.database import Database
from meetkeeper.store.trouble import translated

TAKEOVER = "local/takeover.json"
STOP_PROOF = "local/stop-proof.json"
EARLIER = "local/earlier"
LOCAL = "local"
STATEMENT_CHARS_MIN = 20
STEPS = ("statement", "copy", "rest", "loss", "mended", "promise", "acting")


class StopProof(Struct, frozen=True):
    """What a stopped server says about itself: it does not act under this epoch again, and stands still until told."""

    server: str
    lineage: str
    position: Position
    at_s: float
    by: str


class Takeover(Struct, frozen=True):
    """A takeover as its journal has it. `promise` is 0 before an epoch has been chosen."""

    proof: Proof
    by: str
    accept_loss: str = ""
    position: Position | None = None
    promise: int = 0
    steps: tuple[Done, ...] = ()
    finished: bool = False


class Wanted(Struct, frozen=True, kw_only=True):
    """What the operator says: that the active has stopped, perhaps where, and perhaps that a loss is accepted."""

    text: str = ""
    position: Position | None = None
    accept_loss: str = ""


# --- the stopped server ----------------------------------------------------------------------------------------------


def stop_proof(home: Path, server: str, standby_of: str, means: Means) -> StopProof:
    """Make a stopped home a standby, and say how far it had come. Said again, it says the same.

    Raises `Refused`: `files.running` while a server runs here, `files.standby` for a home that never acted.
    """
    with translated(RealDisk(home), "writing the proof of stop", LOCAL):
        return _stop_proof(home, server, standby_of, means)


def _stop_proof(home: Path, server: str, standby_of: str, means: Means) -> StopProof:
    check_stopped(home, "Stop it first, and keep the machine from starting it again.")
    stands = standing.read(home, standby_of)
    given = read_record(home / STOP_PROOF, StopProof)
    if stands.stance is Stance.STANDBY:
        if isinstance(given, StopProof):
            return given
        raise Refused(
            "files.standby",
            f"{home} is a standby and has not acted: there is no stop to prove. {stands.why}.",
        )
    if stands.stance is Stance.FAILBACK:
        standing.check_may_act(home, standby_of)
    database = Database.open(RealDisk(home))
    try:
        if database.position == ORIGIN:
            raise Refused(
                "files.empty", f"{home} has never acted: there is no stop to prove. Name the right home."
            )
        database.promise(database.position.epoch)
        proof = StopProof(server, database.state.lineage, database.position, means.now_s(), means.by)
        means.hands.write_record(home / STOP_PROOF, proof)
        why = f"it stopped at epoch {proof.position.epoch}, seq {proof.position.seq}, and gave a proof of it on "
        standing.write(home, Standing(Stance.STANDBY, why + moment(proof.at_s), proof.at_s), means.hands)
        archive(home, TAKEOVER, proof.at_s, means.hands)
    finally:
        database.close()
    return proof


def read_stop_proof(home: Path) -> StopProof | None:
    """The proof of stop that stands in a home, None without one."""
    found = read_record(home / STOP_PROOF, StopProof)
    return found if isinstance(found, StopProof) else None


def archive(home: Path, name: str, at_s: float, hands: Hands) -> None:
    """Keep a finished journal under its time, so that the next one begins empty."""
    path = home / name
    if path.exists():
        hands.rename(path, home / EARLIER / f"{file_stamp(at_s)}-{path.name}")


# --- taking over -----------------------------------------------------------------------------------------------------


def take_over(home: Path, standby_of: str, wanted: Wanted, means: Means) -> Takeover:
    """Take the copied files over; afterwards `meetkeeper run` may act here. Interrupted anywhere, run it again.

    Raises `Refused` or `Corrupt` with what to do, nothing has been changed then; `Unavailable` for a disk that fails.
    """
    with translated(RealDisk(home), "taking the files over", LOCAL):
        return _take_over(home, standby_of, wanted, means)


def _take_over(home: Path, standby_of: str, wanted: Wanted, means: Means) -> Takeover:
    begun = _begun(home)
    stands = standing.read(home, standby_of)
    if stands.stance is Stance.ACTING:
        return _acting_already(home, begun, means)
    if stands.stance is Stance.FAILBACK:
        standing.check_may_act(home, standby_of)
    takeover = _stated(home, standby_of, wanted, begun, means)
    takeover = _checked(home, takeover, means, probe=True)
    check_stopped(home, "Nothing is to be taken over while it runs.")
    database = Database.open(RealDisk(home))
    try:
        return _acted(home, takeover, database, means)
    finally:
        database.close()


def rehearse(home: Path, standby_of: str, wanted: Wanted, means: Means) -> Takeover:
    """Say what `take_over` would find and do, changing nothing. Raises as it would."""
    stands = standing.read(home, standby_of)
    if stands.stance is not Stance.STANDBY:
        standing.check_may_act(home, standby_of)
        raise _no_standby(home)
    takeover = _stated(home, standby_of, wanted, None, replace_voice(means, keep=False))
    takeover = _checked(home, takeover, means, probe=False)
    found = recovery.read(RealDisk(home))
    tail = f"{len(found.tail.data):,} bytes would be set aside" if found.tail else "nothing to mend"
    epoch = _next_promise(home, takeover)
    means.tell(f"5/7 mended     {tail}")
    means.tell(f"6/7 promise    epoch {epoch} would be promised")
    means.tell(f"7/7 acting     this server would act under epoch {epoch + 1}")
    means.tell("Nothing was changed.")
    return takeover


def replace_voice(means: Means, *, keep: bool) -> Means:
    """The same means; without `keep` nothing is written down."""
    return (
        means
        if keep
        else Means(
            by=means.by,
            hands=_NoHands(),
            tell=means.tell,
            now_s=means.now_s,
            sleep=means.sleep,
            settle_s=means.settle_s,
        )
    )


class _NoHands(Hands):
    """Hands that do nothing: a rehearsal's."""

    def write_record(self, path: Path, record: Struct) -> None:
        """Nothing is kept."""


def _begun(home: Path) -> Takeover | None:
    found = read_record(home / TAKEOVER, Takeover)
    return found if isinstance(found, Takeover) else None


def _acting_already(home: Path, begun: Takeover | None, means: Means) -> Takeover:
    if begun is None:
        raise _no_standby(home)
    if not begun.finished:
        begun = _kept(home, replace(begun, finished=True), means)
    means.tell(f"This server has taken over already ({moment(begun.proof.at_s)}, {begun.by}).")
    return begun


def _no_standby(home: Path) -> Refused:
    return Refused(
        "files.no_standby",
        f"{home} is no standby by files: nothing is to be taken over. Start it with `meetkeeper run {home}`.",
    )


def _stated(home: Path, standby_of: str, wanted: Wanted, begun: Takeover | None, means: Means) -> Takeover:
    """Step 1: the operator's words, or those of the interrupted takeover that goes on."""
    if not wanted.text and begun is not None and not begun.finished:
        takeover = begun
        if wanted.accept_loss:
            takeover = replace(begun, accept_loss=wanted.accept_loss)
    else:
        text = " ".join(wanted.text.split())
        if len(text) < STATEMENT_CHARS_MIN:
            raise Refused(
                "files.statement",
                "Say in your own words that the active server has stopped: who made sure, when and how, for example "
                '--proof "Kari, 14:05: host A is powered off, its service disabled".',
            )
        at_s = means.now_s()
        epoch = wanted.position.epoch if wanted.position is not None else 0
        proof = Proof(
            standby_of, epoch, Witness.OPERATOR, wanted.position, None, text, at_s, bool(wanted.accept_loss)
        )
        takeover = Takeover(proof, means.by, wanted.accept_loss)
        if begun is not None and begun.promise and not begun.finished:
            takeover = replace(takeover, promise=begun.promise)
    said = f'{takeover.by or "somebody"}, {moment(takeover.proof.at_s)}: "{takeover.proof.why}"'
    return _step(home, takeover, "statement", said, means)


def _checked(home: Path, takeover: Takeover, means: Means, *, probe: bool) -> Takeover:
    """Steps 2 to 4: the copy opens, is at rest, and holds what it has to."""
    keep = replace_voice(means, keep=probe)
    if means.remove_leftovers and probe:
        for path in copies.remove_leftovers(home, means.hands):
            means.tell(f"               removed {path}")
    found = histories.opened(home)
    takeover = replace(takeover, position=found.position)
    takeover = _step(home, takeover, "copy", _copy_said(found, means.now_s()), keep)
    copies.check_at_rest(
        home, means.settle_s, probe=probe, what="on the active server or here", sleep=means.sleep
    )
    again = histories.opened(home)
    if again.position != found.position:
        raise Refused("files.moving", f"{home} came further while it was watched. Stop the file tool first.")
    watched = f"nothing moved for {means.settle_s:g} s"
    takeover = _step(home, takeover, "rest", watched + (", and a probe file stayed" if probe else ""), keep)
    said = _loss_said(home, takeover, found)
    return _step(home, takeover, "loss", said, keep)


def _copy_said(found: Opened, now_s: float) -> str:
    said = (
        f"{place(found.position)}; {found.meetings} meetings; last frame {span(now_s - found.last_at_s)} ago"
    )
    if found.tail_bytes:
        said += f"; {found.tail_bytes:,} bytes of half a frame at its end"
    return said + "".join(f"; {remark}" for remark in found.remarks)


def _loss_said(home: Path, takeover: Takeover, found: Opened) -> str:
    """Raises `Refused` (`files.loss`, `files.foreign`) when the copy lacks what the proof names."""
    stopped = takeover.proof.position
    if stopped is None:
        return "the proof names no position: what the stopped server held beyond this copy is not known"
    if histories.holds(home, stopped):
        return f"the copy holds everything up to seq {stopped.seq}: nothing is missing"
    lost = stopped.seq - found.position.seq
    if lost <= 0:
        raise Refused(
            "files.foreign",
            f"This copy ({place(found.position)}) does not go through {place(stopped)}: it is another history than the "
            "proof's, or the proof is an older one. Use the newest `meetkeeper stop-proof`, and the right home.",
        )
    said = f"{lost} frames after seq {found.position.seq} are on the stopped server alone"
    if not takeover.accept_loss:
        raise Refused(
            "files.loss",
            f"{said} (it stopped at seq {stopped.seq}). Let the file tool finish; if it can't, accept the loss in "
            'words: --accept-loss "WHY". They stay on that server and can be replayed after the failback.',
            detail={"lost": lost},
        )
    return f'{said}; accepted: "{takeover.accept_loss}"'


def _acted(home: Path, takeover: Takeover, database: Database, means: Means) -> Takeover:
    """Steps 5 to 7, with the home locked."""
    remarks = " ".join(database.remarks) or "nothing had to be mended"
    if recovery.SET_ASIDE in remarks:
        remarks += " In a copy it may be the half of something that was acknowledged."
    takeover = _step(home, replace(takeover, position=database.position), "mended", remarks, means)
    if not takeover.promise:
        takeover = _kept(home, replace(takeover, promise=_next_promise(home, takeover)), means)
    means.hands.point("promise")
    database.promise(takeover.promise)
    said = f"epoch {takeover.promise} is promised: nothing below it is taken any more"
    takeover = _step(home, takeover, "promise", said, means)
    archive(home, STOP_PROOF, takeover.proof.at_s, means.hands)
    why = f"it took over on {moment(takeover.proof.at_s)}"
    standing.write(home, Standing(Stance.ACTING, why, takeover.proof.at_s), means.hands)
    said = f"this server acts from here on, under epoch {takeover.promise + 1} or higher"
    return _step(home, replace(takeover, finished=True), "acting", said, means)


def _next_promise(home: Path, takeover: Takeover) -> int:
    position = takeover.position
    known = 0 if position is None else position.epoch
    return max(known, takeover.proof.epoch, promises.read(RealDisk(home))) + 1


def _step(home: Path, takeover: Takeover, step: str, said: str, means: Means) -> Takeover:
    """Note a step, durably, and tell it."""
    kept = tuple(one for one in takeover.steps if one.step != step)
    takeover = _kept(home, replace(takeover, steps=(*kept, Done(step, means.now_s(), said))), means)
    means.tell(f"{STEPS.index(step) + 1}/{len(STEPS)} {step:<10} {said}")
    return takeover


def _kept(home: Path, takeover: Takeover, means: Means) -> Takeover:
    means.hands.write_record(home / TAKEOVER, takeover)
    return takeover
