"""What the demonstration does to its servers: kill, freeze, switch over, stop both and damage what they keep.

Each blow waits until the pair is whole, strikes, and waits until it is whole again: how long that takes is measured,
never guessed.
"""

import math
import signal
import threading
import time

from meetkeeper.app.demo.actors import event, wait_for
from meetkeeper.app.demo.booker import Caught, Load
from meetkeeper.app.demo.servers import Server, is_running, send_signal, wait_until
from meetkeeper.app.demo.story import Handover, Story
from meetkeeper.codec import frame, record
from meetkeeper.core.changes import CookieKept
from meetkeeper.core.plan import Plan
from meetkeeper.core.words import RoomId
from meetkeeper.host.disk import RealDisk
from meetkeeper.store.database import Database

KILLS = 2
SWITCHOVERS = 2
FROZEN_S = 4.5
"""Longer than the lease (3.0 s) and what clocks may differ by; shorter than what an agent takes for hung (10 s)."""
CAUGHT = 4
INVITED = 60
INVITED_EVERY_S = 0.03
"""They come while the room is read, before the blow and after it."""
GOES_ON_S_MAX = 30.0
ENDS_S_MAX = 15.0
AHEAD_S = 4
"""A meeting that is due during a blow is booked so long before."""


def stop_both_and_damage(story: Story, room: str) -> None:
    """A cluster that stops and starts again; meanwhile a cookie is damaged and the calendar changes."""
    servers = story.servers
    active = servers.wait_in_sync()
    passive = servers.other(active)
    story.say(f"stopping both servers, damaging the sync cookie of {room} on {active.name}")
    story.stops += 1
    passive.stop()
    wait_until(
        f"{active.name} to go on alone",
        lambda: list(active.pair_status().get("in_sync", ())) == [active.name],
        GOES_ON_S_MAX,
    )
    at_s = time.time()
    active.stop()
    _damage_cookie(story, active, room)
    booked = event("down@demo", "Booked while down", story.begin_s + 49, 8)
    story.parts.calendars.put(room, "while-down.ics", booked)
    for server in servers.both:
        server.start()
    servers.wait_active()
    story.outages.append((at_s, time.time()))
    servers.wait_in_sync()
    found = wait_for("the booking made meanwhile", lambda: "Booked while down" in _subjects(story), 15)
    story.expect("a change made while the servers were down is found", found)
    for meeting in story.look().values():
        if meeting["subject"] == "Booked while down":
            story.must_run.add(meeting["id"])


def _damage_cookie(story: Story, server: Server, room: str) -> None:
    """Flip what is inside a kept cookie's envelope, as a torn file would: a last frame of the reign that has ended."""
    database = Database.open(RealDisk(server.home.path))
    try:
        cookie = database.state.cookies.get(RoomId(room), "")
        story.expect("there is a cookie to damage", cookie)
        plan = Plan(time.time(), (CookieKept(RoomId(room), cookie[:-3] + "???"),))
        epoch = database.position.epoch
        torn = frame.encode(database.position, epoch, record.encode(plan, database.kept.seq))
        database.follow(torn.line, database.promised)
        database.flush_now()
        story.cookies_damaged += 1
    finally:
        database.close()


def under_load(story: Story) -> None:
    """Kills, a freeze and switchovers while somebody books all the time."""
    load = Load(story.servers, first=0)
    load.start()
    try:
        for _ in range(KILLS):
            _kill(story, load)
        _freeze(story, load)
        for _ in range(SWITCHOVERS):
            _switch_over(story, load)
    finally:
        load.stop()
        story.acknowledged.update(load.acknowledged)
        story.requests_sent += load.sent
        story.requests_lost += load.sent - len(load.acknowledged)


def _whole(story: Story, load: Load) -> Server:
    """The active server of a pair in sync that takes bookings."""
    active = story.servers.wait_in_sync()
    now = time.monotonic()
    wait_until("bookings to be acknowledged", lambda: load.goes_on(now), GOES_ON_S_MAX)
    return active


def _measure(story: Story, load: Load, done: Handover) -> None:
    wait_until("bookings to go on", lambda: load.goes_on(done.end), GOES_ON_S_MAX)
    waited_s = load.longest_wait(done.begin, time.monotonic())
    story.unavailable_s[done.kind].append(waited_s)
    story.say(f"somebody who books waited {waited_s * 1_000:.0f} ms")


def _kill(story: Story, load: Load) -> None:
    active = _whole(story, load)
    story.say(f"SIGKILL of {active.name}, the active, under load: {len(load.acknowledged)} bookings so far")
    story.kills += 1
    done = story.hand_over("killed", active, lambda one: one.signal_node(signal.SIGKILL))
    _measure(story, load, done)
    story.wait_back(done.begin)


