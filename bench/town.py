"""Scale, measured by itself: `python -m bench.town loss|steady [--rooms N] …` prints figures; nobody is compared.

`loss`: the first index of many rooms, then the loss of every sync cookie at once: how fast everything is read again,
when the nearest 24 hours were done, and that nothing follows from it. `steady`: many rooms polled every minute while
people change meetings: the share of one core, and how long a change takes until its virtual room and mail are queued.

The calendars are in memory (`--kind memory`) or room mailboxes of the fake Exchange and the fake Graph over HTTP, which
then take their share of the same cores.
"""

import argparse
import asyncio
import json
import logging
import math
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import structlog

from meetkeeper.core.configuration import ExchangeCalendar, ExchangeServer
from meetkeeper.core.words import CalendarItem
from meetkeeper.engine.loop import Engine
from meetkeeper.host.disk import RealDisk
from meetkeeper.testing.town import Town, meeting_item, room_name

LIMIT_S = 3_600.0
Put = Callable[[int, CalendarItem], None]
"""Somebody saves an item in the calendar of a room, by number."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures as JSON. Returns 1 when a promise was not kept."""
    asked = _arguments(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    folder = Path(tempfile.mkdtemp(prefix="meetkeeper-town-"))
    try:
        figures = asyncio.run(_loss(asked, folder) if asked.what == "loss" else _steady(asked, folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    figures["rss_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(figures, indent=2))
    return int(bool(figures.get("uris_changed") or figures.get("mails_again") or figures.get("outbox_rows")))


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.town", description="Measure meetkeeper at scale.")
    parser.add_argument("what", choices=("loss", "steady"))
    parser.add_argument("--rooms", type=int, default=1_000)
    parser.add_argument("--meetings", type=int, default=50, help="in each room, over 30 days")
    parser.add_argument("--kind", choices=("memory", "exchange"), default="memory")
    parser.add_argument("--poll", type=float, default=60.0, help="steady: seconds between polls of a room")
    parser.add_argument("--settle", type=float, default=8.0, help="steady: seconds until a change counts")
    parser.add_argument("--minutes", type=float, default=3.0, help="steady: how long it is watched")
    parser.add_argument(
        "--a-day", type=int, default=10_000, help="steady: meetings changed or made in 24 hours"
    )
    return parser.parse_args(arguments)


# --- every cookie lost ----------------------------------------------------------------------------------------


async def _loss(asked: argparse.Namespace, folder: Path) -> dict[str, object]:
    async with _town(asked, folder, 86_400.0, 0.0) as (town, _):
        items = asked.rooms * asked.meetings
        begin_s, cpu_s = time.perf_counter(), time.process_time()
        async with town.living() as engine:
            await town.until_read(1, LIMIT_S)
            figures: dict[str, object] = {"rooms": asked.rooms, "items": items, "kind": asked.kind}
            figures |= _pace("first_index", town, begin_s, cpu_s)
            doors, mails, seq = town.doors(), len(town.mailer.taken), engine.applied_seq
            town.done_s.clear()
            begin_s, cpu_s = time.perf_counter(), time.process_time()
            effects = await _watched(town, engine)
            figures |= _pace("after_loss", town, begin_s, cpu_s)
            after = town.doors()
            figures["uris_changed"] = sum(after.get(uid) != door for uid, door in doors.items())
            figures["mails_again"] = len(town.mailer.taken) - mails
            figures["outbox_rows"] = effects
            figures["frames"] = engine.applied_seq - seq
            return figures


async def _watched(town: Town, engine: Engine) -> int:
    """Lose every cookie; answers with the effects that were put into the outbox until all was read again."""
    rows = 0

    async with engine.subscribe() as frames:

        async def count() -> None:
            nonlocal rows
            async for frame in frames:
                rows += len(frame.plan.effects)

        counting = asyncio.create_task(count())
        town.lose_cookies()
        await town.until_read(2, LIMIT_S)
        await engine.read(lambda _: None)
        counting.cancel()
        await asyncio.gather(counting, return_exceptions=True)
    return rows


def _pace(name: str, town: Town, begin_s: float, cpu_s: float) -> dict[str, object]:
    read_s = max(town.done_s.values()) - begin_s
    near_s = max((town.done_s[uid] for uid in town.near()), default=begin_s) - begin_s
    return {
        f"{name}_s": round(time.perf_counter() - begin_s, 2),
        f"{name}_read_s": round(read_s, 2),
        f"{name}_items_per_s": round(len(town.done_s) / read_s),
        f"{name}_next_24_h_s": round(near_s, 2),
        f"{name}_next_24_h_share": round(near_s / read_s, 3),
        f"{name}_cpu_s": round(time.process_time() - cpu_s, 2),
    }


# --- steady state ---------------------------------------------------------------------------------------------


async def _steady(asked: argparse.Namespace, folder: Path) -> dict[str, object]:
    async with (
        _town(asked, folder, asked.poll, asked.settle) as (town, put),
        town.living() as engine,
    ):
        await town.until_read(1, LIMIT_S)
        lags_s: list[float] = []
        changed_s: dict[str, float] = {}
        people = asyncio.create_task(_people(town, put, changed_s, 86_400 / asked.a_day))
        listening = asyncio.create_task(_listen(engine, changed_s, lags_s))
        await asyncio.sleep(asked.poll)
        begin_s, cpu_s, passes = time.perf_counter(), time.process_time(), _passes(engine)
        await asyncio.sleep(asked.minutes * 60)
        took_s, used_s = time.perf_counter() - begin_s, time.process_time() - cpu_s
        polls = _passes(engine) - passes
        people.cancel()
        waited = time.perf_counter() + asked.poll + asked.settle + 10
        while changed_s and time.perf_counter() < waited:  # noqa: ASYNC110 - a level is looked at
            await asyncio.sleep(0.2)
        listening.cancel()
        await asyncio.gather(people, listening, return_exceptions=True)
        lags_s.sort()
        return {
            "rooms": asked.rooms,
            "meetings": asked.rooms * asked.meetings,
            "kind": asked.kind,
            "poll_s": asked.poll,
            "settle_s": asked.settle,
            "watched_s": round(took_s, 1),
            "polls_per_s": round(polls / took_s, 1),
            "core_share": round(used_s / took_s, 3),
            "changes": len(lags_s),
            "changes_lost": len(changed_s),
            "lag_p50_s": round(_percentile(lags_s, 0.5), 2),
            "lag_p99_s": round(_percentile(lags_s, 0.99), 2),
            "lag_most_s": round(lags_s[-1], 2) if lags_s else None,
            "lag_bound_s": asked.poll + asked.settle + 5,
            "cores": os.cpu_count(),
        }


async def _people(town: Town, put: Put, changed_s: dict[str, float], every_s: float) -> None:
    """Somebody makes a meeting every so often, in any room, some days ahead."""
    dice = Random(2)
    number = 0
    while True:
        await asyncio.sleep(dice.expovariate(1.0 / every_s))
        number += 1
        uid = f"made-{number}@town.example"
        start_s = int(time.time()) // 60 * 60 + dice.randrange(1, 14) * 86_400
        changed_s[uid] = time.perf_counter()
        put(dice.randrange(len(town.calendars)), meeting_item(uid, start_s))


async def _listen(engine: Engine, changed_s: dict[str, float], lags_s: list[float]) -> None:
    """A change has arrived when the mail about it is queued: its virtual room stands by then."""
    async with engine.subscribe() as frames:
        async for frame in frames:
            for effect in frame.plan.effects:
                if type(effect).__name__ != "SendMail":
                    continue
                meeting = engine.state.meeting(effect.meeting) if effect.meeting else None  # type: ignore[union-attr]
                made_s = None if meeting is None else changed_s.pop(str(meeting.uid), None)
                if made_s is not None:
                    lags_s.append(time.perf_counter() - made_s)


def _passes(engine: Engine) -> int:
    return sum(room.passes for room in engine.status().rooms)


def _percentile(sorted_s: list[float], share: float) -> float:
    return sorted_s[min(len(sorted_s) - 1, math.ceil(share * len(sorted_s)) - 1)] if sorted_s else math.nan


# --- where the calendars are ----------------------------------------------------------------------------------


@asynccontextmanager
async def _town(
    asked: argparse.Namespace, folder: Path, poll_s: float, settle_s: float
) -> AsyncIterator[tuple[Town, Put]]:
    if asked.kind == "memory":
        town = Town(RealDisk(folder), asked.rooms, asked.meetings, poll_s=poll_s, settle_s=settle_s)
        yield town, lambda room, item: town.calendars[room].show(item)
        return
    from meetkeeper.calendars.exchange.client import ExchangeSource
    from meetkeeper.calendars.exchange.server import EwsServer, Secrets
    from meetkeeper.testing.fakes.exchange.server import FakeExchange

    fake = FakeExchange()
    fake.logins["svc"], fake.impersonators = "a password", {"svc"}
    await fake.start()
    server = EwsServer(
        ExchangeServer(id="mail", url=fake.url, auth="basic", username="svc"), Secrets("a password", "")
    )

    def source(number: int) -> ExchangeSource:
        mailbox = f"{room_name(number)}@town.example"
        return ExchangeSource(ExchangeCalendar(server="mail", mailbox=mailbox), mailbox, server=server)

    town = Town(
        RealDisk(folder), asked.rooms, asked.meetings, poll_s=poll_s, settle_s=settle_s, sources=source
    )

    def put(room: int, item: CalendarItem) -> None:
        assert item.master is not None
        fake.site.open(f"{room_name(room)}@town.example").put(item.uid, item.master)

    for uid, start_s in town.starts.items():
        put(int(uid.partition("-")[0]), meeting_item(uid, start_s))
    try:
        yield town, put
    finally:
        await fake.stop()


if __name__ == "__main__":
    sys.exit(main())
