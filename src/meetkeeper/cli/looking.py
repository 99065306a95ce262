"""Commands that look: status, today, risk, rooms, meetings, meeting, explain. Each takes --json."""

from datetime import datetime, timedelta
from typing import Any

import rich_click as click
from click.exceptions import Exit

from meetkeeper.api.client import part
from meetkeeper.cli import show
from meetkeeper.cli.pairing import explain_table, pair_facts
from meetkeeper.cli.session import Session, as_json, json_option, pass_session

Answer = dict[str, Any]


@click.command()
@json_option
@pass_session
def status(session: Session, *, json_out: bool) -> None:
    """How the server stands: role, calendars, bridges, mail, outbox."""
    seen = session.client.get("/cluster")
    if json_out:
        as_json(seen)
        return
    show.facts(
        [
            ("server", f"{seen['server']} {seen['release']}, {seen['role']}"),
            ("kept", f"epoch {seen['epoch']}, frame {seen['seq']}, configuration {seen['config_revision']}"),
            ("since", show.second(seen["started"])),
            ("failed", seen["failed"]),
            ("meetings", _counts(seen["meetings"])),
            ("outbox", _counts(seen["outbox"]) or "empty"),
            ("mail", f"{seen['mail']['state']}: {seen['mail']['text']}"),
            ("calendars", _progress(seen["calendars"])),
        ]
    )
    if seen["pair"] is not None:
        click.echo()
        pair_facts(seen["pair"])
    click.echo()
    rows = [(one["id"], one["state"], str(one["vmrs"]), one["text"]) for one in seen["bridges"]]
    show.table(("bridge", "state", "VMRs", "says"), rows, empty="No bridge is configured.")
    click.echo()
    rows = [
        (one["room"], show.second(one["last_pass"]), str(one["held"] or ""), _says(one))
        for one in seen["calendars"]
    ]
    show.table(("calendar of", "last pass", "held", "says"), rows, empty="No room has a calendar.")


def _says(calendar: Answer) -> str:
    if calendar["error"]:
        return str(calendar["error"])
    return "ok" if calendar["reading"] is None else f"being read, {calendar['reading']:,} items"


def _progress(calendars: list[Answer]) -> str:
    """How far the first index is; empty once every calendar has been read."""
    read = sum(one["last_pass"] is not None for one in calendars)
    items = sum(one["reading"] or 0 for one in calendars)
    return "" if read == len(calendars) else f"{read:,} of {len(calendars):,} read, {items:,} items under way"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counts.items() if number)


@click.command()
@click.option("--room", help="This room alone.")
@json_option
@pass_session
def today(session: Session, *, room: str | None, json_out: bool) -> None:
    """Today's meetings, by start."""
    now = datetime.now().astimezone()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    _list(
        session, room, (midnight.isoformat(), (midnight + timedelta(days=1)).isoformat()), json_out=json_out
    )


@click.command()
@click.option("--room", help="This room alone.")
@click.option("--from", "from_", help="From this time on (ISO 8601); default: now.")
@click.option("--until", help="Up to this time.")
@click.option("--state", help="scheduled, provisioned, live, ending, ended, cancelled or failed.")
@click.option("--limit", default=100, show_default=True)
@json_option
@pass_session
def meetings(
    session: Session,
    *,
    room: str | None,
    from_: str | None,
    until: str | None,
    state: str | None,
    limit: int,
    json_out: bool,
) -> None:
    """Meetings, by start."""
    begin = from_ or datetime.now().astimezone().isoformat(timespec="seconds")
    _list(session, room, (begin, until), state=state, limit=limit, json_out=json_out)


def _list(
    session: Session,
    room: str | None,
    span: tuple[str, str | None],
    *,
    json_out: bool,
    state: str | None = None,
    limit: int = 200,
) -> None:
    begin, until = span
    page = session.client.get("/meetings", room=room, from_=begin, until=until, state=state, limit=limit)
    if json_out:
        as_json(page)
        return
    rows = [
        (
            f"{show.clock(one['start'], day=True)}–{show.clock(one['end'])}",
            ",".join(one["rooms"]),
            one["state"],
            one["id"],
            "(private)" if one["private"] else one["subject"] or "(no subject)",
        )
        for one in page["meetings"]
    ]
    show.table(("when", "room", "state", "id", "subject"), rows, empty="No meetings.")
    if page.get("next"):
        click.echo(f"… and more than these {limit}: --limit shows up to 1000, --from goes on.")


