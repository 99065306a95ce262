"""Commands about one room's calendar: resync, with a preview and its progress, and the room doctor."""

import sys
import time

import rich_click as click

from meetkeeper.api.client import Unavailable, part
from meetkeeper.cli import show
from meetkeeper.cli.looking import Answer
from meetkeeper.cli.session import Session, as_json, json_option, pass_session

LOOK_S = 0.5
LEVELS = {"red": "wrong", "amber": "costs", "note": "note", "good": "good"}


@click.command()
@click.argument("room")
@click.option("--preview", is_flag=True, help="Read everything, say what would be done, and do nothing.")
@click.option("--wait/--no-wait", default=True, help="Tell the progress until the calendar was read.")
@json_option
@pass_session
def resync(session: Session, *, room: str, preview: bool, wait: bool, json_out: bool) -> None:
    """Read a room's calendar from the beginning. No URI changes; nobody is mailed about what is as it was."""
    if preview:
        found: Answer = session.patient.get(f"/rooms/{part(room)}/resync")
        as_json(found) if json_out else _previewed(found)
        return
    before: Answer = session.client.get(f"/rooms/{part(room)}")
    answer: Answer = session.client.send("POST", f"/rooms/{part(room)}/resync")
    if wait:
        answer = _followed(session, room, before["calendar"]["full_passes"])
    if json_out:
        as_json(answer)
    elif wait:
        calendar = answer["calendar"]
        if calendar["error"]:
            raise Unavailable("calendar", f"{room} can't be read: {calendar['error']}")
        problems = f", {len(calendar['problems'])} items can't be read" if calendar["problems"] else ""
        held = f", the brake holds {calendar['held']}" if calendar["held"] else ""
        click.echo(f"{room} was read from the beginning{problems}{held}.")
    else:
        click.echo(f"{room} is read from the beginning.")


def _followed(session: Session, room: str, full_passes: int) -> Answer:
    """Until one more complete pass has ended. A person at a terminal sees the items counted."""
    begin_s, shown = time.monotonic(), -1
    while True:
        answer: Answer = session.client.get(f"/rooms/{part(room)}")
        calendar = answer["calendar"]
        if calendar["full_passes"] != full_passes or calendar["state"] in ("failing", "none"):
            return answer
        if sys.stderr.isatty() and calendar["reading"] not in (None, shown):
            shown = calendar["reading"]
            rate = shown / max(0.001, time.monotonic() - begin_s)
            click.echo(f"\r{shown} items read, {rate:.0f} a second", nl=False, err=True)
        time.sleep(LOOK_S)


def _previewed(found: Answer) -> None:
    rows = [
        (line["what"], show.clock(line["start"], day=True), line["meeting"], line["subject"])
        for line in found["lines"]
    ]
    if rows:
        show.table(("WHAT", "STARTS", "MEETING", "SUBJECT"), rows, empty="")
        click.echo()
    show.facts(
        (
            ("items", str(found["items"])),
            ("create", str(found["creates"])),
            ("change", str(found["changes"])),
            ("delete", str(found["deletes"])),
            ("as they are", str(found["same"])),
            ("held by the brake", str(found["held"])),
            ("URIs changed", str(found["uris_changed"])),
            ("mails", str(found["mails"])),
            ("not readable", str(len(found["problems"]))),
        )
    )
    click.echo("Nothing was done.")


@click.group()
def room() -> None:
    """One room."""


@room.command("doctor")
@click.argument("room_id", metavar="ROOM")
@json_option
@pass_session
def doctor(session: Session, *, room_id: str, json_out: bool) -> None:
    """Name each wrong setting of a room, the symptom it causes and the command that mends it.

    Exits with 1 when something does not work.
    """
    found: Answer = session.patient.get(f"/rooms/{part(room_id)}/doctor")
    if json_out:
        as_json(found)
    else:
        for one in found["findings"]:
            click.echo(f"{LEVELS[one['level']]:6} {one['text']}")
            for more in (one["symptom"], one["mend"]):
                if more and one["level"] != "good":
                    click.echo(f"       {more}")
    if any(one["level"] == "red" for one in found["findings"]):
        sys.exit(1)


COMMANDS = (resync, room)
