"""Taking copied files over: every check refuses with what to do, every interruption ends the same."""

import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from meetkeeper.app.home import Home
from meetkeeper.core.errors import Corrupt, Refused
from meetkeeper.ha.words import Position
from meetkeeper.host.disk import RealDisk
from meetkeeper.ops import files, standing
from meetkeeper.ops.durable import Hands
from meetkeeper.ops.files import Takeover, Wanted
from meetkeeper.ops.means import Means
from meetkeeper.ops.standing import Stance
from meetkeeper.store import promises
from meetkeeper.store.database import Database
from tests.files.homes import Reign, active, booking, copy, meetings_of, standby

SAID = Wanted(text="Kari, 14:05: host a is powered off, its service disabled")


class Killed(BaseException):
    """The process ends here."""


class Killer:
    """A point at which the process ends: the n-th act from now."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.met: list[str] = []

    def __call__(self, label: str) -> None:
        self.met.append(label)
        self.left -= 1
        if self.left < 0:
            raise Killed(label)


def means(told: list[str] | None = None, point: Killer | None = None, settle_s: float = 0.0) -> Means:
    """Quick means; `told` hears what is said."""
    hands = Hands(point) if point is not None else Hands()
    return Means(by="kari@b", hands=hands, tell=(told if told is not None else []).append, settle_s=settle_s)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Home, Home, Position]:
    """An active home that has stopped with five meetings, and its copy."""
    one, other = active(tmp_path), standby(tmp_path)
    reign = Reign(one)
    reign.book(*map(booking, range(5)))
    position = reign.end()
    copy(one, other)
    return one, other, position


def start(home: Home, wanted: Wanted = SAID, **other: object) -> Takeover:
    """Take over with quick means."""
    return files.take_over(home.path, "a", wanted, means(**other))  # type: ignore[arg-type]


def test_a_standby_does_not_run_by_itself(pair: tuple[Home, Home, Position]) -> None:
    """Before the takeover the home refuses to act and says how it is started; afterwards it acts, two epochs later."""
    _, other, position = pair
    with pytest.raises(Refused, match="meetkeeper start"):
        standing.check_may_act(other.path, "a")
    told: list[str] = []
    done = start(other, told=told)
    standing.check_may_act(other.path, "a")
    assert [line.split()[1] for line in told] == list(files.STEPS)
    assert done.promise == position.epoch + 1 == promises.read(RealDisk(other.path))
    assert Reign(other).epoch == position.epoch + 2
    assert "5 meetings" in told[1]


def test_a_copy_without_what_the_proof_names_is_refused_until_the_loss_is_accepted(tmp_path: Path) -> None:
    """The loss is said in frames; accepted in words it is kept with the takeover."""
    one, other = active(tmp_path), standby(tmp_path)
    reign = Reign(one)
    reign.book(booking(0), booking(1))
    copy(one, other)
    reign.book(booking(2), booking(3), booking(4))
    behind = reign.end()
    wanted = replace(SAID, position=behind)
    with pytest.raises(Refused, match="3 frames after seq") as refused:
        start(other, wanted)
    assert refused.value.detail == {"lost": 3}
    assert standing.read(other.path, "a").stance is Stance.STANDBY
    done = start(other, replace(wanted, accept_loss="host a burned down"))
    assert done.accept_loss == "host a burned down"
    assert len(meetings_of(other)) == 2


def test_a_proof_of_another_history_is_refused_whatever_is_accepted(
    pair: tuple[Home, Home, Position],
) -> None:
    """A position that the copy passes by with another hash is no loss but a wrong home."""
    _, other, position = pair
    wrong = Position(position.epoch, position.seq - 1, "0" * 32)
    with pytest.raises(Refused, match="another history"):
        start(other, replace(SAID, position=wrong, accept_loss="never mind that"))


def test_a_statement_of_a_few_letters_is_refused(pair: tuple[Home, Home, Position]) -> None:
    """Somebody has to say who made sure, when and how."""
    with pytest.raises(Refused, match="in your own words"):
        start(pair[1], Wanted(text="it is off"))


def test_an_empty_standby_is_refused(tmp_path: Path) -> None:
    """Where nothing was copied, nothing is taken over."""
    with pytest.raises(Refused, match="holds no frame"):
        start(standby(tmp_path))


@pytest.mark.parametrize(
    "name", [".0000000000000000001.log.Xb41zQ", "0000000000000000001.log.part", "copy.lock"]
)
def test_half_written_files_are_refused_or_removed_on_request(
    pair: tuple[Home, Home, Position], name: str
) -> None:
    """rsync's temporary files, our own and locks say that somebody writes."""
    other = pair[1]
    half = other.path / "databases" / "journal" / name
    half.write_bytes(b"half")
    with pytest.raises(Refused, match="half-written"):
        start(other)
    asked = replace_leftovers(means())
    files.take_over(other.path, "a", SAID, asked)
    assert not half.exists()


