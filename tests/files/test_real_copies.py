"""Real rsync and real lsyncd between real homes: any copy opens, and a takeover from it has what was acknowledged."""

import random
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from meetkeeper.app.home import Home
from meetkeeper.core.errors import Refused
from meetkeeper.host.disk import RealDisk
from meetkeeper.ops import files, histories
from meetkeeper.ops.files import Wanted
from meetkeeper.ops.means import Means
from meetkeeper.store.database import Database, Limits
from tests.conftest import RequireReal
from tests.files.homes import NOW_S, Reign, active, booking, standby
from tests.files.living import (
    HAS_LSYNCD,
    HAS_RSYNC,
    Booker,
    Lsyncd,
    Rsync,
    Server,
    end_group,
    rsync,
    say,
    until,
)

SAID = "Kari, 14:05: host a was killed, its service is disabled"


@pytest.fixture
def _rsync(require_real: RequireReal) -> None:
    """rsync is here."""
    require_real("rsync", HAS_RSYNC, "apt install rsync")


@pytest.fixture
def _lsyncd(require_real: RequireReal) -> None:
    """lsyncd is here, and rsync below it."""
    require_real("rsync", HAS_RSYNC, "apt install rsync")
    require_real("lsyncd", HAS_LSYNCD, "apt install lsyncd")


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    """An active server and its standby by files."""
    one, other = Server(tmp_path, "a"), Server(tmp_path, "b", of="a")
    yield one, other
    one.kill()
    other.kill()


def held(home: Home) -> dict[str, str]:
    """Meetings and their aliases, as a copy opens right now."""
    state = Database.inspect(RealDisk(home.path)).state
    return {kept.id: kept.alias or "" for kept in state.meetings.values()}


@pytest.mark.usefixtures("_rsync")
def test_copies_caught_at_any_moment_open(servers: tuple[Server, Server]) -> None:
    """Looked at while rsync writes, the copy is a prefix with all that was acknowledged before its last whole copy."""
    one, other = servers
    one.start()
    booker, tool = Booker(one), Rsync(one.home, other.home)
    until(lambda: len(tool.finished) > 1, "rsync finished no copy")
    dice, looks, last = random.Random(7), 0, 0
    deadline = time.monotonic() + 4
    while time.monotonic() < deadline:
        begun_s = tool.finished[-1][0]
        wanted = booker.before(begun_s)
        found = Database.inspect(RealDisk(other.home.path))
        assert found.position.seq >= last
        assert wanted.keys() <= found.state.meetings.keys()
        last, looks = found.position.seq, looks + 1
        time.sleep(dice.uniform(0, 0.02))
    booker.stop()
    tool.stop()
    assert looks > 20
    assert len(booker.acknowledged) > 100


