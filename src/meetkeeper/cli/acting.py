"""Commands that change something: book, move, cancel, extend, outbox release, brake, token, mail preview."""

import uuid
from datetime import datetime

import rich_click as click

from meetkeeper.api.client import part
from meetkeeper.cli import show, when
from meetkeeper.cli.looking import Answer, meeting_facts
from meetkeeper.cli.session import Session, as_json, ask, json_option, pass_session, yes_option


def _now() -> datetime:
    return datetime.now().astimezone()


@click.command()
@click.option(
    "--room", "rooms", multiple=True, required=True, help="A room; several for one meeting in all of them."
)
@click.option("--subject", required=True)
@click.option("--organizer", required=True, help="E-mail address.")
@click.option(
    "--invitee", "invitees", multiple=True, help="E-mail address; several times for several people."
)
@click.option("--start", required=True, help="14:00, tomorrow 9:30, now+10m or 2027-03-01T09:30.")
@click.option("--end", help="As --start.")
@click.option("--minutes", type=float, help="Instead of --end.")
@click.option("--time-zone", default="", help="IANA zone; default: the first room's.")
@click.option("--repeat", default="", help="RFC 5545 rule, such as FREQ=WEEKLY;BYDAY=MO;COUNT=10.")
@click.option("--no-vmr", is_flag=True, help="Book the rooms alone.")
@click.option("--key", help="Idempotency-Key: the command said again with it books once.")
@json_option
@pass_session
def book(
    session: Session,
    *,
    rooms: tuple[str, ...],
    subject: str,
    organizer: str,
    invitees: tuple[str, ...],
    start: str,
    end: str | None,
    minutes: float | None,
    time_zone: str,
    repeat: str,
    no_vmr: bool,
    key: str | None,
    json_out: bool,
) -> None:
    """Book a meeting."""
    if (end is None) == (minutes is None):
        raise click.UsageError("Give either --end or --minutes.")
    begin = when.moment(start, _now())
    body = {
        "rooms": list(rooms),
        "subject": subject,
        "organizer": organizer,
        "invitees": list(invitees),
        "start": begin,
        "end": when.later(begin, minutes) if minutes is not None else when.moment(end or "", _now()),
        "time_zone": time_zone,
        "recurrence": repeat,
        "vmr": not no_vmr,
    }
    again = {"Idempotency-Key": key or uuid.uuid4().hex}
    _told(session.client.send("POST", "/meetings", body, headers=again), json_out=json_out)


def _told(meeting: Answer, *, json_out: bool) -> None:
    if json_out:
        as_json(meeting)
    else:
        meeting_facts(meeting)


def _revision(session: Session, meeting_id: str) -> tuple[Answer, dict[str, str]]:
    meeting: Answer = session.client.get(f"/meetings/{part(meeting_id)}")
    return meeting, {"If-Match": f'"{meeting["revision"]}"'}


@click.command()
@click.argument("meeting_id")
@click.option("--start", help="New start; the length stays.")
@click.option("--end", help="New end.")
@click.option("--room", "rooms", multiple=True, help="New room; several for several.")
@click.option("--subject", help="New subject.")
@json_option
@pass_session
def move(
    session: Session,
    *,
    meeting_id: str,
    start: str | None,
    end: str | None,
    rooms: tuple[str, ...],
    subject: str | None,
    json_out: bool,
) -> None:
    """Move or rename a meeting. Its URI and PIN stay."""
    meeting, match = _revision(session, meeting_id)
    body: dict[str, object] = {}
    if start:
        begin = when.moment(start, _now())
        length = datetime.fromisoformat(meeting["end"]) - datetime.fromisoformat(meeting["start"])
        body["start"], body["end"] = begin, when.later(begin, length.total_seconds() / 60)
    if end:
        body["end"] = when.moment(end, _now())
    if rooms:
        body["rooms"] = list(rooms)
    if subject is not None:
        body["subject"] = subject
    if not body:
        raise click.UsageError("Say what to change: --start, --end, --room or --subject.")
    changed = session.client.send("PATCH", f"/meetings/{part(meeting_id)}", body, headers=match)
    _told(changed, json_out=json_out)


@click.command()
@click.argument("meeting_id")
@click.option("--series", is_flag=True, help="Every occurrence of its series.")
@yes_option
@json_option
@pass_session
def cancel(session: Session, *, meeting_id: str, series: bool, yes: bool, json_out: bool) -> None:
    """Cancel a meeting; everybody who was invited is told. At a terminal it asks first."""
    meeting, match = _revision(session, meeting_id)
    what = f"{meeting['subject']!r}, {show.clock(meeting['start'], day=True)}, {', '.join(meeting['rooms'])}"
    running = ", which is running now" if meeting["state"] in ("live", "ending") else ""
    ask(f"Cancel {'the whole series of ' if series else ''}{what}{running}?", yes=yes)
    scope = "?series=true" if series else ""
    told = session.client.send("DELETE", f"/meetings/{part(meeting_id)}{scope}", headers=match)
    if json_out:
        as_json(told)
    else:
        click.echo(f"Cancelled: {what}.")


