"""A child process that may hang for us: asked over a socket, killed or left behind when it does not answer.

A process that waits for a hung share can't always be killed: it dies when the share answers. So few of them may be
left behind at a time, and until one has died no new one is started.
"""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

LEFT_MAX = 3
"""Workers left behind that have not died yet; with so many, the share is known to hang."""
ANSWER_BYTES_MAX = 1 << 20
END_WAIT_S = 1.0

Value = str | int


class WorkerAway(Exception):
    """No worker can be asked, or it ended instead of answering. The text is a part of a sentence.

    `asked` says whether the question may have reached it.
    """

    def __init__(self, why: str, *, asked: bool) -> None:
        super().__init__(why)
        self.asked = asked


class Worker:
    """One program, one process at a time, one question at a time: the caller takes turns."""

    def __init__(self, program: Path, *arguments: str) -> None:
        """Starts nothing yet."""
        # -I -S: no site-packages, no environment; a start takes some 15 ms.
        self._command = [sys.executable, "-I", "-S", str(program), *arguments]
        self._process: subprocess.Popen[bytes] | None = None
        self._line: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._left: list[subprocess.Popen[bytes]] = []

    @property
    def left(self) -> int:
        """How many were left behind and have not died yet."""
        self._left = [process for process in self._left if process.poll() is None]
        return len(self._left)

    async def ask(self, question: Mapping[str, Value]) -> dict[str, Value]:
        """Its answer. Raises `WorkerAway`. Whoever stops waiting leaves the worker behind."""
        if self._process is None and self.left >= LEFT_MAX:
            raise WorkerAway(f"{LEFT_MAX} processes that asked it before still hang", asked=False)
        answer = None
        try:
            reader, writer = self._line or await self._started()
            writer.write(msgspec.json.encode(question) + b"\n")
            line = await reader.readline()
            if not line.endswith(b"\n"):
                raise WorkerAway("the process that asks the share has ended", asked=True)
            answer = msgspec.json.decode(line, type=dict[str, Value])
            return answer
        except (OSError, ValueError, msgspec.DecodeError) as error:
            raise WorkerAway(f"the process that asks the share broke off ({error})", asked=True) from None
        finally:
            if answer is None:
                # Also when cancelled: an answer that comes late must not be taken for the next one's.
                self.leave()

    def leave(self) -> None:
        """Kill it, and wait for nothing."""
        if self._line is not None:
            self._line[1].transport.abort()
            self._line = None
        if self._process is not None:
            self._process.kill()
            self._left.append(self._process)
            self._process = None

    async def close(self) -> None:
        """End the process; what hangs in the kernel is left to it."""
        self.leave()
        for process in self._left:
            with suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(process.wait, END_WAIT_S)

    async def _started(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = _start(self._command, theirs)
            self._line = await asyncio.open_unix_connection(sock=ours, limit=ANSWER_BYTES_MAX)
        except OSError as error:
            raise WorkerAway(f"no process can be started to ask it ({error})", asked=False) from None
        finally:
            if self._line is None:
                ours.close()
        return self._line


def _start(command: list[str], line: socket.socket) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 — our own program
        command,
        stdin=line.fileno(),
        stdout=line.fileno(),
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,  # a Ctrl-C at the terminal is for the server alone
    )