@click.command()
@click.option("--check", is_flag=True, help="Exit code 1 when something is red, for monitoring.")
@json_option
@pass_session
def risk(session: Session, *, check: bool, json_out: bool) -> None:
    """What may go wrong next, what bites first comes first."""
    seen = session.client.get("/risks")
    if json_out:
        as_json(seen)
    else:
        _risks(seen["risks"])
    if check and any(one["level"] == "red" for one in seen["risks"]):
        raise Exit(1)


def _risks(risks: list[Answer]) -> None:
    if not risks:
        click.echo("Nothing is at risk.")
    for one in risks:
        red = one["level"] == "red"
        when = show.clock(one["at"], day=True) if one["at"] else "now"
        about = ", ".join(filter(None, (one["room"], one["subject"])))
        click.secho(
            f"{'■ red' if red else '▲ amber'}  {when}  {about}".rstrip(), fg="red" if red else "yellow"
        )
        click.echo(f"    {one['text']}")
        click.secho(f"    {one['do']}", dim=True)


@click.command()
@json_option
@pass_session
def rooms(session: Session, *, json_out: bool) -> None:
    """The rooms: what is in them now, what comes next, how their calendars do."""
    seen = session.client.get("/rooms")
    if json_out:
        as_json(seen)
        return
    rows = [
        (
            one["id"],
            one["name"],
            one["calendar"]["state"],
            show.clock(one["now"]["end"]) if one["now"] else "",
            _short(one["now"]) or _short(one["next"]) or "free",
        )
        for one in seen["rooms"]
    ]
    show.table(
        ("room", "name", "calendar", "busy until", "now or next"), rows, empty="No rooms are configured."
    )


def _short(meeting: Answer | None) -> str:
    if meeting is None:
        return ""
    subject = "(private)" if meeting["private"] else meeting["subject"]
    return f"{show.clock(meeting['start'])}–{show.clock(meeting['end'])} {subject}"


@click.command()
@click.argument("meeting_id")
@json_option
@pass_session
def meeting(session: Session, *, meeting_id: str, json_out: bool) -> None:
    """One meeting with its door."""
    one = session.client.get(f"/meetings/{part(meeting_id)}")
    if json_out:
        as_json(one)
        return
    meeting_facts(one)


def meeting_facts(one: Answer) -> None:
    """A meeting, fact by fact."""
    vmr, foreign = one["vmr"] or {}, one.get("foreign") or {}
    show.facts(
        [
            ("meeting", one["id"]),
            ("subject", one["subject"]),
            ("state", f"{one['state']}, revision {one['revision']}"),
            ("when", f"{show.clock(one['start'], day=True)}–{show.clock(one['end'])} {one['time_zone']}"),
            ("rooms", ", ".join(one["rooms"])),
            ("organizer", one["organizer"]["email"]),
            ("invitees", ", ".join(person["email"] for person in one["invitees"])),
            ("join", vmr.get("join_url", "")),
            ("SIP", vmr.get("sip_uri", "")),
            ("number", vmr.get("numeric_id", "")),
            ("PIN", vmr.get("pin", "")),
            (
                "held on",
                f"{foreign['platform']} (rule {foreign['rule']}, in its {foreign['source']})"
                if foreign
                else "",
            ),
            ("link", foreign.get("url", "")),
            ("dial", foreign.get("dial", "")),
            ("series", one["series"] or ""),
        ]
    )


@click.command()
@click.argument("about", required=False, default="")
@click.option("--limit", default=50, show_default=True)
@click.option(
    "--ha", "table", is_flag=True, help="Every row that decides which server of a pair may act, and why."
)
@json_option
@pass_session
def explain(session: Session, *, about: str, limit: int, table: bool, json_out: bool) -> None:
    """What happened to a meeting, room, alias or effect, and why; newest first. With --ha: who may act, and why."""
    if table:
        explain_table(json_out=json_out)
        return
    if not about:
        raise click.UsageError("Say what: a meeting's id, a room, an alias, an effect's key; or --ha.")
    seen = session.client.get(f"/explain/{part(about)}", limit=limit)
    if json_out:
        as_json(seen)
        return
    for row in seen["rows"]:
        click.secho(f"{show.second(row['at'])}  epoch {row['epoch']}, frame {row['seq']}", bold=True)
        for line in row["changes"]:
            click.echo(f"    {line}")
        for line in row["why"]:
            click.echo(f"    because {line}")


COMMANDS = (status, today, risk, rooms, meetings, meeting, explain)
