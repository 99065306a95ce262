"""The real disk: the contract, and what only a real file system can show."""

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from meetkeeper.host.disk import RealDisk
from meetkeeper.testing.contracts.disk import DiskContract
from meetkeeper.testing.disk import CrashDisk


class TestRealDisk(DiskContract):
    """The real disk keeps the contract."""

    @pytest.fixture
    def disk(self, tmp_path: Path) -> RealDisk:
        """An empty home."""
        return RealDisk(tmp_path)


class TestCrashDisk(DiskContract):
    """The crash disk keeps the contract."""

    @pytest.fixture
    def disk(self) -> CrashDisk:
        """An empty home."""
        return CrashDisk()


def test_files_belong_to_their_owner_alone(tmp_path: Path) -> None:
    """Nobody else may read what a server keeps: bookings, PINs and secrets."""
    disk = RealDisk(tmp_path)
    disk.make_folder("t:make", "databases")
    disk.write_new("t:write", "databases/one", b"x")
    disk.open_append("t:open", "databases/two").close("t:close")
    disk.lock("t:lock", "databases/lock")
    for name in ("one", "two", "lock"):
        assert stat.S_IMODE((tmp_path / "databases" / name).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "databases").stat().st_mode) == 0o700


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    """A killed server leaves no lock behind, a living one names its process."""
    program = (
        "import sys, pathlib\n"
        "from meetkeeper.host.disk import RealDisk\n"
        f"RealDisk(pathlib.Path({str(tmp_path)!r})).lock('t:lock', 'lock')\n"
        "print('locked', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        disk = RealDisk(tmp_path)
        assert disk.lock("t:lock", "lock") == f"process {other.pid}"
        other.kill()
        other.wait()
        assert disk.lock("t:lock", "lock") is None


def test_a_short_write_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the system takes only a part, the rest follows; when it takes no more, that is raised."""
    file = RealDisk(tmp_path).open_append("t:open", "one")
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, bytes(data)[:3]))
    file.append("t:append", b"0123456789")
    assert (tmp_path / "one").read_bytes() == b"0123456789"

    def full(handle: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        file.append("t:append", b"x")


def test_a_lock_that_could_not_be_taken_whole_is_let_go_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk the lock's text can't be written: nobody holds it then, and it can be taken later."""

    def full(handle: int, data: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    disk = RealDisk(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="No space"):
            disk.lock("t:lock", "lock")
    assert disk.lock("t:lock", "lock") is None


def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    """The second close touches no file that has the handle by then."""
    file = RealDisk(tmp_path).open_append("t:open", "one")
    file.close("t:close")
    file.close("t:close")
