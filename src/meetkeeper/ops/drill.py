"""A drill: a real switchover there and back at a quiet time, both measured, everything verified, the report kept.

Each step is written to `local/drills/<id>.json` before the next one begins. Interrupted anywhere (this server, the
other one, whoever asked), `drill` said again goes on where it stopped and ends in the same place: the server that acted
at the beginning acts again, and the report says what happened.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec
import structlog
from msgspec import Struct
from msgspec.structs import replace

from meetkeeper.api.client import Client
from meetkeeper.api.pairviews import DrillReport, DrillStep
from meetkeeper.codec import record
from meetkeeper.core.changes import EffectMoved
from meetkeeper.core.configuration import PairConfig
from meetkeeper.core.errors import MeetkeeperError, Refused, Unavailable
from meetkeeper.core.state import State, Status
from meetkeeper.core.words import OPEN_STEPS
from meetkeeper.engine.pair import Pair
from meetkeeper.ha.view import is_in_sync
from meetkeeper.ha.words import Role
from meetkeeper.ops.durable import Hands
from meetkeeper.ops.pasts import iso

log = structlog.get_logger("drill")

FOLDER = "local/drills"
KEPT_MAX = 50
CHANGE_S_MAX = 20.0
"""A switchover that has not come about by then did not come about."""
SETTLE_S_MAX = 90.0
"""So long the pair may take to be in sync again."""
POLL_S = 0.02
WORD_S_MAX = 8.0
"""So long a passive server that has just begun may take to measure itself."""
TRIES = 3
NAMED_MAX = 3
Stage = Literal["there", "verify-there", "back", "verify-back", "over"]


class Journal(Struct, frozen=True, kw_only=True):
    """How far a drill has come; `uris` and `seq` are from before it."""

    id: str
    by: str
    stage: Stage
    state: Literal["running", "passed", "failed"]
    began_s: float
    ended_s: float = 0.0
    home: str
    away: str
    there_s: float | None = None
    back_s: float | None = None
    seq: int
    uris: dict[str, str] = {}
    steps: tuple[DrillStep, ...] = ()
    text: str = ""


class Means(Struct, frozen=True, kw_only=True):
    """What `ops.operations` gives."""

    home: Path
    token: Callable[[], str]
    """This server's command line token: the other server knows it."""
    switch_here: Callable[[str], Awaitable[object]]
    """Begin a switchover by this server. Raises `MeetkeeperError`."""
    policy: Callable[[], PairConfig]


