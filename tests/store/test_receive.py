"""A snapshot that came from another server: the base of an empty folder, whole or not at all."""

import pytest

from meetkeeper.codec import snapshot
from meetkeeper.core.errors import Corrupt, Refused
from meetkeeper.core.plan import Plan
from meetkeeper.store import checkpoint
from meetkeeper.store.database import Database
from meetkeeper.testing.disk import CrashDisk
from tests.codec.plans import every_plan, meeting_kept


def theirs() -> Database:
    """The other server."""
    database = Database.open(CrashDisk())
    database.open_reign(1)
    for plan in every_plan():
        database.commit(plan)
    database.flush_now()
    return database


def test_a_received_snapshot_is_a_base() -> None:
    """After the snapshot the frames that follow it are taken, and both servers hold the same."""
    ours, other = CrashDisk(), theirs()
    seq = other.position.seq
    parts = list(snapshot.encode(snapshot.image(other.state, other.position)))
    checkpoint.receive(ours, seq, parts)
    follower = Database.open(ours)
    assert follower.position == other.position
    other.commit(Plan(1.0, (meeting_kept(80),)))
    other.flush_now()
    follower.follow(b"".join(one.line for one in other.frames_since(seq)), 1)
    assert follower.flush_now() == other.kept
    assert snapshot.digest_of(follower.state) == snapshot.digest_of(other.state)


def test_half_a_snapshot_is_not_received() -> None:
    """A transfer that broke off leaves no snapshot, and the next one succeeds."""
    ours, other = CrashDisk(), theirs()
    seq, data = other.position.seq, b"".join(snapshot.encode(snapshot.image(other.state, other.position)))
    for wrong in (data[:-1], data[: len(data) // 2], b""):
        with pytest.raises(Corrupt):
            checkpoint.receive(ours, seq, [wrong])
    with pytest.raises(Corrupt):
        checkpoint.receive(ours, seq + 1, [data])
    assert checkpoint.snapshots_of(ours) == []
    checkpoint.receive(ours, seq, [data])
    assert Database.open(ours).position == other.position


def test_a_folder_with_records_is_not_overwritten() -> None:
    """Another server's snapshot never replaces records of our own."""
    other = theirs()
    ours = CrashDisk()
    database = Database.open(ours)
    database.open_reign(1)
    database.commit(Plan(1.0, (meeting_kept(80),)))
    database.flush_now()
    before = ours.files()
    parts = snapshot.encode(snapshot.image(other.state, other.position))
    with pytest.raises(Refused, match="move the folder aside"):
        checkpoint.receive(ours, other.position.seq, parts)
    assert ours.files() == before
