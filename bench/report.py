"""What a run says to people (`docs/benchmarks.md`) and to programs (JSON)."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct, json

from bench.figures import Figures
from bench.plan import COMMIT, FIRST_CLIENTS, HTTP, READS, REPLICATED, RESTART, Plan
from bench.results import QUESTIONS, Results, ratios

NONE: Final = "–"
INTRODUCTION: Final = """\
# Benchmarks

Made by `make bench` on one machine in one run; the figures are worth comparing within this page only. Every contender
is measured in turn for a moment, round after round, and the tables hold the medians of the rounds; between two cells
everything written so far is flushed. Load makers and servers share the machine. Neighbours are set up the way their
friends would set them up; below each table stands what each row really does. Durable means: on disk (fdatasync, fsync)
before the answer.
"""
RATIOS_TEXT: Final = """\
Above 1 meetkeeper is ahead. The plain stores keep bytes under a key and check nothing; meetkeeper's booking is checked
against the room's other meetings, gets its virtual room, and goes into all indexes before it is on disk. The raw append
is what this disk allows and nobody can beat.
"""
START_TEXT: Final = """\
All meetings start in the same second, the bridge takes 50 ms for each answer; the lag runs from the start by the wall
clock until the bridge has answered that the room is open. The floor is the same calls, as many at once, with nothing
decided and nothing kept.
"""
FAILOVER_TEXT: Final = """\
From the blow until the first write that the other server acknowledges, everything at its defaults: a killed process, a
host whose network is cut, and the longest wait of any booking during a planned switchover under load. Patroni and Redis
Sentinel lose their whole leader, as with a lost host: the ratios compare with ours of that kind.
"""
RESYNC_TEXT: Final = """\
A full pass over all rooms of a Radicale without any sync cookie. The bare client asks for everything and throws it
away.
"""


class Context(Struct, frozen=True):
    """What surrounds the figures."""

    machine: Mapping[str, str]
    plan: Plan
    took_s: float


def to_json(results: Results, context: Context) -> bytes:
    """Ratios, figures and the machine."""
    figures: dict[str, object] = {}
    for cell, rounds in results.rounds.items():
        medians = results.cell(cell.section, cell.contender, cell.clients)
        assert medians is not None
        figures[f"{cell.section}/{cell.contender}/{cell.clients}"] = {
            "per_second": round(medians.per_second, 1),
            "p50_ms": round(medians.p50_ms, 4),
            "p99_ms": round(medians.p99_ms, 4),
            "rounds_per_second": [round(one.per_second, 1) for one in rounds],
        }
    for contender in results.loads:
        loaded = results.loaded(contender)
        assert loaded is not None
        figures[f"restart/{contender}"] = {
            "seconds": round(loaded.seconds, 3),
            "bytes_per_meeting": round(loaded.resident_bytes / loaded.meetings),
            "meetings": loaded.meetings,
        }
    figures |= {name: round(value, 3) for name, value in results.singles.items()}
    whole = {
        "ratios": {name: None if one is None else round(one, 3) for name, one in ratios(results).items()},
        "figures": figures,
        "machine": dict(context.machine),
        "missing": {f"{section}/{key}": why for (section, key), why in results.missing.items()},
        "left_out": results.left_out,
        "quick": context.plan.quick,
        "took_s": round(context.took_s, 1),
    }
    return json.format(json.encode(whole), indent=2) + b"\n"


def to_markdown(results: Results, context: Context) -> str:
    """The page."""
    parts = [
        INTRODUCTION,
        _machine(context),
        "## Ratios\n",
        RATIOS_TEXT,
        _table(["ratio", "times"], [[f"`{name}`", _times(one)] for name, one in ratios(results).items()]),
        "## Durable upserts of one meeting of 1,490 bytes\n",
        _load_table(results, "commit", COMMIT, context.plan.clients),
        _legend(results, "commit", COMMIT),
        "## The same on two servers' disks before the answer\n",
        _load_table(results, "replicated", REPLICATED, (1, FIRST_CLIENTS)),
        _legend(results, "replicated", REPLICATED),
        f"## The same over HTTP, {FIRST_CLIENTS} connections\n",
        "Load maker of every row: wrk with ready-made requests, every body another meeting.\n",
        _load_table(results, "http", HTTP, (FIRST_CLIENTS,)),
        _legend(results, "http", HTTP),
        "## Questions: 1,000 rooms, 200 meetings each, one asking\n",
        _reads_table(results),
        _legend(results, "reads", READS),
        "## Failover\n",
        FAILOVER_TEXT,
        _singles(results, "failover_"),
        f"## Cold start and memory, {context.plan.restart_meetings:,} meetings\n",
        _restart_table(results),
        _legend(results, "restart", RESTART),
        "## A thousand starts in one second\n",
        START_TEXT,
        _singles(results, "start_lag_"),
        "## Full resync\n",
        RESYNC_TEXT,
        _singles(results, "resync_"),
        _absent(results),
    ]
    return "\n".join(part for part in parts if part).rstrip() + "\n"


def write(text: str, path: Path) -> None:
    """Put a page where it belongs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _machine(context: Context) -> str:
    rows = [[name, value] for name, value in context.machine.items()]
    plan = context.plan
    rounds = (
        f"{plan.rounds} ({plan.rounds_first} at {FIRST_CLIENTS} clients, {plan.restart_rounds} cold starts)"
    )
    rows += [["rounds", rounds], ["the whole run took", f"{context.took_s / 60:.1f} min"]]
    return _table(["machine", ""], rows)


