"""The node's side: a byte every so often that says the role, and an end with the agent."""

import asyncio
import os
import subprocess
import sys
from contextlib import suppress

import pytest

from meetkeeper.agent.heartbeat import beat, heartbeat_from_environment, nobody, role_said
from meetkeeper.agent.words import EXIT_ORPHANED, HEARTBEAT_FD, LIFELINE_FD
from meetkeeper.ha.words import Role

HOLD = (
    "from meetkeeper.agent.heartbeat import end_with_agent; end_with_agent(); print('up', flush=True); {then}"
)


@pytest.mark.parametrize("role", [None, *Role])
async def test_each_beat_says_the_role(role: Role | None) -> None:
    """Whatever the node is, its agent reads the same."""
    out, into = os.pipe()
    beating = asyncio.create_task(beat(into, lambda: role, 0.01))
    await asyncio.sleep(0.1)
    beating.cancel()
    said = os.read(out, 100)
    assert len(said) > 1
    assert role_said(said) is role
    os.close(out)
    os.close(into)


async def test_a_full_pipe_stops_nobody() -> None:
    """An agent that does not read (it is stopped) never blocks the node's loop."""
    out, into = os.pipe()
    os.set_blocking(into, False)
    with suppress(BlockingIOError):
        while True:
            os.write(into, b"." * 65_536)
    beating = asyncio.create_task(beat(into, nobody, 0.01))
    await asyncio.sleep(0.1)
    assert not beating.done()
    os.read(out, 1_000_000)
    await asyncio.sleep(0.05)
    assert os.read(out, 100)
    beating.cancel()
    os.close(out)
    os.close(into)


async def test_a_pipe_nobody_reads_ends_the_beat() -> None:
    """The lifeline does the rest."""
    out, into = os.pipe()
    os.close(out)
    await asyncio.wait_for(beat(into, nobody, 0.01), 5)
    os.close(into)


def test_without_an_agent_there_is_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """`run --no-agent` beats for nobody."""
    monkeypatch.delenv(HEARTBEAT_FD, raising=False)
    assert heartbeat_from_environment() is None


@pytest.mark.parametrize(
    "then", ["import time; time.sleep(60)", "x = 0\nwhile True: x += 1"], ids=["idle", "busy"]
)
def test_the_node_ends_when_the_lifeline_closes(then: str) -> None:
    """At once and without a farewell, whether it waits or computes."""
    out, lifeline = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD.format(then="\n" + then)],
        env=os.environ | {LIFELINE_FD: str(out)},
        pass_fds=(out,),
        stdout=subprocess.PIPE,
    )
    os.close(out)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"up\n"
        assert process.poll() is None
        os.close(lifeline)
        assert process.wait(10) == EXIT_ORPHANED
