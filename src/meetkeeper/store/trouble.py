"""What the disk's refusals mean: `OSError` becomes one of the house's errors, as a sentence that says what to do.

Place in the journey: every call of `store` to the disk port goes through `translated` or catches `OSError` and asks
`meaning`; no errno leaves this room.
"""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from meetkeeper.core.errors import Corrupt, MeetkeeperError, Refused, Unavailable
from meetkeeper.ports.disk import Disk

T = TypeVar("T")

LOOKS_MAX = 3
_FULL = {errno.ENOSPC, errno.EDQUOT}
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}


def meaning(disk: Disk, error: OSError, doing: str, path: str) -> MeetkeeperError:
    """The error of the house for what the system said. `doing` completes "… failed": "writing the journal"."""
    if error.errno in _FULL:
        return Unavailable(
            "disk.full",
            f"{_sentence(doing)} failed: the disk is full ({_room(disk)}). Nothing was acknowledged. "
            "Make room, then restart this server.",
            retry_after_s=60.0,
        )
    if error.errno in _READ_ONLY:
        return Refused(
            "disk.read_only",
            f"{_sentence(doing)} failed: {path} may not be written ({error.strerror}). "
            "Remount the file system for writing or give this server's user the right, then restart it.",
        )
    if isinstance(error, FileNotFoundError):
        return Unavailable(
            "disk.gone",
            f"{_sentence(doing)} failed: {path} is not there any more. Look again; if it stays away, restore it.",
            retry_after_s=1.0,
        )
    return Unavailable(
        "disk.failed",
        f"{_sentence(doing)} failed at {path} ({error.strerror or error}). What was on its way is not acknowledged and "
        "not tried again. Look at the disk and the kernel's log, then restart this server.",
        retry_after_s=60.0,
    )


@contextmanager
def translated(disk: Disk, doing: str, path: str) -> Iterator[None]:
    """Within, every `OSError` becomes what it means."""
    try:
        yield
    except OSError as error:
        raise meaning(disk, error, doing, path) from error


def steadily(look: Callable[[], T]) -> T:
    """Look at a folder that a running server may be changing: once more when a listed file has gone by then."""
    for _ in range(LOOKS_MAX - 1):
        try:
            return look()
        except Unavailable as error:
            if error.code != "disk.gone":
                raise
    return look()


def damaged(sentence: str, path: str, *, offset: int = 0, seq: int = 0) -> Corrupt:
    """Kept bytes are not what they were; `sentence` says what and what to do, the place is added in front."""
    return Corrupt(
        "store.damaged",
        f"{path}, byte {offset:,}, seq {seq}: {sentence}",
        detail={"file": path, "offset": offset, "seq": seq},
    )


def _sentence(doing: str) -> str:
    return doing[:1].upper() + doing[1:]


def _room(disk: Disk) -> str:
    try:
        space = disk.space("trouble:space")
    except OSError:
        return "how much is left could not be asked"
    return f"{space.where}: {space.free_bytes:,} of {space.total_bytes:,} bytes free"
