"""Failback by files: the HA guide's seven steps, each checked, each journalled, none leaving a home half-swapped.

    1 the service on the passive has stopped      a proof of stop in its home, or the operator's word
    2 the service on the active has stopped       its lock is ours, and it may not be started from here on
    3 the copying has stopped                     both folders at rest, and the operator's word
    4 the service on the active has stopped       looked at once more, just before anything is changed
    5 copy all files from the passive             side folder, checksums, opened, compared, swapped; the old copy kept
    6 start the service on the active             it answers
    7 start the copying                           the first copy has arrived, or the operator's word

Place in the journey: `meetkeeper failback HOME --files --from FOLDER`, run on the server that becomes active again.
Rules: HOME may not run between steps 2 and 5; each step stands in `local/failback.json`; run again after an
interruption it ends the same. What HOME held and the other history does not is set aside first, for `ops.aside`.
"""

import os
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from meetkeeper.core.errors import Corrupt, Refused
from meetkeeper.ha.words import Position
from meetkeeper.host.disk import RealDisk
from meetkeeper.ops import copies, histories, standing
from meetkeeper.ops.copies import CONFIG, DATABASES, Manifest
from meetkeeper.ops.durable import read_record
from meetkeeper.ops.files import STOP_PROOF as PROOF
from meetkeeper.ops.files import TAKEOVER, archive, read_stop_proof
from meetkeeper.ops.histories import Comparison
from meetkeeper.ops.means import Done, Means, check_stopped, file_stamp, moment, place
from meetkeeper.ops.standing import Stance, Standing
from meetkeeper.store import checkpoint, journal, promises, recovery
from meetkeeper.store.recovery import Tail
from meetkeeper.store.trouble import translated

FAILBACK = "local/failback.json"
REPLACED = "local/replaced"
INCOMING = "databases.incoming"
"""The side folder: a home's `databases/` and `config/config.json` beside our own, on the same file system."""

TITLES = {
    1: "the service on the passive has stopped",
    2: "the service on the active has stopped",
    3: "the copying has stopped",
    4: "the service on the active is still stopped",
    5: "copy all files from the passive to the active",
    6: "start the service on the active",
    7: "start the copying from the active to the passive",
}
STATED = 'stated: "'
Confirm = Callable[[int, str], str]
"""Ask a person about a step: number and question; the answer in their own words. Raises `Refused` without one."""
Answers = Callable[[], str]
"""Ask the server of this home how it does; what it says, empty when it does not answer as the active one."""


class Failback(Struct, frozen=True):
    """A failback as its journal has it. `replaced` is where the old copy is kept; empty before it is known."""

    source: str
    at_s: float
    by: str
    accept_loss: str = ""
    steps: tuple[Done, ...] = ()
    manifest: Manifest | None = None
    position: Position | None = None
    """Where the copied history ends."""
    aside: tuple[str, ...] = ()
    """What of the old copy was set aside."""
    verified: bool = False
    """The swapped files were read back where they stand now."""
    swapped: bool = False
    proof: Position | None = None
    """What the other server's proof of stop said."""
    finished: bool = False

    def done(self, step: str) -> bool:
        """True when a step has been taken."""
        return any(one.step == step for one in self.steps)

    def stated(self, step: str) -> str:
        """What somebody said about a step before an interruption; empty when nobody did."""
        said = next((one.said for one in self.steps if one.step == step), "")
        return said.partition(STATED)[2].rstrip('"')

    @property
    def replaced(self) -> str:
        """Where the old copy goes, below the home."""
        return f"{REPLACED}/{file_stamp(self.at_s)}"


class Route(Struct, frozen=True, kw_only=True):
    """From where to where, and what was said about it."""

    home: Path
    source: Path
    standby_of: str
    accept_loss: str = ""


def fail_back(route: Route, confirm: Confirm, answers: Answers, means: Means) -> Failback:
    """Go as far as it goes: after step 5 the service must be started, after that this is said again.

    Raises `Refused` or `Corrupt` with what to do, `Unavailable` for a disk that fails; until the swap nothing of the
    old copy has been changed.
    """
    with translated(RealDisk(route.home), "failing back", INCOMING):
        return _fail_back(route, confirm, answers, means)


