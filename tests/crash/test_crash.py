"""Crashes at every moment, of the life and of the recovery, with every fate of what was not flushed."""

import errno
from collections import Counter

import pytest

from meetkeeper.testing.disk import CrashDisk
from tests.crash.harness import Explorer, Life, whole_life

pytestmark = pytest.mark.xdist_group("crash")

CASES_MIN = 150_000
"""The harness has gone blind when it finds fewer."""


@pytest.fixture(scope="module")
def explorer() -> Explorer:
    """One for all: a disk that one test has looked into need not be looked into again."""
    return Explorer()


def test_no_crash_loses_what_was_kept(explorer: Explorer) -> None:
    """After any crash, of the recovery too, what is found is a prefix that holds everything acknowledged."""
    explorer.explore(whole_life)
    print(f"{explorer.cases:,} crashes, {explorer.disks:,} disks that can be told apart")
    assert explorer.cases > CASES_MIN


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS], ids=errno.errorcode.__getitem__)
def test_no_failing_call_loses_what_was_kept(explorer: Explorer, number: int) -> None:
    """Whatever call the disk refuses from some moment on, nothing acknowledged is lost, with a crash or without."""
    calm = CrashDisk()
    whole_life(calm, Life())
    before = Counter[str]()
    for label in calm.labels:
        if number == errno.EIO or before[label] % 4 == 0:
            disk = CrashDisk()
            disk.fail(label, number, skip=before[label])
            explorer.explore(whole_life, disk)
        before[label] += 1
    print(f"{explorer.cases:,} crashes, {explorer.disks:,} disks that can be told apart")
