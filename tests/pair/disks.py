"""Disks of their own for a real pair: small ones that are full soon, and a device whose medium runs out. Needs root."""

import fcntl
import os
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[Path]:
    """`folder` on a tmpfs of so many MiB."""
    folder.mkdir(parents=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "none", str(folder))
    try:
        yield folder
    finally:
        _run("umount", "-l", str(folder))


@contextmanager
def lying_disk(folder: Path, mebibytes: int) -> Iterator[Path]:
    """`folder` on ext4 on a loop device whose sparse image lies on a tmpfs of so many MiB, beside it.

    When that tmpfs is filled (`fill`) the device fails: the first fsync says so, later ones do not.
    """
    folder.mkdir(parents=True)
    with small_disk(folder.with_name(f"{folder.name}-medium"), mebibytes) as medium:
        image = medium / "image"
        with image.open("wb") as file:
            file.truncate(256 * 1024 * 1024)
        _run("mkfs.ext4", "-q", "-E", "lazy_itable_init=1,nodiscard", "-O", "^has_journal", str(image))
        _run("mount", "-o", "loop", str(image), str(folder))
        try:
            yield folder
        finally:
            with suppress(FileNotFoundError):
                (medium / "filler").unlink()
            _run("umount", "-l", str(folder))


def fill(folder: Path) -> Path:
    """Take all that is left on the disk of this folder; the file that holds it."""
    path = folder / "filler"
    with path.open("ab", buffering=0) as file, suppress(OSError):
        size = 1024 * 1024
        while True:
            if file.write(b"\0" * size) < size:
                break
    with path.open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"\0" * 512)
    return path


@contextmanager
def tampered(pid: int, *inject: str) -> Iterator["subprocess.Popen[bytes]"]:
    """strace tampers with the system calls of a process and its threads: `tampered(pid, "fdatasync:error=EIO")`."""
    names = sorted({one.partition(":")[0] for one in inject})
    command = ["strace", "-f", "-q", "-o", os.devnull, "-e", f"trace={','.join(names)}"]
    for one in inject:
        command += ["-e", f"inject={one}"]
    process = subprocess.Popen([*command, "-p", str(pid)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        _attached(pid)
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stderr is not None:
            process.stderr.close()


def _attached(pid: int) -> None:
    until_s = time.monotonic() + 5.0
    while time.monotonic() < until_s:
        with suppress(FileNotFoundError):
            tracers = [
                line.split()[1]
                for task in Path(f"/proc/{pid}/task").iterdir()
                for line in (task / "status").read_text().splitlines()
                if line.startswith("TracerPid:")
            ]
            if tracers and "0" not in tracers:
                return
        time.sleep(0.02)
    raise AssertionError(f"strace did not reach process {pid}")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"


class Volume:
    """A folder on ext4 on a loop device that can lose its power: what was not flushed is gone."""

    SHUTDOWN = 0x8004587D
    NO_LOG_FLUSH = 2

    def __init__(self, folder: Path, mebibytes: int = 128) -> None:
        self.folder, self._image = folder, folder.with_name(f"{folder.name}.image")
        with self._image.open("wb") as file:
            file.truncate(mebibytes * 1024 * 1024)
        _run("mkfs.ext4", "-q", str(self._image))
        folder.mkdir(parents=True)
        self.mount()

    def mount(self) -> None:
        """Nothing is written back by itself for five minutes."""
        _run("mount", "-o", "loop,commit=300,errors=remount-ro", str(self._image), str(self.folder))

    def go_read_only(self) -> None:
        """As ext4 does by itself when it finds that it is damaged: from now on every write is refused."""
        _run("mount", "-o", "remount,abort", str(self.folder))

    def repair(self) -> None:
        """Whoever had files open on it must be gone. It is checked, and mounted to be written again."""
        self.unmount()
        done = subprocess.run(["e2fsck", "-p", str(self._image)], capture_output=True, text=True, check=False)
        assert done.returncode in (0, 1), done.stdout + done.stderr
        self.mount()

    def power_off(self) -> None:
        """The file system stops at once and writes nothing more, not even its journal."""
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, self.SHUTDOWN, struct.pack("I", self.NO_LOG_FLUSH))
        finally:
            os.close(handle)

    def unmount(self) -> None:
        """Whoever had files open on it must be gone, or be going."""
        until_s = time.monotonic() + 5.0
        while subprocess.run(["umount", str(self.folder)], capture_output=True, check=False).returncode:
            assert time.monotonic() < until_s, f"somebody holds {self.folder}"
            time.sleep(0.05)

    def remove(self) -> None:
        """For good."""
        with suppress(AssertionError):
            _run("umount", "-l", str(self.folder))


@contextmanager
def volume(folder: Path) -> Iterator[Volume]:
    """One, removed afterwards."""
    made = Volume(folder)
    try:
        yield made
    finally:
        made.remove()