def _fail_back(route: Route, confirm: Confirm, answers: Answers, means: Means) -> Failback:
    failback = _begun(route, means)
    if not failback.swapped:
        failback = _until_swapped(route, failback, confirm, means)
    else:
        for one in failback.steps:
            means.tell(f"{one.step}/7  {TITLES[int(one.step)]}: done {moment(one.at_s)}")
    if failback.finished:
        return failback
    _release(route, failback, means)
    return _until_finished(route, failback, confirm, answers, means)


def read(home: Path) -> Failback | None:
    """The failback that was begun last here, None without one."""
    found = read_record(home / FAILBACK, Failback)
    return found if isinstance(found, Failback) else None


def _begun(route: Route, means: Means) -> Failback:
    """The failback that goes on, or a new one."""
    found = read(route.home)
    if found is not None and not found.finished:
        if found.source != str(route.source):
            raise Refused(
                "files.failback",
                f"A failback from {found.source} is under way here since {moment(found.at_s)}. Finish that one first: "
                f"--from {found.source}.",
            )
        if route.accept_loss and not found.swapped:
            found = replace(found, accept_loss=route.accept_loss)
        return found
    if route.source.resolve() == route.home.resolve():
        raise Refused("files.source", "--from is this very home. Name the other server's.")
    if found is not None:
        proof = read_stop_proof(route.source)
        if found.source == str(route.source) and (proof is None or proof.position == found.proof):
            return found
        archive(route.home, FAILBACK, found.at_s, means.hands)
    return Failback(str(route.source), means.now_s(), means.by, route.accept_loss)


# --- steps 1 to 5 ----------------------------------------------------------------------------------------------------


def _until_swapped(route: Route, failback: Failback, confirm: Confirm, means: Means) -> Failback:
    home, disk = route.home, RealDisk(route.home)
    said = _passive_stopped(route, failback, confirm)
    proof = read_stop_proof(route.source)
    failback = replace(failback, proof=None if proof is None else proof.position)
    failback = _step(home, failback, 1, said, means)
    check_stopped(home, "Stop it, and keep the machine from starting it again before step 6.")
    disk.make_folder("failback:local", "local")
    if disk.lock("failback:lock", "local/lock") is not None:
        check_stopped(home, "Stop it.")
    try:
        why = f"it was begun on {moment(failback.at_s)} from {failback.source}"
        standing.write(home, Standing(Stance.FAILBACK, why, failback.at_s), means.hands)
        failback = _step(
            home, failback, 2, "its lock is held here, and it may not be started before step 6", means
        )
        if means.remove_leftovers:
            for folder in (home, route.source):
                for path in copies.remove_leftovers(folder, means.hands):
                    means.tell(f"     removed {folder / path}")
        failback = _step(home, failback, 3, _copying_stopped(route, failback, confirm, means), means)
        said = _passive_still_stopped(route) + "the active's lock is still held here"
        failback = _step(home, failback, 4, said, means)
        return _copied(route, failback, means)
    finally:
        disk.unlock("failback:unlock", "local/lock")


def _passive_stopped(route: Route, failback: Failback, confirm: Confirm) -> str:
    """Step 1. Raises `Refused` while the passive runs or might, or when nobody vouches for its stop."""
    source = route.source
    check_stopped(source, f"Stop it, then run `meetkeeper stop-proof {source}`.")
    proof = read_stop_proof(source)
    if proof is not None and (source / standing.FILE).exists():
        stands = standing.read(source, "")
        position = histories.opened(source).position
        if proof.position == position and stands.stance is Stance.STANDBY:
            return f"its proof of stop of {moment(proof.at_s)} and its files agree: {place(position)}"
    if (source / "node.json").exists():
        raise Refused(
            "files.stop_proof",
            f"{source} holds no proof of stop that fits its files, so its machine might start it again. "
            f"Run `meetkeeper stop-proof {source}` there, then this again.",
        )
    words = failback.stated("1") or confirm(
        1,
        f"{source} is a bare copy without a proof of stop. Who made sure that its server has stopped and is not "
        "started again, when, how?",
    )
    return f'a bare copy without a proof of stop; {STATED}{words}"'


