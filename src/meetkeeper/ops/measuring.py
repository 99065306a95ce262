"""Measures what `ops.readiness` judges: on the passive server, every ten seconds; neighbours are tried once a minute.

Nothing here waits for a neighbour on the way to a verdict: tries run beside, each with its own time limit, and what
they found last is what is read. Trying is a greeting and a login: nothing is asked for, nothing is changed.
"""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path

import structlog
from msgspec import Struct

from meetkeeper.core import cookie as cookies
from meetkeeper.core.configuration import Config
from meetkeeper.core.errors import MeetkeeperError
from meetkeeper.engine.neighbours import Neighbours
from meetkeeper.engine.pair import Pair
from meetkeeper.ha.view import is_whole
from meetkeeper.ha.words import Facts, Role
from meetkeeper.host.ntp import ntp_state
from meetkeeper.ops.readiness import (
    NEAR_FRAMES,
    UNMEASURED,
    Alike,
    Certificate,
    Reading,
    Tried,
    Verdict,
    aged,
    judge,
)

log = structlog.get_logger("readiness")

EVERY_S = 10.0
LOOK_S = 0.5
TRY_EVERY_S = 60.0
TRY_S_MAX = 10.0
TRIES_AT_ONCE = 4
SAMPLE_S = 0.05
SAMPLES_MAX = 30
"""A beacon comes every half second; its arrival is seen this often, so that the clocks compare to a few hundredths."""


class Means(Struct, frozen=True, kw_only=True):
    """What `app` gives: whatever depends on files and adapters."""

    home: Path
    build: Callable[[Config], Neighbours]
    certificates: Mapping[str, Path]
    """Names for people, and the PEM files."""
    days_left: Callable[[bytes], float]
    """Raises `TheirMistake` for no PEM."""
    test_fence: Callable[[], Awaitable[str]] | None


