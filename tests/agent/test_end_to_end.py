"""`meetkeeper run` with the real server: killed, frozen, orphaned, stopped, asked for a proof."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest

from meetkeeper.agent.watch import Limits
from meetkeeper.app.demo.servers import end
from meetkeeper.host.disk import RealDisk
from meetkeeper.store import promises
from tests.agent.pairs import Scene, until
from tests.agent.test_agent import lives
from tests.app.running import START_S_MAX, Running

pytestmark = pytest.mark.slow

IMPATIENT = """
import sys
from pathlib import Path
from meetkeeper.agent.parent import node_command, run
from meetkeeper.agent.watch import Limits
from meetkeeper.agent.words import AgentSettings
settings = AgentSettings(home=Path(sys.argv[1]), name="test", command=node_command(sys.argv[1]))
sys.exit(run(settings, Limits(silence_s=2.0)))
"""


def node_of(running: Running) -> int:
    """The process that holds the home's lock."""
    return int((running.home.path / "local" / "lock").read_text().split()[-1])


def wait_for_another(running: Running, pid: int) -> None:
    """Return when another node answers."""
    deadline = time.monotonic() + START_S_MAX
    while True:
        assert time.monotonic() < deadline, running.log.read_text()
        time.sleep(0.05)
        if node_of(running) == pid:
            continue
        try:
            running.ask("GET", "/api/v1/meetings")
        except (urllib.error.URLError, ConnectionError):
            continue
        return


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    """A server with its agent, ended afterwards."""
    running = Running(tmp_path, ("run",))
    running.start()
    yield running
    end(running.process)


def test_a_killed_node_is_back_and_bookable(server: Running) -> None:
    """What was acknowledged before is there, and the next booking is taken."""
    first = server.book(1)
    pid = node_of(server)
    os.kill(pid, signal.SIGKILL)
    wait_for_another(server, pid)
    second = server.book(2)
    for one in (first, second):
        assert server.ask("GET", f"/api/v1/meetings/{one}")["vmr"]
    assert server.process is not None
    assert server.process.poll() is None


def test_a_killed_agent_leaves_no_server(server: Running) -> None:
    """Its node is gone within a second, and a new one may begin at once."""
    first, pid = server.book(1), node_of(server)
    assert server.process is not None
    server.process.kill()
    server.process.wait()
    deadline = time.monotonic() + 1.0
    while lives(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    server.start()
    assert server.ask("GET", f"/api/v1/meetings/{first}")["vmr"]


def test_told_to_stop_it_stops_in_good_order(server: Running) -> None:
    """SIGTERM to the agent: the node says that it stops, once; the agent ends with 0."""
    assert server.process is not None
    server.process.terminate()
    assert server.process.wait(10) == 0, server.log.read_text()
    assert server.log.read_text().count("server.stopping") == 1


def test_a_second_one_on_the_same_folder_says_so_and_ends(server: Running) -> None:
    """With one sentence, with code 3, and without trying again."""
    second = server.spawn()
    assert second.wait(START_S_MAX) == 3
    assert server.log.read_text().count("local/lock") == 1
    server.book(1)


def test_a_frozen_node_is_killed_and_replaced(tmp_path: Path) -> None:
    """An agent that waits two seconds: SIGSTOP to the node, and another one takes bookings soon."""
    running = Running(tmp_path)
    with running.log.open("ab") as log:
        agent = subprocess.Popen(
            [sys.executable, "-c", IMPATIENT, str(running.home.path)], stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + START_S_MAX
        while running.home.address() is None:
            assert time.monotonic() < deadline, running.log.read_text()
            time.sleep(0.05)
        first, pid = running.book(1), node_of(running)
        os.kill(pid, signal.SIGSTOP)
        wait_for_another(running, pid)
        assert not lives(pid)
        running.book(2)
        assert running.ask("GET", f"/api/v1/meetings/{first}")["vmr"]
    finally:
        end(agent)


async def test_after_a_proof_the_server_never_acts_under_its_epoch(tmp_path: Path) -> None:
    """Asked while it runs: no. Killed and asked: a proof with its journal's end. Its next reign is above the proof."""
    running = Running(tmp_path)
    command = (sys.executable, "-m", "meetkeeper.app.main", "node", str(running.home.path))
    scene = Scene(tmp_path / "agent", Limits(grace_s=5.0), command)
    scene.agent.settings = scene.settings = type(scene.settings)(
        home=running.home.path, name="a", command=command, pair=scene.settings.pair
    )
    async with scene.running():
        await until(lambda: running.home.address() is not None)
        await asyncio.to_thread(running.book, 1)
        asker = scene.asker()
        assert await asker.ask(50) is None
        assert "runs" in asker.last
        pid = node_of(running)
        os.kill(pid, signal.SIGKILL)
        await until(lambda: scene.agent.view.is_gone)
        proof = await asker.ask(50)
        assert proof is not None
        assert proof.epoch == 50
        assert proof.position is not None
        assert proof.position.seq > 1
        assert promises.read(RealDisk(running.home.path)) == 51
        await asyncio.to_thread(wait_for_another, running, pid)
        await asyncio.to_thread(running.book, 2)
    journal = sorted((running.home.path / "databases" / "journal").iterdir())
    lines = b"".join(path.read_bytes() for path in journal).splitlines()
    after = [line for line in lines if int(line.split(b" ")[2]) > proof.position.seq]
    assert after
    assert all(int(line.split(b" ")[1]) > 50 for line in after)
    assert json.loads(after[0].split(b" ", 4)[4])
