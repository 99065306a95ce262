"""Two servers' certificates and an agent beside a stand-in for a node, for tests."""

import asyncio
import datetime
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct

from meetkeeper.agent.client import AgentProver
from meetkeeper.agent.parent import Agent
from meetkeeper.agent.watch import Limits
from meetkeeper.agent.words import AgentPair, AgentSettings, Certificates
from meetkeeper.replication.authority import Issued, issue, make_authority
from tests.ports import free_port

SOON_S = 20.0
QUICK = Limits(silence_s=1.5, stop_s=2.0)

NODE = """
import asyncio, os, sys
from meetkeeper.agent.heartbeat import end_with_agent, heartbeat_from_environment
from meetkeeper.ha.words import Role
end_with_agent()
with open(sys.argv[1], "a") as log:
    log.write(f"{os.getpid()} {os.environ.get('MEETKEEPER_NO_PROOF_GIVEN', '')}\\n")
asyncio.run(heartbeat_from_environment()(lambda: Role.ACTIVE))
"""


class Cards(Struct, frozen=True):
    """An authority, and a folder with the certificates it has issued."""

    folder: Path
    authority: Issued

    def of(self, name: str) -> Certificates:
        """Key and certificate of a server, in files."""
        files = Certificates(
            certificate=self.folder / f"{name}.pem",
            key=self.folder / f"{name}.key",
            authority=self.folder / "ca.pem",
        )
        issued = issue(self.authority, name, (), 10, _now())
        files.certificate.write_bytes(issued.certificate)
        files.key.write_bytes(issued.key)
        files.authority.write_bytes(self.authority.certificate)
        return files


def cards(folder: Path) -> Cards:
    """A new authority."""
    folder.mkdir(parents=True, exist_ok=True)
    return Cards(folder, make_authority(_now()))


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class Scene:
    """Server a: a home, an agent in this process, and a node or a stand-in for one as its child."""

    def __init__(self, folder: Path, limits: Limits = QUICK, command: tuple[str, ...] = ()) -> None:
        self.home = folder / "home"
        (self.home / "local").mkdir(parents=True, exist_ok=True)
        self.starts = folder / "starts"
        self.cards = cards(folder / "cards")
        pair = AgentPair(peer="b", listen=f"127.0.0.1:{free_port()}", certificates=self.cards.of("a"))
        self.address = pair.listen
        self.settings = AgentSettings(
            home=self.home,
            name="a",
            command=command or (sys.executable, "-c", NODE, str(self.starts)),
            pair=pair,
        )
        self.agent = Agent(self.settings, limits)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["asyncio.Task[int]"]:
        """The agent runs, its node has beaten, and it listens; both are ended afterwards."""
        task = asyncio.create_task(self.agent.run())
        try:
            await until(lambda: (self.agent.view.beaten and self.agent.port() > 0) or task.done())
            yield task
        finally:
            self.agent.stop()
            await asyncio.wait_for(task, SOON_S)

    def asker(self, certificates: Certificates | None = None, me: str = "b") -> AgentProver:
        """Server b, which asks."""
        return AgentProver(
            me=me,
            peer="a",
            address=self.address,
            certificates=certificates or self.cards.of("b"),
            now_s=time.time,
        )

    def pid(self) -> int:
        """The newest node's process."""
        return int(self.starts.read_text().splitlines()[-1].split()[0])

    def tokens(self) -> list[str]:
        """For each node that was started, whether it was told that no proof was given."""
        return [line.partition(" ")[2] for line in self.starts.read_text().splitlines()]


async def until(holds: Callable[[], bool]) -> None:
    """Return when it holds; a failure after a while."""
    deadline = time.monotonic() + SOON_S
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
