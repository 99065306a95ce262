"""`meetkeeper pair` and `init --join`: two homes become a pair."""

import datetime
from pathlib import Path

import rich_click as click


@click.command("pair")
@click.argument("home", type=click.Path(path_type=Path), envvar="MEETKEEPER_HOME")
@click.option(
    "--with", "peer", required=True, metavar="NAME=HOST:PORT", help="The other server and its line."
)
@click.option(
    "--line", required=True, metavar="HOST:PORT", help="Where this server listens for the other one."
)
@click.option(
    "--register", default="", metavar="WHERE", help="file:/folder/on/a/third/host or etcd:https://host:2379,…"
)
@click.option(
    "--url", default="", help="Where people reach this server while it is active; default: http://HOST:PORT."
)
def pair_command(home: Path, peer: str, line: str, register: str, url: str) -> None:
    """Give this server a partner: writes node.json and an invitation for the other host."""
    from meetkeeper.app import pairing
    from meetkeeper.app.home import Home

    name, _, address = peer.partition("=")
    if not name or ":" not in address or ":" not in line:
        raise click.BadParameter("Give --with NAME=HOST:PORT and --line HOST:PORT.")
    place = Home(home)
    node = place.node()
    path = pairing.found(
        place,
        listen=line,
        peer=name,
        peer_address=address,
        register=pairing.register_of(register),
        url=url
        or pairing.reached_at(node.listen_host, node.listen_port, line, tls=bool(node.tls_certificate)),
        now=datetime.datetime.now(datetime.UTC),
    )
    click.echo(f"{node.name} is in a pair with {name} now.")
    click.echo(f"Next: carry {path} to {name}'s host, there `meetkeeper init HOME --join FILE`,")
    click.echo("      then `meetkeeper run HOME` on both. Remove the invitation when it has been used.")
    if pairing.lonely(node.listen_host, line):
        _say_lonely(node.listen_host)
    if not register:
        click.echo(
            "Without a register a partition is decided by a person; a crashed server is taken over all the same."
        )


def join(home: Path, invitation: Path, listen: str, url: str) -> None:
    """`init --join`."""
    from meetkeeper.app import pairing
    from meetkeeper.app.home import Home

    host, _, port = listen.rpartition(":")
    accepted = pairing.accept(Home(home), invitation, host=host, port=int(port), url=url)
    click.echo(f"Made {home}: {accepted.name}, in a pair with {accepted.peer.name}.")
    click.echo(f"Everything else comes from there. Next: `meetkeeper run {home}`, and remove {invitation}.")
    if pairing.lonely(host, accepted.listen):
        _say_lonely(host)


def _say_lonely(host: str) -> None:
    click.echo(
        f"It listens on {host}, which nobody else reaches: set `listen_host` in node.json (0.0.0.0 is everywhere)."
    )