def _freeze(story: Story, load: Load) -> None:
    """SIGSTOP past the lease. Whoever wakes in another's reign may acknowledge nothing and call nobody."""
    active = _whole(story, load)
    due_s = math.ceil(time.time()) + AHEAD_S
    due = story.acknowledge(story.booker.book("oslo", "Due while the active is frozen", due_s, 12))
    story.must_run.add(due)
    time.sleep(max(0.0, due_s - 0.5 - time.time()))
    story.say(f"SIGSTOP of {active.name}, the active, past its lease")
    story.freezes += 1
    pid = active.node_pid() or 0
    try:
        done = story.hand_over("frozen", active, lambda _: send_signal(pid, signal.SIGSTOP))
        caught = Caught(active, CAUGHT)
        _measure(story, load, done)
        time.sleep(max(0.0, done.begin + FROZEN_S - time.monotonic()))
    finally:
        story.say(f"SIGCONT: {active.name} wakes in another reign")
        send_signal(pid, signal.SIGCONT)
    story.expect(
        "a server that wakes in another's reign ends",
        wait_for("its end", lambda: not is_running(pid), ENDS_S_MAX),
    )
    caught.wait()
    told = [status for status in caught.statuses if 200 <= status < 300]
    story.expect("a server that wakes in another's reign acknowledges nothing", not told)
    story.wait_back(done.begin)


def _switch_over(story: Story, load: Load) -> None:
    active = _whole(story, load)
    # The plan first: it waits until the other server has measured itself, which is no part of the switchover.
    plan = active.ask("POST", "/api/v1/cluster/switchover", {"dry_run": True})
    story.expect(f"a switchover is planned ({plan.status})", plan.status == 200)
    story.say(f"switchover from {active.name}")
    story.stops += 1

    def ask(one: Server) -> None:
        answer = one.ask("POST", "/api/v1/cluster/switchover", {"reason": "the demonstration"})
        story.expect(f"a switchover begins ({answer.status})", answer.status == 200)

    done = story.hand_over("switched", active, ask)
    _measure(story, load, done)


def kill_while_due(story: Story) -> None:
    """Dead at the very moment a meeting is due: it starts as soon as the other server acts."""
    active = story.servers.wait_in_sync()
    due_s = math.ceil(time.time()) + AHEAD_S
    story.late = story.acknowledge(story.booker.book("oslo", "Due while nobody acts", due_s, 12))
    story.must_run.add(story.late)
    time.sleep(max(0.0, due_s - 0.1 - time.time()))
    story.say(f"SIGKILL of {active.name} just before a meeting is due")
    story.kills += 1
    done = story.hand_over("killed", active, lambda one: one.signal_node(signal.SIGKILL))

    def running() -> bool:
        return story.booker.ask("GET", f"/meetings/{story.late}").body.get("state") in ("live", "ending")

    story.expect("a meeting due while nobody acted runs at once", wait_for("it", running, 8))
    story.wait_back(done.begin)
    story.look()


def kill_while_syncing(story: Story) -> None:
    """SIGKILL while a room's calendar is being read: the other server reads on, and every meeting is there once."""
    active = story.servers.wait_in_sync()
    story.say(f"{INVITED} invitations to one room; SIGKILL of {active.name} while it reads them")
    invited = threading.Thread(target=_invite, args=(story,), name="invitations")
    invited.start()
    wait_until("the first of them", lambda: _bulk(story) > 0, GOES_ON_S_MAX)
    story.kills += 1
    story.read_at_kill = _bulk(story)
    done = story.hand_over("killed", active, lambda one: one.signal_node(signal.SIGKILL))
    story.wait_back(done.begin)
    invited.join()
    story.expect(
        "every invitation is a meeting, once", wait_for("all", lambda: _bulk(story) == INVITED, GOES_ON_S_MAX)
    )
    story.look()


def _invite(story: Story) -> None:
    for number in range(INVITED):
        at_s = story.begin_s + 40 * 86_400 + number * 3_600
        booked = event(f"bulk{number}@demo", f"Bulk {number}", at_s, 1_800)
        story.parts.calendars.put("oslo", f"bulk{number}.ics", booked)
        time.sleep(INVITED_EVERY_S)


def _bulk(story: Story) -> int:
    return sum(
        1 for one in story.booker.meetings().values() if one["subject"].startswith("Bulk ") and one.get("vmr")
    )


def _subjects(story: Story) -> set[str]:
    return {one["subject"] for one in story.booker.meetings().values()}
