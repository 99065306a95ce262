"""Failback by files: seven steps, each checked; killed at any act and said again it ends the same."""

import errno
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from meetkeeper.app.home import Home
from meetkeeper.core.errors import Corrupt, Refused, Unavailable
from meetkeeper.ha.words import Position
from meetkeeper.host.disk import RealDisk
from meetkeeper.ops import copies, failback, files, histories, standing
from meetkeeper.ops.durable import Hands
from meetkeeper.ops.failback import Failback, Route
from meetkeeper.ops.files import Wanted
from meetkeeper.ops.means import Means
from meetkeeper.ops.standing import Stance
from meetkeeper.store.database import Database
from tests.files.homes import Reign, active, booking, copy, meetings_of, standby
from tests.files.test_takeover import Killed, Killer, everything, means


def by_word(step: int, question: str) -> str:
    """Somebody who answers whatever is asked."""
    return f"Kari looked at it, step {step}"


def nobody(step: int, question: str) -> str:
    """Nobody is there to answer."""
    raise Refused("files.confirm", f"Step {step}: {question}")


def silence() -> str:
    """No server answers yet."""
    return ""


class Pair:
    """Two homes after a failover: `a` has stopped with a tail nobody copied, `b` took over, went on and stopped."""

    def __init__(self, path: Path, *, tail: int = 2) -> None:
        self.path = path
        self.a, self.b = active(path), standby(path)
        reign = Reign(self.a)
        self.before = reign.book(*map(booking, range(4)))
        copy(self.a, self.b)
        self.lost = reign.book(*map(booking, range(10, 10 + tail)))
        self.a_end = reign.end()
        files.take_over(self.b.path, "a", Wanted(text="Kari, 14:05: host a has no power"), means())
        reign = Reign(self.b)
        self.since = reign.book(*map(booking, range(20, 23)))
        self.b_end = reign.end()
        self.proof = files.stop_proof(self.b.path, "b", "a", means())

    def route(self, home: Home | None = None, accept_loss: str = "") -> Route:
        """From b to a, or to a copy of a."""
        return Route(home=(home or self.a).path, source=self.b.path, standby_of="", accept_loss=accept_loss)

    def go(
        self,
        home: Home | None = None,
        *,
        answers: Callable[[], str] = silence,
        confirm: Callable[[int, str], str] = by_word,
        point: Killer | None = None,
        told: list[str] | None = None,
        accept_loss: str = "",
    ) -> Failback:
        """Say the command."""
        return failback.fail_back(self.route(home, accept_loss), confirm, answers, means(told, point))


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """After a failover."""
    return Pair(tmp_path)


def test_all_seven_steps(pair: Pair) -> None:
    """The files come back, the old copy is kept, what was here alone is set aside; after the start it is finished."""
    told: list[str] = []
    done = pair.go(told=told)
    assert [line[0] for line in told if line[1:3] == "/7"] == list("123456")
    assert "2 frames that are here alone are set aside" in "".join(told)
    assert set(meetings_of(pair.a)) == {*pair.before, *pair.since}
    assert meetings_of(pair.a) == meetings_of(pair.b)
    kept = histories.opened(pair.a.path / done.replaced)
    assert kept.position == pair.a_end
    aside = (pair.a.path / done.aside[0]).read_bytes()
    assert aside.count(b"\n") == 2
    standing.check_may_act(pair.a.path, "")
    reign = Reign(pair.a)
    assert reign.epoch == pair.b_end.epoch + 2
    reign.end()
    copy(pair.a, pair.b)
    done = pair.go(answers=lambda: "it answers", confirm=nobody, told=told)
    assert done.finished
    assert "the first copy has arrived" in told[-1]
    assert pair.go(confirm=nobody).finished
    with pytest.raises(Refused, match="standby by files"):
        standing.check_may_act(pair.b.path, "a")


