"""Where frames stand, as far as the journal knows: gaps that a snapshot covers are no reason to fail."""

from meetkeeper.store import journal
from meetkeeper.store.database import Database
from meetkeeper.testing.disk import CrashDisk
from tests.store.test_database import founded, meetings


def test_what_a_snapshot_covers_may_be_missing() -> None:
    """A journal without its newest segments, which a snapshot covers, tells what it holds and is silent of the rest."""
    disk = CrashDisk()
    database = founded(disk)
    for plan in meetings(1, 8):
        database.commit(plan)
        database.flush_now()
    last = database.kept.seq
    known = database.positions(range(1, last + 1))
    database.checkpoint()
    database.close()
    files = disk.files()
    logs = sorted(path for path in files if path.startswith(journal.FOLDER))
    assert len(logs) > 2
    opened = Database.open(
        CrashDisk.holding({path: data for path, data in files.items() if path not in logs[2:]})
    )
    opened.recent.clear()
    found = opened.positions(range(1, last + 1))
    assert found
    assert len(found) < last
    assert found.items() <= known.items()
