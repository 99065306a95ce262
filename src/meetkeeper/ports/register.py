"""The small record at a third place that decides who may be active: read it, or change it if nobody else has.

An implementation answers within its own deadline (a hanging share is its problem), never raises for a register that is
away, and never retries a change by itself: whoever gets `Unknown` reads again. That read is final: where it finds what
the change was to replace, it has made sure that the change can't arrive any more, and the version has moved on.
"""

from typing import Protocol, runtime_checkable

from meetkeeper.ha.words import Outcome, Reading, Record


class Register(Protocol):
    """One cluster's register."""

    @property
    def place(self) -> str:
        """Where it is, for people."""
        ...

    @property
    def arbitrates(self) -> bool:
        """True at a third place: a partition can be decided there. False: a proof of stop is needed to take over."""
        ...

    async def read(self) -> Reading:
        """What stands, read from the place itself, never from a cache."""
        ...

    async def change(self, expected: int, record: Record) -> Outcome:
        """Put `record` in the place of version `expected` (0: of nothing)."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


@runtime_checkable
class Believing(Protocol):
    """A register that remembers what it saw, and believes nothing older until a person says so."""

    def believe(self) -> None:
        """A person has looked: what stands there counts from now on."""
        ...