def test_a_failback_that_is_killed_anywhere_ends_the_same(pair: Pair, tmp_path: Path) -> None:
    """Killed at each act in turn: never two may act, the home never runs half-swapped, and said again it ends alike."""
    killed, wanted = 0, meetings_of(pair.b)
    seen: list[str] = []
    while True:
        trial = Home(tmp_path / f"trial-{killed}")
        shutil.copytree(pair.a.path, trial.path)
        killer = Killer(killed)
        try:
            pair.go(trial, point=killer)
            break
        except Killed:
            pass
        acts = standing.read(trial.path, "").stance is Stance.ACTING
        assert standing.read(pair.b.path, "a").stance is Stance.STANDBY
        if acts and "set aside" in killer.met:
            assert histories.opened(trial.path).position == pair.b_end, killer.met[-1]
        done = pair.go(trial)
        assert done.swapped
        assert meetings_of(trial) == wanted
        assert standing.read(trial.path, "").stance is Stance.ACTING
        assert histories.opened(trial.path / done.replaced).position == pair.a_end
        assert len(list((trial.path / "local" / "set-aside").glob("*.tail"))) == 1
        assert not (trial.path / failback.INCOMING).exists()
        shutil.rmtree(trial.path)
        seen = killer.met
        killed += 1
    assert killed > 30
    assert {"rename databases", "set aside", "promise", "remove databases.incoming"} <= set(seen) | set(
        killer.met
    )


def test_while_it_is_under_way_nothing_runs_here(pair: Pair) -> None:
    """Between the steps the home refuses to act and says what to do."""
    with pytest.raises(Killed):
        pair.go(point=Killer(30))
    with pytest.raises(Refused, match="is not finished"):
        standing.check_may_act(pair.a.path, "")


def test_a_passive_that_may_start_again_is_refused(pair: Pair) -> None:
    """A home that gave no proof of stop, or has acted since, can't be taken by anybody's word."""
    files.take_over(pair.b.path, "a", Wanted(text="Kari, 15:00: a is still down, b goes on"), means())
    with pytest.raises(Refused, match="stop-proof"):
        pair.go()
    running = Database.open(RealDisk(pair.b.path))
    with pytest.raises(Refused, match="runs on"):
        pair.go()
    running.close()


def test_a_bare_copy_is_taken_on_somebodys_word(pair: Pair, tmp_path: Path) -> None:
    """Only databases/ and config.json were brought here: what can't be checked has to be said."""
    bare = tmp_path / "bare"
    shutil.copytree(pair.b.path / "databases", bare / "databases")
    shutil.copytree(pair.b.path / "config", bare / "config")
    route = Route(home=pair.a.path, source=bare, standby_of="")
    with pytest.raises(Refused, match="Step 1"):
        failback.fail_back(route, nobody, silence, means())
    done = failback.fail_back(route, by_word, silence, means())
    assert "Kari looked at it, step 1" in done.steps[0].said
    assert meetings_of(pair.a) == meetings_of(pair.b)


def test_a_running_active_is_refused(pair: Pair) -> None:
    """Nothing is swapped under a server."""
    running = Database.open(RealDisk(pair.a.path))
    with pytest.raises(Refused, match="runs on"):
        pair.go()
    running.close()


def test_an_older_copy_is_refused(pair: Pair, tmp_path: Path) -> None:
    """A home that never went on is nothing to fail back to; accepted in words it is, and what it lacks is set aside."""
    old = standby(tmp_path, "old")
    reign = Reign(pair.a)
    copy(pair.a, old)
    reign.book(booking(30))
    reign.end()
    shutil.rmtree(old.path / "local")
    old.node_file.unlink()
    route = Route(home=pair.a.path, source=old.path, standby_of="")
    with pytest.raises(Refused, match="1 frames less"):
        failback.fail_back(route, by_word, silence, means())
    accepted = Route(home=pair.a.path, source=old.path, standby_of="", accept_loss="a's disk is not trusted")
    done = failback.fail_back(accepted, by_word, silence, means())
    assert len(done.aside) == 1


