"""Changing folders so that a crash at any instant leaves the old or the new: every act flushed, every act with a name.

Place in the journey: taking copied files over and failing back work with it on whole folders, which the disk port does
not know. Rules: nothing is edited in place; a name counts only after its folder has been flushed; each act calls
`point` first, so that a test can end the process exactly there.
"""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from meetkeeper.core.errors import Corrupt

READ_BYTES = 1024 * 1024
_FOLDER_MODE = 0o700
_FILE_MODE = 0o600
_PART = ".new"


def _nothing(_: str) -> None:
    """The point of a process that nobody ends."""


class Sealed(Struct, frozen=True):
    """A small record with its checksum, as it stands in a file."""

    record: msgspec.Raw
    check: str


class Hands:
    """The acts. All raise `OSError` as the system gives it, unless they say otherwise."""

    def __init__(self, point: Callable[[str], None] = _nothing) -> None:
        self.point = point

    def write(self, path: Path, data: bytes) -> None:
        """Put a whole file in the place of what is there."""
        self.make_folder(path.parent)
        aside = path.with_name(path.name + _PART)
        self.point(f"write {path.name}")
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _FILE_MODE)
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(handle, left) :]
            os.fsync(handle)
        finally:
            os.close(handle)
        self.rename(aside, path)

    def write_record(self, path: Path, record: Struct) -> None:
        """Put a small record with a checksum into a file of its own."""
        body = msgspec.json.encode(record)
        sealed = msgspec.json.encode(Sealed(msgspec.Raw(body), _check(body)))
        self.write(path, msgspec.json.format(sealed, indent=2) + b"\n")

    def rename(self, old: Path, new: Path) -> None:
        """Give a file or folder another name, in one step."""
        self.make_folder(new.parent)
        self.point(f"rename {old.name}")
        os.rename(old, new)
        self.flush_folder(new.parent)
        if old.parent != new.parent:
            self.flush_folder(old.parent)

    def make_folder(self, folder: Path) -> None:
        """Make a folder and those above it, where missing."""
        if folder.is_dir():
            return
        self.make_folder(folder.parent)
        self.point(f"make {folder.name}")
        folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)
        self.flush_folder(folder.parent)

    def flush_folder(self, folder: Path) -> None:
        """Make the folder's entries durable."""
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def copy(self, source: Path, to: Path) -> str:
        """Copy a file and flush it; the SHA-256 of what was read."""
        self.make_folder(to.parent)
        self.point(f"copy {source.name}")
        digest = hashlib.sha256()
        with source.open("rb") as read:
            handle = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _FILE_MODE)
            with os.fdopen(handle, "wb") as write:
                while data := read.read(READ_BYTES):
                    digest.update(data)
                    write.write(data)
                write.flush()
                os.fsync(write.fileno())
        self.flush_folder(to.parent)
        return digest.hexdigest()

    def remove(self, path: Path) -> None:
        """Remove a file or a whole folder; one that is not there is gone already."""
        if not os.path.lexists(path):
            return
        self.point(f"remove {path.name}")
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
        self.flush_folder(path.parent)


def read_record(path: Path, type_: type[Struct]) -> Struct | None:
    """A record written by `write_record`; None when there is none.

    Raises `Corrupt` (`ops.record`) for a file that does not say what was written.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        sealed = msgspec.json.decode(data, type=Sealed)
        body = msgspec.json.format(bytes(sealed.record), indent=-1)
        if sealed.check == _check(body):
            record: Struct = msgspec.json.decode(body, type=type_)
            return record
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    raise Corrupt(
        "ops.record",
        f"{path} does not say what was written. Restore it; or, if you are sure of how this server stands, remove it "
        "and do the step again.",
        detail={"file": str(path)},
    )


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, read from the disk."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(READ_BYTES):
            digest.update(data)
    return digest.hexdigest()


def _check(body: bytes) -> str:
    return hashlib.sha256(b"ops record " + body).hexdigest()[:16]
