"""What a contender is and what it yields: the small shapes every other module of the benchmarks speaks in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Unavailable(Exception):
    """A contender that cannot be had on this machine; the text says why and what to install."""


class Failed(Exception):
    """A contender that was there but did not do its work; a figure would be a lie."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One measured cell."""

    per_second: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Loaded:
    """One cold start: from the start of the process until it answers, and what it then holds resident."""

    seconds: float
    resident_bytes: int
    meetings: int


class Contender(Protocol):
    """Anything that can be put under load by a number of clients for a time."""

    @property
    def name(self) -> str: ...

    @property
    def does(self) -> str:
        """What the row really does, in a sentence for the report."""
        ...

    def start(self, folder: Path) -> None: ...

    def run(self, clients: int, seconds: float) -> Figures: ...

    def stop(self) -> None: ...


class Reader(Protocol):
    """Anything that holds the calendar of 1,000 rooms x 200 meetings and answers question `number` about it."""

    @property
    def name(self) -> str: ...

    @property
    def does(self) -> str: ...

    def start(self, folder: Path) -> None: ...

    def agenda(self, number: int) -> Sequence[object]:
        """One day of one room, with all there is to know of each meeting."""
        ...

    def agenda_json(self, number: int) -> bytes:
        """The same as one JSON array of the kept bytes."""
        ...

    def free_busy(self, number: int) -> Sequence[object]:
        """When the room is taken on that day."""
        ...

    def free_rooms(self, number: int) -> Sequence[str]:
        """The names of the rooms nobody has taken in an hour."""
        ...

    def stop(self) -> None: ...


class Restarter(Protocol):
    """Anything that can be filled once, closed, and loaded again by a fresh process. All it knows is in the folder."""

    @property
    def name(self) -> str: ...

    @property
    def does(self) -> str: ...

    @property
    def store(self) -> str:
        """Which store it reads; contenders that name the same one share it, and any of them may fill it."""
        ...

    def fill(self, folder: Path, meetings: int) -> None:
        """Leave a closed store with so many meetings in the folder."""
        ...

    def load(self, folder: Path, make_cold: Callable[[], None]) -> Loaded:
        """Call `make_cold`, start a fresh process, wait until it answers, end it."""
        ...


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that `share` of the ordered values do not exceed (nearest rank)."""
    if not ordered:
        raise Failed("nothing was measured")
    rank = max(1, -int(-share * len(ordered) // 1))
    return ordered[min(rank, len(ordered)) - 1]


def figures_of(latencies_s: Sequence[float], elapsed_s: float) -> Figures:
    """The cell behind the latencies of everything done within `elapsed_s`."""
    ordered = sorted(latencies_s)
    return Figures(
        per_second=len(ordered) / elapsed_s,
        p50_ms=percentile(ordered, 0.50) * 1_000,
        p99_ms=percentile(ordered, 0.99) * 1_000,
    )


def median_figures(cells: Sequence[Figures]) -> Figures:
    """The median of each figure by itself."""
    return Figures(
        per_second=median([cell.per_second for cell in cells]),
        p50_ms=median([cell.p50_ms for cell in cells]),
        p99_ms=median([cell.p99_ms for cell in cells]),
    )


def median(values: Sequence[float]) -> float:
    """The middle value, or the mean of the two in the middle."""
    if not values:
        raise Failed("nothing was measured")
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