def _load_table(results: Results, section: str, keys: Iterable[str], clients: Sequence[int]) -> str:
    heads = [*(f"{count}" for count in clients), f"p50 ms at {FIRST_CLIENTS}", f"p99 ms at {FIRST_CLIENTS}"]
    rows = []
    for key in keys:
        first = results.cell(section, key, FIRST_CLIENTS)
        rates = [_rate(results.cell(section, key, count)) for count in clients]
        rows.append([_name(results, section, key), *rates, *_latencies(first)])
    return _table(["per second, clients:", *heads], rows)


def _reads_table(results: Results) -> str:
    rows = []
    for key in READS:
        rates = [_rate(results.cell(question, key)) for question in QUESTIONS]
        rows.append([_name(results, "reads", key), *rates])
    return _table(["per second", *(question.replace("_", " ") for question in QUESTIONS)], rows)


def _restart_table(results: Results) -> str:
    rows = []
    for key in RESTART:
        loaded = results.loaded(key)
        told = [NONE, NONE]
        if loaded is not None:
            told = [f"{loaded.seconds:.2f}", f"{loaded.resident_bytes / loaded.meetings:,.0f}"]
        rows.append([_name(results, "restart", key), *told])
    return _table(["", "seconds", "resident bytes a meeting"], rows)


def _singles(results: Results, prefix: str) -> str:
    rows = [
        [name.removeprefix(prefix).replace("_", " "), f"{value:,.2f}"]
        for name, value in results.singles.items()
        if name.startswith(prefix)
    ]
    return _table(["", ""], rows) if rows else "Not measured in this run.\n"


def _legend(results: Results, section: str, keys: Iterable[str]) -> str:
    told = [results.contestants[section, key] for key in keys if (section, key) in results.contestants]
    return "\n".join(f"- **{one.name}**: {one.does}." for one in told) + "\n"


def _absent(results: Results) -> str:
    lines = [
        f"- {section}, {_name(results, section, key)}: {why}"
        for (section, key), why in results.missing.items()
    ]
    if results.left_out:
        lines.append(f"- cut by the time limit: {', '.join(sorted(set(results.left_out)))}")
    return "## Not measured\n\n" + "\n".join(lines) + "\n" if lines else ""


def _name(results: Results, section: str, key: str) -> str:
    told = results.contestants.get((section, key))
    return key if told is None else told.name


def _rate(cell: Figures | None) -> str:
    return NONE if cell is None else f"{cell.per_second:,.0f}"


def _latencies(cell: Figures | None) -> list[str]:
    return [NONE, NONE] if cell is None else [f"{cell.p50_ms:.2f}", f"{cell.p99_ms:.1f}"]


def _times(ratio: float | None) -> str:
    return NONE if ratio is None else f"{ratio:.2f}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(heads)} |", f"| --- |{' ---: |' * (len(heads) - 1)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"
