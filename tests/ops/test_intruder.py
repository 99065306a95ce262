"""A server's own journal work is nobody else's hand; every other change of its files is."""

import os
from pathlib import Path

import pytest

from meetkeeper.core.errors import Refused
from meetkeeper.engine.node import Node
from meetkeeper.host.disk import RealDisk
from meetkeeper.ops import standing
from meetkeeper.ops.intruder import Intruder
from meetkeeper.store.database import Database, Limits
from tests.files.homes import NOW_S, Reign, active, booking


def test_our_own_work_is_never_taken_for_an_intruder(tmp_path: Path) -> None:
    """Appends, new segments, snapshots and removed segments are ours, looked at after each plan."""
    home = active(tmp_path)
    Reign(home).end()
    reign = Reign.__new__(Reign)
    reign.database = Database.open(RealDisk(home.path), Limits(segment_bytes_max=4_000))
    reign.node = Node(reign.database)
    reign.node.open_reign("test", "1", "1", NOW_S)
    reign.database.flush_now()
    intruder = Intruder(home.path)
    for number in range(60):
        reign.book(booking(number))
        assert intruder.look() == ""
        if number % 10 == 9:
            reign.database.checkpoint()
            assert intruder.look() == ""
    assert len(list((home.path / "databases" / "snapshot").iterdir())) == 2
    reign.end()


@pytest.mark.parametrize("how", ["replaced", "shortened", "removed", "grown", "added"])
def test_somebody_elses_hand_is_seen(tmp_path: Path, how: str) -> None:
    """Each kind of foreign write is told by the file's name; the home stands still from then on."""
    home = active(tmp_path)
    Reign(home).end()
    folder = home.path / "databases" / "journal"
    first = next(folder.glob("*.log"))
    last = folder / f"{50:019d}.log"
    last.write_bytes(b"what stands in it does not matter\n")
    intruder = Intruder(home.path)
    assert intruder.look() == ""
    if how == "replaced":
        other = folder / ".tmp"
        other.write_bytes(last.read_bytes())
        os.replace(other, last)
    elif how == "shortened":
        last.write_bytes(b"less\n")
    elif how == "removed":
        last.unlink()
    elif how == "grown":
        first.write_bytes(first.read_bytes() + b"more\n")
    else:
        (folder / f"{20:019d}.log").write_bytes(b"old\n")
    what = intruder.look()
    assert what
    refused = intruder.end(what, NOW_S)
    assert what in refused.message
    with pytest.raises(Refused, match="somebody else wrote"):
        standing.check_may_act(home.path, "")
