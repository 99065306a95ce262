"""Running a server: the agent that a person starts, the node that the agent starts, and how both end.

Each command imports what it needs when it runs: a command line is built many times, a server once.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import rich_click as click

from meetkeeper.core.errors import MeetkeeperError

if TYPE_CHECKING:
    from meetkeeper.agent.words import AgentPair
    from meetkeeper.app.home import Home, NodeConfig
    from meetkeeper.ha.words import Role


@click.command("run")
@click.argument("home", type=click.Path(path_type=Path), envvar="MEETKEEPER_HOME")
@click.option("--no-agent", is_flag=True, help="The server alone: nothing starts it again when it fails.")
def run_command(home: Path, no_agent: bool) -> None:  # noqa: FBT001 - click hands it over by name
    """Run the server of a home folder until it is told to stop (SIGTERM, Ctrl-C)."""
    from meetkeeper.agent import parent
    from meetkeeper.agent.words import AgentSettings
    from meetkeeper.app.home import Home

    place = Home(home)
    node = place.node()
    if no_agent:
        _be_node(place.path, node.log_format)
        return
    command = parent.node_command(str(place.path))
    settings = AgentSettings(home=place.path, name=node.name, command=command, pair=_agent_pair(place, node))
    sys.exit(parent.run(settings, prepare=lambda: _set_up_logs(node.log_format)))


def _agent_pair(place: "Home", node: "NodeConfig") -> "AgentPair | None":
    """What the agent has to know of the pair; None for a server by itself."""
    from meetkeeper.agent.words import AgentPair, Certificates, agent_address

    pair = node.pair
    if pair is None:
        return None
    return AgentPair(
        peer=pair.peer.name,
        listen=agent_address(pair.listen, pair.agent_listen),
        certificates=Certificates(
            certificate=place.path / pair.certificate,
            key=place.path / pair.key,
            authority=place.path / pair.authority,
        ),
    )


@click.command("node", hidden=True)
@click.argument("home", type=click.Path(path_type=Path))
def node_command(home: Path) -> None:
    """The server itself, as the agent of `run` starts it."""
    from meetkeeper.agent.heartbeat import end_with_agent
    from meetkeeper.app.home import Home

    end_with_agent()
    place = Home(home)
    _be_node(place.path, place.node().log_format)


def _set_up_logs(log_format: str) -> None:
    from meetkeeper.app import logs

    logs.set_up(log_format)


def _be_node(home: Path, log_format: str) -> None:
    """Serve until told to stop. Ends the process with `exit_code_of` and a sentence for each known trouble."""
    _set_up_logs(log_format)
    code = 0
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as loop:
            loop.run(_serve(home))
    except* MeetkeeperError as group:
        troubles = _flat(group)
        for trouble in troubles:
            sys.stderr.write(f"meetkeeper: {trouble}\n")
        code = exit_code_of(troubles)
    _leave(code)


def _leave(code: int) -> NoReturn:
    """End this process at once: everything kept is on disk, and the successor waits for our agent to see us gone.

    The interpreter would wait for each thread that hangs in a neighbour's answer.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def exit_code_of(troubles: list[MeetkeeperError]) -> int:
    """For the agent: a role that another server has taken is no failure, everything else is."""
    from meetkeeper.agent.words import EXIT_ROLE_DROPPED, EXIT_START_AGAIN

    deposed = all(trouble.code == "role.lost" for trouble in troubles)
    return EXIT_START_AGAIN if deposed else EXIT_ROLE_DROPPED


async def _serve(home: Path) -> None:
    from meetkeeper.agent.heartbeat import heartbeat_from_environment
    from meetkeeper.app import server

    beat = heartbeat_from_environment()
    made: list[server.Server] = []

    def role() -> "Role | None":
        return made[0].acting.role if made else None

    # The first beat comes when `serve` has read the files: until then it never lets another task run.
    beating = asyncio.ensure_future(beat(role)) if beat is not None else None
    try:
        await server.serve(home, made.append)
    finally:
        if beating is not None:
            beating.cancel()


def _flat(group: BaseExceptionGroup[MeetkeeperError]) -> list[MeetkeeperError]:
    found: list[MeetkeeperError] = []
    for one in group.exceptions:
        found += _flat(one) if isinstance(one, BaseExceptionGroup) else [one]
    return list({str(one): one for one in found}.values())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed (the extra "speed"), else asyncio's own loop."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
