"""Scale, measured by itself: `python -m bench.town loss|steady [--rooms N] …` prints figures; nobody is compared.

`loss`: the first index of many rooms, then the loss of every sync cookie at once: how fast everything is read again,
when the nearest 24 hours were done, and that nothing follows from it. `steady`: many rooms polled every minute while
people change meetings: the share of one core, and how long a change takes until its virtual room and mail are queued.

The calendars are in memory (`--kind memory`) or room mailboxes of a fake Exchange over HTTP (`--kind exchange`), which
is a process of its own: its CPU time is told apart, and `taskset -c 0` in front holds both to one core. `…_per_core_s`
is what one core does that nobody else uses: items by the CPU time of both sides together.
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
from collections.abc import Sequence
from pathlib import Path
from random import Random

import structlog

from bench.venue import People, open_town
from meetkeeper.engine.loop import Engine
from meetkeeper.testing.town import Town, meeting_item

LIMIT_S = 3_600.0


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
    parser.add_argument("--told", action="store_true", help="the fake Exchange tells of changes on streams")
    parser.add_argument("--poll", type=float, default=60.0, help="steady: seconds between polls of a room")
    parser.add_argument("--settle", type=float, default=8.0, help="steady: seconds until a change counts")
    parser.add_argument("--minutes", type=float, default=3.0, help="steady: how long it is watched")
    parser.add_argument(
        "--a-day", type=int, default=10_000, help="steady: meetings changed or made in 24 hours"
    )
    return parser.parse_args(arguments)


# --- every cookie lost ----------------------------------------------------------------------------------------


async def _loss(asked: argparse.Namespace, folder: Path) -> dict[str, object]:
    async with open_town(asked, folder, 86_400.0, 0.0) as (town, people):
        items = asked.rooms * asked.meetings
        pace = Pace("first_index", town, people)
        async with town.living() as engine:
            await town.until_read(1, LIMIT_S)
            figures: dict[str, object] = {"rooms": asked.rooms, "items": items, "kind": asked.kind}
            figures |= pace.figures()
            doors, mails, seq = town.doors(), len(town.mailer.taken), engine.applied_seq
            town.done_s.clear()
            pace = Pace("after_loss", town, people)
            effects = await _watched(town, engine)
            figures |= pace.figures()
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


class Pace:
    """How fast everything was read since it was made."""

    def __init__(self, name: str, town: Town, people: People) -> None:
        self._name, self._town, self._people = name, town, people
        self._theirs_s, self._cpu_s = people.cpu_s(), time.process_time()
        self._begin_s = time.perf_counter()

    def figures(self) -> dict[str, object]:
        """Until the last item was done, and until the last of the next 24 hours was."""
        name, begin_s, done_s = self._name, self._begin_s, self._town.done_s
        took_s, cpu_s = time.perf_counter() - begin_s, time.process_time() - self._cpu_s
        theirs_s = self._people.cpu_s() - self._theirs_s
        read_s = max(done_s.values()) - begin_s
        near_s = max((done_s[uid] for uid in self._town.near()), default=begin_s) - begin_s
        return {
            f"{name}_s": round(took_s, 2),
            f"{name}_read_s": round(read_s, 2),
            f"{name}_items_per_s": round(len(done_s) / read_s),
            f"{name}_items_per_core_s": round(len(done_s) / (cpu_s + theirs_s)),
            f"{name}_next_24_h_s": round(near_s, 2),
            f"{name}_next_24_h_share": round(near_s / read_s, 3),
            f"{name}_cpu_s": round(cpu_s, 2),
            f"{name}_cpu_of_the_fake_s": round(theirs_s, 2),
        }


# --- steady state ---------------------------------------------------------------------------------------------


async def _steady(asked: argparse.Namespace, folder: Path) -> dict[str, object]:
    async with (
        open_town(asked, folder, asked.poll, asked.settle) as (town, people),
        town.living() as engine,
    ):
        await town.until_read(1, LIMIT_S)
        lags_s: list[float] = []
        changed_s: dict[str, float] = {}
        saving = asyncio.create_task(_save(town, people, changed_s, 86_400 / asked.a_day))
        listening = asyncio.create_task(_listen(engine, changed_s, lags_s))
        await asyncio.sleep(asked.poll)
        begin_s, cpu_s, passes = time.perf_counter(), time.process_time(), _passes(engine)
        await asyncio.sleep(asked.minutes * 60)
        took_s, used_s = time.perf_counter() - begin_s, time.process_time() - cpu_s
        polls = _passes(engine) - passes
        saving.cancel()
        waited = time.perf_counter() + asked.poll + asked.settle + 10
        while changed_s and time.perf_counter() < waited:  # noqa: ASYNC110 - a level is looked at
            await asyncio.sleep(0.2)
        listening.cancel()
        await asyncio.gather(saving, listening, return_exceptions=True)
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


async def _save(town: Town, people: People, changed_s: dict[str, float], every_s: float) -> None:
    """Somebody makes a meeting every so often, in any room, some days ahead."""
    dice = Random(2)
    number = 0
    while True:
        await asyncio.sleep(dice.expovariate(1.0 / every_s))
        number += 1
        uid = f"made-{number}@town.example"
        start_s = int(time.time()) // 60 * 60 + dice.randrange(1, 14) * 86_400
        changed_s[uid] = time.perf_counter()
        people.put([(dice.randrange(len(town.calendars)), meeting_item(uid, start_s))])


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


if __name__ == "__main__":
    sys.exit(main())
