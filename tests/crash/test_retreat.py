"""Going back: what is taken out is set aside, and a crash at any moment leaves a prefix that reaches far enough."""

import pytest

from meetkeeper.codec import snapshot
from meetkeeper.core.errors import Refused
from meetkeeper.ha.words import ORIGIN, Position
from meetkeeper.store import checkpoint
from meetkeeper.store.check import check
from meetkeeper.store.database import Database
from meetkeeper.store.retreat import keep_aside, retreat
from meetkeeper.testing.disk import CrashDisk, Files
from tests.crash.harness import LIMITS, Life, plan_of


class Lived:
    """A folder with two snapshots and frames after them, and the position and digest after each seq."""

    def __init__(self) -> None:
        disk, life = CrashDisk(), Life()
        database = Database.open(disk, LIMITS)
        life.history = (snapshot.digest_of(database.state),)
        self.positions = [ORIGIN]
        life.reign(database)
        self.positions.append(database.position)
        for number in range(14):
            life.commit(database, plan_of(number))
            self.positions.append(database.position)
            if number in {2, 6}:
                database.checkpoint()
            life.flush(database)
        database.close()
        self.files = disk.files()
        self.history = life.history
        self.base = checkpoint.snapshots_of(disk)[0]


LIVED = Lived()


def reopened(files: Files) -> tuple[int, str]:
    """Where the folder opens, after the checker has been silent about it."""
    disk = CrashDisk.holding(files)
    assert [one for one in check(disk) if one.severity != "note"] == []
    database = Database.open(disk, LIMITS)
    return database.position.seq, snapshot.digest_of(database.state)


@pytest.mark.parametrize("seq", range(LIVED.base, len(LIVED.positions)))
def test_what_came_later_is_set_aside(seq: int) -> None:
    """Back at any position from the older snapshot on, the state is that of then, and every later byte is set aside."""
    disk = CrashDisk.holding(LIVED.files)
    paths = retreat(disk, LIVED.positions[seq])
    files = disk.files()
    assert reopened(files) == (seq, LIVED.history[seq])
    before, after = (
        b"".join(data for path, data in sorted(some.items()) if path.endswith(".log"))
        for some in (LIVED.files, files)
    )
    assert after + b"".join(files[path] for path in paths) == before
    assert retreat(disk, LIVED.positions[seq]) == []


def test_a_crash_on_the_way_back_leaves_a_prefix() -> None:
    """Power may go at any moment: what opens is a prefix that holds everything up to the wanted position."""
    for seq in (LIVED.base, LIVED.base + 3, len(LIVED.positions) - 2):
        disk = CrashDisk.holding(LIVED.files)
        found: set[frozenset[tuple[str, bytes]]] = set()
        disk.on_point = lambda label, disk=disk, found=found: found.update(
            frozenset(files.items()) for files in disk.crashes()
        )
        retreat(disk, LIVED.positions[seq])
        assert len(found) > 10
        for files in found:
            again = CrashDisk.holding(dict(files))
            database = Database.open(again, LIMITS)
            assert database.position.seq >= seq
            assert snapshot.digest_of(database.state) == LIVED.history[database.position.seq]
            database.close()
            retreat(again, LIVED.positions[seq])
            assert reopened(again.files()) == (seq, LIVED.history[seq])


def test_a_position_of_another_history_is_refused() -> None:
    """Nothing is touched when the wanted position is not one of ours, or lies before everything that is left."""
    ours = LIVED.positions[-3]
    for to in (
        Position(ours.epoch, ours.seq, "0" * 32),
        LIVED.positions[LIVED.base - 1],
        Position(1, 99, ours.hash),
    ):
        disk = CrashDisk.holding(LIVED.files)
        with pytest.raises(Refused, match="the other server's snapshot"):
            retreat(disk, to)
        assert disk.files() == LIVED.files


def test_what_came_later_is_kept_where_no_way_leads_back() -> None:
    """Too old for every snapshot, but known: each byte after it is set aside, and nothing else is touched."""
    seq = LIVED.base
    disk = CrashDisk.holding(LIVED.files)
    paths = keep_aside(disk, LIVED.positions[seq])
    files = disk.files()
    journal = b"".join(data for path, data in sorted(LIVED.files.items()) if path.endswith(".log"))
    assert journal.endswith(b"".join(files[path] for path in paths))
    assert {path: data for path, data in files.items() if path in LIVED.files} == LIVED.files
    with pytest.raises(Refused, match="the other server's snapshot"):
        keep_aside(disk, Position(1, 99, "0" * 32))
