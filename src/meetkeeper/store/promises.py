"""The highest epoch this server has seen or promised to refuse others below: `local/promises.json`, never replicated.

Place in the journey: a reign is opened, and a candidate supported, only after the epoch stands here durably. Written
aside, flushed, renamed, folder flushed; a checksum keeps a flipped bit from lowering a promise.
"""

import hashlib

import msgspec
from msgspec import Struct

from meetkeeper.ports.disk import Disk
from meetkeeper.store.trouble import damaged, translated

PATH = "local/promises.json"
_PART = PATH + ".part"


class _Promise(Struct, frozen=True):
    epoch: int
    check: str


def read(disk: Disk) -> int:
    """The promised epoch, 0 when none was ever given. Raises `Corrupt` when the file does not say what was written."""
    with translated(disk, "reading the promises", PATH):
        try:
            data = disk.read("promise:read", PATH)
        except FileNotFoundError:
            return 0
    try:
        promise = msgspec.json.decode(data, type=_Promise)
    except (msgspec.DecodeError, UnicodeDecodeError):
        promise = _Promise(-1, "")
    if promise.check != _check(promise.epoch):
        raise damaged(
            "the promise not to act below an epoch is damaged. Restore the file, or remove it if you are sure that no "
            "other server has ever acted for this cluster with a higher epoch than the journal's.",
            PATH,
        )
    return promise.epoch


def write(disk: Disk, epoch: int) -> None:
    """Make the promise durable. Raises what `trouble.meaning` makes of a failure; the old promise stands then."""
    with translated(disk, "writing the promises", PATH):
        disk.write_new("promise:write", _PART, msgspec.json.encode(_Promise(epoch, _check(epoch))) + b"\n")
        disk.rename("promise:rename", _PART, PATH)
        disk.flush_folder("promise:folder", "local")


def _check(epoch: int) -> str:
    return hashlib.sha256(f"promise {epoch}".encode()).hexdigest()[:16]
