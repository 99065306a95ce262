"""A fence command as a witness: it ends the other host, and 0 means that the host is off and stays off.

Place in the house: `app` hands a `FenceProver` to the node where node.json names a command. No shell is involved; the
command finds out whom to end by its environment: MEETKEEPER_FENCE_SERVER, MEETKEEPER_FENCE_EPOCH.
"""

import asyncio
import os
import signal
import tempfile
from collections.abc import Callable
from contextlib import suppress
from typing import IO

import structlog

from meetkeeper.ha.words import Proof, Witness

log = structlog.get_logger("agent.fence")

SERVER = "MEETKEEPER_FENCE_SERVER"
EPOCH = "MEETKEEPER_FENCE_EPOCH"
OUTPUT_BYTES_MAX = 500
"""So much of what a failing command said last is told."""


class FenceProver:
    """`ports.peer.StopProver` by a command. One command at a time: whoever asks meanwhile waits for its end."""

    def __init__(
        self,
        command: tuple[str, ...],
        timeout_s: float,
        *,
        server: str,
        now_s: Callable[[], float],
        test_command: tuple[str, ...] = (),
    ) -> None:
        """`server` is the other server's name, `now_s` the wall clock."""
        self._command, self._test, self._timeout_s = command, test_command, timeout_s
        self._server, self._now_s = server, now_s
        self._turn = asyncio.Lock()

    async def ask(self, epoch: int) -> Proof | None:
        """End the other host; a proof when the command says that it is off. Never raises."""
        async with self._turn:
            log.warning("fence.begins", server=self._server, epoch=epoch)
            why = await self._run(self._command, epoch)
            if why:
                log.error("fence.failed", server=self._server, epoch=epoch, why=why)
                return None
            log.warning("fence.done", server=self._server, epoch=epoch)
            said = f"the fence command {self._command[0]} has ended with 0"
            return Proof(self._server, epoch, Witness.FENCE, None, None, said, self._now_s())

    async def test(self) -> str:
        """Whether fencing would work, without doing it: empty when it would, else why not, as a sentence."""
        if not self._test:
            return "There is no test command for the fence; name one in node.json, pair.fence.test."
        async with self._turn:
            return await self._run(self._test, 0)

    async def _run(self, command: tuple[str, ...], epoch: int) -> str:
        """Empty when it ended with 0, else why not."""
        environment = os.environ | {SERVER: self._server, EPOCH: str(epoch)}
        # A file and not a pipe: what the command leaves running may hold a pipe open for ever.
        with tempfile.TemporaryFile() as output:
            try:
                process = await asyncio.create_subprocess_exec(
                    *command,
                    env=environment,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            except (OSError, ValueError) as wrong:
                return f"{command[0]} can't be started: {wrong}."
            try:
                async with asyncio.timeout(self._timeout_s):
                    code = await process.wait()
            except TimeoutError:
                return f"{command[0]} did not end within {self._timeout_s:g} s."
            finally:
                if process.returncode is None:
                    with suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                    await process.wait()
            return "" if code == 0 else f"{command[0]} ended with {code}: {_end_of(output)}"


def _end_of(output: IO[bytes]) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(size - OUTPUT_BYTES_MAX, 0))
    return output.read().decode("utf-8", "replace").strip() or "without a word."
