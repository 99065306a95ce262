"""`meetkeeper ca`: a small authority for one pair, and a folder of TLS files for each of its servers.

FOLDER/ca.key, ca.pem       the authority: keep this folder off both servers
FOLDER/NAME/                what server NAME needs, to be copied to HOME/local/tls: node.key, node.pem, ca.pem
"""

import datetime
from pathlib import Path

import rich_click as click

from meetkeeper.core.errors import NotFound, Refused

AUTHORITY_KEY, AUTHORITY = "ca.key", "ca.pem"
NODE_KEY, NODE = "node.key", "node.pem"


@click.group("ca")
def ca_group() -> None:
    """Certificates for the line between the two servers of a pair."""


@ca_group.command("init")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--days", default=3652, show_default=True, type=click.IntRange(1), help="How long it is good.")
def init_command(folder: Path, days: int) -> None:
    """Make the pair's own certificate authority in FOLDER."""
    from meetkeeper.app.home import write_private
    from meetkeeper.replication.authority import make_authority

    if (folder / AUTHORITY_KEY).exists() or (folder / AUTHORITY).exists():
        raise Refused(
            "ca.exists", f"{folder} holds an authority already. Use it with `meetkeeper ca issue {folder}`."
        )
    made = make_authority(_now(), days=days)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(folder / AUTHORITY_KEY, made.key)
    write_private(folder / AUTHORITY, made.certificate)
    click.echo(f"Made an authority in {folder}. Keep {AUTHORITY_KEY} off both servers.")
    click.echo(f"Next: `meetkeeper ca issue {folder} --name NAME` for each server.")


@ca_group.command("issue")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="The server's name, as in its node.json.")
@click.option(
    "--host", "hosts", multiple=True, help="A host name or address it is also good for; repeatable."
)
@click.option("--days", default=825, show_default=True, type=click.IntRange(1), help="How long it is good.")
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    default=None,
    show_default="FOLDER/NAME",
    help="Where to put the files; HOME/local/tls of a server that runs here: it takes them up by itself.",
)
def issue_command(folder: Path, name: str, hosts: tuple[str, ...], days: int, into: Path | None) -> None:
    """Issue a key and a certificate for one server, or renew them."""
    import re

    from meetkeeper.app.home import NAME, write_private
    from meetkeeper.replication.authority import Issued, days_left, issue

    if not re.match(NAME, name):
        raise click.BadParameter("Letters, digits, dots, dashes, underscores; up to 63.", param_hint="--name")
    try:
        authority = Issued((folder / AUTHORITY_KEY).read_bytes(), (folder / AUTHORITY).read_bytes())
    except FileNotFoundError:
        raise NotFound(
            "ca.missing", f"{folder} holds no authority. Make one with `meetkeeper ca init {folder}`."
        ) from None
    made = issue(authority, name, hosts, days, _now())
    into = into or folder / name
    into.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(into / NODE_KEY, made.key)
    write_private(into / NODE, made.certificate)
    write_private(into / AUTHORITY, authority.certificate)
    left = round(days_left(made.certificate, _now()))
    click.echo(f"Issued a certificate for {name} in {into}, good for {left} days.")
    click.echo(f"Next: these three files belong to HOME/local/tls on {name}; nothing needs a restart.")


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
