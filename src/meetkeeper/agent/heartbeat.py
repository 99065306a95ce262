"""The node's side of the agent: a heartbeat from its event loop, and the line that ends it when the agent is gone.

Place in the house: `app` calls both when it starts a node; without an agent (`run --no-agent`) both do nothing.

The lifeline is a pipe whose other end the agent alone holds. However the agent ends, the system closes it, and a thread
here ends the process at once: nobody would watch it any more, and a new agent must never prove the stop of a node that
still acts. A node that is frozen at that moment cannot run, and still holds the folder's lock, without which no agent
proves anything.
"""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable

from meetkeeper.agent.words import BEAT_S, EXIT_ORPHANED, HEARTBEAT_FD, LIFELINE_FD, descriptor
from meetkeeper.ha.words import Role

RoleOf = Callable[[], Role | None]
Beat = Callable[[RoleOf], Awaitable[None]]

UNKNOWN = b"."
_BYTES = {Role.PASSIVE: b"p", Role.CLAIMING: b"c", Role.ACTIVE: b"a", Role.YIELDING: b"y", Role.ENDED: b"e"}
_ROLES = {byte[0]: role for role, byte in _BYTES.items()}


def nobody() -> Role | None:
    """For a server by itself: no role to speak of."""
    return None


def heartbeat_from_environment() -> Beat | None:
    """What to run as a task beside the node, `await beat(role_of)`; None without an agent.

    The agent counts silence from the first beat on, so begin when the files are read: reading may take longer than the
    agent is patient.
    """
    handle = descriptor(HEARTBEAT_FD)
    if handle is None:
        return None

    async def run(role_of: RoleOf = nobody) -> None:
        await beat(handle, role_of)

    return run


async def beat(handle: int, role_of: RoleOf = nobody, every_s: float = BEAT_S) -> None:
    """Write one byte into the pipe every half second, until cancelled or until nobody reads it any more.

    The byte says the role. Never waits: a pipe that is full has been told enough.
    """
    os.set_blocking(handle, False)
    while True:
        role = role_of()
        try:
            os.write(handle, UNKNOWN if role is None else _BYTES[role])
        except BlockingIOError:
            pass
        except OSError:
            return
        await asyncio.sleep(every_s)


def role_said(data: bytes) -> Role | None:
    """The role that the last of these beats says."""
    return _ROLES.get(data[-1]) if data else None


def end_with_agent() -> None:
    """End this process at once, without a farewell, when the agent that started it is gone. Call it first."""
    handle = descriptor(LIFELINE_FD)
    if handle is not None:
        threading.Thread(target=_hold, args=(handle,), name="lifeline", daemon=True).start()


def _hold(handle: int) -> None:
    try:
        while os.read(handle, 64):
            pass
    except OSError:
        pass
    os._exit(EXIT_ORPHANED)  # and not a word before it: whoever reads our words may be stuck
