"""An agent as a process of its own, with small children: signals, ends, and what it leaves behind."""

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from meetkeeper.agent.words import EXIT_START_AGAIN

pytestmark = pytest.mark.slow

SOON_S = 30.0
AGENT = """
import sys
from pathlib import Path
from meetkeeper.agent.parent import run
from meetkeeper.agent.watch import Limits
from meetkeeper.agent.words import AgentSettings
command = (sys.executable, "-c", sys.argv[1], sys.argv[2])
settings = AgentSettings(home=Path(sys.argv[2]), name="a", command=command)
sys.exit(run(settings, Limits(silence_s=1.5, stop_s=2.0, crashes_max=3)))
"""
NODE = """
import asyncio, os, signal, sys, time
from meetkeeper.agent.heartbeat import end_with_agent, heartbeat_from_environment, nobody
end_with_agent()
with open(sys.argv[1] + "/starts", "a") as log:
    log.write(f"{{os.getpid()}}\\n")
starts = len(open(sys.argv[1] + "/starts").readlines())
async def main():
    beating = asyncio.create_task(heartbeat_from_environment()(nobody))
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await asyncio.sleep(0.1)
    open(sys.argv[1] + "/up", "w").close()
    {then}
asyncio.run(main())
"""
SERVE = "await ended.wait()"


class Stage:
    """An agent's process, and what its nodes have left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        self.log = folder / "log"

    def begin(self, then: str = SERVE, node: str = NODE, stdin: int = subprocess.DEVNULL) -> None:
        """Start it; `then` is what the node does once it has beaten."""
        program = node.format(then=then) if node is NODE else node
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-u", "-c", AGENT, program, str(self.folder)],
                stdout=log,
                stderr=log,
                stdin=stdin,
            )

    def up(self) -> None:
        """Wait until a node has beaten."""
        self.until((self.folder / "up").exists)

    def pids(self) -> list[int]:
        """Every node that was started."""
        starts = self.folder / "starts"
        return [int(line) for line in starts.read_text().split()] if starts.exists() else []

    def until(self, holds: Callable[[], bool], soon_s: float = SOON_S) -> None:
        """Return when it holds."""
        deadline = time.monotonic() + soon_s
        while not holds():
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.01)

    def send(self, number: signal.Signals) -> None:
        """A signal to the agent."""
        assert self.process is not None
        self.process.send_signal(number)

    def code(self) -> int:
        """How the agent ends."""
        assert self.process is not None
        return self.process.wait(SOON_S)


def lives(pid: int) -> bool:
    """True while the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """An agent that is ended afterwards, with its node."""
    one = Stage(tmp_path)
    yield one
    if one.process is not None and one.process.poll() is None:
        one.process.kill()
        one.process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_stops_the_node_and_ends_with_0(stage: Stage, number: signal.Signals) -> None:
    """SIGTERM or SIGINT to the agent is one SIGTERM to the node."""
    stage.begin()
    stage.up()
    stage.send(number)
    assert stage.code() == 0
    assert [lives(pid) for pid in stage.pids()] == [False]


def test_a_node_that_stops_by_itself_takes_it_along(stage: Stage) -> None:
    """Code 0 of the node is code 0 of the agent; nothing is started again."""
    stage.begin("pass")
    assert stage.code() == 0
    assert len(stage.pids()) == 1


def test_a_killed_node_is_back(stage: Stage) -> None:
    """SIGKILL to the node: another one runs soon."""
    stage.begin()
    stage.up()
    (stage.folder / "up").unlink()
    os.kill(stage.pids()[0], signal.SIGKILL)
    stage.up()
    assert len(set(stage.pids())) == 2


def test_a_frozen_node_is_ended_and_replaced(stage: Stage) -> None:
    """SIGSTOP: no heartbeat, so it is killed, and another one runs."""
    stage.begin()
    stage.up()
    (stage.folder / "up").unlink()
    os.kill(stage.pids()[0], signal.SIGSTOP)
    stage.up()
    assert not lives(stage.pids()[0])
    assert "it hangs" in stage.log.read_text()


