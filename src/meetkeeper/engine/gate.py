"""A gate that lets so many through at a time, the most urgent first: what reads calendars waits here."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from heapq import heappop, heappush
from itertools import count


class Gate:
    """Lets `width` in at a time. Whoever waits is let in by order, the smallest first, then by arrival."""

    def __init__(self, width: int) -> None:
        self._free = width
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = count()

    @asynccontextmanager
    async def turn(self, order: float, *, gives_way: bool = False) -> AsyncIterator[None]:
        """Wait for a place and hold it inside. `gives_way`: whoever is about to ask as well may line up first."""
        if gives_way:
            await asyncio.sleep(0)
        if self._free:
            self._free -= 1
        else:
            await self._wait(order)
        try:
            yield
        finally:
            self._leave()

    async def _wait(self, order: float) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(self._waiting, (order, next(self._count), place))
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._leave()  # the place was given in the very moment in which nobody wanted it any more
            raise

    def _leave(self) -> None:
        while self._waiting:
            _, _, place = heappop(self._waiting)
            if not place.done():
                place.set_result(None)
                return
        self._free += 1
