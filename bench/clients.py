"""Load makers inside the process: closed-loop clients that await a commit, threads that block on one, and one reader.

Every in-process row is driven by the same code, so its cost is the same for all of them. A client sends its next
request only after the answer to the last one. Meetings are drawn from `KEYS` numbers; their bytes are ready beforehand.
No two rounds draw alike: who knows a booking already has nothing to keep, and its answer says nothing about a disk.
"""

import asyncio
import random
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from functools import cache
from itertools import count
from typing import Final

from bench.figures import Figures, figures_of
from bench.records import Records

if sys.platform == "win32":
    from asyncio import new_event_loop
else:
    from uvloop import new_event_loop

KEYS: Final = 100_000
"""So many different meetings are upserted in the commit rows."""
BODIES: Final = 4_096
"""So many different contents are kept ready for them."""
GRACE_S: Final = 30.0
"""A cell that is not over so long after its time has failed."""

AsyncCommit = Callable[[int, bytes], Awaitable[None]]
BlockingCommit = Callable[[int, bytes], None]
Opening = Callable[[], Awaitable[AsyncCommit]]
Closing = Callable[[], Awaitable[None]]

_rounds = count(1)


@cache
def ready_bodies() -> list[bytes]:
    """Ready-made JSON, the same for everyone."""
    return [body for _, body in Records().many(BODIES)]


def run_async(opening: Opening, closing: Closing, clients: int, seconds: float) -> Figures:
    """So many coroutines on one event loop, each committing one meeting after the other."""

    async def main() -> Figures:
        commit = await opening()
        try:
            return await asyncio.wait_for(_closed_loop(commit, clients, seconds), seconds + GRACE_S)
        finally:
            await closing()

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main())


async def _closed_loop(commit: AsyncCommit, clients: int, seconds: float) -> Figures:
    bodies, latencies_s, drawn = ready_bodies(), list[float](), next(_rounds)
    begin_s = time.perf_counter()
    end_s = begin_s + seconds

    async def client(seed: int) -> None:
        dice = random.Random(f"{drawn}/{seed}")
        sent_s = time.perf_counter()
        while sent_s < end_s:
            await commit(dice.randrange(KEYS), bodies[dice.randrange(BODIES)])
            answered_s = time.perf_counter()
            latencies_s.append(answered_s - sent_s)
            sent_s = answered_s

    await asyncio.gather(*(client(seed) for seed in range(clients)))
    return figures_of(latencies_s, time.perf_counter() - begin_s)


def run_threads(commit: BlockingCommit, clients: int, seconds: float) -> Figures:
    """So many threads, each committing one meeting after the other."""
    bodies, latencies_s, drawn = ready_bodies(), list[float](), next(_rounds)
    failures = list[Exception]()
    begin_s = time.perf_counter()
    end_s = begin_s + seconds

    def client(seed: int) -> None:
        dice, own_s = random.Random(f"{drawn}/{seed}"), list[float]()
        sent_s = time.perf_counter()
        try:
            while sent_s < end_s:
                commit(dice.randrange(KEYS), bodies[dice.randrange(BODIES)])
                answered_s = time.perf_counter()
                own_s.append(answered_s - sent_s)
                sent_s = answered_s
        except OSError as error:
            failures.append(error)
        latencies_s.extend(own_s)

    threads = [threading.Thread(target=client, args=(seed,), daemon=True) for seed in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + GRACE_S)
    if failures:
        raise failures[0]
    return figures_of(latencies_s, time.perf_counter() - begin_s)


def run_reader(query: Callable[[int], object], seconds: float) -> Figures:
    """One reader asking again and again, with the number of the question."""
    latencies_s = list[float]()
    begin_s = sent_s = time.perf_counter()
    end_s = begin_s + seconds
    number = 0
    while sent_s < end_s:
        query(number)
        number += 1
        answered_s = time.perf_counter()
        latencies_s.append(answered_s - sent_s)
        sent_s = answered_s
    return figures_of(latencies_s, sent_s - begin_s)
