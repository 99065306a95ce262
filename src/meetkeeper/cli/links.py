"""The rule tester for join links: `links test` says which rule finds what in an invitation."""

from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec
import rich_click as click

from meetkeeper.api.client import MeetkeeperError
from meetkeeper.cli import show
from meetkeeper.cli.session import Session, as_json, json_option, pass_session

if TYPE_CHECKING:
    from meetkeeper.api.linktest import Tried


@click.group()
def links() -> None:
    """Join links of other platforms in invitations."""


@links.command("test")
@click.argument("file", type=click.File("rb"), default="-")
@click.option(
    "--built-in", is_flag=True, help="The built-in rules alone, without any server's configuration."
)
@json_option
@pass_session
@click.pass_context
def links_test(
    ctx: click.Context, session: Session, *, file: IO[bytes], built_in: bool, json_out: bool
) -> None:
    """Which way in FILE names (an .ics item, text, HTML or a mail; default: what is typed in). Exit code 1: none.

    With a server (--home, --url) its own rules are tried too; without one the built-in rules.
    """
    from meetkeeper.api.linktest import BYTES_MAX, try_links  # late: no other command reads calendar items

    config, why = (None, "") if built_in else _config(session)
    answer = try_links(file.read(BYTES_MAX + 1), config)
    if json_out:
        as_json(msgspec.to_builtins(answer))
    else:
        if why:
            click.secho(f"With the built-in rules alone: {why}", dim=True, err=True)
        for one in answer.tried:
            _tell(one)
        click.secho(f"{answer.rules} rules were tried, {answer.own} of them your own.", dim=True)
    ctx.exit(0 if any(one.foreign for one in answer.tried) else 1)


def _config(session: Session) -> tuple[dict[str, Any] | None, str]:
    """The server's configuration, or why there is none: asked for only where a server is named."""
    if not (session.url or (session.home and Path(session.home).expanduser().is_dir())):
        return None, "no server is named (--home, --url)."
    try:
        config: dict[str, Any] = session.client.get("/config")["config"]
    except MeetkeeperError as trouble:
        return None, trouble.message
    return config, ""


def _tell(one: "Tried") -> None:
    found = one.foreign
    facts = [("in", one.of)]
    if found is None:
        facts.append(("found", "nothing: the meeting gets a VMR of ours"))
    else:
        facts += [
            ("platform", found.platform),
            ("rule", f"{found.rule}, in the {found.source}"),
            ("link", found.url or "none"),
            ("dials", found.dial or "nothing: it opens in a browser alone"),
        ]
    show.facts([*facts, *(("unmatched", link) for link in one.unmatched)])


COMMANDS = (links,)
