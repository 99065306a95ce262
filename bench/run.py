"""The rounds: every contender of a section is up, and each in turn is measured for a moment, again and again.

Between two cells everything written so far is flushed, so that nobody pays for the one before; the order moves on by
one with each round. What cannot be had or fails is named and left out; the others go on.
"""

import contextlib
import gc
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import psycopg
import redis

from bench import failover, machine, plan, resync, start_lag
from bench.clients import run_reader
from bench.figures import Contender, Failed, Figures, Reader, Restarter, Unavailable
from bench.fill import EXIT_UNAVAILABLE
from bench.plan import Plan
from bench.processes import Argv, Child
from bench.results import QUESTIONS, Cell, Contestant, Results
from meetkeeper.core.errors import MeetkeeperError

TROUBLES: Final = (
    *(Unavailable, Failed, OSError, RuntimeError, ExceptionGroup),
    *(MeetkeeperError, psycopg.Error, redis.RedisError),
)
"""What takes one contender out of the run and lets the others go on."""


FILL_MIN_S: Final = 60.0
"""A store gets so long to be filled even when the time of the run is nearly over."""
FILLED_AT_ONCE: Final = 2


class Named(Protocol):
    """What every contender has."""

    @property
    def name(self) -> str: ...

    @property
    def does(self) -> str: ...

    def stop(self) -> None: ...


Some = TypeVar("Some", bound=Named)


