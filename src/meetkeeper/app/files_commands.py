"""Commands of `files` mode, where an outside tool copies the files: start on a proof of stop, stop-proof, failback.

They work on this machine's files while no server runs here, so they speak to `ops` and not to a running server.
Each imports what it needs when it runs.
"""

import getpass
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from meetkeeper.cli import pairing
from meetkeeper.cli.session import Session
from meetkeeper.core.errors import Refused, TheirMistake

if TYPE_CHECKING:
    from meetkeeper.app.home import Home, NodeConfig
    from meetkeeper.ha.words import Position
    from meetkeeper.ops.means import Means

ANSWER_S = 5.0
"""How long the started server may take to answer."""

home_argument = click.argument("home", type=click.Path(path_type=Path), envvar="MEETKEEPER_HOME")
settle_option = click.option(
    "--settle",
    "settle_s",
    type=click.FloatRange(min=0.0),
    default=None,
    envvar="MEETKEEPER_SETTLE_S",
    help="Seconds to watch the files for; default: 3.",
)
leftovers_option = click.option(
    "--remove-leftovers", is_flag=True, help="Remove half-written files that a stopped file tool left."
)


def commands() -> tuple[click.Command, ...]:
    """What belongs on the command line."""
    return (start_command, stop_proof_command, failback_command)


def init_standby(home: "Home", node: "NodeConfig") -> None:
    """Lay down the home of a standby by files: no configuration and no database, both are copied here.

    Raises `Refused` where a home exists.
    """
    import msgspec

    from meetkeeper.app.home import write_private

    if home.node_file.exists():
        raise Refused(
            "home-exists", f"{home.path} is a meetkeeper home already. Run it, or choose another folder."
        )
    home.path.mkdir(parents=True, exist_ok=True, mode=0o700)
    for folder in ("config", "databases", "local"):
        (home.path / folder).mkdir(exist_ok=True, mode=0o700)
    write_private(home.node_file, msgspec.json.format(msgspec.json.encode(node), indent=2) + b"\n")
    click.echo(f"Made {home.path}, a standby of {node.files_standby_of} by files.")
    click.echo(
        f"Next: have a file tool copy databases/ and config/config.json of {node.files_standby_of} here."
    )
    click.echo("      Do not start it; after a failover: `meetkeeper start`.")


@click.command("start")
@home_argument
@click.option("--proof", default="", help="In your words: the active has stopped. Who made sure, when, how?")
@click.option("--epoch", type=click.IntRange(min=1), help="From `meetkeeper stop-proof`: where it stopped.")
@click.option("--seq", type=click.IntRange(min=1), help="Likewise.")
@click.option("--hash", "chain", help="Likewise.")
@click.option("--accept-loss", default="", help="Why it is right to go on without what the copy lacks.")
@click.option("--dry-run", is_flag=True, help="Check everything, change nothing.")
@click.option("--no-run", is_flag=True, help="Take over, but leave running it to the service manager.")
@leftovers_option
@settle_option
@click.pass_context
def start_command(
    ctx: click.Context,
    home: Path,
    *,
    proof: str,
    epoch: int | None,
    seq: int | None,
    chain: str | None,
    accept_loss: str,
    dry_run: bool,
    no_run: bool,
    remove_leftovers: bool,
    settle_s: float | None,
) -> None:
    """Start a standby whose files a tool has copied, on the proof that the active server has stopped.

    Interrupted anywhere: say it again.
    """
    from meetkeeper.app.home import Home
    from meetkeeper.ops import files

    place = Home(home)
    node = place.node()
    wanted = files.Wanted(text=proof, position=_position(epoch, seq, chain), accept_loss=accept_loss)
    means = _means(settle_s, remove_leftovers=remove_leftovers)
    if dry_run:
        files.rehearse(place.path, node.files_standby_of, wanted, means)
        return
    files.take_over(place.path, node.files_standby_of, wanted, means)
    if no_run:
        click.echo(f"Now start the service, or `meetkeeper run {home}`.")
        return
    from meetkeeper.app.running_commands import run_command

    sys.stdout.flush()
    ctx.invoke(run_command, home=home)


@click.command("stop-proof")
@home_argument
@click.option("--json", "as_json", is_flag=True, help="The proof as JSON.")
def stop_proof_command(home: Path, *, as_json: bool) -> None:
    """Make a stopped server a standby, and say how far it had come."""
    import json

    import msgspec

    from meetkeeper.app.home import Home
    from meetkeeper.ops import files

    place = Home(home)
    node = place.node()
    proof = files.stop_proof(place.path, node.name, node.files_standby_of, _means(None))
    where = proof.position
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(proof)))
        return
    click.echo(f"{proof.server} stopped at epoch {where.epoch}, seq {where.seq}, hash {where.hash}.")
    click.echo("It does not start any more until a failback, or another proof of stop. On the other server:")
    click.echo(
        f'meetkeeper start HOME --proof "…" --epoch {where.epoch} --seq {where.seq} --hash {where.hash}'
    )