def _passive_still_stopped(route: Route) -> str:
    check_stopped(route.source, "It was started again. Stop it, and begin anew.")
    return "nobody runs on the passive's home; "


def _copying_stopped(route: Route, failback: Failback, confirm: Confirm, means: Means) -> str:
    """Step 3."""
    what = "from the active to the passive"
    for folder in (route.source, route.home):
        databases = folder / DATABASES
        if databases.is_dir():
            theirs = folder == route.source
            copies.check_at_rest(
                folder,
                means.settle_s,
                probe=theirs and os.access(databases, os.W_OK),
                halves=theirs,
                what=what,
                sleep=means.sleep,
            )
    words = failback.stated("3") or confirm(
        3, "Both folders are at rest. Who made sure that the file tool is stopped, when, how?"
    )
    return f'both folders were at rest for {means.settle_s:g} s; {STATED}{words}"'


def _copied(route: Route, failback: Failback, means: Means) -> Failback:
    """Step 5: aside, verified, opened, compared, set aside, swapped. Goes on where the folders show that it was."""
    home, incoming, hands = route.home, route.home / INCOMING, means.hands
    if failback.manifest is None:
        manifest = copies.copy_aside(route.source, incoming, hands)
        copies.verify(manifest, incoming)
        means.tell(
            f"     copied {len(manifest.files)} files, {manifest.size:,} bytes, read back: every checksum fits"
        )
        found = histories.opened(incoming)
        means.tell(f"     they open: {place(found.position)}, {found.meetings} meetings")
        said = _lies(route, failback, means)
        aside = _set_aside(home, incoming, means)
        failback = replace(failback, manifest=manifest, position=found.position, aside=aside)
        means.tell(f"     {said}")
        failback = _kept(home, failback, means)
    _swap(home, failback, means)
    assert failback.manifest is not None
    if not failback.verified:
        copies.verify(replace(failback.manifest, source=str(home)), home)
        failback = _kept(home, replace(failback, verified=True), means)
    position = _open_for_good(home, means)
    hands.remove(incoming)
    archive(home, TAKEOVER, failback.at_s, hands)
    archive(home, PROOF, failback.at_s, hands)
    files = 0 if failback.manifest is None else len(failback.manifest.files)
    said = f"{files} files in place, {place(position)}; the old copy is kept in {failback.replaced}"
    return _step(home, replace(failback, swapped=True, position=position), 5, said, means)


def _release(route: Route, failback: Failback, means: Means) -> None:
    """From here on the home may run."""
    if standing.read(route.home, route.standby_of).stance is not Stance.ACTING:
        why = f"the failback of {moment(failback.at_s)} brought its files"
        standing.write(route.home, Standing(Stance.ACTING, why, means.now_s()), means.hands)


def _lies(route: Route, failback: Failback, means: Means) -> str:
    """How the copied history lies to our own. Raises `Refused` for a foreign or an older one."""
    home, incoming = route.home, route.home / INCOMING
    try:
        ours = histories.opened(home)
    except (Corrupt, Refused) as trouble:
        return f"what is here can't be compared: {trouble.message}"
    theirs = histories.opened(incoming)
    if ours.lineage != theirs.lineage:
        raise Refused(
            "files.foreign",
            f"{route.source} belongs to another history (lineage {theirs.lineage}, here {ours.lineage}). Name the home "
            "of this server's partner.",
        )
    found = histories.compare(home, incoming)
    if found.kind in ("older", "same") and not failback.accept_loss:
        lost = f"{found.lost} frames less than" if found.lost else "nothing more than"
        raise Refused(
            "files.older",
            f"{route.source} holds {lost} this home: there is nothing to bring back. Name the home that was active "
            'last; to take the older one nevertheless, say --accept-loss "WHY".',
            detail={"lost": found.lost},
        )
    return _told(found)


