"""Registers to try the contract on: in memory, a folder, two servers that keep it themselves."""

import asyncio
import os
import time
from pathlib import Path

from meetkeeper.ha.words import Lost, Outcome, Record, Unknown, Won
from meetkeeper.host.disk import RealDisk
from meetkeeper.ports.register import Register
from meetkeeper.registers.file import FileRegister
from meetkeeper.registers.standing import PATH, StandingRegister
from meetkeeper.testing.fakes.register import FakePlace, FakeRegister
from tests.registers import deputy

DEADLINE_S = 2.0


class FakeVenue:
    """The register in memory."""

    deadline_s = 0.0

    def __init__(self) -> None:
        self.at = FakePlace()
        self._one, self._two = FakeRegister(self.at), FakeRegister(self.at)
        self.one: Register = self._one
        self.two: Register = self._two

    async def anew(self) -> Register:
        """Another way to the same place."""
        return FakeRegister(self.at)

    async def roll_back(self) -> None:
        """The newest is gone."""
        self.at.roll_back()

    async def delete(self) -> None:
        """All is gone."""
        self.at.roll_back(len(self.at.history))

    async def lose_next_answer(self) -> None:
        """Of one change."""
        self._one.lies.lose_answers = 1

    async def hang(self) -> None:
        """Nobody gets there."""
        self._one.lies.away = self._two.lies.away = True

    async def go_on(self) -> None:
        """Everybody gets there."""
        self._one.lies.away = self._two.lies.away = False

    async def hold_next_change(self) -> None:
        """One change is on its way."""
        self._one.lies.late = 1

    async def let_go(self) -> None:
        """It arrives."""
        self.at.land_late()


class FolderVenue:
    """A folder of files. The worker of `one` takes orders."""

    deadline_s = DEADLINE_S

    def __init__(self, root: Path, *, linkless: bool = False) -> None:
        self.folder, self.orders = root / "share", root / "orders"
        self.folder.mkdir()
        self.orders.mkdir()
        if linkless:
            (self.orders / "linkless").write_text("")
        self._made: list[FileRegister] = []
        self.program = deputy.program(self.orders)
        self.one: Register = self.register("one", self.program)
        self.two: Register = self.register("two", self.program if linkless else None)
        self._hidden = b""

    def register(self, me: str, program: Path | None = None) -> FileRegister:
        """A register of this folder, closed at the end."""
        made = FileRegister(self.folder, me=me, deadline_s=DEADLINE_S)
        if program is not None:
            made = FileRegister(self.folder, me=me, deadline_s=DEADLINE_S, program=program)
        self._made.append(made)
        return made

    @property
    def newest(self) -> Path:
        """The newest number's file."""
        return max(self.folder.glob("reg-*.json"))

    async def anew(self) -> Register:
        """With a worker of its own."""
        return self.register("one")

    async def roll_back(self) -> None:
        """The newest number is gone."""
        self.newest.unlink()

    async def delete(self) -> None:
        """All numbers are gone."""
        for path in self.folder.glob("reg-*.json"):
            path.unlink()

    async def lose_next_answer(self) -> None:
        """The worker dies with the answer."""
        (self.orders / "die").write_text("")

    async def content(self) -> bytes:
        """The newest file."""
        return self.newest.read_bytes()

    async def spoil(self, content: bytes) -> None:
        """Written over."""
        self.newest.write_bytes(content)

    async def hang(self) -> None:
        """Opening a pipe that nobody writes hangs as a share does that does not answer."""
        newest = self.newest
        self._hidden = newest.read_bytes()
        newest.unlink()
        os.mkfifo(newest)

    async def go_on(self) -> None:
        """A file again."""
        newest = self.newest
        newest.unlink()
        newest.write_bytes(self._hidden)

    async def hold_next_change(self) -> None:
        """A worker gets stuck in the last step."""
        (self.orders / "hold").write_text("")

    async def let_go(self) -> None:
        """It gets through."""
        (self.orders / "go").write_text("")
        await asyncio.to_thread(wait_for, self.orders / "done")

    async def close(self) -> None:
        """End the workers."""
        for register in self._made:
            await register.close()


class StandingVenue:
    """Two servers without a third place, neither acting, on real disks, with a short wire between them."""

    deadline_s = DEADLINE_S

    def __init__(self, root: Path) -> None:
        self._homes = {name: root / name for name in ("one", "two")}
        self._before = b""
        self._loses = False
        for home in self._homes.values():
            (home / "local").mkdir(parents=True)
        self._registers = {name: self._register(name) for name in self._homes}
        self.two: Register = self._registers["two"]

    @property
    def one(self) -> Register:
        """The server that may have been started anew."""
        return self._registers["one"]

    @one.setter
    def one(self, register: Register) -> None:
        raise AttributeError

    async def anew(self) -> Register:
        """The server `one` from here on: a home has one server at a time."""
        self._registers["one"] = self._register("one")
        return self.one

    async def roll_back(self) -> None:
        """The file as it was before the newest change."""
        (self._homes["one"] / PATH).write_bytes(self._before)

    async def delete(self) -> None:
        """The file is gone."""
        (self._homes["one"] / PATH).unlink()

    async def lose_next_answer(self) -> None:
        """The other consents, and its yes does not arrive."""
        self._loses = True

    def _register(self, me: str) -> StandingRegister:
        other = "two" if me == "one" else "one"

        async def grant(expected: int, record: Record) -> Outcome:
            await asyncio.sleep(0)
            if me == "one" and (self._homes[me] / PATH).exists():
                self._before = (self._homes[me] / PATH).read_bytes()
            ok, found = self._registers[other].consent(expected, record, acting=False)
            await asyncio.sleep(0)
            if self._loses:
                self._loses = False
                return Unknown("The answer is lost.")
            return Won(found.version) if ok else Lost(found)

        return StandingRegister(RealDisk(self._homes[me]), grant, me=me, deadline_s=DEADLINE_S)


def wait_for(path: Path, seconds: float = 10.0) -> None:
    """Return when the file is there; fail when it does not come."""
    until = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < until, f"{path} has not come"
        time.sleep(0.005)
