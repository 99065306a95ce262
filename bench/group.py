"""Group commit: one thread writes all that has gathered while the last write was under way.

The raw append log and SQLite share it, so that neither has the better committer.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

Batch = Sequence[tuple[int, bytes]]
Write = Callable[[Batch], None]
Waiting = tuple[tuple[int, bytes], asyncio.Future[None]]


class GroupCommitter:
    """Takes what is queued, lets `write` make it durable in one go, then answers all who wait."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._queue: SimpleQueue[Waiting | None] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work, name="committer", daemon=True)
        self._thread.start()

    def commit(self, key: int, body: bytes) -> asyncio.Future[None]:
        """A future that is done once the meeting is durable."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._queue.put(((key, body), future))
        return future

    async def close(self) -> None:
        """Wait for the committer to end."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        is_open = True
        while is_open:
            gathered = [self._queue.get()]
            try:
                while True:
                    gathered.append(self._queue.get_nowait())
            except Empty:
                pass
            waiting = [item for item in gathered if item is not None]
            is_open = len(waiting) == len(gathered)
            if waiting:
                self._commit(waiting)

    def _commit(self, waiting: Sequence[Waiting]) -> None:
        futures = [future for _, future in waiting]
        try:
            self._write([item for item, _ in waiting])
        except OSError as error:
            self._loop.call_soon_threadsafe(_fail, futures, error)
            return
        self._loop.call_soon_threadsafe(_answer, futures)


def _answer(futures: Sequence[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)


def _fail(futures: Sequence[asyncio.Future[None]], error: OSError) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(error)