class Drill:
    """At most one at a time."""

    def __init__(self, pair: Pair, means: Means) -> None:
        self._pair, self._means = pair, means
        self._folder = means.home / FOLDER
        self._task: asyncio.Task[None] | None = None

    def reports(self) -> list[DrillReport]:
        """Newest first."""
        found = [one for path in self._files() if (one := _read(path)) is not None]
        works = self._task is not None and not self._task.done()
        return [_report(one, works=works) for one in reversed(found)]

    async def begin(self, by: str) -> DrillReport:
        """Begin, or go on with one that was interrupted. Raises `Refused` with what is in the way."""
        if self._task is not None and not self._task.done():
            raise Refused("drill.runs", "A drill is under way. `meetkeeper drill --show` shows it.")
        journal = await asyncio.to_thread(self._interrupted)
        if journal is None:
            await self._check()
            journal = self._new(by)
            await asyncio.to_thread(self._write, journal)
        log.info("drill.begins", id=journal.id, stage=journal.stage, by=by)
        self._task = asyncio.create_task(self._run(journal), name="drill")
        return _report(journal, works=True)

    async def close(self) -> None:
        """Leave it where it is."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    # --- before -------------------------------------------------------------------------------------------------

    async def _check(self) -> None:
        """Raises `Refused`: what is in the way of a drill."""
        blocks = await self._settled_blocks()
        if not blocks and await self._other_drills():
            blocks = [f"A drill that {self._pair.heart.view.peer} began is not over: say it there."]
        if blocks:
            raise Refused("drill.blocked", f"{' '.join(blocks)} Nothing was changed.")

    async def _settled_blocks(self) -> list[str]:
        """What is in the way; a passive server that has just begun is given a moment to measure itself."""
        until_s = self._pair.steady_s() + WORD_S_MAX
        while True:
            blocks = self.blocks()
            if not blocks or self._standby() != "unknown" or self._pair.steady_s() >= until_s:
                return blocks
            await asyncio.sleep(POLL_S)

    def _standby(self) -> str:
        """The passive server's verdict, as known here."""
        acts = self._pair.heart.view.role is Role.ACTIVE
        return (self._pair.heart.peer_facts if acts else self._pair.facts()).ready

    def blocks(self) -> list[str]:
        """What this server sees in the way."""
        view, found = self._pair.heart.view, list[str]()
        if not self._is_whole():
            found.append("The pair is not whole: `meetkeeper status` says why.")
        facts = self._pair.heart.peer_facts if view.role is Role.ACTIVE else self._pair.facts()
        if not found and facts.ready in ("not ready", "unknown"):
            found.append(f"The passive server is {facts.ready}: {' '.join(facts.reasons)}")
        quiet_s, now_s = self._means.policy().drill_quiet_s, self._pair.parts.clock.now_s()
        next_s = next_start(self._pair.database.state, now_s)
        if next_s is not None and next_s - now_s < quiet_s:
            found.append(
                f"A meeting starts at {iso(next_s)}; a drill needs {quiet_s:g} s without one (pair.drill_quiet_s)."
            )
        return found

    async def _other_drills(self) -> bool:
        try:
            said = await self._ask_peer("GET", "/cluster/drills")
        except MeetkeeperError:
            return False
        assert isinstance(said, dict)
        return any(one["state"] in ("running", "interrupted") for one in said["drills"])

    def _new(self, by: str) -> Journal:
        view, now_s = self._pair.heart.view, self._pair.parts.clock.now_s()
        home, away = (view.me, view.peer) if view.role is Role.ACTIVE else (view.peer, view.me)
        return Journal(
            id=iso(now_s).replace(":", "").replace("+0000", "Z"),
            by=by,
            stage="there",
            state="running",
            began_s=now_s,
            home=home,
            away=away,
            seq=self._pair.database.kept.seq,
            uris=uris(self._pair.database.state),
        )

    # --- the steps ----------------------------------------------------------------------------------------------

    async def _run(self, journal: Journal) -> None:
        try:
            while journal.stage != "over":
                journal = await self._step(journal)
                await asyncio.to_thread(self._write, journal)
        except MeetkeeperError as trouble:
            journal = self._ended(journal, "failed", trouble.message)
            await asyncio.to_thread(self._write, journal)
        except OSError as wrong:
            log.error("drill.not-kept", why=str(wrong))
            return
        log.info("drill.over", id=journal.id, state=journal.state, text=journal.text)
        await asyncio.to_thread(self._prune)

    async def _step(self, journal: Journal) -> Journal:
        match journal.stage:
            case "there":
                took_s = await self._switch(journal, journal.away)
                step = _switched(f"{journal.home} → {journal.away}", took_s)
                return replace(journal, stage="verify-there", there_s=took_s, steps=(*journal.steps, step))
            case "verify-there":
                return replace(journal, stage="back", steps=(*journal.steps, *await self._verify(journal)))
            case "back":
                took_s = await self._switch(journal, journal.home)
                step = _switched(f"{journal.away} → {journal.home}", took_s)
                return replace(journal, stage="verify-back", back_s=took_s, steps=(*journal.steps, step))
            case _:
                checked = replace(journal, steps=(*journal.steps, *await self._verify(journal)))
                wrong = [one for one in checked.steps if not one.ok]
                if wrong:
                    return self._ended(checked, "failed", "; ".join(one.text for one in wrong))
                return self._ended(checked, "passed", _passed(checked))

    def _ended(self, journal: Journal, state: Literal["passed", "failed"], text: str) -> Journal:
        now_s = self._pair.parts.clock.now_s()
        return replace(journal, stage="over", state=state, text=text, ended_s=now_s, uris={})

    async def _switch(self, journal: Journal, to: str) -> float | None:
        """Let `to` act; how long it took, None where it acted already (this drill was interrupted meanwhile)."""
        if await self._settled() and await self._acts(to):
            return None
        why, last = f"drill {journal.id}", ""
        for _ in range(TRIES):
            await self._wait_whole()
            begun_s = self._pair.steady_s()
            try:
                await self._ask_switchover(to, why)
            except MeetkeeperError as refused:
                last = refused.message
                await asyncio.sleep(1.0)
                continue
            while self._pair.steady_s() - begun_s < CHANGE_S_MAX:
                if await self._acts(to):
                    return self._pair.steady_s() - begun_s
                await asyncio.sleep(POLL_S)
            last = f"{to} did not act within {CHANGE_S_MAX:g} s."
        raise Unavailable(
            "drill.switch", f"The switchover to {to} did not come about: {last} Look at the log."
        )

    async def _ask_switchover(self, to: str, why: str) -> None:
        if to == self._pair.heart.view.peer:
            await self._means.switch_here(why)
        else:
            await self._ask_peer("POST", "/cluster/switchover", {"reason": why})

    async def _acts(self, name: str) -> bool:
        if name == self._pair.heart.view.me:
            return self._pair.heart.view.role is Role.ACTIVE and self._pair.began.is_set()
        try:
            said = await self._ask_peer("GET", "/cluster")
        except MeetkeeperError:
            return False
        return isinstance(said, dict) and said["role"] == "active"

    async def _ask_peer(self, method: str, path: str, body: object = None) -> object:
        url = self._pair.heart.peer_facts.url
        if not url:
            raise Unavailable("drill.no-url", "The other server has not said where it is reached (pair.url).")

        def ask() -> object:
            client = Client(url, self._means.token(), timeout_s=5.0)
            try:
                return client.get(path) if method == "GET" else client.send(method, path, body)
            finally:
                client.close()

        return await asyncio.to_thread(ask)

    # --- verifying ----------------------------------------------------------------------------------------------

    async def _verify(self, journal: Journal) -> tuple[DrillStep, ...]:
        await self._wait_whole()
        there = journal.stage == "verify-there"
        name = f"on {journal.away}" if there else f"home on {journal.home}"
        steps = [await self._verify_data(name), self._verify_uris(name, journal)]
        if not there:
            steps.append(await asyncio.to_thread(self._verify_once, journal.seq))
        return tuple(steps)

    async def _verify_data(self, name: str) -> DrillStep:
        until_s = self._pair.steady_s() + SETTLE_S_MAX
        while self._pair.steady_s() < until_s:
            mine, theirs = self._pair.database.kept, self._pair.heart.view.peer_position
            if mine == theirs:
                text = f"both servers hold the same up to frame {mine.seq}, hash {mine.hash[:8]}"
                return DrillStep(name=f"data, {name}", ok=True, text=text)
            await asyncio.sleep(POLL_S)
        return DrillStep(name=f"data, {name}", ok=False, text="the servers do not come to hold the same")

    def _verify_uris(self, name: str, journal: Journal) -> DrillStep:
        now = uris(self._pair.database.state)
        same = [one for one in journal.uris if one in now]
        moved = [one for one in same if now[one] != journal.uris[one]]
        text = f"{len(same)} meetings keep their URI and number"
        if moved:
            text = f"the URIs of {len(moved)} meetings have changed: {', '.join(moved[:NAMED_MAX])}"
        return DrillStep(name=f"URIs, {name}", ok=not moved, text=text)

    def _verify_once(self, seq: int) -> DrillStep:
        """Every effect done since the drill began, counted in the journal."""
        done: Counter[str] = Counter()
        try:
            for frame in self._pair.database.frames_since(seq):
                for change in record.decode(frame.body).plan.changes:
                    if isinstance(change, EffectMoved) and change.status is Status.DONE:
                        done[change.key] += 1
        except MeetkeeperError as gone:
            return DrillStep(name="once", ok=False, text=f"the journal can't be read: {gone.message}")
        twice = [key for key, count in done.items() if count > 1]
        if twice:
            text = f"done twice: {', '.join(map(str, twice[:NAMED_MAX]))}"
            return DrillStep(name="once", ok=False, text=text)
        return DrillStep(name="once", ok=True, text=f"{len(done)} effects done meanwhile, each once")

    # --- waiting ------------------------------------------------------------------------------------------------

    def _is_whole(self) -> bool:
        view = self._pair.heart.view
        acts = (view.role is Role.ACTIVE) != (view.peer_role is Role.ACTIVE)
        both = is_in_sync(view, view.me) and is_in_sync(view, view.peer)
        return view.linked and acts and both and view.change is None

    async def _settled(self) -> bool:
        """One acts and the other does not, within a while."""
        with suppress(Unavailable):
            await self._wait_whole()
        return True

    async def _wait_whole(self) -> None:
        """Until both are there and in sync. Raises `Unavailable` after a while."""
        until_s = self._pair.steady_s() + SETTLE_S_MAX
        while not self._is_whole():
            if self._pair.steady_s() >= until_s:
                text = f"The pair was not in sync within {SETTLE_S_MAX:g} s."
                raise Unavailable(
                    "drill.not-whole", f"{text} `meetkeeper status` says why; then say it again."
                )
            await asyncio.sleep(POLL_S)

    # --- files --------------------------------------------------------------------------------------------------

    def _files(self) -> list[Path]:
        try:
            return sorted(self._folder.glob("*.json"))
        except OSError:
            return []

    def _interrupted(self) -> Journal | None:
        found = [one for path in self._files() if (one := _read(path)) is not None and one.state == "running"]
        return found[-1] if found else None

    def _write(self, journal: Journal) -> None:
        Hands().write(self._folder / f"{journal.id}.json", msgspec.json.encode(journal))

    def _prune(self) -> None:
        for path in self._files()[:-KEPT_MAX]:
            with suppress(OSError):
                os.unlink(path)


