"""Why a server of a pair ended is told as it was: a failed disk is no lost role, and a lost role is no crash."""

import asyncio
import errno

import pytest

from meetkeeper.agent.words import EXIT_ROLE_DROPPED, EXIT_START_AGAIN
from meetkeeper.app.running_commands import exit_code_of
from meetkeeper.core.errors import MeetkeeperError
from meetkeeper.engine.loop import Engine
from meetkeeper.engine.node import Node
from meetkeeper.engine.pair import Pair, RoleLost
from meetkeeper.engine.partner import Partner
from meetkeeper.ha.view import View
from meetkeeper.ha.words import Facts, Found, Outcome, Proof, Record
from meetkeeper.host.clock import RealClock
from meetkeeper.registers.standing import StandingRegister
from meetkeeper.store.database import Database
from meetkeeper.testing.disk import CrashDisk
from meetkeeper.testing.fakes.peer import FakeLine
from meetkeeper.testing.fakes.register import FakeRegister
from tests.engine.desk import Desk

WAIT_S = 10.0


class Nobody:
    """No agent answers."""

    async def ask(self, epoch: int) -> Proof | None:
        """Nothing."""
        return None


class Parts:
    """A pair's first server on a disk in memory; the other one never comes."""

    def __init__(self) -> None:
        self.desk = Desk()
        self.disk: CrashDisk = self.desk.disk
        self.link = FakeLine("a", "b").ends["a"]
        self.register = FakeRegister()
        self.memory = StandingRegister(self.disk, _no_grant, me="a")
        self.prover = Nobody()
        self.fencer = None
        self.clock = RealClock()
        self.instance = "home-a"

    def open_database(self) -> Database:
        """Not needed here."""
        raise AssertionError

    def make_engine(self, database: Database, epoch: int, partner: Partner) -> Engine:
        """A real one."""
        return Engine(
            Node(database),
            self.clock,
            self.desk._neighbours,
            server="a",
            release="0",
            tzdata="0",
            partner=partner,
            epoch=epoch,
        )

    def facts(self) -> Facts:
        """Nothing to say."""
        return Facts()

    def met(self, instance: str) -> None:
        """Nobody is met."""

    def moved(self) -> None:
        """Nobody looks."""


async def _no_grant(_: int, __: Record) -> Outcome:
    raise AssertionError


async def acting() -> tuple[Parts, Pair, "asyncio.Task[None]"]:
    """A server that founded the pair and acts."""
    parts = Parts()
    view = View(me="a", peer="b", cluster="c", founds=True)
    pair = Pair(parts, view, parts.desk.database)  # type: ignore[arg-type]
    running = asyncio.create_task(pair.run())
    async with asyncio.timeout(WAIT_S):
        await pair.began.wait()
    return parts, pair, running


async def test_a_failed_disk_is_told_as_such_and_started_again_with_patience() -> None:
    """The disk's own words and code reach the process' end; the agent counts it as a failure."""
    parts, pair, running = await acting()
    parts.disk.fail("journal:flush", errno.EIO)
    assert pair.engine is not None
    booking = asyncio.create_task(pair.engine.submit(parts.desk.booking()))
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(MeetkeeperError) as ended:
            await running
    with pytest.raises(MeetkeeperError):
        await booking
    assert ended.value.code.startswith("disk")
    assert exit_code_of([ended.value]) == EXIT_ROLE_DROPPED


async def test_a_role_that_another_server_has_taken_is_no_failure() -> None:
    """Deposed by the register: the process ends and is started again at once."""
    parts, _, running = await acting()
    standing = parts.register.read_now()
    assert isinstance(standing, Found)
    taken = Record("c", standing.record.epoch + 1, "b", ("b",), standing.record.mode, "b", "test", 0.0)
    parts.register.change_now(standing.version, taken)
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(RoleLost) as ended:
            await running
    assert ended.value.code == "role.lost"
    assert exit_code_of([ended.value]) == EXIT_START_AGAIN
    assert exit_code_of([ended.value, RoleLost("pair.fault", "ours")]) == EXIT_ROLE_DROPPED


async def test_a_clock_that_nobody_looks_at_any_more_ends_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours in the tick is told and ends the process: a server without beacons must not sit there silent."""
    _, pair, running = await acting()

    def broken() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(pair.heart, "tick", broken)
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(RoleLost, match="ZeroDivisionError"):
            await running
