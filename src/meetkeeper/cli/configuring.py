"""The configuration's life on the command line: show, check, diff, deploy, revisions, rollback."""

import json
from pathlib import Path

import rich_click as click

from meetkeeper.api.client import NotFound
from meetkeeper.cli import show
from meetkeeper.cli.looking import Answer
from meetkeeper.cli.session import Session, as_json, ask, json_option, pass_session, yes_option


@click.group()
def config() -> None:
    """The configuration: staged → checked → deployed → rolled back."""


def _meant(session: Session, file: Path | None) -> tuple[str, bytes]:
    """Name and text of what is meant: a file, else what waits in the home folder.

    An edit of a moment ago stands in config.json until the server has seen it and staged it.
    """
    if file is not None:
        return file.name, _read(file)
    if not session.home:
        raise click.UsageError("Name a FILE, or say --home for the staged one.")
    folder = Path(session.home).expanduser() / "config"
    for name in ("staged.json", "config.json"):
        if (folder / name).exists():
            return name, _read(folder / name)
    raise NotFound("no-staged", f"There is no configuration in {folder}. Name a FILE.")


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise NotFound("no-file", f"{file} can't be read: {error.strerror}.") from None


def _problems(seen: Answer, name: str) -> list[str]:
    """What is wrong, with the name of the file it is wrong in."""
    return [line.replace("config.json:", f"{name}:", 1) for line in seen["problems"]]


@config.command("show")
@json_option
@pass_session
def config_show(session: Session, *, json_out: bool) -> None:
    """What is in force, without secrets."""
    seen = session.client.get("/config")
    if json_out:
        as_json(seen)
    else:
        click.echo(json.dumps(seen["config"], indent=2, ensure_ascii=False))


@config.command("check")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@json_option
@pass_session
@click.pass_context
def config_check(ctx: click.Context, session: Session, *, file: Path | None, json_out: bool) -> None:
    """What is wrong with FILE, or with what is staged. Exit code 1 when something is."""
    name, body = _meant(session, file)
    seen = session.client.send("POST", "/config/check", body)
    if json_out:
        as_json(seen)
    else:
        for line in _problems(seen, name):
            click.secho(line, fg="red")
        if seen["ok"]:
            click.echo(f"Nothing is wrong with {name}.")
    ctx.exit(0 if seen["ok"] else 1)


@config.command("diff")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@json_option
@pass_session
def config_diff(session: Session, *, file: Path | None, json_out: bool) -> None:
    """What deploying FILE, or what is staged, would change."""
    name, body = _meant(session, file)
    seen = session.client.send("POST", "/config/check", body)
    if json_out:
        as_json(seen)
        return
    for line in _problems(seen, name):
        click.secho(line, fg="red")
    for line in seen["changes"]:
        click.secho(line, fg={"+": "green", "-": "red"}.get(line[:1]))
    if seen["ok"] and not seen["changes"]:
        click.echo(f"{name} changes nothing.")


@config.command("deploy")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@yes_option
@pass_session
def config_deploy(session: Session, *, file: Path | None, yes: bool) -> None:
    """Put FILE, or what is staged, in force; at a terminal its changes are shown first."""
    revision = session.client.get("/config")["revision"]
    _, body = _meant(session, file)
    if not yes:
        for line in session.client.send("POST", "/config/check", body)["changes"]:
            click.echo(line, err=True)
        ask("Put this in force?", yes=yes)
    deployed = session.client.send("PUT", "/config", body, headers={"If-Match": f'"{revision}"'})
    click.echo(f"Configuration {deployed['revision']} is in force.")


@config.command("revisions")
@json_option
@pass_session
def config_revisions(session: Session, *, json_out: bool) -> None:
    """Configurations that may be rolled back to."""
    seen = session.client.get("/config/revisions")
    if json_out:
        as_json(seen)
        return
    rows = [(str(one["revision"]), show.second(one["at"]), one["by"]) for one in seen["revisions"]]
    show.table(("revision", "in force since", "by"), rows, empty="None.")


@config.command("rollback")
@click.option("--to", type=int, help="This revision; default: the one before.")
@pass_session
def config_rollback(session: Session, *, to: int | None) -> None:
    """Put an earlier configuration in force again."""
    deployed = session.client.send("POST", "/config/rollback", {"revision": to})
    click.echo(f"Configuration {deployed['revision']} is in force.")


COMMANDS = (config,)
