"""What a guided procedure works with: hands, a voice, a clock, and the journal lines it leaves behind."""

import fcntl
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from meetkeeper.core.errors import Refused
from meetkeeper.ha.words import Position
from meetkeeper.ops.copies import SETTLE_S
from meetkeeper.ops.durable import Hands
from meetkeeper.store.database import LOCK


def _silent(_: str) -> None:
    """A voice nobody hears."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Means:
    """How a procedure acts, speaks and waits. `by` is who runs it: user@host."""

    by: str = ""
    hands: Hands = field(default_factory=Hands)
    tell: Callable[[str], None] = _silent
    now_s: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    settle_s: float = SETTLE_S
    remove_leftovers: bool = False


class Done(Struct, frozen=True):
    """One step that was taken: its name, when, and what was found."""

    step: str
    at_s: float
    said: str


def holder_of(home: Path) -> str | None:
    """Who runs on this home, as its lock says; None when nobody does. Writes nothing.

    A lock is seen on this machine and, where the share passes locks on, from another one.
    """
    try:
        handle = os.open(home / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(handle, 200, 0).decode("utf-8", "replace").strip() or "another process"
    finally:
        os.close(handle)
    return None


def check_stopped(home: Path, hint: str) -> None:
    """Raise `Refused` (`files.running`) while a server runs on this home. `hint` says how to stop it."""
    holder = holder_of(home)
    if holder is not None:
        raise Refused("files.running", f"A server runs on {home} ({holder}). {hint}")


def moment(at_s: float) -> str:
    """An instant for people."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def file_stamp(at_s: float) -> str:
    """An instant as part of a file's name."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y%m%dT%H%M%SZ")


def place(position: Position) -> str:
    """A position for people."""
    return f"epoch {position.epoch}, seq {position.seq}, hash {position.hash}"


def span(seconds: float) -> str:
    """A length of time for people, to the second below two minutes."""
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 7200 else f"{whole // 3600} h {whole % 3600 // 60} min"
