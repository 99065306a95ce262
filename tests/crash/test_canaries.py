"""Known ways to lose data, put in on purpose: a harness that misses one of them is blind there."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from unittest.mock import patch

import pytest

from meetkeeper.codec import frame
from meetkeeper.codec.frame import Frame, Why
from meetkeeper.core.plan import Plan
from meetkeeper.ha.words import Position
from meetkeeper.ports.disk import Disk, OpenFile
from meetkeeper.store import recovery
from meetkeeper.store.database import Database
from meetkeeper.store.recovery import Found
from meetkeeper.testing.disk import CrashDisk
from tests.crash.harness import Explorer, Life, Violation, whole_life


class _DeafFile:
    """A file that forgets to flush."""

    def __init__(self, file: OpenFile, deaf_to: frozenset[str]) -> None:
        self._file = file
        self._deaf_to = deaf_to
        self.append, self.close = file.append, file.close

    def flush(self, label: str) -> None:
        if label not in self._deaf_to:
            self._file.flush(label)


def deaf(*labels: str) -> type[CrashDisk]:
    """A disk that does not do these flushes: the same as a store that does not ask for them."""

    class Deaf(CrashDisk):
        def open_append(self, label: str, path: str) -> OpenFile:
            return _DeafFile(super().open_append(label, path), frozenset(labels))

        def flush_folder(self, label: str, folder: str) -> None:
            if label not in labels:
                super().flush_folder(label, folder)

    return Deaf


def _acknowledged_early() -> AbstractContextManager[object]:
    commit = Life.commit

    def hasty(life: Life, database: Database, plan: Plan) -> None:
        commit(life, database, plan)
        life.kept = database.position.seq

    return patch.object(Life, "commit", hasty)


@contextmanager
def _no_checksum() -> Iterator[None]:
    def believe(line: bytes) -> Frame | None:
        parts = line.split(b" ", 4)
        if len(parts) != 5 or not (parts[1].isdigit() and parts[2].isdigit()):
            return None
        position = Position(int(parts[1]), int(parts[2]), parts[3].decode("latin-1"))
        return Frame(position, line, len(line) - len(parts[4]))

    with patch.object(frame, "parse", believe), _no_chain():
        yield


def _no_chain() -> AbstractContextManager[object]:
    follows = frame._follows

    def gullible(before: Position, one: Frame) -> tuple[Why, str]:
        why, said = follows(before, one)
        return (why, said) if why is not Why.CHAIN else (Why.END, "")

    return patch.object(frame, "_follows", gullible)


def _tail_not_cut() -> AbstractContextManager[object]:
    mend = recovery.mend

    def careless(disk: Disk, found: Found) -> None:
        if found.last is not None:
            found.last_size = disk.size("recover:size", found.last.path)
        mend(disk, found)

    return patch.object(recovery, "mend", careless)


def _tail_not_set_aside() -> AbstractContextManager[object]:
    return patch.object(recovery, "set_aside", lambda disk, tail: "")


def _found_not_made_durable() -> AbstractContextManager[object]:
    mend = recovery.mend

    def trusting(disk: Disk, found: Found) -> None:
        if found.tail is None:
            found.last = None
        mend(disk, found)

    return patch.object(recovery, "mend", trusting)


def _snapshot_before_its_frames() -> AbstractContextManager[object]:
    begin = Database.begin_checkpoint

    def at_once(database: Database) -> None:
        begun = begin(database)
        begun._wait_kept = lambda seq: None
        database.finish_checkpoint(begun)

    return patch.object(Database, "checkpoint", at_once)


CANARIES: dict[str, tuple[type[CrashDisk], Callable[[], AbstractContextManager[object]]]] = {
    "no flush": (deaf("journal:flush"), ExitStack),
    "acknowledged early": (CrashDisk, _acknowledged_early),
    "no folder flush": (deaf("journal:folder"), ExitStack),
    "no checksum": (CrashDisk, _no_checksum),
    "tail not cut": (CrashDisk, _tail_not_cut),
    "tail not set aside": (CrashDisk, _tail_not_set_aside),
    "found, not made durable": (CrashDisk, _found_not_made_durable),
    "snapshot not flushed before its rename": (deaf("snapshot:flush"), ExitStack),
    "rename not flushed before the journal is cut": (deaf("snapshot:folder"), ExitStack),
    "promise not flushed": (deaf("promise:folder"), ExitStack),
    "cut segment's name not flushed": (deaf("recover:folder"), ExitStack),
}


@pytest.mark.parametrize("name", CANARIES)
def test_every_canary_is_caught(name: str) -> None:
    """A store with a known bug does not survive the enumeration."""
    disk_kind, bug = CANARIES[name]
    with bug(), pytest.raises(Violation):
        Explorer(disk_kind).explore(whole_life)
