"""A disk whose every call has a name, so that a test can break exactly that one.

`label` is a stable word such as "journal:append" or "snapshot:rename"; the real disk uses it for error messages and
metrics, the crash disk of `testing` to decide where the power goes. Paths are relative to the home and use "/".
All calls raise `OSError` as the system gives it; `store` translates.
"""

from typing import Protocol

from msgspec import Struct


class Space(Struct, frozen=True):
    """Room on the file system that holds the home folder. `where` names it for people."""

    where: str
    free_bytes: int
    total_bytes: int


class OpenFile(Protocol):
    """A file open for appending. `append` may be torn by a crash; after `flush` returns it can't be."""

    def append(self, label: str, data: bytes) -> None:
        """Write all of `data` at the end, or raise."""
        ...

    def flush(self, label: str) -> None:
        """Make everything appended so far durable (fdatasync)."""
        ...

    def close(self, label: str) -> None:
        """Close; implies nothing about durability."""
        ...


class Disk(Protocol):
    """One server's home folder."""

    def open_append(self, label: str, path: str) -> OpenFile:
        """Open for appending, creating the file (its folder entry is durable only after `flush_folder`)."""
        ...

    def read(self, label: str, path: str) -> bytes:
        """The whole file. `FileNotFoundError` when it is not there."""
        ...

    def read_part(self, label: str, path: str, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset` on; fewer only at the end of the file."""
        ...

    def listing(self, label: str, folder: str) -> list[str]:
        """Names in the folder, sorted; empty when it does not exist."""
        ...

    def size(self, label: str, path: str) -> int:
        """Bytes in the file."""
        ...

    def truncate(self, label: str, path: str, size: int) -> None:
        """Cut the file to `size` and flush it."""
        ...

    def write_new(self, label: str, path: str, data: bytes) -> None:
        """Write a whole new file and flush it; the entry is durable only after `flush_folder`."""
        ...

    def rename(self, label: str, path: str, to: str) -> None:
        """Put `path` in the place of `to` in one step."""
        ...

    def remove(self, label: str, path: str) -> None:
        """Remove a file."""
        ...

    def make_folder(self, label: str, folder: str) -> None:
        """Create the folder and its parents where missing."""
        ...

    def flush_folder(self, label: str, folder: str) -> None:
        """Make the folder's entries durable."""
        ...

    def lock(self, label: str, path: str) -> str | None:
        """Take the file as the lock of this process, until `unlock` or its death; None when it is ours now.

        Otherwise what its holder wrote into it: a sentence part such as "process 4711".
        """
        ...

    def unlock(self, label: str, path: str) -> None:
        """Let go of a lock taken with `lock`."""
        ...

    def space(self, label: str) -> Space:
        """How much room is left."""
        ...
