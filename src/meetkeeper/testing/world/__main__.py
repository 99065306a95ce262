"""`python -m meetkeeper.testing.world --seeds N [--seed S] [--minutes M]`: live worlds, print what broke."""

import argparse
import sys
import time

from meetkeeper.testing.world.run import run_seed

MINUTES = 10.0


def main(arguments: list[str] | None = None) -> int:
    """Live the worlds; 1 when a promise broke in one of them."""
    parser = argparse.ArgumentParser(prog="python -m meetkeeper.testing.world", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1, help="how many worlds")
    parser.add_argument("--seed", type=int, default=1, help="the first one's seed")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="simulated minutes of weather")
    parser.add_argument(
        "--trace", action="store_true", help="print each world's trace: the same seed, the same trace"
    )
    asked = parser.parse_args(arguments)
    began_s = time.monotonic()
    broken, events, decisions, crashes = [], 0, 0, 0
    for seed in range(asked.seed, asked.seed + asked.seeds):
        report = run_seed(seed, asked.minutes)
        events += report.events
        decisions += report.decisions
        crashes += report.crashes
        if asked.trace:
            print(seed, report.events, report.trace)
        if report.broken:
            broken.append(seed)
            print(report.broken, "\n")
    took_s = time.monotonic() - began_s
    print(
        f"{asked.seeds} worlds, {events:,} events, {decisions:,} decisions, {crashes:,} crashes in {took_s:.1f} s: "
        + (f"{len(broken)} BROKEN, seeds {broken}" if broken else "every promise held")
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
