"""The committer: one thread that makes waiting frames durable, all that wait with one write and one flush.

Place in the journey: the engine commits plans on its own thread and calls `wake`; the committer flushes and calls
`on_kept(position)`. While the disk works, the engine reads the next requests and their frames become the next batch.
Rules: the callbacks run in this thread and must be cheap (hand over to the loop and return). After a failure it calls
`on_failed(error)` once and ends; nothing is tried again.
"""

import sys
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic

from meetkeeper.core.errors import MeetkeeperError, OurMistake
from meetkeeper.ha.words import Position
from meetkeeper.store.database import Database
from meetkeeper.store.journal import Batch

QUIET_S = 0.05
"""The open segment is closed when nothing has come for this long …"""
OPEN_MAX_S = 1.0
"""… and at the latest after this long, so that tools which carry only closed files are never a second behind."""
SWITCH_S = 0.0005
"""Longest time the interpreter lets a busy thread keep a flushed batch waiting (its default is ten times that)."""


class Committer:
    """Start it once; `wake` it after commits; `stop` flushes what waits and returns when the thread has ended."""

    def __init__(
        self,
        database: Database,
        on_kept: Callable[[Position], None],
        on_failed: Callable[[MeetkeeperError], None],
        *,
        before_flush: Callable[[Batch], None] | None = None,
        steady_s: Callable[[], float] = monotonic,
    ) -> None:
        """`before_flush` sees each batch just before it is written: the moment to send it to the passive."""
        self._database = database
        self._on_kept = on_kept
        self._on_failed = on_failed
        self._before_flush = before_flush
        self._steady_s = steady_s
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._rung = False
        self._stopping = False
        self._thread = Thread(target=self._run, name="committer", daemon=True)

    def start(self) -> None:
        """Begin to work. Shortens the interpreter's switch interval for the whole process."""
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_S))
        self._thread.start()

    def wake(self) -> None:
        """Something was committed. Cheap when the committer has been called and not yet looked."""
        if not self._rung:
            self._rung = True
            self._bell.put(None)

    def stop(self) -> None:
        """Flush what waits, close the segment, end the thread. May be called twice."""
        self._stopping = True
        self._bell.put(None)
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        ended_well = False
        try:
            self._work_off()
            ended_well = True
        except MeetkeeperError as error:
            ended_well = True
            self._on_failed(error)
        finally:
            if not ended_well:
                broken = OurMistake(
                    "committer.broken", "The committer ended by a fault of its own; restart this server."
                )
                self._database.abandon(broken)
                self._on_failed(broken)

    def _work_off(self) -> None:
        opened_s: float | None = None
        while True:
            called = self._wait_for_bell(None if opened_s is None else QUIET_S)
            stopping = self._stopping
            batch = self._database.take_batch()
            if batch is not None:
                if opened_s is None:
                    opened_s = self._steady_s()
                if self._before_flush is not None:
                    self._before_flush(batch)
                self._on_kept(self._database.flush(batch))
            quiet = stopping or not called
            if opened_s is not None and (quiet or self._steady_s() - opened_s >= OPEN_MAX_S):
                self._database.rest()
                opened_s = None
            if stopping:
                return

    def _wait_for_bell(self, timeout_s: float | None) -> bool:
        """False when nobody called in time. Whoever calls from here on is heard next time."""
        try:
            self._bell.get(timeout=timeout_s)
        except Empty:
            return False
        finally:
            self._rung = False
        return True