@click.command("failback")
@click.argument("home", type=click.Path(path_type=Path), envvar="MEETKEEPER_HOME", required=False)
@click.option(
    "--to", default="", help="The server that shall act again; default: the one that founded the pair."
)
@click.option("--wait-s", default=600.0, show_default=True, help="So long to wait until it holds everything.")
@click.option("--dry-run", is_flag=True, help="Say what would happen; do nothing.")
@click.option("--json", "as_json", is_flag=True, help="The answer as JSON, for programs.")
@click.option(
    "--files", "by_files", is_flag=True, help="By copying files, in the seven steps of `files` mode."
)
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The other server's home, mounted or copied here.",
)
@click.option(
    "--confirm", "confirmed", multiple=True, help='STEP=TEXT: say what a step asks for, such as 3="…".'
)
@click.option("--yes", is_flag=True, help="Say yes to whatever a step asks for.")
@click.option("--accept-loss", default="", help="Why it is right to take a copy that holds less.")
@leftovers_option
@settle_option
@click.pass_context
def failback_command(
    ctx: click.Context,
    home: Path | None,
    *,
    to: str,
    wait_s: float,
    dry_run: bool,
    as_json: bool,
    by_files: bool,
    source: Path | None,
    confirmed: tuple[str, ...],
    yes: bool,
    accept_loss: str,
    remove_leftovers: bool,
    settle_s: float | None,
) -> None:
    """Let the server of before act again: when it holds everything, by a switchover; with --files by copying files.

    Interrupted anywhere: say it again.
    """
    from meetkeeper.app.home import Home
    from meetkeeper.ops import failback

    if not by_files:
        session = ctx.ensure_object(Session)
        session.home = str(home) if home is not None else session.home
        pairing.fail_back(session, to=to, wait_s=wait_s, dry_run=dry_run, json_out=as_json)
        return
    if source is None or home is None:
        raise click.UsageError("Say HOME, --files and --from FOLDER, the other server's home.")
    place = Home(home)
    route = failback.Route(
        home=place.path,
        source=source.expanduser().absolute(),
        standby_of=place.node().files_standby_of,
        accept_loss=accept_loss,
    )
    means = _means(settle_s, remove_leftovers=remove_leftovers)
    done = failback.fail_back(route, _confirm(_sayings(confirmed), means.by, yes=yes), _answers(place), means)
    if done.finished:
        click.echo("The failback is finished.")
    else:
        click.echo(
            f"Start the service, or `meetkeeper run {home}`; then say this again: steps 6 and 7 are left."
        )


def _position(epoch: int | None, seq: int | None, chain: str | None) -> "Position | None":
    from meetkeeper.ha.words import HASH_CHARS, Position

    if epoch is None and seq is None and not chain:
        return None
    if epoch is None or seq is None or not chain or len(chain) != HASH_CHARS:
        raise TheirMistake(
            "position", "Give --epoch, --seq and --hash together, as `meetkeeper stop-proof` printed them."
        )
    return Position(epoch, seq, chain)


def _means(settle_s: float | None, *, remove_leftovers: bool = False) -> "Means":
    from meetkeeper.app.home import this_host
    from meetkeeper.ops.copies import SETTLE_S
    from meetkeeper.ops.means import Means

    return Means(
        by=f"{getpass.getuser()}@{this_host()}",
        tell=click.echo,
        settle_s=SETTLE_S if settle_s is None else settle_s,
        remove_leftovers=remove_leftovers,
    )


def _sayings(confirmed: tuple[str, ...]) -> dict[int, str]:
    said: dict[int, str] = {}
    for one in confirmed:
        step, _, text = one.partition("=")
        if not step.isdigit() or not text.strip():
            raise click.BadParameter(
                'Say STEP=TEXT, such as 3="lsyncd stopped on A, 14:05".', param_hint="--confirm"
            )
        said[int(step)] = text.strip()
    return said


def _confirm(said: dict[int, str], by: str, *, yes: bool) -> Callable[[int, str], str]:
    def confirm(step: int, question: str) -> str:
        if step in said:
            return said[step]
        if yes:
            return f"--yes, {by}"
        if sys.stdin.isatty():
            return str(click.prompt(f"Step {step}: {question}", err=True)).strip()
        raise Refused("files.confirm", f'Step {step}: {question} Say it with --confirm {step}="…".')

    return confirm


def _answers(place: "Home") -> Callable[[], str]:
    def answers() -> str:
        """How the started server answers; empty when none does."""
        import ssl
        import urllib.error
        import urllib.request

        from meetkeeper.ops.means import holder_of

        address = place.address()
        if holder_of(place.path) is None or address is None:
            return ""
        # Our own server, by the address it wrote down itself: its certificate names the outside, not this machine.
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        try:
            url = f"{address}/health/active"
            with urllib.request.urlopen(url, timeout=ANSWER_S, context=trusting):  # noqa: S310 - http or https
                return f"it answers as the active server at {address}"
        except (urllib.error.URLError, OSError, ValueError):
            return ""

    return answers
