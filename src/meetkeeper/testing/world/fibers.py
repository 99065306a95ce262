"""Work that waits, without an event loop: a generator yields what it waits for, whoever drives it wakes it again.

A fiber of a server dies with the server, wherever it stands: that is what a crash means to it.
"""

from collections.abc import Generator
from typing import TypeVar

from msgspec import Struct

from meetkeeper.core.commands import Command
from meetkeeper.core.errors import MeetkeeperError


class Pause(Struct, frozen=True):
    """Until so many seconds of true time have passed."""

    s: float


class UntilKept(Struct, frozen=True):
    """Until this frame is on disk."""

    seq: int


class Turn(Struct, frozen=True):
    """Until fewer than `width` work on this; `Server` lets the next one in when one has left."""

    of: str
    width: int = 1


class UntilMaySpeak(Struct, frozen=True):
    """Until nobody else can have taken over: at once for a server by itself."""


T = TypeVar("T")
Fiber = Generator[Pause | UntilKept | UntilMaySpeak | Turn, None, T]


class Ask(Struct, frozen=True):
    """A caller's request; the fiber is sent the answer, or the error that was raised."""

    command: Command
    patient: bool = True
    """False: the caller hangs up before the answer."""


Answer = str | MeetkeeperError
Caller = Generator[Pause | Ask, Answer | None, T]
"""A fiber that belongs to nobody's server: it asks, and lives on when the server dies."""
