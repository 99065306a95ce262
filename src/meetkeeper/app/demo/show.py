"""`meetkeeper demo`: everything on this machine, to look at and play with, until Ctrl-C."""

import asyncio
import shutil
import signal
import sys
import tempfile
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import click

from meetkeeper.app.demo.mail_sink import MailSink
from meetkeeper.app.demo.parts import Pace, Parts, clear
from meetkeeper.app.demo.servers import Server

LOOK_S = 0.25


def run(folder: Path | None, *, port: int, exchange: bool) -> int:
    """Start it, say what to try, stop it on Ctrl-C; the exit code. A folder of our own making is removed at the end."""
    place = folder or Path(tempfile.mkdtemp(prefix="meetkeeper-demo-"))
    place.mkdir(parents=True, exist_ok=True)
    click.echo("Starting a calendar server, a mail sink and two meeting servers …", err=True)
    parts = Parts(place, port=port, pace=Pace(), exchange=exchange)
    try:
        parts.start_neighbours()
        parts.lay_homes()
        asyncio.run(_hold(parts))
    finally:
        parts.stop()
        if folder is None:
            clear(place)
    return 0


async def _hold(parts: Parts) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    sink = MailSink(parts.mail_folder, port=parts.mail_port)
    await sink.start()
    try:
        starting = asyncio.ensure_future(asyncio.to_thread(parts.servers.start))
        await asyncio.wait(
            {starting, asyncio.ensure_future(stop.wait())}, return_when=asyncio.FIRST_COMPLETED
        )
        if not stop.is_set():
            active = starting.result()
            click.echo(welcome(parts, active))
            await _watch(parts, stop, active)
        click.echo("\nStopping …", err=True)
    finally:
        await sink.stop()


async def _watch(parts: Parts, stop: asyncio.Event, active: Server) -> None:
    """Say who acts whenever that changes, until told to stop. Raises when an agent has ended."""
    whole = True
    while not stop.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):
                await stop.wait()
        for server in parts.servers.both:
            if server.has_ended:
                raise click.ClickException(f"{server.name} has ended. Its log says:\n{server.log_tail()}")
        found = await asyncio.to_thread(parts.servers.acting)
        if found is not None and found is not active:
            _say(f"{found.name} acts now: {found.url}/  (its node is process {found.node_pid()})")
            active, whole = found, False
        if found is not None and whole != (now := await asyncio.to_thread(is_whole, found)):
            other = parts.servers.other(found)
            _say(
                f"{other.name} holds everything again and could take over (its node is process {other.node_pid()})"
                if now
                else f"{other.name} is not there: {found.name} goes on alone"
            )
            whole = now


def is_whole(active: Server) -> bool:
    """True when the other one holds everything, as the active says."""
    return len(active.pair_status().get("in_sync", ())) == 2


def _our_name() -> str:
    """How a shell finds this program: by its name where it is installed, else by its place in the environment."""
    return "meetkeeper" if shutil.which("meetkeeper") else str(Path(sys.executable).parent / "meetkeeper")


def _say(text: str) -> None:
    click.echo(f"{datetime.now():%H:%M:%S}  {text}")  # noqa: DTZ005 - for a person who looks at this machine's clock


def welcome(parts: Parts, active: Server) -> str:
    """What to try."""
    passive = parts.servers.other(active)
    command = f"{_our_name()} --home {active.home.path}"
    bridge = (
        f"Janus at {parts.janus.client_url}"
        if parts.janus is not None
        else "none: the join page alone (for video: apt install janus)"
    )
    return f"""
Two meetkeeper servers are running as a pair.

  {active.name:<12} {active.url}/   active: acts, and is the address in the mails
  {passive.name:<12} {passive.url}/   passive: holds the same, leads to the active (307)
  Log in       admin, password {parts.password}
  API          {active.url}/api/v1/docs
  Calendars    {parts.calendars.told()}
  Bridge       {bridge}
  Mails        {parts.mail_folder}
  Homes, logs  {parts.folder}
  Register     {parts.register} (in real life: on a third host)

Try in another shell:

  {command} book --room oslo --subject "First meeting" --start now+1m --minutes 15 \\
      --organizer you@demo.example --invitee friend@guests.example
  {command} today
  ls {parts.mail_folder}

or book a meeting in the calendar of a room. Open the join link from the mail: it counts down, opens at the start,
closes at the end.

Then let the active server die. What becomes of it is told here:

  kill -9 {active.node_pid()}     # {active.name}'s node; its agent proves the end, and starts it again as passive
  {command} switchover
  curl -i {passive.url}/health/active

Ctrl-C stops everything.
"""
