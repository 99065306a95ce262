"""The configuration's life on a running server: what the API may do with it, and what a hand edit becomes.

Rollback reads the journal: every configuration that was in force is a frame, so no second history is kept.
"""

import asyncio
from collections.abc import Callable, Sequence

import msgspec
import structlog
from msgspec import Raw

from meetkeeper.api.gate import ConfigRevision
from meetkeeper.app import configfile
from meetkeeper.app.home import Home, pretty, write_private
from meetkeeper.codec import record
from meetkeeper.core.changes import ConfigDeployed
from meetkeeper.core.commands import Deploy
from meetkeeper.core.configuration import Config
from meetkeeper.core.errors import NotFound
from meetkeeper.core.plan import Decision
from meetkeeper.engine.loop import Engine
from meetkeeper.engine.seat import Seat

log = structlog.get_logger("config")

LOOK_S = 1.0
"""How often the file is looked at. By content, not by events: shares and editors differ in what they report."""


class FileHooks:
    """`api.gate.ConfigHooks` over the home folder and the engine."""

    def __init__(self, home: Home, engine: Engine | Seat, changed: Callable[[], None] = lambda: None) -> None:
        """`changed` is called when another configuration is in force than at the last look."""
        self._home = home
        self._engine = engine
        self._changed = changed
        self._shown: Config | None = None

    async def check(self, body: bytes) -> Sequence[str]:
        """One sentence for each thing wrong with it."""
        config, problems = configfile.parse(body)
        if config is not None:
            problems = configfile.check(config)
        return [problem.sentence() for problem in problems]

    async def deploy(self, body: bytes, by: str, base: int | None) -> int:
        """Put it in force; the revision it now has. Raises `TheirMistake`, `Stale`."""
        config = configfile.read(body)
        decision: Decision = await self._engine.submit(Deploy(Raw(msgspec.json.encode(config)), by, base))
        configfile.write_out(self._home, config)
        if self._home.staged_file.exists() and _parsed(self._home.staged_file.read_bytes()) == config:
            self._home.staged_file.unlink()
        log.info("config.deployed", revision=decision.answer, by=by)
        return int(decision.answer)

    async def rollback(self, by: str, to: int | None) -> int:
        """Put an earlier configuration in force again. Raises `NotFound`."""
        state = self._engine.state
        wanted = state.config_revision - 1 if to is None else to
        found = await asyncio.to_thread(self._deployed)
        for change in found:
            if change.revision == wanted:
                return await self.deploy(bytes(change.body), by, state.config_revision)
        raise NotFound(
            "unknown-revision",
            f"Configuration {wanted} is not in the journal any more, or never was. "
            "`meetkeeper config revisions` lists those that are.",
        )

    async def revisions(self) -> Sequence[ConfigRevision]:
        """Those that may be rolled back to, newest first."""
        deployed = await asyncio.to_thread(self._dated)
        return [ConfigRevision(change.revision, at_s, change.by) for at_s, change in reversed(deployed)]

    def _deployed(self) -> list[ConfigDeployed]:
        return [change for _, change in self._dated()]

    def _dated(self) -> list[tuple[float, ConfigDeployed]]:
        found: list[tuple[float, ConfigDeployed]] = []
        for frame in self._engine.frames():
            if b'"config"' not in frame.body:
                continue
            plan = record.decode(frame.body).plan
            found += [(plan.at_s, change) for change in plan.changes if isinstance(change, ConfigDeployed)]
        return found

    async def watch(self, stop: asyncio.Event) -> None:
        """Notice a hand edit: set it aside as staged, put the file back to what is in force, say so."""
        trouble = ""
        while not stop.is_set():
            try:
                await self._look_once()
                trouble = ""
            except (
                OSError
            ) as error:  # a full disk or too few descriptors: the file is for people, meetings go on
                if trouble != str(error):
                    log.warning("config.unreachable", text=f"config.json can't be looked after now: {error}")
                trouble = str(error)
            try:
                async with asyncio.timeout(LOOK_S):
                    await stop.wait()
            except TimeoutError:
                continue

    async def _look_once(self) -> None:
        in_force = self._engine.state.config
        if in_force is None:
            return
        if in_force != self._shown:
            await asyncio.to_thread(self._show, in_force)
            self._changed()
        await asyncio.to_thread(self._look, in_force)

    def _show(self, in_force: Config) -> None:
        """Write out what is in force. Whoever edited the file at that very moment finds the edit as staged."""
        if self._shown is not None:
            self._look(self._shown)
        configfile.write_out(self._home, in_force)
        self._shown = in_force
        staged = self._home.staged_file
        if staged.exists() and _parsed(staged.read_bytes()) == in_force:
            staged.unlink()  # deployed by way of the other server

    def _look(self, in_force: Config) -> None:
        try:
            found = self._home.config_file.read_bytes()
        except FileNotFoundError:
            configfile.write_out(self._home, in_force)
            log.warning("config.restored", text="config.json was missing; it shows again what is in force")
            return
        if found == pretty(in_force) or _parsed(found) == in_force:
            return
        write_private(self._home.staged_file, found)
        configfile.write_out(self._home, in_force)
        log.warning(
            "config.staged",
            text="config.json was edited: the edit waits in staged.json beside it, where it can be mended. See "
            "`meetkeeper config check` and `config diff`, then `meetkeeper config deploy`, which asks the active "
            "server, also from a passive one.",
        )


def _parsed(body: bytes) -> Config | None:
    return configfile.parse(body)[0]
