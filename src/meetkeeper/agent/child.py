"""The node's process as the agent holds it: started with two pipes, heard, signalled, waited for.

Place in the house: `parent` makes one per start. The node writes its heartbeat into one pipe; of the other one, the
lifeline, this process alone holds the writing end, so that the system closes it whenever the agent is gone.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress

from meetkeeper.agent.heartbeat import role_said
from meetkeeper.agent.words import HEARTBEAT_FD, LIFELINE_FD
from meetkeeper.ha.words import Role

READ_BYTES = 4096


class Child:
    """A node's process, its pipes, and what its heartbeat last said."""

    def __init__(self, command: tuple[str, ...], environment: dict[str, str]) -> None:
        """Start it. Raises `OSError` when the system can't."""
        beats, beats_in = os.pipe()
        lifeline_out, lifeline = os.pipe()
        self.role: Role | None = None
        self._beats, self._lifeline = beats, lifeline
        os.set_blocking(beats, False)
        handed = {HEARTBEAT_FD: str(beats_in), LIFELINE_FD: str(lifeline_out)}
        started = False
        try:
            self.process = subprocess.Popen(  # noqa: S603 - our own command
                command,
                env=environment | handed,
                stdin=subprocess.DEVNULL,
                pass_fds=(beats_in, lifeline_out),
                start_new_session=True,
            )
            started = True
        finally:
            os.close(beats_in)
            os.close(lifeline_out)
            if not started:
                self.close()

    def heard(self) -> bool:
        """True when it has beaten since the last look."""
        said = b""
        with suppress(BlockingIOError):
            while part := os.read(self._beats, READ_BYTES):
                said = part
        if said:
            self.role = role_said(said)
        return bool(said)

    def close(self) -> None:
        """Let go of the pipes."""
        os.close(self._beats)
        os.close(self._lifeline)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; one that is gone is not sought."""
        self.process.send_signal(number)

    def when_gone(self, call: Callable[[int], None]) -> None:
        """Call once, from a thread of its own, with the code it ended with; minus the number of a signal."""
        threading.Thread(target=lambda: call(self.process.wait()), name="node-wait", daemon=True).start()
