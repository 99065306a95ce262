"""Which server a command speaks to: the one of a home folder on this machine, or any by address and token."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import rich_click as click

from meetkeeper.api.client import Client, NotFound, TheirMistake

PATIENT_S = 1_800.0
"""So long a calendar may take to be read whole."""
Command = TypeVar("Command", bound=Callable[..., Any])


class Session:
    """Found on first use, so that `--help` needs no server."""

    def __init__(self, home: str | None, url: str | None, token: str | None) -> None:
        self.home = home
        self.url = url
        self.token = token
        self._client: Client | None = None
        self._patient: Client | None = None

    @property
    def client(self) -> Client:
        """The server. Raises `NotFound` or `TheirMistake` with what to say on the command line."""
        if self._client is None:
            self._client = Client(*self._place())
        return self._client

    @property
    def patient(self) -> Client:
        """The server, for a question whose answer takes its time. Raises as `client`."""
        if self._patient is None:
            self._patient = Client(*self._place(), timeout_s=PATIENT_S)
        return self._patient

    def close(self) -> None:
        """Let go of the server."""
        if self._patient is not None:
            self._patient.close()
        if self._client is not None:
            self._client.close()

    def _place(self) -> tuple[str, str]:
        if self.url:
            if not self.token:
                raise TheirMistake("token", "With --url say --token, or set MEETKEEPER_TOKEN.")
            return self.url, self.token
        if not self.home:
            raise TheirMistake(
                "server", "Which server? Say --home FOLDER on its machine, or --url and --token."
            )
        address, token = _first_line(self.home, "address"), _first_line(self.home, "cli.token")
        if not address or not token:
            raise NotFound(
                "not-running",
                f"No server has run in {self.home}, or this user may not read {self.home}/local. "
                f"Start it with `meetkeeper run {self.home}`, or run this as the server's user.",
            )
        return address, token


def _first_line(home: str, name: str) -> str:
    try:
        return (Path(home).expanduser() / "local" / name).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def as_json(value: Any) -> None:
    """Print an answer for programs."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def ask(question: str, *, yes: bool) -> None:
    """Let a person at a terminal say yes before something is lost; a script that got this far has decided."""
    if not yes and sys.stdin.isatty():
        click.confirm(question, abort=True, err=True)


def _heard(name: str) -> Callable[[click.Context, click.Parameter, str | None], None]:
    def hear(context: click.Context, _: click.Parameter, value: str | None) -> None:
        session = context.find_object(Session)
        if value is not None and session is not None:
            setattr(session, name, value)

    return hear


def pass_session(command: Command) -> Command:
    """Hand the session to a command, which takes --home, --url and --token as the whole group does."""
    found: Any = click.make_pass_decorator(Session)(command)
    for name, help_ in (
        ("token", "Its token; better in MEETKEEPER_TOKEN."),
        ("url", "A server elsewhere (MEETKEEPER_URL)."),
        ("home", "Home folder of a server on this machine (MEETKEEPER_HOME)."),
    ):
        option = click.option(f"--{name}", expose_value=False, callback=_heard(name), help=help_)
        found = option(found)
    return found  # type: ignore[no-any-return]


json_option = click.option("--json", "json_out", is_flag=True, help="The answer as JSON, for programs.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
