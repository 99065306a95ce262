"""`meetkeeper demo --check`: the demonstration without a person. It lives through a minute and judges the promises.

Meetings are booked, repeated, moved and cancelled over CalDAV and REST; the server is killed under a load of bookings,
a sync cookie is damaged while it is down, and it is killed again while a meeting is due. In the end everything is
compared: what was acknowledged, what the invitees were told, when the doors opened, and whether any URI changed.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from meetkeeper.app.demo.actors import Load, SinkThread, event, iso, wait_for
from meetkeeper.app.demo.parts import Pace, Parts, clear
from meetkeeper.app.demo.story import Story
from meetkeeper.app.demo.verdict import judge
from meetkeeper.core.changes import CookieKept
from meetkeeper.core.plan import Plan
from meetkeeper.core.words import RoomId
from meetkeeper.host.disk import RealDisk
from meetkeeper.store.database import Database

DAILY = "RRULE:FREQ=DAILY;COUNT=5\r\n"
PACE = Pace(poll_s=0.5, settle_s=0.3, verify_before_s=5, warn_before_s=3, retire_after_s=5, reconcile_s=2.0)


def run(folder: Path | None, *, as_json: bool) -> int:
    """Live through the story; 0 only if every promise held."""
    place = folder or Path(tempfile.mkdtemp(prefix="meetkeeper-check-"))
    place.mkdir(parents=True, exist_ok=True)
    parts = Parts(place, port=0, pace=PACE)
    sink = SinkThread(parts)
    try:
        parts.start_neighbours()
        parts.lay_home()
        sink.start()
        parts.start_server()
        story = Story(parts, sink)
        _live(story)
        parts.kill_server()
        seen = judge(story)
    finally:
        parts.stop()
        sink.stop()
    if story.broken:
        click.echo(f"The folder is kept: {place}", err=True)
    elif folder is None:
        clear(place)
    sys.stdout.write(json.dumps(seen) + "\n" if as_json else _readable(seen))
    return 0 if not story.broken else 1


def _live(story: Story) -> None:
    _book(story)
    _change(story)
    _kill_under_load(story)
    _kill_while_due(story)
    _wait_until_over(story)
    _lose_all_cookies(story)


def _book(story: Story) -> None:
    """Meetings over REST and CalDAV, one in two rooms, two series, one request sent twice."""
    at, booker, radicale = story.begin_s, story.booker, story.parts.radicale
    story.say(
        f"booking over REST and CalDAV; bridge: {'Janus' if story.parts.janus else 'the join page alone'}"
    )
    first = booker.book("oslo", "Board", at + 26, 10, idempotency_key="demo-1")
    again = booker.book("oslo", "Board", at + 26, 10, idempotency_key="demo-1")
    story.expect("a booking is answered 201", first.status == 201)
    story.expect(
        "the same Idempotency-Key gives the same meeting", first.body.get("id") == again.body.get("id")
    )
    clash = booker.book("oslo", "Clash", at + 30, 10)
    story.expect("a conflict is answered 409", clash.status == 409)
    weekly = booker.book("tromso", "Weekly", at + 40, 8, recurrence="FREQ=WEEKLY;COUNT=4")
    late = booker.book("oslo", "Due while the server is down", at + 38, 24)
    moved = booker.book("oslo", "Moved", at + 600, 10)
    cancelled = booker.book("oslo", "Cancelled", at + 900, 10)
    for answer in (first, weekly, late, moved, cancelled):
        story.expect("a booking is answered 201", answer.status == 201)
        if answer.status == 201:
            story.acknowledged[answer.body["id"]] = (answer.body["vmr"]["alias"], answer.body["vmr"]["pin"])
    story.must_run |= {first.body["id"], weekly.body["id"], late.body["id"], moved.body["id"]}
    story.late = late.body["id"]
    bergen, oslo = radicale.calendar_url("bergen"), radicale.calendar_url("oslo")
    radicale.request("PUT", bergen + "cal1.ics", event("cal1@demo", "Design review", at + 28, 10))
    for room in (bergen, radicale.calendar_url("tromso")):
        radicale.request("PUT", room + "both.ics", event("both@demo", "Two rooms", at + 52, 6))
    series = event("series@demo", "Stand-up", at + 42, 6, extra=DAILY)
    radicale.request("PUT", bergen + "series.ics", series)
    radicale.request(
        "PUT", oslo + "gone.ics", event("gone@demo", "Removed from the calendar", at + 1_200, 60)
    )
    story.expect("every booking has a door in time", wait_for("doors", lambda: _count(story) == 16, 15))
    meetings = story.look()
    by_subject = {meeting["subject"]: meeting for meeting in meetings.values()}
    two = by_subject.get("Two rooms", {})
    story.expect("one meeting in two rooms is one meeting", two.get("rooms") == ["bergen", "tromso"])
    for subject in ("Design review", "Two rooms"):
        if subject in by_subject:
            story.must_run.add(by_subject[subject]["id"])
    standups = [one for one in meetings.values() if one["subject"] == "Stand-up"]
    story.expect("a series of five is five meetings", len(standups) == 5)
    story.expect("a series has one door", len({one["vmr"]["alias"] for one in standups}) == 1)
    if standups:
        story.must_run.add(min(standups, key=lambda one: str(one["start"]))["id"])


def _count(story: Story) -> int:
    return sum(
        1 for one in story.booker.meetings().values() if one.get("vmr") and one["state"] == "provisioned"
    )


def _change(story: Story) -> None:
    """Move and cancel, once by REST and once in the calendar; write one entry again unchanged."""
    at, booker, radicale = story.begin_s, story.booker, story.parts.radicale
    story.say("moving and cancelling")
    meetings = {one["subject"]: one for one in story.look().values()}
    moved, cancelled = meetings["Moved"], meetings["Cancelled"]
    patch = {"start": iso(at + 62), "end": iso(at + 66)}
    answer = booker.ask("PATCH", f"/meetings/{moved['id']}", patch, If_Match=f'"{moved["revision"]}"')
    story.expect("a move is answered 200", answer.status == 200)
    stale = booker.ask("PATCH", f"/meetings/{moved['id']}", patch, If_Match='"1"')
    story.expect("a decision on an old revision is refused", stale.status == 412)
    gone = booker.ask("DELETE", f"/meetings/{cancelled['id']}", If_Match=f'"{cancelled["revision"]}"')
    story.expect("a cancellation is answered", gone.status in (200, 204))
    bergen, oslo = radicale.calendar_url("bergen"), radicale.calendar_url("oslo")
    radicale.request("PUT", bergen + "cal1.ics", event("cal1@demo", "Design review", at + 30, 10, sequence=1))
    radicale.request("DELETE", oslo + "gone.ics")
    radicale.request(
        "PUT",
        bergen + "series.ics",
        event("series@demo", "Stand-up", at + 42, 6, extra=DAILY),
    )

    def followed() -> bool:
        now = {one["subject"]: one for one in booker.meetings().values()}
        return bool(
            now.get("Removed from the calendar", {}).get("state") == "cancelled"
            and now.get("Design review", {}).get("revision") == 2
            and now.get("Cancelled", {}).get("state") == "cancelled"
        )

    story.expect("changes in the calendar are followed", wait_for("changes", followed, 10))
    story.look()


def _kill_under_load(story: Story) -> None:
    """SIGKILL while bookings are answered; a cookie is damaged and a calendar changed before the next start."""
    load = Load(story.booker)
    load.start()
    time.sleep(1.5)
    story.say(f"SIGKILL under load, {len(load.acknowledged)} bookings acknowledged")
    story.kill()
    _damage_cookie(story, "bergen")
    at = story.begin_s
    url = story.parts.radicale.calendar_url("bergen")
    story.parts.radicale.request(
        "PUT", url + "while-down.ics", event("down@demo", "Booked while down", at + 62, 5)
    )
    story.restart()
    time.sleep(1.0)
    load.stop()
    story.acknowledged.update(load.acknowledged)
    found = wait_for("the booking made meanwhile", lambda: "Booked while down" in _subjects(story), 8)
    story.expect("a change made while the server was down is found", found)
    for meeting in story.look().values():
        if meeting["subject"] == "Booked while down":
            story.must_run.add(meeting["id"])


def _subjects(story: Story) -> set[str]:
    return {one["subject"] for one in story.booker.meetings().values()}


def _damage_cookie(story: Story, room: str) -> None:
    """Flip what is inside a kept cookie's envelope, as a torn file would."""
    database = Database.open(RealDisk(story.parts.home.path))
    try:
        cookie = database.state.cookies.get(RoomId(room), "")
        story.expect("there is a cookie to damage", cookie)
        database.open_reign(database.promised + 1)
        database.commit(Plan(time.time(), (CookieKept(RoomId(room), cookie[:-3] + "???"),)))
        database.flush_now()
        story.cookies_damaged += 1
    finally:
        database.close()