def replace_leftovers(given: Means) -> Means:
    """The same means, allowed to remove what is half-written."""
    return Means(
        by=given.by, hands=given.hands, tell=given.tell, settle_s=given.settle_s, remove_leftovers=True
    )


def test_a_tool_that_still_writes_is_seen(pair: tuple[Home, Home, Position]) -> None:
    """A file that grows while it is watched is seen, and so is one that only deletes what it does not know."""
    other = pair[1]
    segment = next((other.path / "databases" / "journal").glob("*.log"))

    def grows(_: float) -> None:
        with segment.open("ab") as file:
            file.write(b"x")

    moving = Means(by="kari@b", settle_s=0.05, sleep=grows)
    with pytest.raises(Refused, match="changed while it was watched"):
        files.take_over(other.path, "a", SAID, moving)

    def deletes(_: float) -> None:
        (other.path / "databases" / "meetkeeper-probe").unlink(missing_ok=True)

    copy(pair[0], other)
    deleting = Means(by="kari@b", settle_s=0.05, sleep=deletes)
    with pytest.raises(Refused, match="still runs and deletes"):
        files.take_over(other.path, "a", SAID, deleting)


def test_a_rehearsal_changes_nothing(pair: tuple[Home, Home, Position]) -> None:
    """Every byte of the home is as it was, and what would be done has been said."""
    other = pair[1]
    before = everything(other.path)
    told: list[str] = []
    files.rehearse(other.path, "a", replace(SAID, position=pair[2]), means(told))
    assert everything(other.path) == before
    assert told[-1] == "Nothing was changed."
    assert "nothing is missing" in "".join(told)


def everything(path: Path) -> dict[str, bytes]:
    """Each file below a folder."""
    return {str(one): one.read_bytes() for one in sorted(path.rglob("*")) if one.is_file()}


def test_a_damaged_copy_is_refused_with_the_place(pair: tuple[Home, Home, Position]) -> None:
    """A flipped byte in the middle of the journal stops the takeover before anything is changed."""
    other = pair[1]
    segment = next((other.path / "databases" / "journal").glob("*.log"))
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(bytes(data))
    before = everything(other.path / "databases")
    with pytest.raises(Corrupt, match="byte"):
        start(other)
    assert everything(other.path / "databases") == before


def test_half_a_frame_at_the_end_is_set_aside_and_said(pair: tuple[Home, Home, Position]) -> None:
    """A copy cut within its last frame opens as the frames before it; the rest is kept for people."""
    other = pair[1]
    segment = next((other.path / "databases" / "journal").glob("*.log"))
    segment.write_bytes(segment.read_bytes()[:-40])
    told: list[str] = []
    start(other, told=told)
    assert "half a frame" in told[1]
    assert list((other.path / "local" / "set-aside").glob("*.tail"))
    assert len(meetings_of(other)) == 4


