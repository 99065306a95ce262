"""The words of the agent: exit codes of the node, names in its environment, settings, and what two agents say.

Place in the house: imported by the agent before the node is started, so it imports next to nothing itself.

What the agents say is one line of JSON each way on one mutually authenticated connection:

    {"ask":"stop-proof","epoch":7,"from":"b"}
    {"answer":"running","server":"a","role":"active"}      or
    {"answer":"stopped","server":"a","proof":{…}}          or
    {"answer":"refused","server":"a","why":"…"}
"""

import os
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from meetkeeper.ha.words import Proof, Role

EXIT_STOPPED = 0
"""The node has stopped on purpose; the agent ends with it."""
EXIT_ROLE_DROPPED = 3
"""The disk failed, the role was lost, or the node could not begin."""
EXIT_START_AGAIN = 6
"""The node asks to be started again at once. No crash. Codes 4 and 5 are other commands'."""
EXIT_ORPHANED = 7
"""The agent is gone; nobody reads this code."""
EXIT_NOT_STARTED = 127
"""The system could not start the node at all."""

HEARTBEAT_FD = "MEETKEEPER_HEARTBEAT_FD"
"""The pipe the node writes one byte into every half second."""
LIFELINE_FD = "MEETKEEPER_LIFELINE_FD"
"""The pipe the agent holds open for as long as it lives; when it closes, the node ends at once."""
NO_PROOF_GIVEN = "MEETKEEPER_NO_PROOF_GIVEN"
"""Set to 1: this agent saw the last node end and has given nobody a proof of stop since that node was started."""

BEAT_S = 0.5
LINE_BYTES_MAX = 64 * 1024
"""Longest line on the connection between agents."""
EPOCH_AHEAD_MAX = 1_000_000
"""A question about an epoch so far above everything this server knows is refused: a promise can't be taken back."""


class Certificates(Struct, frozen=True, kw_only=True):
    """This server's certificate and key, and the authority both servers trust. PEM files."""

    certificate: Path
    key: Path
    authority: Path


class AgentPair(Struct, frozen=True, kw_only=True):
    """What the agent knows of the pair."""

    peer: str
    """The other server's name: nobody else is answered."""
    listen: str
    """HOST:PORT for the other server's questions."""
    certificates: Certificates


class AgentSettings(Struct, frozen=True, kw_only=True):
    """All an agent needs."""

    home: Path
    name: str
    command: tuple[str, ...]
    """What starts the node."""
    pair: AgentPair | None = None


class Question(Struct, frozen=True, kw_only=True):
    """Has your server stopped, for this epoch and all before it?"""

    ask: Literal["stop-proof"]
    epoch: Annotated[int, Meta(ge=0)]
    from_: str = field(name="from")


class Running(Struct, frozen=True, kw_only=True, tag_field="answer", tag="running"):
    """The node runs or is being started."""

    server: str
    role: Role | None = None
    """As its heartbeat says; None: not known."""


class Stopped(Struct, frozen=True, kw_only=True, tag_field="answer", tag="stopped"):
    """It is gone, and acts under this epoch never again."""

    server: str
    proof: Proof


class Refused(Struct, frozen=True, kw_only=True, tag_field="answer", tag="refused"):
    """No proof can be given, and why."""

    server: str
    why: str


Answer = Running | Stopped | Refused


def host_and_port(address: str) -> tuple[str, int]:
    """HOST:PORT as its parts; brackets around an IPv6 address are taken off. Raises `ValueError` for anything else."""
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def agent_address(address: str, own: str = "") -> str:
    """Where an agent listens: `own` where it was configured, else the port after the line between the servers."""
    if own:
        return own
    host, _, port = address.rpartition(":")
    return f"{host}:{int(port) + 1}"


def descriptor(name: str) -> int | None:
    """The file descriptor an agent has handed over under this name in the environment; None without an agent."""
    text = os.environ.get(name, "")
    return int(text) if text.isdigit() else None
