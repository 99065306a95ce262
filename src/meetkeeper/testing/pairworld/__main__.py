"""`python -m meetkeeper.testing.pairworld --seeds N [--seed S] [--minutes M] [--jobs J]`: live, print what broke.

`--minutes` goes on with new seeds until the time is over or something is found; else `--seeds` says how many.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from meetkeeper.testing.pairworld.run import SECONDS, Report, run_seed

JOBS = 2
AT_ONCE = 16
"""So many worlds are given to the processes at a time."""


def main(arguments: list[str] | None = None) -> int:
    """Live the worlds; 1 when a promise broke in one of them."""
    parser = argparse.ArgumentParser(prog="python -m meetkeeper.testing.pairworld", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1, help="how many worlds")
    parser.add_argument("--seed", type=int, help="the first one's seed (1; with --minutes: never the same)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="simulated seconds of weather")
    parser.add_argument("--minutes", type=float, default=0.0, help="go on for so long, or until one is found")
    parser.add_argument("--jobs", type=int, default=JOBS, help="processes")
    parser.add_argument(
        "--trace", action="store_true", help="print each world's trace: the same seed, the same trace"
    )
    asked = parser.parse_args(arguments)
    began_s = time.monotonic()
    broken: list[int] = []
    worlds = events = acks = reigns = 0
    for report in _reports(asked, began_s, broken):
        worlds, events = worlds + 1, events + report.events
        acks, reigns = acks + report.acks, reigns + report.reigns
        if asked.trace:
            print(report.seed, report.events, report.trace)
        if report.broken:
            broken.append(report.seed)
            print(report.broken, "\n")
    took_s = time.monotonic() - began_s
    print(
        f"{worlds:,} pairs, {events:,} events, {acks:,} answers, {reigns:,} reigns in {took_s:.1f} s: "
        + (f"{len(broken)} BROKEN, seeds {broken}" if broken else "every promise held")
    )
    return 1 if broken else 0


def _reports(asked: argparse.Namespace, began_s: float, broken: list[int]) -> Iterator[Report]:
    """In the order of their seeds, whichever process has them."""
    first: int = asked.seed or (1 if not asked.minutes else int(time.time()))
    if asked.jobs <= 1 and not asked.minutes:
        for seed in range(first, first + asked.seeds):
            yield run_seed(seed, asked.seconds)
        return
    until_s = began_s + 60.0 * asked.minutes
    with ProcessPoolExecutor(asked.jobs) as pool:
        seed = first
        while time.monotonic() < until_s and not broken if asked.minutes else seed < first + asked.seeds:
            end = seed + AT_ONCE if asked.minutes else min(seed + AT_ONCE, first + asked.seeds)
            yield from pool.map(run_seed, range(seed, end), [asked.seconds] * (end - seed))
            seed = end


if __name__ == "__main__":
    sys.exit(main())
