"""A bridge that is asked nothing: whoever opens the address is in the room.

The contract is kept without a word to anybody. There is nothing to open, close or take away at the other end: the join
page alone keeps people out before the start and after the end, and who noted the address can come back to it.
"""

from meetkeeper.bridges.link.mapping import to_url
from meetkeeper.core.configuration import LinkBridge as LinkConfig
from meetkeeper.core.words import Alias
from meetkeeper.ports.bridge import AliasTaken, Door, Ensured, FoundVmr, Health, WantedVmr


class LinkBridge:
    """An address pattern as a `ports.Bridge`."""

    def __init__(self, config: LinkConfig) -> None:
        """No I/O, here or later."""
        self._config = config

    async def ensure(self, wanted: WantedVmr) -> Ensured | AliasTaken:
        """It stands: the address is enough."""
        return Ensured()

    async def retire(self, alias: Alias) -> None:
        """Nothing to take away."""

    async def survey(self) -> tuple[FoundVmr, ...]:
        """Nothing can be listed."""
        return ()

    async def probe(self) -> Health:
        """Always the same: it is not asked."""
        return Health("link", "An address pattern: there is nothing to ask, and nothing that can be away.")

    def door(self, wanted: WantedVmr) -> Door:
        """The address itself."""
        return Door("redirect", to_url(self._config.url, wanted))

    async def close(self) -> None:
        """Nothing to let go of."""