def _told(found: Comparison) -> str:
    if found.kind == "unknown":
        return "the journals do not reach back to a common frame; everything in the old one is set aside to be compared"
    said = f"{found.gained} frames are new"
    if not found.lost:
        return f"{said}; nothing that is here is missing there"
    return f"{said}; {found.lost} frames that are here alone are set aside: `meetkeeper set-aside list`"


def _set_aside(home: Path, incoming: Path, means: Means) -> tuple[str, ...]:
    """Keep the frames that our journal holds and the other history does not. Doing it again changes nothing."""
    theirs = {line.position for line in histories.lines(incoming)}
    try:
        common = histories.compare(home, incoming).common
    except (Corrupt, Refused):
        common = None
    after = 0 if common is None else common.seq
    kept = [
        line for line in histories.lines(home) if line.position.seq > after and line.position not in theirs
    ]
    if not kept:
        return ()
    means.hands.point("set aside")
    first = kept[0].position.seq
    data = b"".join(line.data for line in kept)
    path = journal.segment_path(first)
    return (recovery.set_aside(RealDisk(home), Tail(path, 0, first, data, "replaced by a failback")),)


def _swap(home: Path, failback: Failback, means: Means) -> None:
    """Two renames and the configuration's; what the folders show says how far it came."""
    hands, incoming, replaced = means.hands, home / INCOMING, home / failback.replaced
    fresh, old = incoming / DATABASES, home / DATABASES
    if fresh.is_dir():
        if old.is_dir():
            hands.rename(old, replaced / DATABASES)
        hands.rename(fresh, old)
    if (incoming / CONFIG).is_file():
        if (home / CONFIG).is_file() and not (replaced / CONFIG).exists():
            aside = replaced / (CONFIG + ".part")
            hands.copy(home / CONFIG, aside)
            hands.rename(aside, replaced / CONFIG)
        hands.rename(incoming / CONFIG, home / CONFIG)


def _open_for_good(home: Path, means: Means) -> Position:
    """Let recovery make it durable, and promise never to act below it."""
    disk = RealDisk(home)
    for folder in (journal.FOLDER, checkpoint.FOLDER):
        disk.make_folder("failback:make", folder)
    found = recovery.read(disk)
    recovery.mend(disk, found)
    means.hands.point("promise")
    epoch = found.position.epoch + 1
    if promises.read(disk) < epoch:
        promises.write(disk, epoch)
    return found.position


# --- steps 6 and 7 ---------------------------------------------------------------------------------------------------


def _until_finished(
    route: Route, failback: Failback, confirm: Confirm, answers: Answers, means: Means
) -> Failback:
    home = route.home
    if not failback.done("6"):
        said = answers()
        if not said:
            means.tell(f"6/7  {TITLES[6]}: do it now, then run this command again")
            return failback
        failback = _step(home, failback, 6, said, means)
    if not failback.done("7"):
        failback = _step(home, failback, 7, _arrived(route, failback, confirm), means)
    return _kept(home, replace(failback, finished=True), means)


def _arrived(route: Route, failback: Failback, confirm: Confirm) -> str:
    """Step 7: the passive's folder holds a frame of the new reign, or somebody says that copying goes on."""
    assert failback.position is not None
    try:
        position = histories.opened(route.source).position
    except Refused:
        position = failback.position
    if position.epoch > failback.position.epoch:
        return f"the first copy has arrived: {place(position)}"
    words = confirm(
        7,
        f"Nothing of the new reign has arrived in {route.source} yet. Start the file tool and run this again; "
        "or, if it does not copy there, say who started it, when, how.",
    )
    return f'not seen in {route.source}; {STATED}{words}"'


def _step(home: Path, failback: Failback, number: int, said: str, means: Means) -> Failback:
    """Note a step, durably, and tell it."""
    kept = tuple(one for one in failback.steps if one.step != str(number))
    steps = (*kept, Done(str(number), means.now_s(), said))
    failback = _kept(home, replace(failback, steps=steps), means)
    means.tell(f"{number}/7  {TITLES[number]}: {said}")
    return failback


def _kept(home: Path, failback: Failback, means: Means) -> Failback:
    means.hands.write_record(home / FAILBACK, failback)
    return failback