def test_another_cluster_is_refused(pair: Pair, tmp_path: Path) -> None:
    """Files of another lineage never get in."""
    strange = active(tmp_path, "strange")
    Reign(strange).end()
    files.stop_proof(strange.path, "strange", "", means())
    before = everything(pair.a.path / "databases")
    with pytest.raises(Refused, match="another history"):
        failback.fail_back(
            Route(home=pair.a.path, source=strange.path, standby_of=""), by_word, silence, means()
        )
    assert everything(pair.a.path / "databases") == before


def test_a_home_whose_disk_died_is_filled(pair: Pair) -> None:
    """What can't be read any more is kept as it is, and replaced."""
    segment = next((pair.a.path / "databases" / "journal").glob("*.log"))
    data = bytearray(segment.read_bytes())
    data[len(data) // 3] ^= 1
    segment.write_bytes(bytes(data))
    told: list[str] = []
    done = pair.go(told=told)
    assert "can't be compared" in "".join(told)
    assert meetings_of(pair.a) == meetings_of(pair.b)
    assert (pair.a.path / done.replaced / segment.relative_to(pair.a.path)).read_bytes() == bytes(data)


def test_a_copy_that_reads_back_differently_is_refused(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that gives back other bytes than were written is caught before the swap."""
    before = everything(pair.a.path / "databases")
    whole = copies.verify

    def verify(manifest: copies.Manifest, at: Path) -> None:
        segment = next((at / "databases" / "journal").glob("*.log"))
        segment.write_bytes(segment.read_bytes()[:-1] + b"?")
        whole(manifest, at)

    monkeypatch.setattr(copies, "verify", verify)
    with pytest.raises(Corrupt, match="is not what was copied"):
        pair.go()
    assert everything(pair.a.path / "databases") == before
    monkeypatch.undo()
    assert pair.go().swapped


def test_a_source_that_changes_meanwhile_is_refused(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who writes into the other home while it is copied is noticed, and the next try copies anew."""
    whole = copies.verify

    def verify(manifest: copies.Manifest, at: Path) -> None:
        with pair.b.config_file.open("ab") as file:
            file.write(b"\n")
        whole(manifest, at)

    monkeypatch.setattr(copies, "verify", verify)
    with pytest.raises(Refused, match="changed while it was watched"):
        pair.go()
    monkeypatch.undo()
    assert pair.go().swapped


def test_a_full_disk_is_said_and_the_next_try_goes_on(pair: Pair) -> None:
    """No room for the side folder: a sentence, the old copy as it was, and the same command goes on later."""
    before = everything(pair.a.path / "databases")

    def full(label: str) -> None:
        if label.endswith(".log"):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(Unavailable, match="the disk is full"):
        failback.fail_back(pair.route(), by_word, silence, Means(hands=Hands(full), settle_s=0.0))
    assert everything(pair.a.path / "databases") == before
    assert pair.go().swapped


def test_the_old_configuration_is_kept_and_the_new_one_stands(pair: Pair) -> None:
    """config.json goes with the databases."""
    pair.b.config_file.write_bytes(pair.b.config_file.read_bytes() + b"\n")
    old = pair.a.config_file.read_bytes()
    done = pair.go()
    assert pair.a.config_file.read_bytes() == pair.b.config_file.read_bytes()
    assert (pair.a.path / done.replaced / "config" / "config.json").read_bytes() == old


def test_positions_tell_how_histories_lie(tmp_path: Path) -> None:
    """Same, newer, older, diverged: by the chain hash."""
    one, other = active(tmp_path), standby(tmp_path)
    reign = Reign(one)
    reign.book(booking(0))
    copy(one, other)
    assert histories.compare(one.path, other.path).kind == "same"
    reign.book(booking(1))
    assert histories.compare(one.path, other.path).kind == "older"
    assert histories.compare(other.path, one.path).kind == "newer"
    Reign(other).end()
    found = histories.compare(one.path, other.path)
    assert (found.kind, found.lost, found.gained) == ("diverged", 1, 1)
    end = reign.end()
    assert histories.holds(one.path, end)
    assert not histories.holds(one.path, Position(end.epoch, end.seq + 1, end.hash))
