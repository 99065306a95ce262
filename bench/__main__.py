"""`python -m bench [--json FILE] [--quick] [--only SECTION,...]`: measure, tell, clean up."""

import argparse
import contextlib
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

from bench import install, machine, plan, report
from bench.processes import stop_all
from bench.results import Results, ratios
from bench.run import Run

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = REPOSITORY / "docs" / "benchmarks.md"


def main() -> int:
    """Returns 0 when the run came to its end, whatever it found."""
    asked = _arguments()
    chosen = plan.QUICK if asked.quick else plan.FULL
    signal.signal(signal.SIGTERM, _end)
    if not asked.no_install:
        install.main()
    folder = machine.folder_beside(REPOSITORY)
    begin_s = time.monotonic()
    try:
        facts, busy = machine.facts(folder), machine.Busy()
        before_ms, _ = machine.flush_ms(folder)
        results = Run(chosen, folder).measure(asked.only)
        after_ms, _ = machine.flush_ms(folder)
    finally:
        stop_all()
        shutil.rmtree(folder, ignore_errors=True)
    facts["fdatasync of 2 KB, median before and after"] = f"{before_ms:.2f} and {after_ms:.2f} ms"
    facts["processor time taken by the host"] = f"{busy.stolen_percent():.1f} %"
    facts["load before the run"] = f"{busy.load_before:.2f}"
    facts["cold starts"] = (
        "page cache emptied" if machine.is_cold_possible() else "page cache warm (not root)"
    )
    context = report.Context(facts, chosen, time.monotonic() - begin_s)
    page = asked.page or (PAGE if not asked.quick and set(asked.only) == set(plan.SECTIONS) else None)
    if page is not None:
        report.write(report.to_markdown(results, context), page)
    if asked.json is not None:
        report.write(report.to_json(results, context).decode(), asked.json)
    _tell(results)
    return 0


def _tell(results: Results) -> None:
    for name, ratio in ratios(results).items():
        print(f"{name:36} {'–' if ratio is None else f'{ratio:.2f}'}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure meetkeeper beside its neighbours."
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="keep ratios, figures and machine facts here"
    )
    parser.add_argument(
        "--page", type=Path, metavar="FILE", help="write the page here (full run: docs/benchmarks.md)"
    )
    parser.add_argument(
        "--no-install", action="store_true", help="leave missing programs missing and their rows empty"
    )
    parser.add_argument("--quick", action="store_true", help="a minute or two: proves, measures nothing")
    parser.add_argument(
        "--only",
        type=_sections,
        default=plan.SECTIONS,
        metavar="NAME,...",
        help=f"of {', '.join(plan.SECTIONS)}",
    )
    return parser.parse_args()


def _sections(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    unknown = [name for name in names if name not in plan.SECTIONS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no such section: {', '.join(unknown)}")
    return names


def _end(signum: int, _: object) -> NoReturn:
    raise SystemExit(128 + signum)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