def _kill_while_due(story: Story) -> None:
    """Dead when a meeting is due: it starts as soon as the server is back."""
    late_s = story.begin_s + 38
    time.sleep(max(0.0, late_s - 0.7 - time.time()))
    story.say("SIGKILL just before a meeting is due")
    story.kill()
    time.sleep(max(0.0, late_s + 0.3 - time.time()))
    story.restart()

    def running() -> bool:
        return story.booker.ask("GET", f"/meetings/{story.late}").body.get("state") in ("live", "ending")

    story.expect(
        "a meeting due while the server was down runs as soon as it is back", wait_for("late", running, 5)
    )
    story.look()


def _wait_until_over(story: Story) -> None:
    story.say("waiting until every meeting has started and ended")

    def over() -> bool:
        meetings = story.booker.meetings()
        return all(meetings.get(one, {}).get("state") == "ended" for one in story.must_run)

    last_s = story.begin_s + 67
    story.expect("every meeting ends", wait_for("ends", over, max(5.0, last_s + 8 - time.time())))
    story.look()


def _lose_all_cookies(story: Story) -> None:
    """Every room from the beginning: no URI changes, nobody is mailed."""
    story.say("a full pass over every room")
    quiet = wait_for("the outbox", lambda: not _open_mails(story), 8)
    story.expect("all mails are out", quiet)
    before = len(story.sink.sink.mails()) if story.sink.sink is not None else 0
    for room in ("oslo", "bergen", "tromso"):
        story.expect(
            "a resync is answered",
            story.booker.ask("POST", f"/rooms/{room}/resync").status in (200, 202, 204),
        )
    time.sleep(PACE.poll_s * 2 + PACE.settle_s + 1.5)
    story.look()
    after = len(story.sink.sink.mails()) if story.sink.sink is not None else 0
    story.expect("a full pass that changes nothing mails nobody", before == after)


def _open_mails(story: Story) -> int:
    answer = story.booker.ask("GET", "/outbox")
    rows = answer.body.get("effects", answer.body.get("items", []))
    return sum(1 for row in rows if str(row.get("key", "")).startswith(("mail/", "announce/")))


def _readable(seen: dict[str, Any]) -> str:
    lines = [f"{name:28} {value}" for name, value in seen.items()]
    verdict = "Every promise held." if not seen["broken"] else "BROKEN: " + "; ".join(seen["broken"])
    return "\n".join([*lines, verdict, ""])