def test_a_node_whose_loop_hangs_is_ended_and_replaced(stage: Stage) -> None:
    """Its threads may run on: what counts is the loop that decides."""
    stage.begin(f"time.sleep(60) if starts == 1 else None\n    {SERVE}")
    stage.until(lambda: len(stage.pids()) == 2)
    assert not lives(stage.pids()[0])


def test_a_frozen_agent_does_not_take_its_node_for_dead(stage: Stage) -> None:
    """It stands still three times as long as the limit, wakes up, and kills nobody."""
    stage.begin()
    stage.up()
    stage.send(signal.SIGSTOP)
    time.sleep(4.5)
    stage.send(signal.SIGCONT)
    time.sleep(1.0)
    assert [lives(pid) for pid in stage.pids()] == [True]


def test_both_frozen_together_go_on_together(stage: Stage) -> None:
    """A host that stood still for a while: the agent grants its node the same time."""
    stage.begin()
    stage.up()
    for number in (signal.SIGSTOP, signal.SIGCONT):
        stage.send(number)
        os.kill(stage.pids()[0], number)
        time.sleep(4.0 if number is signal.SIGSTOP else 1.0)
    assert [lives(pid) for pid in stage.pids()] == [True]


def test_a_killed_agent_leaves_no_node(stage: Stage) -> None:
    """Within a second of its SIGKILL the node is gone, although nobody told it."""
    stage.begin()
    stage.up()
    stage.send(signal.SIGKILL)
    stage.until(lambda: not lives(stage.pids()[0]), 1.0)


def test_a_killed_agent_leaves_no_node_that_hangs(stage: Stage) -> None:
    """Even one whose loop does nothing any more."""
    stage.begin("time.sleep(60)")
    stage.up()
    stage.send(signal.SIGKILL)
    stage.until(lambda: not lives(stage.pids()[0]), 1.0)


def test_a_node_that_ignores_sigterm_is_killed(stage: Stage) -> None:
    """After its time the agent insists, and its code says that the end was not in good order."""
    stage.begin("await asyncio.sleep(60)")
    stage.up()
    stage.send(signal.SIGTERM)
    assert stage.code() == 137


def test_a_node_that_asks_for_it_is_started_again(stage: Stage) -> None:
    """Code 4, more often than crashes are allowed."""
    again = f"sys.exit({EXIT_START_AGAIN}) if starts < 6 else None\n    {SERVE}"
    stage.begin(again)
    stage.until(lambda: len(stage.pids()) == 6)
    stage.send(signal.SIGTERM)
    assert stage.code() == 0


def test_crash_after_crash_ends_it_with_the_nodes_code(stage: Stage) -> None:
    """The limit of this agent is three."""
    stage.begin("sys.exit(9)")
    assert stage.code() == 9
    assert len(stage.pids()) == 3


def test_a_node_that_can_not_begin_is_not_tried_again(stage: Stage) -> None:
    """Its sentence is the last line, its code the agent's."""
    stage.begin(node="import sys; sys.stderr.write('the port is taken\\n'); sys.exit(3)")
    assert stage.code() == 3
    assert stage.log.read_text().endswith("the port is taken\n")


def test_what_the_node_says_passes_through_and_the_agent_adds_nothing(stage: Stage) -> None:
    """In a life without trouble the log is the node's alone."""
    stage.begin(f"print('hello', flush=True); {SERVE}")
    stage.up()
    stage.until(lambda: "hello" in stage.log.read_text())
    stage.send(signal.SIGTERM)
    assert stage.code() == 0
    assert stage.log.read_text() == "hello\n"


def test_sighup_without_a_terminal_is_nothing(stage: Stage) -> None:
    """Service managers send it for "read your configuration"; this server watches its own."""
    stage.begin()
    stage.up()
    stage.send(signal.SIGHUP)
    time.sleep(0.5)
    assert [lives(pid) for pid in stage.pids()] == [True]


def test_sighup_of_a_closed_terminal_ends_it_in_good_order(stage: Stage) -> None:
    """As Ctrl-C would."""
    master, terminal = pty.openpty()
    stage.begin(stdin=terminal)
    stage.up()
    stage.send(signal.SIGHUP)
    assert stage.code() == 0
    os.close(master)
    os.close(terminal)
