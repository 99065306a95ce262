"""How far a journal has come, told without a State: the same position that opening it would find."""

import random
from collections.abc import Iterator

import pytest

from meetkeeper.core.errors import Corrupt, MeetkeeperError
from meetkeeper.core.plan import Plan
from meetkeeper.ha.words import ORIGIN
from meetkeeper.store import recovery
from meetkeeper.store.database import Database, Limits
from meetkeeper.store.tail import last_position
from meetkeeper.testing.disk import CrashDisk
from tests.codec.plans import every_plan, meeting_kept

SMALL = Limits(segment_bytes_max=1_500)


def built(disk: CrashDisk, limits: Limits = SMALL) -> Iterator[Database]:
    """A database that grows: after every flush, over several segments and two snapshots."""
    database = Database.open(disk, limits)
    database.open_reign(3)
    yield database
    for number, plan in enumerate(every_plan()):
        database.commit(plan)
        database.flush_now()
        yield database
        if number in (5, 9):
            database.checkpoint()
            yield database
    for number in range(40):
        database.commit(Plan(float(number), (meeting_kept(number),)))
        database.flush_now()
    yield database


def test_it_is_where_the_database_is() -> None:
    """At every step of a growing database, also right after a snapshot, when the last segment may be empty."""
    disk = CrashDisk()
    assert last_position(disk) == ORIGIN
    for database in built(disk):
        assert last_position(disk) == database.kept


def test_it_is_where_recovery_will_be_after_a_crash() -> None:
    """Whatever a crash leaves of a frame in flight: both find the same end, or both refuse."""
    torn = 0
    for seed in range(60):
        disk = CrashDisk()
        *_, database = built(disk)
        database.commit(Plan(1.0, (meeting_kept(1_000),)))
        batch = database.take_batch()
        assert batch is not None
        file = disk.open_append("test:open", recovery.segments_of(disk)[-1].path)
        file.append("test:append", b"".join(batch.lines))
        left = disk.crash(random.Random(seed))
        try:
            found = recovery.read(left)
        except MeetkeeperError:
            with pytest.raises(MeetkeeperError):
                last_position(left)
            continue
        torn += found.tail is not None
        assert last_position(left) == found.position
    assert torn, "no seed tore the last frame, so nothing was tried"


def test_a_damaged_end_has_no_position() -> None:
    """A kept frame that was damaged afterwards: nobody can say how far this came."""
    disk = CrashDisk()
    *_, _database = built(disk, Limits())
    path = recovery.segments_of(disk)[-1].path
    data = bytearray(disk.read("test:read", path))
    lines = bytes(data).split(b"\n")
    assert len(lines) > 3, "the last segment must hold a frame that says the first one was kept"
    data[len(lines[0]) // 2] ^= 1
    disk.write_new("test:write", path, bytes(data))
    with pytest.raises(Corrupt, match="how far"):
        last_position(disk)
    with pytest.raises(Corrupt):
        recovery.read(disk)
