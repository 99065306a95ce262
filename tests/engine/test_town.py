"""Many rooms at once: cookies lost everywhere, the first index, and a day of downtime."""

import time

import pytest

from meetkeeper.core.words import Step
from meetkeeper.testing.disk import CrashDisk
from meetkeeper.testing.town import DAY_S, Town, meeting_item, room_name
from tests.engine.desk import until

ROOMS, MEETINGS = 20, 10
LIMIT_S = 120.0


@pytest.mark.parametrize("envelope", ["", "mk2|damaged|1|x"])
async def test_every_cookie_lost_costs_a_full_pass_and_nothing_else(envelope: str) -> None:
    """No URI changes, no mail, no row in the outbox: not one frame but those of the new cookies."""
    town = Town(CrashDisk(), ROOMS, MEETINGS)
    async with town.living() as engine:
        await town.until_read(1, LIMIT_S)
        doors, mails, calls = town.doors(), len(town.mailer.taken), len(town.bridge.calls)
        assert len(doors) == ROOMS * MEETINGS
        assert mails == ROOMS * MEETINGS
        town.done_s.clear()
        await engine.read(lambda _: None)
        async with engine.subscribe() as frames:
            town.lose_cookies(envelope)
            await town.until_read(2, LIMIT_S)
            kept = []
            while not frames._frames.empty():
                kept.append(await anext(frames))
        assert town.doors() == doors
        assert len(town.mailer.taken) == mails
        assert sum(call.verb != "survey" for call in town.bridge.calls[calls:]) == 0
        assert not [frame for frame in kept if frame.plan.effects]
        assert {type(change).__name__ for frame in kept for change in frame.plan.changes} == {"CookieKept"}
        assert len(town.done_s) == ROOMS * MEETINGS


async def test_the_next_day_is_read_before_everything_else() -> None:
    """Of all rooms: not one later meeting is read before the last of the next day, in a first index and a resync."""
    town = Town(CrashDisk(), 60, MEETINGS)
    for calendar in town.calendars:
        calendar.page_items = 4
    async with town.living():
        await town.until_read(1, LIMIT_S)
        near = town.near()
        assert 5 < len(near) < 60
        for passes in (2, 3):
            order = sorted(town.done_s, key=lambda uid: town.done_s[uid])
            last_near = max(order.index(uid) for uid in near)
            soon_s = time.time() + DAY_S
            assert all(town.starts[uid] < soon_s for uid in order[: last_near + 1])
            town.done_s.clear()
            town.lose_cookies()
            await town.until_read(passes, LIMIT_S)


async def test_a_day_of_downtime_mails_nobody_about_the_past() -> None:
    """What began and ended meanwhile is never made, announced or opened; what lies ahead is, the soonest first."""
    town = Town(CrashDisk(), ROOMS, 0)
    now_s = int(time.time()) // 60 * 60
    for number, calendar in enumerate(town.calendars):
        for hour in range(1, 24):
            calendar.show(meeting_item(f"past-{number}-{hour}", now_s - hour * 3_600 - 1_800))
        for hour in (1, 9, 30):
            calendar.show(meeting_item(f"ahead-{number}-{hour}", now_s + hour * 3_600))
        calendar.show(meeting_item(f"now-{number}", now_s - 600))
    async with town.living() as engine:
        await town.until_read(1, LIMIT_S)
        await until(
            lambda: sum(row.step is Step.LIVE for row in engine.state.meetings.values()) == ROOMS, 60.0
        )
        told = [str(one.message["Subject"]) for one in town.mailer.taken]
        assert len(told) == ROOMS * 4
        assert not [subject for subject in told if "past-" in subject]
        uids = set(town.doors())
        assert not [uid for uid in uids if uid.startswith("past-")]
        assert len(uids) == ROOMS * 4
        assert all(call.alias in town.bridge.vmrs for call in town.bridge.calls if call.alias)


async def test_downtime_ends_what_was_known_without_a_word() -> None:
    """What was known and passed while nobody acted is ended unopened; nobody is told of changes in it."""
    disk = CrashDisk()
    town = Town(disk, 5, 0)
    now_s = int(time.time())
    town.calendars[0].show(meeting_item("short", now_s + 2, duration_s=1))
    async with town.living():
        await town.until_read(1, LIMIT_S)
    told = len(town.mailer.taken)
    assert told == 1
    await until(lambda: time.time() > now_s + 4)
    later = Town(disk, 5, 0)
    later.calendars[0].show(meeting_item("short", now_s + 2, duration_s=1, subject="Renamed in the past"))
    later.calendars[0].show(meeting_item("next", now_s + DAY_S))
    for calendar in later.calendars:
        calendar.forget_history()
    async with later.living() as engine:
        await later.until_read(1, LIMIT_S)
        steps = {str(engine.state.decode(row).uid): row.step for row in engine.state.meetings.values()}
        assert steps == {"short": Step.ENDED, "next": Step.PROVISIONED}
        assert len(later.mailer.taken) == 1
        assert room_name(0) in later.rooms