def uris(state: State) -> dict[str, str]:
    """What people were given, by meeting: alias and number, of everything that is not over."""
    return {
        kept.id: f"{kept.alias} {kept.numeric_id}"
        for kept in state.meetings.values()
        if kept.alias is not None and kept.step in OPEN_STEPS
    }


def next_start(state: State, now_s: float) -> float | None:
    """When the next meeting starts; None when none is known."""
    starts = (
        kept.start_s for kept in state.meetings.values() if kept.start_s >= now_s and kept.step in OPEN_STEPS
    )
    return min(starts, default=None)


def _switched(way: str, took_s: float | None) -> DrillStep:
    text = "done before it was interrupted" if took_s is None else f"{took_s * 1000:.0f} ms"
    return DrillStep(name=f"switchover {way}", ok=True, text=text)


def _passed(journal: Journal) -> str:
    return f"There and back: {journal.home} acts again, and nothing has changed outside."


def _read(path: Path) -> Journal | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Journal)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def _report(journal: Journal, *, works: bool) -> DrillReport:
    """`works`: somebody goes on with what runs."""
    return DrillReport(
        id=journal.id,
        state="interrupted" if journal.state == "running" and not works else journal.state,
        began=iso(journal.began_s),
        ended=iso(journal.ended_s) if journal.ended_s else None,
        home=journal.home,
        away=journal.away,
        there_s=journal.there_s,
        back_s=journal.back_s,
        steps=journal.steps,
        text=journal.text or ("" if works else "Say `meetkeeper drill` again: it goes on from there."),
    )
