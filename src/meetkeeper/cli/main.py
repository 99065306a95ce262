"""The command line as the server's client. `build_cli` is the group; `app` adds what needs this machine's files.

Exit codes: 0 done; 1 refused, or something needs attention; 2 the command line itself is wrong; 4 nobody answered, or
not now; 5 a mistake of ours. Whatever is wrong is one sentence on stderr.
"""

import os
import sys
from typing import Any

import rich_click as click
from click.exceptions import Exit

import meetkeeper
from meetkeeper.api.client import MeetkeeperError, Unavailable
from meetkeeper.cli import acting, aside, configuring, links, looking, pairing, rooms
from meetkeeper.cli.session import Session

EXIT_REFUSED = 1
EXIT_AWAY = 4
EXIT_OUR_MISTAKE = 5
DEBUG = "MEETKEEPER_DEBUG"
"""Environment variable: set, a mistake of ours shows its traceback."""


class Group(click.RichGroup):
    """Known troubles are one sentence, not a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except MeetkeeperError as trouble:
            click.echo(f"meetkeeper: {trouble.message}", err=True)
            sys.exit(EXIT_AWAY if isinstance(trouble, Unavailable) else EXIT_REFUSED)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read us has left
            sys.exit(0)
        except (click.ClickException, Exit, click.Abort):
            raise
        except Exception as mistake:
            if os.environ.get(DEBUG):
                raise
            click.echo(
                f"meetkeeper: a mistake of ours: {type(mistake).__name__}: {mistake}. "
                f"{DEBUG}=1 shows where; please report it.",
                err=True,
            )
            sys.exit(EXIT_OUR_MISTAKE)


@click.group(
    "meetkeeper",
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 refused or needs attention, 2 wrongly written, 3 role dropped, 4 nobody answers, "
    "5 our mistake.",
)
@click.option("--home", envvar="MEETKEEPER_HOME", help="Home folder of a server on this machine.")
@click.option("--url", envvar="MEETKEEPER_URL", help="Address of a server elsewhere.")
@click.option("--token", envvar="MEETKEEPER_TOKEN", help="API token for a server elsewhere.")
@click.version_option(meetkeeper.__version__, message="%(version)s")
@click.pass_context
def _group(ctx: click.Context, home: str | None, url: str | None, token: str | None) -> None:
    """A meeting server that never misses a meeting."""
    session = ctx.obj = Session(home, url, token)
    ctx.call_on_close(session.close)


def build_cli() -> click.Group:
    """The group of commands that speak to a running server."""
    for command in (
        *looking.COMMANDS,
        *acting.COMMANDS,
        *rooms.COMMANDS,
        *configuring.COMMANDS,
        *links.COMMANDS,
        *aside.COMMANDS,
        *pairing.COMMANDS,
    ):
        _group.add_command(command)
    return _group
