"""The real disk: one home folder over the calls of the operating system.

Place in the journey: `app.wiring` hands it to `store`. Rules: paths are relative to the home and use "/"; nothing is
buffered in this process; `flush` is fdatasync (F_FULLFSYNC where that is what reaches the platter); every file is
created readable by its owner alone.
"""

import fcntl
import os
from pathlib import Path

from meetkeeper.ports.disk import OpenFile, Space

_FILE_MODE = 0o600
_FOLDER_MODE = 0o700
_FULL_SYNC: int | None = getattr(fcntl, "F_FULLFSYNC", None)


def _flush(handle: int) -> None:
    if _FULL_SYNC is not None:
        fcntl.fcntl(handle, _FULL_SYNC)
    else:
        os.fdatasync(handle)


def _write_all(handle: int, data: bytes) -> None:
    written = os.write(handle, data)
    while written < len(data):
        written += os.write(handle, memoryview(data)[written:])


class RealFile:
    """A file open for appending."""

    __slots__ = ("_handle",)

    def __init__(self, path: str) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)

    def append(self, label: str, data: bytes) -> None:
        """Write all of `data` at the end, or raise `OSError` with part of it written."""
        _write_all(self._handle, data)

    def flush(self, label: str) -> None:
        """Return when everything appended is on the disk."""
        _flush(self._handle)

    def close(self, label: str) -> None:
        """Close; a second time does nothing."""
        if self._handle >= 0:
            handle, self._handle = self._handle, -1
            os.close(handle)


class RealDisk:
    """One server's home folder. Every call raises `OSError` as the system gives it."""

    def __init__(self, home: Path) -> None:
        self._home = os.fspath(home)
        self._locks: dict[str, int] = {}

    def open_append(self, label: str, path: str) -> OpenFile:
        """Open for appending, creating the file where missing."""
        return RealFile(self._at(path))

    def read(self, label: str, path: str) -> bytes:
        """The whole file."""
        with open(self._at(path), "rb", buffering=0) as file:
            return file.read()

    def read_part(self, label: str, path: str, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset` on."""
        handle = os.open(self._at(path), os.O_RDONLY | os.O_CLOEXEC)
        try:
            parts = []
            while size > 0 and (part := os.pread(handle, size, offset)):
                parts.append(part)
                offset, size = offset + len(part), size - len(part)
            return parts[0] if len(parts) == 1 else b"".join(parts)
        finally:
            os.close(handle)

    def listing(self, label: str, folder: str) -> list[str]:
        """Names in the folder, sorted; empty when there is no such folder."""
        try:
            return sorted(os.listdir(self._at(folder)))
        except FileNotFoundError:
            return []

    def size(self, label: str, path: str) -> int:
        """Bytes in the file."""
        return os.stat(self._at(path)).st_size

    def truncate(self, label: str, path: str, size: int) -> None:
        """Cut the file to `size` bytes and flush it."""
        handle = os.open(self._at(path), os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.ftruncate(handle, size)
            os.fsync(handle)
        finally:
            os.close(handle)

    def write_new(self, label: str, path: str, data: bytes) -> None:
        """Write a whole new file, replacing one of that name, and flush it."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        handle = os.open(self._at(path), flags, _FILE_MODE)
        try:
            _write_all(handle, data)
            _flush(handle)
        finally:
            os.close(handle)

    def rename(self, label: str, path: str, to: str) -> None:
        """Put `path` in the place of `to` in one step."""
        os.replace(self._at(path), self._at(to))

    def remove(self, label: str, path: str) -> None:
        """Remove a file."""
        os.unlink(self._at(path))

    def make_folder(self, label: str, folder: str) -> None:
        """Create the folder and its parents where missing."""
        os.makedirs(self._at(folder), _FOLDER_MODE, exist_ok=True)

    def flush_folder(self, label: str, folder: str) -> None:
        """Return when the folder's entries are on the disk."""
        handle = os.open(self._at(folder), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def lock(self, label: str, path: str) -> str | None:
        """Take the file as this process's lock; the holder's text when another has it. The lock dies with us."""
        handle = os.open(self._at(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.pread(handle, 200, 0).decode("utf-8", "replace").strip()
            os.close(handle)
            return text or "another process"
        except OSError:
            os.close(handle)
            raise
        try:
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"process {os.getpid()}\n".encode(), 0)
        except OSError:  # a full disk: a lock without its text is let go of, not kept by nobody
            os.close(handle)
            raise
        self._locks[path] = handle
        return None

    def unlock(self, label: str, path: str) -> None:
        """Let go of a lock; one that is not held is let go of already."""
        handle = self._locks.pop(path, None)
        if handle is not None:
            os.close(handle)

    def space(self, label: str) -> Space:
        """Room on the home's file system, as a user without special rights has it."""
        found = os.statvfs(self._home)
        return Space(self._home, found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)

    def _at(self, path: str) -> str:
        return f"{self._home}/{path}" if path else self._home