class Run:
    """One run: a plan, a folder, a deadline, and the results so far."""

    def __init__(self, chosen: Plan, folder: Path) -> None:
        self.plan = chosen
        self.folder = folder
        self.results = Results()
        self._begin_s = time.monotonic()
        self._end_s = self._begin_s + chosen.deadline_s

    def measure(self, sections: Iterable[str]) -> Results:
        """Measure these sections, in the order of `plan.SECTIONS`."""
        steps: Mapping[str, Callable[[], None]] = {
            "commit": self._commit,
            "replicated": self._replicated,
            "http": self._http,
            "reads": self._reads,
            "failover": self._failover,
            "restart": self._restart,
            "resync": self._resync,
            "start": self._start_lag,
        }
        wanted = set(sections)
        for name, step in steps.items():
            if name in wanted and not self._is_over(name):
                self._say(f"— {name}")
                step()
        return self.results

    # --- sections ----------------------------------------------------------------------------------------------------

    def _commit(self) -> None:
        self._load("commit", plan.COMMIT, self.plan.clients, self.plan.commit_s)

    def _replicated(self) -> None:
        self._load("replicated", plan.REPLICATED, (1, plan.FIRST_CLIENTS), self.plan.commit_s)

    def _http(self) -> None:
        self._load("http", plan.HTTP, (plan.FIRST_CLIENTS,), self.plan.http_s)

    def _load(
        self,
        section: str,
        made_by: Mapping[str, Callable[[], Contender]],
        clients: Iterable[int],
        seconds: float,
    ) -> None:
        with contextlib.ExitStack() as stack:
            there = self._start(section, made_by, lambda one, folder: one.start(folder), stack)
            for number in range(self.plan.rounds_first):
                for count in clients:
                    if count != plan.FIRST_CLIENTS and number >= self.plan.rounds:
                        continue
                    for key in _turned(there, number):
                        self._round(section, key, count, there, partial(there[key].run, count, seconds))

    def _reads(self) -> None:
        with contextlib.ExitStack() as stack:
            there: dict[str, Reader] = self._start(
                "reads", plan.READS, lambda one, folder: one.start(folder), stack
            )
            for number in range(self.plan.rounds_first):
                for question in QUESTIONS:
                    for key in _turned(there, number):
                        ask = getattr(there[key], question)
                        self._round(question, key, 1, there, partial(run_reader, ask, self.plan.read_s))

    def _restart(self) -> None:
        there = {key: make() for key, make in plan.RESTART.items()}
        for key, one in there.items():
            self.results.contestants["restart", key] = Contestant(one.name, one.does)
        fillers = {one.store: key for key, one in there.items()}
        with ThreadPoolExecutor(FILLED_AT_ONCE) as threads:
            troubles = dict(zip(fillers, threads.map(self._filled, fillers, fillers.values()), strict=True))
        for key, one in list(there.items()):
            trouble = troubles[one.store]
            if trouble is not None:
                self._drop("restart", key, there, trouble)
        for number in range(self.plan.restart_rounds):
            for key in _turned(there, number):
                if not self._is_over(f"restart of {key}"):
                    self._loaded(key, there)

    def _filled(self, store: str, key: str) -> Exception | None:
        """Fill a store in a child, by this contender; what went wrong, if anything did."""
        folder, log = self.folder / "restart" / store, self.folder / f"fill-{store}.log"
        folder.parent.mkdir(exist_ok=True)
        argv: Argv = [sys.executable, "-m", "bench.fill", key, folder, str(self.plan.restart_meetings)]
        child = Child(argv, log, cwd=Path.cwd())
        try:
            code = child.wait(max(FILL_MIN_S, self._end_s - time.monotonic()))
        except Failed as trouble:
            return trouble
        finally:
            child.stop()
        if code:
            return Unavailable(child.last_words()) if code == EXIT_UNAVAILABLE else Failed(child.last_words())
        self._say(f"  restart: the store of {store} is filled")
        return None

    def _loaded(self, key: str, there: dict[str, Restarter]) -> None:
        try:
            loaded = there[key].load(self.folder / "restart" / there[key].store, machine.make_cold)
            if loaded.meetings != self.plan.restart_meetings:
                raise Failed(f"came back with {loaded.meetings:,} of {self.plan.restart_meetings:,} meetings")
        except TROUBLES as trouble:
            self._drop("restart", key, there, trouble)
            return
        self.results.loads.setdefault(key, []).append(loaded)
        self._say(f"  {key}: {loaded.seconds:.2f} s, {loaded.resident_bytes / loaded.meetings:,.0f} B each")

    def _failover(self) -> None:
        self._singles("failover", lambda: failover.figures(self.plan.failovers, self._say))

    def _resync(self) -> None:
        self._singles("resync", lambda: resync.measure(self.folder / "resync", self.plan.rooms))

    def _start_lag(self) -> None:
        self._singles("start", lambda: start_lag.measure(self.folder / "start", self.plan.meetings_starting))

    def _singles(self, section: str, measure: Callable[[], Mapping[str, float]]) -> None:
        try:
            measured = measure()
        except TROUBLES as trouble:
            self.results.missing[section, section] = str(trouble)
            self._say(f"  {section}: {trouble}")
            return
        self.results.singles.update(measured)
        for name, value in measured.items():
            self._say(f"  {name}: {value:,.2f}")

    # --- steps -------------------------------------------------------------------------------------------------------

    def _start(
        self,
        section: str,
        made_by: Mapping[str, Callable[[], Some]],
        start: Callable[[Some, Path], None],
        stack: contextlib.ExitStack,
    ) -> dict[str, Some]:
        there: dict[str, Some] = {}
        for key, make in made_by.items():
            one = make()
            self.results.contestants[section, key] = Contestant(one.name, one.does)
            stack.callback(one.stop)
            there[key] = one
            try:
                start(one, self.folder / section / key)
            except TROUBLES as trouble:
                self._drop(section, key, there, trouble)
            else:
                self._say(f"  {section} {key} is up")
        return there

    def _round(
        self, section: str, key: str, clients: int, there: dict[str, Some], run: Callable[[], Figures]
    ) -> None:
        if key not in there or self._is_over(f"{section} of {key} at {clients}"):
            return
        _settle()
        try:
            figures = run()
        except TROUBLES as trouble:
            self._drop(section, key, there, trouble)
            return
        self.results.rounds.setdefault(Cell(section, key, clients), []).append(figures)
        self._say(
            f"  {section} {key} at {clients}: {figures.per_second:,.0f}/s, "
            f"p50 {figures.p50_ms:.2f} ms, p99 {figures.p99_ms:.2f} ms"
        )

    def _drop(self, section: str, key: str, there: dict[str, Any], trouble: Exception) -> None:
        there.pop(key, None)
        self.results.missing[section, key] = str(trouble) or type(trouble).__name__
        self._say(f"  {section} {key}: left out, {trouble}")

    def _is_over(self, what: str) -> bool:
        if time.monotonic() < self._end_s:
            return False
        self.results.left_out.append(what)
        return True

    def _say(self, text: str) -> None:
        print(f"{time.monotonic() - self._begin_s:6.1f} s {text}", file=sys.stderr, flush=True)


def _turned(there: Mapping[str, object], number: int) -> list[str]:
    keys = list(there)
    first = number % len(keys) if keys else 0
    return keys[first:] + keys[:first]


def _settle() -> None:
    gc.collect()
    gc.freeze()  # what stands now is not looked through again, as in a server that has come up
    os.sync()
