"""A home of a pair is told from a copy of it: two copies with one name would push each other out, and lose bookings.

Place in the journey: asked by `server` before anything is opened. `local/original.json` holds the number that the file
system gave to that very file (its inode): a copy, a restored backup or a cloned folder has another one. A renamed or
remounted home has the same. What is copied with its whole disk, as a virtual machine is, can't be told apart here.
"""

import json
import os
from pathlib import Path

from meetkeeper.core.errors import Refused, Unavailable

MARK = "local/original.json"


def check_is_original(home: Path) -> None:
    """Return for a home that was never copied; the first time it is marked. Raises `Refused` for a copy."""
    path = home / MARK
    try:
        said = json.loads(path.read_bytes())
    except FileNotFoundError:
        try:
            _mark(path)
        except OSError as error:
            raise Unavailable(
                "home.unwritable",
                f"{path} can't be written ({error.strerror}). Look at the disk and start again.",
            ) from error
        return
    except ValueError:
        said = None
    if said != {"inode": path.stat().st_ino}:
        raise Refused(
            "home.copied",
            f"{home} is a copy of another server's home, or was restored from a backup: it may hold less than was "
            "acknowledged, and two homes with one name push each other out. Make a new one with `meetkeeper init "
            f"--join`. If the original is gone for good and nobody else acts, remove {path} and start again.",
        )


def _mark(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        os.write(handle, json.dumps({"inode": os.fstat(handle).st_ino}).encode() + b"\n")
        os.fsync(handle)
    finally:
        os.close(handle)
    os.replace(aside, path)
