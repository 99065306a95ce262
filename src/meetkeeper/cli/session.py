"""Which server a command speaks to: the one of a home folder on this machine, or any by address and token."""

import json
from pathlib import Path
from typing import Any

import rich_click as click

from meetkeeper.api.client import Client, NotFound, TheirMistake


class Session:
    """Found on first use, so that `--help` needs no server."""

    def __init__(self, home: str | None, url: str | None, token: str | None) -> None:
        self.home = home
        self._url = url
        self._token = token
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        """The server. Raises `NotFound` or `TheirMistake` with what to say on the command line."""
        if self._client is None:
            self._client = Client(*self._place())
        return self._client

    def close(self) -> None:
        """Let go of the server."""
        if self._client is not None:
            self._client.close()

    def _place(self) -> tuple[str, str]:
        if self._url:
            if not self._token:
                raise TheirMistake("token", "With --url say --token, or set MEETKEEPER_TOKEN.")
            return self._url, self._token
        if not self.home:
            raise TheirMistake(
                "server", "Which server? Say --home FOLDER on its machine, or --url and --token."
            )
        address, token = _first_line(self.home, "address"), _first_line(self.home, "cli.token")
        if not address or not token:
            raise NotFound(
                "not-running",
                f"No server has run in {self.home}, or this user may not read {self.home}/local.",
            )
        return address, token


def _first_line(home: str, name: str) -> str:
    try:
        return (Path(home).expanduser() / "local" / name).read_text().strip()
    except OSError:
        return ""


def as_json(value: Any) -> None:
    """Print an answer for programs."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


pass_session = click.make_pass_decorator(Session)
json_option = click.option("--json", "json_out", is_flag=True, help="For programs.")