class Measurer:
    """Measures while this server is passive. `verdict` is what counts now."""

    def __init__(self, pair: Pair, means: Means) -> None:
        self._pair = pair
        self._means = means
        self._verdict: Verdict = UNMEASURED
        self._tried: dict[tuple[str, str], Tried] = {}
        self._fence: str | None = None
        self._neighbours: Neighbours | None = None
        self._revision = -1
        self._trouble = ""
        """Why the configuration can't be used on this machine: a secret that is missing here."""
        self._apart_s: float | None = None

    def verdict(self) -> Verdict:
        """The last reading's, or unknown when it is too old or this server acts."""
        if self._pair.heart.view.role is not Role.PASSIVE:
            return UNMEASURED
        return aged(self._verdict, self._pair.steady_s())

    def said(self) -> tuple[str, tuple[str, ...]]:
        """For `Facts`."""
        verdict = self.verdict()
        return verdict.ready, verdict.reasons

    async def run(self) -> None:
        """Until cancelled."""
        trying = asyncio.create_task(self._keep_trying(), name="readiness.tries")
        try:
            await self._keep_measuring()
        finally:
            trying.cancel()
            with suppress(asyncio.CancelledError):
                await trying
            await self._let_go()

    # --- measuring ----------------------------------------------------------------------------------------------

    async def _keep_measuring(self) -> None:
        measured_s, seen = float("-inf"), object()
        while True:
            view = self._pair.heart.view
            now_s = self._pair.steady_s()
            if view.role is not Role.PASSIVE:
                self._verdict, seen = UNMEASURED, object()
            stands = self._stands()
            if view.role is Role.PASSIVE and (now_s - measured_s >= EVERY_S or stands != seen):
                measured_s, seen = now_s, stands
                await self._measure()
            await asyncio.sleep(LOOK_S)

    def _stands(self) -> object:
        """What makes a new reading due at once when it changes."""
        heart = self._pair.heart
        view, inflow = heart.view, heart.inflow
        near = view.peer_position.seq - self._pair.database.kept.seq <= NEAR_FRAMES
        following = inflow.begun and not inflow.comparing
        tries = (len(self._tried), self._trouble, self._neighbours is None)
        return view.role, view.linked, view.peer_role, view.record, view.trouble, near, following, tries

    async def _measure(self) -> None:
        apart_s = await self._clocks_apart_s()
        free = await asyncio.to_thread(self._disk_free)
        certificates = await asyncio.to_thread(self._read_certificates)
        if self._pair.heart.view.role is not Role.PASSIVE:
            return
        before = self._verdict
        self._verdict = judge(self._reading(apart_s, free, certificates))
        if (before.ready, before.reasons) != (self._verdict.ready, self._verdict.reasons):
            log.info("readiness", ready=self._verdict.ready, why=" ".join(self._verdict.reasons))

    def _reading(
        self, apart_s: float | None, free: int | None, certificates: tuple[Certificate, ...]
    ) -> Reading:
        pair = self._pair
        heart, view, now_s = pair.heart, pair.heart.view, pair.steady_s()
        mine, theirs = pair.database.kept, view.peer_position
        same = next((one == theirs for one in pair.database.recent if one.seq == theirs.seq), None)
        damaged, total = self._cookies()
        return Reading(
            at_s=now_s,
            me=view.me,
            peer=view.peer,
            linked=view.linked,
            peer_acts=view.peer_role in (Role.ACTIVE, Role.YIELDING),
            follows=heart.inflow.begun and not heart.inflow.comparing,
            in_sync=is_whole(view),
            behind=max(0, theirs.seq - mine.seq),
            same_hash=same,
            cookies=total,
            cookies_damaged=damaged,
            unusable=self._trouble,
            neighbours=self._wanted(),
            tried=tuple(self._tried.values()),
            certificates=certificates,
            disk_free_bytes=free,
            clock_apart_s=apart_s,
            ntp=ntp_state().synchronised,
            mine=_alike(pair.facts()),
            theirs=_alike(heart.peer_facts) if view.linked else None,
            register=pair.parts.register.place,
            arbitrates=view.arbitrates,
            register_age_s=now_s - view.read_s,
            register_trouble=view.trouble,
            fence=self._fence,
        )

    async def _clocks_apart_s(self) -> float | None:
        """This wall clock less the other's, at the arrival of its next beacon; the last one known without a beacon."""
        heart, clock = self._pair.heart, self._pair.parts.clock
        before = heart.peer_facts
        for _ in range(SAMPLES_MAX):
            if not heart.view.linked:
                return None
            await asyncio.sleep(SAMPLE_S)
            if heart.peer_facts is not before:
                self._apart_s = clock.now_s() - heart.peer_facts.wall_s - SAMPLE_S / 2
                break
        return self._apart_s

    def _disk_free(self) -> int | None:
        try:
            return shutil.disk_usage(self._means.home).free
        except OSError:
            return None

    def _read_certificates(self) -> tuple[Certificate, ...]:
        found = []
        for name, path in self._means.certificates.items():
            try:
                found.append(Certificate(name, self._means.days_left(path.read_bytes())))
            except (OSError, MeetkeeperError) as wrong:
                found.append(Certificate(name, None, str(wrong)))
        return tuple(found)

    def _cookies(self) -> tuple[tuple[str, ...], int]:
        """Rooms whose cookie can't be used, and how many cookies there are."""
        state = self._pair.database.state
        kept = state.cookies
        if self._neighbours is None:
            return (), len(kept)
        named = {one.room: one.name for one in self._neighbours.calendars}
        damaged = [
            room
            for room, envelope in kept.items()
            if envelope and room in named and cookies.unseal(room, named[room], envelope, state.epoch) is None
        ]
        return tuple(damaged), len(kept)

    # --- trying the neighbours ----------------------------------------------------------------------------------

    def _wanted(self) -> int:
        """One more than were tried while nobody knows how many there are."""
        return len(self._tried) + 1 if self._neighbours is None else len(_probes(self._neighbours))

    async def _keep_trying(self) -> None:
        tried_s = float("-inf")
        while True:
            state = self._pair.database.state
            passive = self._pair.heart.view.role is Role.PASSIVE
            changed = state.config is not None and state.config_revision != self._revision
            if passive and (changed or self._pair.steady_s() - tried_s >= TRY_EVERY_S):
                await self._try_all(state.config, state.config_revision)
                tried_s = self._pair.steady_s()
            elif not passive:
                await self._let_go()
                tried_s = float("-inf")
            await asyncio.sleep(LOOK_S)

    async def _try_all(self, config: Config | None, revision: int) -> None:
        if self._means.test_fence is not None:
            self._fence = await self._means.test_fence()
        if config is None:
            return
        if revision != self._revision:
            await self._let_go()
            try:
                self._neighbours = self._means.build(config)
            except MeetkeeperError as wrong:
                self._trouble = wrong.message
                return
            self._trouble, self._revision = "", revision
        assert self._neighbours is not None
        probes = _probes(self._neighbours)
        turn = asyncio.Semaphore(TRIES_AT_ONCE)
        await asyncio.gather(*(self._try(key, probe, turn) for key, probe in probes.items()))
        self._tried = {key: one for key, one in self._tried.items() if key in probes}

    async def _try(
        self, key: tuple[str, str], probe: Callable[[], Awaitable[object]], turn: asyncio.Semaphore
    ) -> None:
        kind, name = key
        async with turn:
            try:
                async with asyncio.timeout(TRY_S_MAX):
                    await probe()
                ok, text = True, ""
            except MeetkeeperError as trouble:
                ok, text = False, trouble.message
            except TimeoutError:
                ok, text = False, f"no answer within {TRY_S_MAX:g} s."
        assert kind in ("calendar", "bridge", "mail")
        self._tried[key] = Tried(kind, name, ok, text, self._pair.steady_s())  # type: ignore[arg-type]

    async def _let_go(self) -> None:
        neighbours, self._neighbours = self._neighbours, None
        self._revision = -1
        if neighbours is not None:
            with suppress(MeetkeeperError, OSError):
                await neighbours.close()


def _probes(neighbours: Neighbours) -> dict[tuple[str, str], Callable[[], Awaitable[object]]]:
    found: dict[tuple[str, str], Callable[[], Awaitable[object]]] = {}
    for calendar in neighbours.calendars:
        found["calendar", calendar.room] = calendar.source.probe
    for bridge in neighbours.bridges:
        found["bridge", bridge.id] = bridge.bridge.probe
    if neighbours.mailer is not None:
        found["mail", "mail server"] = neighbours.mailer.probe
    return found


def _alike(facts: Facts) -> Alike:
    return Alike(
        release=facts.release,
        tzdata=facts.tzdata,
        time_zone=facts.time_zone,
        config_revision=facts.config_revision,
    )
