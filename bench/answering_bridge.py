"""A bridge that says yes to everything after a while, and remembers when it opened which room."""

import asyncio
import time

from meetkeeper.core.effects import Phase
from meetkeeper.core.words import Alias
from meetkeeper.ports.bridge import Door, Ensured, FoundVmr, Health, WantedVmr


class AnsweringBridge:
    """A `ports.Bridge`; every answer takes `answer_s`."""

    def __init__(self, answer_s: float) -> None:
        self.answer_s = answer_s
        self.opened_at_s: dict[Alias, float] = {}
        """Wall clock when a room stood open for the first time."""
        self.booked: set[Alias] = set()

    async def ensure(self, wanted: WantedVmr) -> Ensured:
        """It stands as wanted."""
        await self._answer()
        if wanted.phase is Phase.OPEN:
            self.opened_at_s.setdefault(wanted.alias, time.time())
        else:
            self.booked.add(wanted.alias)
        return Ensured()

    async def retire(self, alias: Alias) -> None:
        """It is gone."""
        await self._answer()

    async def survey(self) -> tuple[FoundVmr, ...]:
        """Nothing of interest."""
        await self._answer()
        return ()

    async def probe(self) -> Health:
        """Here."""
        await self._answer()
        return Health("bench", "A bridge that says yes answers.")

    def door(self, wanted: WantedVmr) -> Door:
        """Nobody comes."""
        return Door("none")

    async def close(self) -> None:
        """Nothing to let go of."""

    async def _answer(self) -> None:
        if self.answer_s:
            await asyncio.sleep(self.answer_s)
