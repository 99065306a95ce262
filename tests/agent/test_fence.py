"""A fence command as a witness: 0 is a proof, everything else is none."""

import asyncio
import sys
import time
from pathlib import Path

import structlog

from meetkeeper.agent.fence import FenceProver
from meetkeeper.ha.words import Proof, Witness


def fence(code: str, *, timeout_s: float = 20.0, test: str = "") -> FenceProver:
    """A fence that is a few words of Python."""
    command = (sys.executable, "-c", code)
    return FenceProver(
        command,
        timeout_s,
        server="a",
        now_s=lambda: 5.0,
        test_command=(sys.executable, "-c", test) if test else (),
    )


async def test_zero_is_a_proof() -> None:
    """For the epoch that was asked for; how far the journal came nobody knows."""
    proof = await fence("").ask(7)
    assert proof == Proof(
        "a", 7, Witness.FENCE, None, None, f"the fence command {sys.executable} has ended with 0", 5.0
    )


async def test_the_command_knows_whom_to_end(tmp_path: Path) -> None:
    """Server and epoch stand in its environment, beside everything of ours."""
    said = tmp_path / "said"
    words = "os.environ['MEETKEEPER_FENCE_SERVER'] + os.environ['MEETKEEPER_FENCE_EPOCH']"
    code = f"import os; open({str(said)!r}, 'w').write({words})"
    assert await fence(code).ask(7) is not None
    assert said.read_text() == "a7"


async def test_anything_else_is_none_and_told() -> None:
    """Its code and its last words are in the log."""
    with structlog.testing.capture_logs() as lines:
        assert await fence("import sys; print('no such outlet'); sys.exit(3)").ask(7) is None
    assert lines[-1]["event"] == "fence.failed"
    assert "ended with 3: no such outlet" in lines[-1]["why"]


async def test_a_command_that_is_not_there_is_none() -> None:
    """Told as a sentence."""
    prover = FenceProver(("/no/such/fence",), 5.0, server="a", now_s=lambda: 5.0)
    with structlog.testing.capture_logs() as lines:
        assert await prover.ask(7) is None
    assert "can't be started" in lines[-1]["why"]


async def test_a_command_that_hangs_is_ended(tmp_path: Path) -> None:
    """With everything it started; and it is no proof."""
    pid = tmp_path / "pid"
    code = (
        "import subprocess; sleeping = subprocess.Popen(['sleep', '60']); "
        f"open({str(pid)!r}, 'w').write(str(sleeping.pid)); sleeping.wait()"
    )
    began = time.monotonic()
    with structlog.testing.capture_logs() as lines:
        assert await fence(code, timeout_s=2.0).ask(7) is None
    assert time.monotonic() - began < 15
    assert "did not end within 2 s" in lines[-1]["why"]
    await _gone(int(pid.read_text()))


async def test_what_it_leaves_running_holds_nobody_up() -> None:
    """A command may start a daemon that keeps its output open."""
    began = time.monotonic()
    assert await fence("import subprocess; subprocess.Popen(['sleep', '20'])").ask(7) is not None
    assert time.monotonic() - began < 15


async def test_two_questions_do_not_fence_twice_at_once(tmp_path: Path) -> None:
    """The second command begins after the first has ended."""
    log = tmp_path / "log"
    code = f"import time; f = open({str(log)!r}, 'a'); f.write('('); f.flush(); time.sleep(0.3); f.write(')')"
    prover = fence(code)
    assert all(await asyncio.gather(prover.ask(7), prover.ask(7)))
    assert log.read_text() == "()()"


async def test_the_test_command_says_whether_it_would_work() -> None:
    """Empty when it would, its words when it would not, and a hint when there is none."""
    assert await fence("", test="pass").test() == ""
    assert "ended with 1: login refused" in await fence("", test="exit('login refused')").test()
    assert "name one" in await fence("").test()


async def _gone(pid: int) -> None:
    for _ in range(200):
        if not _lives(pid):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"process {pid} lives on")


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
