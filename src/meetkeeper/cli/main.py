"""The command line as the server's client. `build_cli` is the group; `app` adds what needs this machine's files.

Exit codes: 0 done; 1 refused or nobody answered, one sentence on stderr; 2 the command line itself is wrong.
"""

import sys
from typing import Any

import rich_click as click

from meetkeeper.api.client import MeetkeeperError
from meetkeeper.cli import acting, configuring, looking
from meetkeeper.cli.session import Session

EXIT_REFUSED = 1


class Group(click.RichGroup):
    """Known troubles are one sentence, not a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except MeetkeeperError as trouble:
            click.echo(f"meetkeeper: {trouble.message}", err=True)
            sys.exit(EXIT_REFUSED)


@click.group("meetkeeper", cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--home", envvar="MEETKEEPER_HOME", help="Home folder of a server on this machine.")
@click.option("--url", envvar="MEETKEEPER_URL", help="Address of a server elsewhere.")
@click.option("--token", envvar="MEETKEEPER_TOKEN", help="API token for a server elsewhere.")
@click.version_option(package_name="meetkeeper", message="%(version)s")
@click.pass_context
def _group(ctx: click.Context, home: str | None, url: str | None, token: str | None) -> None:
    """A meeting server that never misses a meeting."""
    session = ctx.obj = Session(home, url, token)
    ctx.call_on_close(session.close)


def build_cli() -> click.Group:
    """The group of commands that speak to a running server."""
    for command in (*looking.COMMANDS, *acting.COMMANDS, *configuring.COMMANDS):
        _group.add_command(command)
    return _group
