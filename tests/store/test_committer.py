"""The committer: many commits, one flush; everything kept is told in order; a failure is told once."""

import errno
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from meetkeeper.core.errors import MeetkeeperError, OurMistake, Unavailable
from meetkeeper.core.plan import Plan
from meetkeeper.ha.words import Position
from meetkeeper.host.disk import RealDisk
from meetkeeper.store import committer as committing
from meetkeeper.store.committer import Committer
from meetkeeper.store.database import Database
from meetkeeper.store.journal import Batch
from meetkeeper.testing.disk import CrashDisk
from tests.codec.plans import meeting_kept

TraceFunction = Callable[[FrameType, str, Any], Any]


class Told:
    """Collects what the committer says; `until` waits for it."""

    def __init__(self) -> None:
        self.kept: list[int] = []
        self.failures: list[MeetkeeperError] = []
        self._news = threading.Condition()

    def on_kept(self, position: Position) -> None:
        with self._news:
            self.kept.append(position.seq)
            self._news.notify_all()

    def on_failed(self, error: MeetkeeperError) -> None:
        with self._news:
            self.failures.append(error)
            self._news.notify_all()

    def until(self, wanted: Callable[["Told"], bool]) -> None:
        with self._news:
            assert self._news.wait_for(lambda: wanted(self), timeout=10.0)


def plan(number: int) -> Plan:
    """A plan with a meeting."""
    return Plan(float(number), (meeting_kept(number),))


def test_everything_is_kept_and_told_in_order(tmp_path: Path) -> None:
    """Commits from the deciding thread are all durable and told in rising order, several by one flush."""
    database, told = Database.open(RealDisk(tmp_path)), Told()
    database.open_reign(1)
    sent: list[int] = []
    committer = Committer(
        database, told.on_kept, told.on_failed, before_flush=lambda batch: sent.append(batch.last.seq)
    )
    committer.start()
    for number in range(500):
        database.commit(plan(number))
        committer.wake()
    told.until(lambda one: bool(one.kept) and one.kept[-1] == 500)
    assert told.kept == sorted(set(told.kept)) == sent
    committer.stop()
    committer.stop()
    database.close()
    assert Database.open(RealDisk(tmp_path)).position.seq == 500


def test_no_call_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever commits and calls is heard, at whichever line of its round the committer is just then."""
    monkeypatch.setattr(committing, "QUIET_S", 60.0)  # else its next look round would make good a lost call
    lines = 0
    while _is_heard_at(lines):
        lines += 1
    assert lines > 15


def _is_heard_at(line: int) -> bool:
    """Commit and call while the committer, called before, stands at so many lines; False when it waits by then."""
    database, told = Database.open(CrashDisk()), Told()
    database.open_reign(1)
    committer = Committer(database, told.on_kept, told.on_failed)
    called, left = False, line

    def look(frame: FrameType, event: str, argument: object) -> TraceFunction | None:
        nonlocal called, left
        if frame.f_code.co_filename != committing.__file__:
            return None
        if event == "line" and not called:
            left -= 1
            if left < 0:
                called = True
                database.commit(plan(2))
                committer.wake()
        return look

    database.commit(plan(1))
    committer.wake()
    threading.settrace(look)
    try:
        committer.start()  # from here on its thread alone commits
    finally:
        threading.settrace(None)
    told.until(lambda one: bool(one.kept) and one.kept[-1] == (2 if called else 1))
    heard = called
    committer.stop()
    assert not told.failures
    return heard


def test_stopping_flushes_what_waits(tmp_path: Path) -> None:
    """What was committed before `stop` is kept and told when it returns, woken or not."""
    database, told = Database.open(RealDisk(tmp_path)), Told()
    database.open_reign(1)
    committer = Committer(database, told.on_kept, told.on_failed)
    committer.start()
    database.commit(plan(1))
    committer.stop()
    assert told.kept == [1]
    assert database.kept.seq == 1


def test_stopping_before_starting_is_harmless() -> None:
    """A committer that never began ends at once."""
    told = Told()
    Committer(Database.open(CrashDisk()), told.on_kept, told.on_failed).stop()
    assert told.kept == []


def test_a_failure_is_told_once_and_ends_it() -> None:
    """After a failed flush the committer says so and is gone; nothing is told as kept."""
    disk, told = CrashDisk(), Told()
    database = Database.open(disk)
    database.open_reign(1)
    committer = Committer(database, told.on_kept, told.on_failed)
    committer.start()
    disk.fail("journal:flush", errno.EIO)
    database.commit(plan(1))
    committer.wake()
    told.until(lambda one: bool(one.failures))
    committer.wake()
    committer.stop()
    assert len(told.failures) == 1
    assert isinstance(told.failures[0], Unavailable)
    assert told.kept == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_broken_hook_is_a_failure() -> None:
    """A fault in what runs inside the committer is told as a failure, never passed over in silence."""
    told = Told()
    database = Database.open(CrashDisk())
    database.open_reign(1)

    def broken(batch: Batch) -> None:
        raise ZeroDivisionError

    committer = Committer(database, told.on_kept, told.on_failed, before_flush=broken)
    committer.start()
    database.commit(plan(1))
    committer.wake()
    told.until(lambda one: bool(one.failures))
    committer.stop()
    assert told.failures[0].code == "committer.broken"
    assert database.kept.seq == 0
    with pytest.raises(OurMistake, match="restart this server"):
        database.finish_checkpoint(database.begin_checkpoint())


def test_the_segment_is_closed_when_it_is_quiet() -> None:
    """After a quiet moment the open segment is closed, so that tools that carry only closed files carry it."""
    disk, told = CrashDisk(), Told()
    database = Database.open(disk)
    database.open_reign(1)
    closed = threading.Event()
    disk.on_point = lambda label: closed.set() if label == "journal:close" else None
    committer = Committer(database, told.on_kept, told.on_failed)
    committer.start()
    database.commit(plan(1))
    committer.wake()
    assert closed.wait(5.0)
    committer.stop()


def test_the_segment_is_closed_every_second_under_load() -> None:
    """With work that never pauses the segment is closed once a second by the steady clock."""
    disk, told = CrashDisk(), Told()
    database = Database.open(disk)
    database.open_reign(1)
    now_s = [0.0]
    committer = Committer(database, told.on_kept, told.on_failed, steady_s=lambda: now_s[0])
    committer.start()
    for number in range(1, 30):
        now_s[0] += 0.1
        database.commit(plan(number))
        committer.wake()
        told.until(lambda one, number=number: bool(one.kept) and one.kept[-1] == number)  # type: ignore[misc]
    committer.stop()
    assert 2 <= disk.labels.count("journal:close") <= 6


def test_a_snapshot_waits_for_its_frames() -> None:
    """A snapshot written beside the committer gets its name only after every frame in it is durable."""
    disk, told = CrashDisk(), Told()
    database = Database.open(disk)
    database.open_reign(1)
    database.commit(plan(1))
    begun = database.begin_checkpoint()
    writer = threading.Thread(target=database.finish_checkpoint, args=(begun,))
    writer.start()
    writer.join(0.05)
    assert writer.is_alive()
    assert "snapshot:rename" not in disk.labels
    committer = Committer(database, told.on_kept, told.on_failed)
    committer.start()
    committer.wake()
    writer.join(10.0)
    assert not writer.is_alive()
    committer.stop()
    assert disk.labels.index("journal:flush") < disk.labels.index("snapshot:rename")
