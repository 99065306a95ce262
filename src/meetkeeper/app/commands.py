"""Commands that work on this machine's files and processes: init, check, demo, and where the others are (`build`).

Everything a running server answers itself is in `cli`, which knows the server by its API alone. Each command imports
what it needs when it runs: most of them are asked for by people in a hurry, and need none of the server.
"""

import json
import sys
from pathlib import Path

import rich_click as click

from meetkeeper.app import files_commands, pairing_commands, running_commands
from meetkeeper.app.authority_commands import ca_group
from meetkeeper.cli.main import build_cli
from meetkeeper.cli.shelves import shelve


def build() -> click.Group:
    """The whole command line."""
    group = build_cli()
    for command in (
        pairing_commands.pair_command,
        init_command,
        running_commands.run_command,
        running_commands.node_command,
        demo_command,
        check_command,
        ca_group,
    ):
        group.add_command(command)
    for by_files in files_commands.commands():
        group.add_command(by_files)
    shelve("meetkeeper")
    return group


@click.command("init")
@click.argument("home", type=click.Path(path_type=Path))
@click.option("--name", default="", show_default="this host's name", help="This server's name.")
@click.option("--listen", default="127.0.0.1:8080", show_default=True, help="HOST:PORT to serve on.")
@click.option("--public-url", default="", help="How people reach this server; default: http://HOST:PORT.")
@click.option(
    "--time-zone",
    default="UTC",
    show_default=True,
    help="IANA zone of the house: of screens, and of times that name none.",
)
@click.option(
    "--files-standby-of", "of", default="", help="A standby: the server whose files a tool copies here."
)
@click.option(
    "--join", "invitation", type=click.Path(path_type=Path), default=None, help="An invitation to a pair."
)
def init_command(
    home: Path, *, name: str, listen: str, public_url: str, time_zone: str, of: str, invitation: Path | None
) -> None:
    """Make a new home folder with a configuration to fill in, and an operator's one-time password."""
    from meetkeeper.api.passwords import hash_password
    from meetkeeper.app import configfile
    from meetkeeper.app.home import Home, NodeConfig, init, new_secret, this_host
    from meetkeeper.core.configuration import AccessConfig, ClusterConfig, Config, Operator

    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit():
        raise click.BadParameter("Give HOST:PORT, such as 127.0.0.1:8080.", param_hint="--listen")
    if invitation is not None:
        pairing_commands.join(home, invitation, listen, public_url)
        return
    node = NodeConfig(name=name or this_host(), listen_host=host, listen_port=int(port), files_standby_of=of)
    if of:
        files_commands.init_standby(Home(home), node)
        return
    password = new_secret()[:16]
    config = Config(
        cluster=ClusterConfig(
            secret=new_secret(), public_url=public_url or f"http://{listen}", time_zone=time_zone
        ),
        access=AccessConfig(operators=(Operator(name="admin", password_hash=hash_password(password)),)),
    )
    place = Home(home)
    init(place, node, config)
    place.schema_file.write_bytes(configfile.schema())
    click.echo(f"Made {place.path}.")
    click.echo(f"Log in as admin with the password {password} (shown this once).")
    click.echo(f"Next: name your rooms, bridge and mail server in {place.config_file},")
    click.echo(f"      then `meetkeeper run {home}`.")


@click.command("check")
@click.argument("home", type=click.Path(path_type=Path), envvar="MEETKEEPER_HOME")
@click.option("--json", "as_json", is_flag=True, help="Findings as JSON.")
def check_command(home: Path, as_json: bool) -> None:  # noqa: FBT001 - click hands it over by name
    """Walk journal, snapshots and state of a home folder and say what is wrong where. Writes nothing."""
    from meetkeeper.app.home import Home
    from meetkeeper.host.disk import RealDisk
    from meetkeeper.store.check import check

    findings = check(RealDisk(Home(home).path))
    if as_json:
        click.echo(
            json.dumps([{name: getattr(one, name) for name in one.__struct_fields__} for one in findings])
        )
    else:
        for one in findings:
            click.echo(str(one))
        if not findings:
            click.echo("Nothing wrong: every frame, snapshot and index says the same.")
    sys.exit(1 if any(one.severity == "error" for one in findings) else 0)


@click.command("demo")
@click.option(
    "--check", "checking", is_flag=True, help="Without a person: book, kill, freeze, switch over, judge."
)
@click.option(
    "--json", "as_json", is_flag=True, help="With --check: what was seen, as JSON on the last line."
)
@click.option(
    "--folder", type=click.Path(path_type=Path), default=None, help="Where to put it; default: a fresh one."
)
@click.option(
    "--port",
    default=8080,
    show_default=True,
    help="Port of the first server, the next is the second's; 0: free ones.",
)
@click.option(
    "--exchange",
    is_flag=True,
    help="The rooms are mailboxes of a fake Exchange, in place of a CalDAV server.",
)
def demo_command(*, checking: bool, as_json: bool, folder: Path | None, port: int, exchange: bool) -> None:
    """Two meeting servers on this machine: three rooms on a calendar server, mail, a bridge, a web page."""
    from meetkeeper.app.demo import check, show

    if checking:
        sys.exit(check.run(folder, as_json=as_json, exchange=exchange))
    sys.exit(show.run(folder, port=port, exchange=exchange))
