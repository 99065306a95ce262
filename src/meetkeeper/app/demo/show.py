"""`meetkeeper demo`: everything on this machine, to look at and play with, until Ctrl-C."""

import asyncio
import signal
import tempfile
from pathlib import Path

import click

from meetkeeper.app.demo.mail_sink import MailSink
from meetkeeper.app.demo.parts import ROOMS, Pace, Parts, clear


def run(folder: Path | None, *, port: int) -> int:
    """Start it, say what to try, stop it on Ctrl-C; the exit code. A folder of our own making is removed at the end."""
    place = folder or Path(tempfile.mkdtemp(prefix="meetkeeper-demo-"))
    place.mkdir(parents=True, exist_ok=True)
    click.echo("Starting a calendar server, a mail sink and a meeting server …", err=True)
    parts = Parts(place, port=port, pace=Pace())
    try:
        parts.start_neighbours()
        parts.lay_home()
        asyncio.run(_hold(parts))
    finally:
        parts.stop()
        if folder is None:
            clear(place)
    return 0


async def _hold(parts: Parts) -> None:
    sink = MailSink(parts.mail_folder, port=parts.mail_port)
    await sink.start()
    try:
        await asyncio.to_thread(parts.start_server)
        click.echo(welcome(parts))
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        await _until_stopped(parts, stop)
        click.echo("\nStopping …", err=True)
    finally:
        await sink.stop()


async def _until_stopped(parts: Parts, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            async with asyncio.timeout(1.0):
                await stop.wait()
        except TimeoutError:
            if parts.server_ended():
                raise click.ClickException(
                    f"The server has ended. Its log says:\n{parts.log_tail()}"
                ) from None


def welcome(parts: Parts) -> str:
    """What to try."""
    command = f"meetkeeper --home {parts.home.path}"
    bridge = (
        f"Janus at {parts.janus.client_url}"
        if parts.janus is not None
        else "none: the join page alone (for video: apt install janus)"
    )
    calendars = "\n".join(f"               {parts.radicale.calendar_url(room)}" for room, _, _ in ROOMS)
    return f"""
meetkeeper is running.

  Web page     {parts.url}/
  Log in       admin, password {parts.password}
  API          {parts.url}/api/v1/docs
  Calendars    user rooms, any password; one per room:
{calendars}
  Bridge       {bridge}
  Mails        {parts.mail_folder}
  Server log   {parts.folder / "server.log"}

Try in another shell:

  {command} book --room oslo --subject "First meeting" --start now+1m --minutes 15 \\
      --organizer you@demo.example --invitee friend@guests.example
  {command} today
  ls {parts.mail_folder}

or book a meeting in any CalDAV client. Open the join link from the mail: it counts down, opens at the start,
closes at the end. Ctrl-C stops everything.
"""
