"""A conference bridge as the house sees it: make a VMR stand in a phase, take it away, list ours, say hello.

Every adapter passes `testing.contracts.bridge`. All verbs may be repeated at will. A time-out is *unknown*, never
*failed*: adapters raise `Unavailable` and the same verb is asked again. `Refused` means the bridge objects for good.
"""

from typing import Literal, Protocol

from msgspec import Struct

from meetkeeper.core.effects import Phase
from meetkeeper.core.words import Alias


class WantedVmr(Struct, frozen=True):
    """How a VMR ought to be. `marker` (`core.vmr.marker`) is stored with it, so that ours is told from others'."""

    alias: Alias
    numeric_id: str
    pin: str
    title: str
    marker: str
    phase: Phase


class Ensured(Struct, frozen=True):
    """It stands as wanted. `marker` is the one found when it was there before (adopted), else None (created)."""

    marker: str | None = None


class AliasTaken(Struct, frozen=True):
    """Something that is not ours has this alias; nothing was changed. `found` says what."""

    found: str


class FoundVmr(Struct, frozen=True):
    """A VMR of ours on the bridge. `phase` is how it stands there; None where the bridge cannot tell."""

    alias: Alias
    marker: str
    participants: int = 0
    phase: Phase | None = None


class Health(Struct, frozen=True):
    """The bridge answers. `instance` changes when it has restarted, so that everything is ensured again."""

    instance: str
    text: str


class Door(Struct, frozen=True):
    """What a browser needs to get in: a plain address, or the room's facts for the built-in client."""

    kind: Literal["redirect", "janus", "none"]
    url: str = ""
    room: str = ""
    secret: str = ""


class Bridge(Protocol):
    """One bridge."""

    async def ensure(self, wanted: WantedVmr) -> Ensured | AliasTaken:
        """Find by alias, else create; then bring it to the wanted phase, PIN and title. CLOSED puts everybody out."""
        ...

    async def retire(self, alias: Alias) -> None:
        """Take the VMR off the bridge; one that is not there is retired already, one not ours is left alone."""
        ...

    async def survey(self) -> tuple[FoundVmr, ...]:
        """Every VMR under our marker."""
        ...

    async def probe(self) -> Health:
        """Reach the bridge."""
        ...

    def door(self, wanted: WantedVmr) -> Door:
        """Where the join page leads once the meeting is open and the PIN was right. No I/O."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