@pytest.mark.usefixtures("_rsync")
def test_copies_that_were_broken_off_open(tmp_path: Path) -> None:
    """rsync killed in the middle of a file leaves what opens as before or as after; its remains are named."""
    one, other = active(tmp_path), standby(tmp_path)
    reign = Reign(one)
    dice, remains = random.Random(11), 0
    seqs = {0}
    for number in range(16):
        reign.book(*(booking(number * 40 + index) for index in range(40)))
        seqs.add(reign.database.kept.seq)
        process = subprocess.Popen(
            rsync(one.path, other.path, "--bwlimit=1m", "--whole-file")[0],
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(dice.uniform(0.02, 0.2))
        end_group(process)
        if any((other.path / "databases").rglob("*.log")):
            found = Database.inspect(RealDisk(other.path))
            assert found.position.seq in seqs
        half = [name for name in (other.path / "databases" / "journal").glob(".*") if name.is_file()]
        if half:
            remains += 1
            with pytest.raises(Refused, match="half-written"):
                files.take_over(other.path, "a", Wanted(text=SAID), Means(settle_s=0.0))
    reign.end()
    assert remains > 2


@pytest.mark.usefixtures("_rsync")
def test_copies_across_snapshots_open(tmp_path: Path) -> None:
    """Segments and snapshots that come and go under rsync's hands leave no moment without a base."""
    one, other = active(tmp_path), standby(tmp_path)
    reign = Reign(one)
    reign.end()
    database = Database.open(RealDisk(one.path), Limits(segment_bytes_max=30_000))
    reign.database = reign.node.database = database
    reign.node.open_reign("test", "1", "1", NOW_S)
    done, taken = Event(), 0
    tool = Rsync(one, other)

    def live() -> None:
        nonlocal taken
        number = 0
        while not done.is_set():
            reign.book(*(booking(number + index) for index in range(30)))
            number += 30
            database.checkpoint()
            taken += 1
            time.sleep(0.25)

    living = Thread(target=live, daemon=True)
    living.start()
    until(lambda: len(tool.finished) > 1, "rsync finished no copy")
    last, looks, deadline = 0, 0, time.monotonic() + 3
    while time.monotonic() < deadline:
        position = histories.opened(other.path).position
        assert position.seq >= last
        last, looks = position.seq, looks + 1
    done.set()
    living.join()
    stood_s = time.monotonic()
    until(lambda: tool.whole_since(stood_s), "rsync did not finish")
    tool.stop()
    assert taken > 4
    assert looks > 20
    assert held(other) == held(one)
    database.close()


def away_and_home(
    one: Server, other: Server, tool: Rsync | Lsyncd, again: Callable[[], Rsync | Lsyncd]
) -> None:
    """Kill the active, take over, book on, fail back: every acknowledged meeting, every URI."""
    booker = Booker(one)
    until(lambda: len(booker.acknowledged) > 150, "nobody was answered")
    one.kill()
    booker.stop()
    killed_s = time.monotonic()
    until(lambda: tool.whole_since(killed_s), "the last copy did not come")
    tool.stop()
    before = booker.before(killed_s)
    told = say("run", other.home.path, check=False)
    assert told.returncode != 0
    assert "--proof" in told.stderr
    rehearsed = say("start", other.home.path, "--proof", SAID, "--dry-run", "--settle", "0.3").stdout
    assert "Nothing was changed." in rehearsed
    other.start("start", str(other.home.path), "--proof", SAID, "--settle", "0.3")
    there = other.meetings()
    assert before.items() <= there.items()
    later = Booker(other, first=100_000 - 100_000 % 40)
    until(lambda: len(later.acknowledged) > 30, "nobody was answered")
    later.stop()
    there |= later.before(time.monotonic())
    other.stop()
    say("stop-proof", other.home.path)
    words = ("failback", one.home.path, "--files", "--from", other.home.path, "--yes", "--settle", "0.3")
    assert "say this again" in say(*words).stdout
    one.start()
    assert one.meetings() == there
    tool = again()
    until(lambda: histories.opened(other.home.path).position.epoch > 4, "no copy of the new reign came")
    assert "The failback is finished." in say(*words).stdout
    tool.stop()
    assert "--proof" in say("run", other.home.path, check=False).stderr


@pytest.mark.slow
@pytest.mark.usefixtures("_rsync")
def test_away_and_home_with_rsync(servers: tuple[Server, Server]) -> None:
    """Failover and failback over `rsync -a --delete` in a loop lose nothing that was copied, and no URI changes."""
    one, other = servers
    one.start()
    away_and_home(one, other, Rsync(one.home, other.home), lambda: Rsync(one.home, other.home))


@pytest.mark.slow
@pytest.mark.usefixtures("_lsyncd")
def test_away_and_home_with_lsyncd(servers: tuple[Server, Server], tmp_path: Path) -> None:
    """The same over lsyncd, which carries what is closed."""
    one, other = servers
    one.start()
    away_and_home(
        one, other, Lsyncd(one.home, other.home, tmp_path), lambda: Lsyncd(one.home, other.home, tmp_path)
    )


@pytest.mark.slow
@pytest.mark.usefixtures("_rsync")
def test_a_file_tool_that_was_not_stopped_is_noticed(tmp_path: Path, servers: tuple[Server, Server]) -> None:
    """One late copy over an acting server's files ends it within seconds, and it does not start again by itself."""
    old, other = active(tmp_path, "old"), servers[1]
    reign = Reign(old)
    reign.book(*map(booking, range(3)))
    reign.end()
    for words in rsync(old.path, other.home.path):
        subprocess.run(words, check=True)
    other.start("start", str(other.home.path), "--proof", SAID, "--settle", "0")
    time.sleep(2.5)
    assert other.process is not None
    assert other.process.poll() is None, other.log.read_text()
    for words in rsync(old.path, other.home.path):
        subprocess.run(words, check=True)
    until(lambda: "Somebody else writes into" in other.log.read_text(), "nobody noticed")
    until(lambda: "was replaced): a file tool" in other.log.read_text(), "it was not started again")
    other.kill()
    assert "was replaced" in say("run", other.home.path, check=False).stderr
    assert other.log.read_text().count("server.ready") == 1


@pytest.mark.usefixtures("_rsync")
def test_a_loop_that_has_nothing_to_copy_is_found_by_the_probe(tmp_path: Path) -> None:
    """The source stands still, so no file moves; what nobody knows is deleted all the same, each time."""
    one, other = active(tmp_path), standby(tmp_path)
    reign = Reign(one)
    reign.book(*map(booking, range(3)))
    reign.end()
    tool = Rsync(one, other)
    until(lambda: len(tool.finished) > 1, "rsync finished no copy")
    for _ in range(5):
        with pytest.raises(Refused, match="was taken away"):
            files.take_over(other.path, "a", Wanted(text=SAID), Means(settle_s=5.0))
    tool.stop()
    assert files.take_over(other.path, "a", Wanted(text=SAID), Means(settle_s=0.2)).finished
