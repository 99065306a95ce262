"""New rules take effect when they are deployed: every room is judged by them, whatever happens in the middle."""

import asyncio

from msgspec.structs import replace

from meetkeeper.core.changes import raw
from meetkeeper.core.commands import Deploy
from meetkeeper.core.configuration import Config, LinkRule, LinksConfig
from meetkeeper.core.judging import rules_to_judge_by
from meetkeeper.engine.loop import Engine
from meetkeeper.testing.disk import CrashDisk
from meetkeeper.testing.town import DAY_S, Town, meeting_item
from tests.engine.desk import until

ROOMS, LIMIT_S = 8, 60.0
LINK = "https://video.acme.example/room/42"
RULES = LinksConfig(
    rules=(LinkRule(name="acme", platform="acme", pattern=r"https://video\.acme\.example/room/\d+"),)
)


def populated(disk: CrashDisk) -> Town:
    """In each room a meeting tomorrow, one next week with a link that no rule knows, and one without."""
    town = Town(disk, ROOMS, 0)
    for number, calendar in enumerate(town.calendars):
        start_s = town.begin_s // 60 * 60 + DAY_S
        calendar.show(meeting_item(f"soon-{number}", start_s - 3_600, description=LINK))
        calendar.show(meeting_item(f"late-{number}", start_s + 7 * DAY_S, description=LINK))
        calendar.show(meeting_item(f"plain-{number}", start_s + 7 * DAY_S + 3_600))
    return town


def judged(engine: Engine) -> int:
    """How many rooms are done."""
    return sum(not rules_to_judge_by(engine.state, room) for room in engine.state.rooms)


async def deploy(engine: Engine, config: Config) -> None:
    """Put it in force; the engine meets its neighbours anew."""
    await engine.submit(Deploy(raw(config), "test"))


def told(town: Town) -> list[str]:
    """The subjects that were mailed, in their order."""
    return [str(one.message["Subject"]) for one in town.mailer.taken]


async def test_new_rules_reach_every_known_meeting_the_nearest_first() -> None:
    """Linked meetings leave their VMRs and are told of once, those of the next day first; others hear nothing."""
    town = populated(CrashDisk())
    async with town.living() as engine:
        await town.until_read(1, LIMIT_S)
        before, mails = town.doors(), len(town.mailer.taken)
        town.done_s.clear()
        await deploy(engine, replace(town.config, links=RULES))
        await until(lambda: judged(engine) == ROOMS and not engine.state.unsettled, LIMIT_S)
        await until(lambda: len(town.mailer.taken) == mails + 2 * ROOMS, LIMIT_S)
        after = town.doors()
        assert {uid for uid in before if before[uid] != after[uid]} == {
            f"{when}-{number}" for when in ("soon", "late") for number in range(ROOMS)
        }
        assert not [subject for subject in told(town)[mails:] if "plain" in subject]
        order = sorted(town.done_s, key=lambda uid: town.done_s[uid])
        assert all(uid.startswith("soon") for uid in order[:ROOMS])
        seq = engine.applied_seq
        for room in town.rooms:
            engine.poke(room)
        passes = {one.room: one.passes for one in engine.status().rooms}
        await until(lambda: all(one.passes > passes[one.room] for one in engine.status().rooms), LIMIT_S)
        assert all(one.full_passes == 2 for one in engine.status().rooms)
        assert engine.applied_seq == seq


async def test_another_server_goes_on_where_one_has_stopped() -> None:
    """Half of the rooms were judged: the next reign judges the others, nobody is mailed twice, no other URI changes."""
    disk = CrashDisk()
    town = populated(disk)
    async with town.living() as engine:
        await town.until_read(1, LIMIT_S)
        before, mails = town.doors(), len(town.mailer.taken)
        for calendar in town.calendars[ROOMS // 2 :]:
            calendar.hangs = True
        await deploy(engine, replace(town.config, links=RULES))
        await until(lambda: judged(engine) == ROOMS // 2 and not engine.state.unsettled, LIMIT_S)
        await until(lambda: len(town.mailer.taken) == mails + ROOMS, LIMIT_S)
    first = told(town)[mails:]
    for calendar in town.calendars:
        calendar.hangs = False
    later = Town(disk, ROOMS, 0, sources=lambda number: town.calendars[number].client())
    async with later.living() as engine:
        await until(lambda: judged(engine) == ROOMS and not engine.state.unsettled, LIMIT_S)
        await until(lambda: len(later.mailer.taken) == ROOMS, LIMIT_S)
        await asyncio.sleep(0)
        after = later.doors()
        assert all(after[uid] == door for uid, door in before.items() if uid.startswith("plain"))
        assert all((after[uid] is None) is not uid.startswith("plain") for uid in before)
        assert len(set(first)) == len(set(told(later))) == ROOMS
        assert not set(first) & set(told(later))
