"""What a folder looked like, as a cookie: every file's name with a mark that changes when the file does. Pure."""

import json
import zlib
from collections.abc import Mapping
from hashlib import sha256

import msgspec

SUFFIX = ".ics"
_KIND = "folder"


def mark_of(mtime_ns: int, ctime_ns: int, size: int, inode: int) -> str:
    """A short mark of one version of a file: last write, last change of its entry (nanoseconds), size, inode."""
    return sha256(f"{mtime_ns} {ctime_ns} {size} {inode}".encode()).hexdigest()[:12]


def seal(folder: str, marks: Mapping[str, str]) -> str:
    """The cookie of a look at this folder; an empty mark says that the file is to be looked at again."""
    payload = json.dumps(marks, ensure_ascii=True, separators=(",", ":"), sort_keys=True)
    return f"{_KIND}:{_checksum(folder, payload)}:{payload}"


def unseal(folder: str, cookie: str) -> dict[str, str] | None:
    """Names and marks in a cookie; None when it is damaged, cut off, or another folder's."""
    kind, _, rest = cookie.partition(":")
    checksum, colon, payload = rest.partition(":")
    if kind != _KIND or not colon or checksum != _checksum(folder, payload):
        return None
    try:
        return msgspec.json.decode(payload.encode("utf-8", "surrogatepass"), type=dict[str, str])
    except msgspec.DecodeError:
        return None


def is_item_name(name: str) -> bool:
    """True for the names we look at: `*.ics`, not hidden. Others are passed over (temporary files, notes, folders)."""
    return name.lower().endswith(SUFFIX) and not name.startswith((".", "~"))


def name_for(uid: str) -> str:
    """The file for a meeting of ours. No UID as file name: they hold slashes, and case matters in them."""
    return f"mk-{sha256(uid.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}{SUFFIX}"


def _checksum(folder: str, payload: str) -> str:
    text = f"{folder}\n{payload}"
    return f"{zlib.crc32(text.encode('utf-8', 'surrogatepass')):08x}"