@click.command()
@click.argument("meeting_id")
@pass_session
def resend(session: Session, *, meeting_id: str) -> None:
    """Send the present invitation again to everybody concerned."""
    session.client.send("POST", f"/meetings/{part(meeting_id)}/resend")
    click.echo("The invitation goes out again.")


@click.command()
@click.argument("meeting_id")
@click.argument("minutes", type=int)
@json_option
@pass_session
def extend(session: Session, *, meeting_id: str, minutes: int, json_out: bool) -> None:
    """Let a meeting end so many minutes later, if its rooms are free."""
    _, match = _revision(session, meeting_id)
    body = {"minutes": minutes}
    path = f"/meetings/{part(meeting_id)}/extend"
    _told(session.client.send("POST", path, body, headers=match), json_out=json_out)


@click.group(invoke_without_command=True)
@click.option("--status", "state", help="open, sending, waiting, parked or unknown.")
@click.option("--limit", default=100, show_default=True)
@json_option
@pass_session
@click.pass_context
def outbox(ctx: click.Context, session: Session, *, state: str | None, limit: int, json_out: bool) -> None:
    """What is still to be done outside: VMRs, mails, calendar items."""
    if ctx.invoked_subcommand is not None:
        return
    seen = session.client.get("/outbox", status=state, limit=limit)
    if json_out:
        as_json(seen)
        return
    rows = [
        (one["status"], one["text"], str(one["tries"]), one["reason"], one["key"]) for one in seen["effects"]
    ]
    show.table(("status", "what", "tries", "why"), [row[:4] for row in rows], empty="The outbox is empty.")
    for row in rows:
        if row[0] in ("parked", "unknown"):
            click.secho(f"meetkeeper outbox release '{row[4]}' --retry   (or --done)", dim=True)
    if seen["total"] > len(rows):
        click.echo(f"… and {seen['total'] - len(rows)} more.")


@outbox.command("release")
@click.argument("key")
@click.option("--retry", "how", flag_value="retry", help="Try it again.")
@click.option("--done", "how", flag_value="done", help="Take it as done.")
@pass_session
def release(session: Session, *, key: str, how: str | None) -> None:
    """Decide about a parked effect, or a mail whose fate is unknown."""
    if how is None:
        raise click.UsageError("Say --retry or --done.")
    item = session.client.send("POST", "/outbox/release", {"key": key, "how": how})
    click.echo(f"{item['key']} is {item['status']}.")


@click.command()
@click.argument("room")
@click.option("--gone", "how", flag_value="gone", help="They are gone: cancel them.")
@click.option("--kept", "how", flag_value="kept", help="Keep them until they are seen again.")
@yes_option
@pass_session
def brake(session: Session, *, room: str, how: str | None, yes: bool) -> None:
    """Decide about items that vanished from a calendar in such numbers that the brake holds them."""
    if how is None:
        raise click.UsageError("Say --gone or --kept.")
    if how == "gone":
        held = session.client.get(f"/rooms/{part(room)}")["calendar"]["held"]
        ask(f"Cancel the meetings of {held} items that vanished from {room}?", yes=yes)
    session.client.send("POST", f"/rooms/{part(room)}/brake", {"how": how})
    click.echo(f"The brake of {room} is released.")


@click.group()
def token() -> None:
    """API tokens."""


@token.command("issue")
@click.argument("name")
@click.option("--scope", type=click.Choice(["read", "write"]), default="write", show_default=True)
@json_option
@pass_session
def token_issue(session: Session, *, name: str, scope: str, json_out: bool) -> None:
    """Make a token. It is shown this once and kept nowhere."""
    issued = session.client.send("POST", "/tokens", {"name": name, "scope": scope})
    if json_out:
        as_json(issued)
    else:
        click.echo(issued["token"])


@token.command("list")
@json_option
@pass_session
def token_list(session: Session, *, json_out: bool) -> None:
    """The names of all tokens."""
    seen = session.client.get("/tokens")
    if json_out:
        as_json(seen)
        return
    rows = [(one["name"], one["scope"], show.second(one["issued"])) for one in seen["tokens"]]
    show.table(("name", "scope", "issued"), rows, empty="No tokens have been issued.")


@token.command("revoke")
@click.argument("name")
@pass_session
def token_revoke(session: Session, *, name: str) -> None:
    """Let a token in no more."""
    session.client.send("DELETE", f"/tokens/{part(name)}")
    click.echo(f"{name} opens nothing any more.")


@click.group()
def mail() -> None:
    """Mails."""


@mail.command("preview")
@click.argument("meeting_id")
@click.option("--to", default="", help="The recipient; default: the organizer.")
@click.option(
    "--part", "shown", type=click.Choice(["text", "html", "calendar"]), default="text", show_default=True
)
@json_option
@pass_session
def mail_preview(session: Session, *, meeting_id: str, to: str, shown: str, json_out: bool) -> None:
    """What a meeting's mail looks like, without sending it."""
    seen = session.client.get(f"/meetings/{part(meeting_id)}/mail", to=to)
    if json_out:
        as_json(seen)
        return
    if shown == "text":
        show.facts([("to", seen["to"]), ("subject", seen["subject"])])
        click.echo()
    click.echo(seen[shown])


COMMANDS = (book, move, cancel, extend, resend, outbox, brake, token, mail)
