"""The view: files for people that follow the journal, show only what is kept, and find their way after a crash."""

import errno
import json
import threading

import pytest

from meetkeeper.core.changes import Founded, MeetingForgotten, MeetingStepped
from meetkeeper.core.errors import Unavailable
from meetkeeper.core.plan import Plan
from meetkeeper.core.words import MeetingId, Step
from meetkeeper.store.database import Database
from meetkeeper.store.view import MARK, View, file_of
from meetkeeper.testing.disk import CrashDisk
from tests.codec.plans import meeting_kept


class Server:
    """A database and its view, written by hand."""

    def __init__(self, disk: CrashDisk) -> None:
        self.disk = disk
        self.database = Database.open(disk)
        self.database.open_reign(self.database.promised + 1)
        self.view = View(disk, self.database)
        self.begun = self.view.begin()

    def keep(self, *plans: Plan) -> None:
        """Commit, flush, note."""
        for plan in plans:
            position = self.database.commit(plan)
            self.database.flush_now()
            self.view.note(plan, position.epoch, position.seq)

    def write(self) -> None:
        """Write until nothing waits."""
        while self.view.write_some():
            pass

    def shown(self) -> dict[str, tuple[str, str]]:
        """Id → step and subject, as the files say."""
        found = {}
        for path, data in self.disk.files().items():
            if path.startswith("view/meetings/") and path.endswith(".json"):
                told = json.loads(data)
                found[path.rpartition("/")[2].removesuffix(".json")] = (
                    told["step"],
                    told["meeting"]["subject"],
                )
        return found

    def wanted(self) -> dict[str, tuple[str, str]]:
        """The same from the state."""
        state = self.database.state
        return {row.id: (row.step.value, state.decode(row).subject) for row in state.meetings.values()}


def some_life(server: Server) -> None:
    """More meetings than a batch has files, changed, stepped and forgotten."""
    server.keep(Plan(0.0, (Founded("l1"),)))
    server.keep(*(Plan(1.0, (meeting_kept(number),)) for number in range(90)))
    server.keep(
        Plan(2.0, (meeting_kept(3, subject="Moved"), MeetingStepped(MeetingId("m4"), Step.LIVE, 1.0)))
    )
    server.keep(Plan(3.0, (MeetingForgotten(MeetingId("m5")),)))


def test_the_files_say_what_the_state_says() -> None:
    """Kept, changed, stepped and forgotten meetings are seen in the files, each in one write for many changes."""
    server = Server(CrashDisk())
    some_life(server)
    server.write()
    assert server.shown() == server.wanted()
    assert server.disk.labels.count("view:write") == 89
    server.keep(Plan(4.0, (MeetingForgotten(MeetingId("m6")),)))
    server.write()
    assert server.shown() == server.wanted()


def test_a_file_shows_only_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that is applied and not yet durable does not reach a file, though an older one is noted."""
    server = Server(CrashDisk())
    server.keep(Plan(0.0, (Founded("l1"), meeting_kept(1))))
    server.write()
    position = server.database.commit(Plan(1.0, (meeting_kept(1, subject="kept"),)))
    batch = server.database.take_batch()
    assert batch is not None
    server.database.commit(Plan(1.0, (meeting_kept(1, subject="not yet"),)))
    server.database.flush(batch)
    server.view.note(Plan(1.0, (meeting_kept(1),)), position.epoch, position.seq)
    waited: list[int] = []
    monkeypatch.setattr(server.database, "wait_kept", waited.append)
    server.write()
    assert waited == [position.seq + 1]


def test_after_a_restart_only_the_difference_is_written() -> None:
    """A view that was complete up to a frame goes on after it; after a crash nothing is missing."""
    first = Server(CrashDisk())
    some_life(first)
    first.write()
    first.keep(*(Plan(5.0, (meeting_kept(number),)) for number in range(200, 203)))
    again = Server(CrashDisk.holding(first.disk.files()))
    assert 3 <= again.begun <= 5
    again.write()
    assert again.shown() == again.wanted()


@pytest.mark.parametrize(
    "mark", [None, b"{}", b'{"lineage":"other","epoch":1,"seq":3}', b'{"lineage":"l1","epoch":9,"seq":3}']
)
def test_a_foreign_view_is_written_anew(mark: bytes | None) -> None:
    """Without a mark, or with one of another history, every file is written and files of nobody go."""
    first = Server(CrashDisk())
    some_life(first)
    first.write()
    files = {**first.disk.files(), file_of(MeetingId("nobody")): b"{}"}
    files.pop(MARK)
    if mark is not None:
        files[MARK] = mark
    again = Server(CrashDisk.holding(files))
    assert again.begun == 90
    again.write()
    assert again.shown() == again.wanted()


def test_every_crash_of_the_view_is_made_good() -> None:
    """Power may go at any moment: the next start brings the files to what the state says."""
    disk = CrashDisk()
    found: set[frozenset[tuple[str, bytes]]] = set()
    server = Server(disk)
    server.keep(Plan(0.0, (Founded("l1"),)), *(Plan(1.0, (meeting_kept(number),)) for number in range(3)))
    server.write()
    server.keep(
        Plan(2.0, (meeting_kept(1, subject="Moved"), MeetingForgotten(MeetingId("m2")), meeting_kept(7)))
    )
    disk.on_point = lambda label: found.update(frozenset(files.items()) for files in disk.crashes())
    server.write()
    assert len(found) > 20
    for files in found:
        again = Server(CrashDisk.holding(dict(files)))
        again.write()
        assert again.shown() == again.wanted()


def test_a_failure_leaves_the_work_for_later() -> None:
    """When the disk refuses a file, nothing is forgotten and nobody but the view suffers."""
    server = Server(CrashDisk())
    some_life(server)
    server.disk.fail("view:write", errno.ENOSPC, skip=10)
    with pytest.raises(Unavailable, match="view"):
        server.write()
    server.disk.heal()
    server.keep(Plan(4.0, (meeting_kept(1, subject="Later"),)))
    server.write()
    assert server.shown() == server.wanted()


def test_trouble_in_the_thread_is_told() -> None:
    """A refused file is told to whoever asked for it, and the thread goes on."""
    server, told = Server(CrashDisk()), threading.Event()
    server.view = View(server.disk, server.database, lambda trouble: told.set())
    some_life(server)
    server.disk.fail("view:write", errno.ENOSPC)
    server.view.start()
    assert told.wait(10.0)
    server.view.stop()


def test_the_thread_writes_and_stops() -> None:
    """Started, the view follows by itself; stopped, it ends at once and leaves the rest for the next start."""
    server = Server(CrashDisk())
    some_life(server)
    server.view.start()
    server.view.stop()
    server.view.stop()
    server.write()
    assert server.shown() == server.wanted()
    assert file_of(MeetingId("m1")).startswith("view/meetings/")
