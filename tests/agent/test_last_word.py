"""An agent told to stop while the other server's question waits for an answer: a process of its own, real TLS."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from meetkeeper.agent.client import AgentProver
from meetkeeper.agent.words import LINE_BYTES_MAX, AgentPair
from meetkeeper.replication.trust import Trust
from tests.agent.pairs import SOON_S, Scene

AGENT = """
import sys
from pathlib import Path
from meetkeeper.agent.parent import run
from meetkeeper.agent.words import AgentPair, AgentSettings, Certificates
home, starts, listen, node, *files = sys.argv[1:]
certificate, key, authority = map(Path, files)
certificates = Certificates(certificate=certificate, key=key, authority=authority)
pair = AgentPair(peer="b", listen=listen, certificates=certificates)
command = (sys.executable, "-c", node, starts)
sys.exit(run(AgentSettings(home=Path(home), name="a", command=command, pair=pair)))
"""


class Process:
    """The agent of a scene as a process of its own."""

    def __init__(self, scene: Scene, pair: AgentPair, log: Path) -> None:
        files = pair.certificates
        paths = [str(path) for path in (files.certificate, files.key, files.authority)]
        node = scene.settings.command[2]
        arguments = [str(scene.home), str(scene.starts), pair.listen, node, *paths]
        self.log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen([sys.executable, "-c", AGENT, *arguments], stdout=out, stderr=out)

    async def ended(self) -> int:
        """Its exit code, soon."""
        return await asyncio.to_thread(self.process.wait, SOON_S)

    def said(self) -> str:
        """Everything it logged."""
        return self.log.read_text()


@asynccontextmanager
async def agent_of(scene: Scene, folder: Path) -> AsyncIterator[tuple[Process, AgentProver]]:
    """An agent that listens beside its node, and server b, which has asked once."""
    assert scene.settings.pair is not None
    agent = Process(scene, scene.settings.pair, folder / "agent.log")
    asker = scene.asker()
    try:
        async with asyncio.timeout(SOON_S):
            while asker.last != "its node runs as active":
                await asker.ask(1)
        yield agent, asker
    finally:
        agent.process.kill()
        await agent.ended()


async def test_a_stop_answers_the_question_that_waits_and_says_nothing_of_it(tmp_path: Path) -> None:
    """The node ends because its agent was told to: whoever asked holds the proof, and no traceback is logged."""
    scene = Scene(tmp_path)
    async with agent_of(scene, tmp_path) as (agent, asker):
        waits = asyncio.create_task(asker.ask(1))
        await asyncio.sleep(0.1)  # inside the agent's patience with a running node
        agent.process.send_signal(signal.SIGTERM)
        proof = await waits
        assert await agent.ended() == 0, agent.said()
        assert "Traceback" not in agent.said(), agent.said()
        assert proof is not None, asker.last
        assert proof.epoch == 1


async def test_a_stop_waits_for_nobody_who_has_not_asked(tmp_path: Path) -> None:
    """A connection that says nothing is cut, without a second's delay and without a traceback."""
    scene = Scene(tmp_path)
    files = scene.cards.of("b")
    trust = Trust(files.certificate, files.key, files.authority)
    host, port = scene.address.split(":")
    async with agent_of(scene, tmp_path) as (agent, _):
        _, writer = await asyncio.open_connection(
            host, int(port), ssl=trust.dialling(), server_hostname="", limit=LINE_BYTES_MAX
        )
        agent.process.send_signal(signal.SIGTERM)
        assert await agent.ended() == 0, agent.said()
        assert "Traceback" not in agent.said(), agent.said()
        writer.transport.abort()
