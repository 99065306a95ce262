"""Where all that reads calendars waits: a gate that lets so many through at a time, and who goes before the others."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from heapq import heappop, heappush
from itertools import count


class Gate:
    """Lets `width` in at a time. Whoever waits is let in by order, the smallest first, then by arrival."""

    def __init__(self, width: int) -> None:
        self._free = width
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = count()

    @asynccontextmanager
    async def turn(self, order: float) -> AsyncIterator[None]:
        """Wait for a place and hold it inside."""
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


class Vanguard:
    """Those of one server who go first, and the others, who wait until none of them is left."""

    def __init__(self) -> None:
        self._count = 0
        self._none = asyncio.Event()
        self._none.set()

    @contextmanager
    def ahead(self) -> Iterator[None]:
        """Go first, for as long as one is inside; from the moment on at which one lines up."""
        self._count += 1
        self._none.clear()
        try:
            yield
        finally:
            self._count -= 1
            if not self._count:
                self._none.set()

    async def wait(self, limit_s: float) -> None:
        """Wait for them, those who are about to line up as well, but not longer than that: one of them may hang."""
        await asyncio.sleep(0)
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._none.wait()
