"""Commands about records that were set aside: a history that lost, a torn copy, what a failback replaced."""

import rich_click as click

from meetkeeper.api.client import part
from meetkeeper.api.counted import counted
from meetkeeper.cli import show
from meetkeeper.cli.session import Session, as_json, ask, json_option, pass_session, yes_option


@click.group("set-aside")
def set_aside() -> None:
    """Records that another history overruled: look at them, book them again, or decide against them."""


@set_aside.command("list")
@json_option
@pass_session
def list_(session: Session, *, json_out: bool) -> None:
    """Everything set aside on this server, and how much of it waits for a decision."""
    seen = session.client.get("/set-aside")
    if json_out:
        as_json(seen)
        return
    rows = [
        (one["id"], show.clock(one["at"], day=True), str(one["bookings"]), str(one["open"]), one["why"])
        for one in seen["items"]
    ]
    show.table(("id", "since", "bookings", "open", "why"), rows, empty="Nothing is set aside.")


@set_aside.command("show")
@click.argument("name", metavar="ID")
@json_option
@pass_session
def show_(session: Session, *, name: str, json_out: bool) -> None:
    """Booking by booking: who, where, when, whether it was acknowledged, and what to do."""
    seen = session.client.get(f"/set-aside/{part(name)}")
    if json_out:
        as_json(seen)
        return
    item = seen["item"]
    show.facts(
        [
            ("id", item["id"]),
            ("why", item["why"]),
            (
                "holds",
                f"{counted(item['frames'], 'record')} from seq {item['seq']} on, {item['bytes']:,} bytes",
            ),
            ("open", str(item["open"])),
            ("kept until", item.get("kept_until", "") or "somebody has decided"),
        ]
    )
    for one in seen["bookings"]:
        click.echo()
        rooms, times = (
            ", ".join(one["rooms"]),
            f"{show.clock(one['start'], day=True)} to {show.clock(one['end'])}",
        )
        show.facts(
            [
                ("meeting", f"{one['meeting']}  {one['subject']}"),
                ("organizer", one["organizer"]),
                ("where, when", f"{rooms}, {times}"),
                ("repeats", one.get("repeats", "")),
                ("acknowledged", one["acknowledged"]),
                (one["verdict"], one["says"]),
                ("decided", one.get("decided", "")),
            ]
        )


@set_aside.command("replay")
@click.argument("name", metavar="ID")
@click.option("--meeting", default="", help="This one alone, even where it differs or was cancelled.")
@json_option
@pass_session
def replay(session: Session, *, name: str, meeting: str, json_out: bool) -> None:
    """Book again what is missing, with the same URIs. What collides is left to you."""
    done = session.client.send("POST", f"/set-aside/{part(name)}/replay", {"meeting": meeting})
    if json_out:
        as_json(done)
        return
    for one in done["outcomes"]:
        click.echo(f"{one['meeting']}  {one['outcome']}: {one['says']}")
    click.echo(f"{done['item']['open']} of {done['item']['bookings']} bookings are open.")


@set_aside.command("discard")
@click.argument("name", metavar="ID")
@click.option("--why", required=True, help="Kept with the records.")
@click.option("--meeting", default="", help="This one alone.")
@yes_option
@json_option
@pass_session
def discard(session: Session, *, name: str, why: str, meeting: str, yes: bool, json_out: bool) -> None:
    """Decide that the open rest is not wanted. The records stay for thirty days."""
    ask(
        f"Decide against {f'meeting {meeting}' if meeting else 'everything that is open'} in {name}?", yes=yes
    )
    item = session.client.send("POST", f"/set-aside/{part(name)}/discard", {"why": why, "meeting": meeting})
    if json_out:
        as_json(item)
    else:
        click.echo(f"{item['open']} of {item['bookings']} bookings are open.")


COMMANDS = (set_aside,)
