"""`meetkeeper demo --check`: the demonstration without a person. It lives through a minute and judges the promises.

Meetings are booked, repeated, moved and cancelled over CalDAV and REST. Both servers are stopped and a sync cookie is
damaged; the active one is killed under a load of bookings, frozen past its lease and woken, told to hand over there and
back, and killed again while a meeting is due. In the end everything is compared: both servers' journals, what was
acknowledged, what the invitees were told, when the doors opened, and whether any URI changed.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from meetkeeper.app.demo import blows
from meetkeeper.app.demo.actors import SinkThread, event, iso, wait_for
from meetkeeper.app.demo.lookout import Lookout
from meetkeeper.app.demo.parts import Pace, Parts, clear
from meetkeeper.app.demo.story import Story
from meetkeeper.app.demo.verdict import alike, judge
from meetkeeper.core.errors import Unavailable

DAILY = "RRULE:FREQ=DAILY;COUNT=5\r\n"
PACE = Pace(poll_s=0.5, settle_s=0.3, verify_before_s=5, warn_before_s=3, retire_after_s=5, reconcile_s=2.0)
QUIET_S = 1.0
QUIET_S_MAX = 30.0
QUIET_TRIES = 2


def run(folder: Path | None, *, as_json: bool, exchange: bool) -> int:
    """Live through the story; 0 only if every promise held."""
    place = folder or Path(tempfile.mkdtemp(prefix="meetkeeper-check-"))
    place.mkdir(parents=True, exist_ok=True)
    parts = Parts(place, port=0, pace=PACE, exchange=exchange)
    sink, lookout = SinkThread(parts), Lookout(parts.servers)
    try:
        parts.start_neighbours()
        parts.lay_homes()
        sink.start()
        parts.servers.start()
        lookout.start()
        story = Story(parts, sink, lookout)
        _try(story, _live)
        lookout.stop()
        _try(story, _stop_alike)
        seen = judge(story)
    finally:
        lookout.stop()
        parts.stop()
        sink.stop()
    if story.broken:
        click.echo(f"The folder is kept: {place}", err=True)
    elif folder is None:
        clear(place)
    sys.stdout.write(json.dumps(seen) + "\n" if as_json else _readable(seen))
    return 0 if not story.broken else 1


def _try(story: Story, part: Callable[[Story], None]) -> None:
    """What was waited for in vain breaks a promise, and the rest of this part is left out."""
    try:
        part(story)
    except Unavailable as trouble:
        story.expect(trouble.message, held=False)


def _live(story: Story) -> None:
    _book(story)
    _change(story)
    blows.stop_both_and_damage(story, "bergen")
    blows.under_load(story)
    blows.kill_while_syncing(story)
    blows.kill_while_due(story)
    _wait_until_over(story)
    _lose_all_cookies(story)


def _stop_alike(story: Story) -> None:
    """End both at a quiet moment, without a farewell: what is on their disks then must be the same.

    The calendars end first: a server that gives a new cookie for each look leaves no moment quiet.
    """
    story.say("ending the calendars, and both servers at a quiet moment")
    story.parts.calendars.stop()
    for again in reversed(range(QUIET_TRIES)):
        story.expect("the pair comes to rest", wait_for("rest", lambda: _is_quiet(story), QUIET_S_MAX))
        for server in story.servers.both:
            server.kill()
        if alike(story) or not again:
            return
        story.servers.start()


def _is_quiet(story: Story) -> bool:
    """Both servers hold the same, and nothing was decided for a while."""
    first = _positions(story)
    time.sleep(QUIET_S)
    return len(set(first)) == 1 and first == _positions(story)


def _positions(story: Story) -> list[int]:
    return [one.pair_status().get("position_seq", -number) for number, one in enumerate(story.servers.both)]


def _book(story: Story) -> None:
    """Meetings over REST and CalDAV, one in two rooms, two series, one request sent twice."""
    at, booker, calendars = story.begin_s, story.booker, story.parts.calendars
    story.say(
        f"booking over REST and CalDAV; bridge: {'Janus' if story.parts.janus else 'the join page alone'}"
    )
    first = booker.book("tromso", "Board", at + 30, 8, idempotency_key="demo-1")
    again = booker.book("tromso", "Board", at + 30, 8, idempotency_key="demo-1")
    story.expect(
        "the same Idempotency-Key gives the same meeting", first.body.get("id") == again.body.get("id")
    )
    clash = booker.book("tromso", "Clash", at + 32, 10)
    story.expect("a conflict is answered 409", clash.status == 409)
    weekly = booker.book("tromso", "Weekly", at + 20, 8, recurrence="FREQ=WEEKLY;COUNT=4")
    moved = booker.book("tromso", "Moved", at + 600, 8)
    cancelled = booker.book("oslo", "Cancelled", at + 900, 10)
    made = [story.acknowledge(answer) for answer in (first, weekly, moved, cancelled)]
    story.must_run |= set(made[:3])
    calendars.put("bergen", "cal1.ics", event("cal1@demo", "Design review", at + 20, 8))
    for room in ("bergen", "tromso"):
        calendars.put(room, "both.ics", event("both@demo", "Two rooms", at + 40, 8))
    series = event("series@demo", "Stand-up", at + 31, 8, extra=DAILY)
    calendars.put("bergen", "series.ics", series)
    calendars.put("oslo", "gone.ics", event("gone@demo", "Removed from the calendar", at + 1_200, 60))
    story.expect("every booking has a door in time", wait_for("doors", lambda: _count(story) == 15, 15))
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
    at, booker, calendars = story.begin_s, story.booker, story.parts.calendars
    story.say("moving and cancelling")
    meetings = {one["subject"]: one for one in story.look().values()}
    moved, cancelled = meetings["Moved"], meetings["Cancelled"]
    patch = {"start": iso(at + 49), "end": iso(at + 57)}
    answer = booker.ask("PATCH", f"/meetings/{moved['id']}", patch, If_Match=f'"{moved["revision"]}"')
    story.expect("a move is answered 200", answer.status == 200)
    stale = booker.ask("PATCH", f"/meetings/{moved['id']}", patch, If_Match='"1"')
    story.expect("a decision on an old revision is refused", stale.status == 412)
    gone = booker.ask("DELETE", f"/meetings/{cancelled['id']}", If_Match=f'"{cancelled["revision"]}"')
    story.expect("a cancellation is answered", gone.status in (200, 204))
    calendars.put("bergen", "cal1.ics", event("cal1@demo", "Design review", at + 22, 8, sequence=1))
    calendars.remove("oslo", "gone.ics")
    calendars.put("bergen", "series.ics", event("series@demo", "Stand-up", at + 31, 8, extra=DAILY))

    def followed() -> bool:
        now = {one["subject"]: one for one in booker.meetings().values()}
        return bool(
            now.get("Removed from the calendar", {}).get("state") == "cancelled"
            and now.get("Design review", {}).get("revision") == 2
            and now.get("Cancelled", {}).get("state") == "cancelled"
        )

    story.expect("changes in the calendar are followed", wait_for("changes", followed, 10))
    story.look()


def _wait_until_over(story: Story) -> None:
    story.say("waiting until every meeting has started and ended")

    def over() -> bool:
        meetings = story.booker.meetings()
        return all(meetings.get(one, {}).get("state") == "ended" for one in story.must_run)

    last_s = story.begin_s + 57
    story.expect("every meeting ends", wait_for("ends", over, max(20.0, last_s + 10 - time.time())))
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