def test_a_takeover_that_is_killed_anywhere_ends_the_same(
    pair: tuple[Home, Home, Position], tmp_path: Path
) -> None:
    """Killed at each act in turn and said again without the proof once it is written: one promise, one end."""
    one, other, position = pair
    wanted = replace(SAID, position=position)
    killed = 0
    while True:
        trial = Home(tmp_path / f"trial-{killed}")
        shutil.copytree(other.path, trial.path)
        killer = Killer(killed)
        try:
            start(trial, wanted, point=killer)
            break
        except Killed:
            pass
        begun = (trial.path / files.TAKEOVER).exists()
        acting = standing.read(trial.path, "a").stance is Stance.ACTING
        assert not acting or promises.read(RealDisk(trial.path)) == position.epoch + 1
        done = start(trial, Wanted() if begun else wanted)
        assert done.finished
        assert done.promise == position.epoch + 1 == promises.read(RealDisk(trial.path))
        assert standing.read(trial.path, "a").stance is Stance.ACTING
        assert meetings_of(trial) == meetings_of(one)
        killed += 1
    assert killed > 15
    assert {"promise", "write takeover.json", "rename files-standing.json.new"} <= set(killer.met)


def test_a_takeover_said_twice_is_done_once(pair: tuple[Home, Home, Position]) -> None:
    """The second time it says that it has been done."""
    other = pair[1]
    first = start(other)
    told: list[str] = []
    assert start(other, told=told).promise == first.promise
    assert "already" in told[0]


def test_nothing_is_taken_over_in_a_home_that_is_no_standby(pair: tuple[Home, Home, Position]) -> None:
    """A server by itself is started by `run`."""
    with pytest.raises(Refused, match="no standby"):
        files.take_over(pair[0].path, "", SAID, means())


def test_a_stopped_server_proves_it_and_stands_still(pair: tuple[Home, Home, Position]) -> None:
    """The proof names where the journal ends; said again it is the same; the home does not run any more."""
    one, other, position = pair
    proof = files.stop_proof(one.path, "a", "", means())
    assert proof.position == position
    assert files.stop_proof(one.path, "a", "", means()) == proof
    with pytest.raises(Refused, match="gave a proof"):
        standing.check_may_act(one.path, "")
    done = start(other, replace(SAID, position=proof.position))
    assert done.position == position


def test_a_home_that_never_acted_proves_nothing(tmp_path: Path) -> None:
    """There is no stop to prove where nothing ran."""
    with pytest.raises(Refused, match="never acted"):
        files.stop_proof(active(tmp_path).path, "a", "", means())


def test_a_running_server_proves_nothing(pair: tuple[Home, Home, Position]) -> None:
    """While somebody holds the lock there is no stop to prove, and nothing to take over."""
    one, other, _ = pair
    for home, act in (
        (one, lambda: files.stop_proof(one.path, "a", "", means())),
        (other, lambda: start(other)),
    ):
        database = Database.open(RealDisk(home.path))
        with pytest.raises(Refused, match="runs on"):
            act()
        database.close()


def test_a_server_stopped_by_mistake_comes_back_by_a_proof(pair: tuple[Home, Home, Position]) -> None:
    """After a proof of stop nobody used, the same home is started like any standby."""
    one = pair[0]
    files.stop_proof(one.path, "a", "", means())
    files.take_over(one.path, "", Wanted(text="Kari, 14:10: host b was never started"), means())
    standing.check_may_act(one.path, "")
    assert not (one.path / files.STOP_PROOF).exists()


def test_a_damaged_standing_is_refused(pair: tuple[Home, Home, Position]) -> None:
    """A flipped letter must not let a standby act."""
    other = pair[1]
    start(other)
    path = other.path / standing.FILE
    path.write_text(path.read_text().replace("acting", "standby"))
    with pytest.raises(Corrupt, match="does not say what was written"):
        standing.check_may_act(other.path, "a")
