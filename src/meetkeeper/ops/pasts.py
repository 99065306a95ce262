"""What this server remembers of the pair's changes: which row moved which role when, and how long each change took.

Kept in `local/pair-history.jsonl`, newest last, bounded; a line that can't be read is passed over. For people and for
estimates: nothing is decided by it, so it is not flushed.
"""

import statistics
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

FILE = "local/pair-history.jsonl"
KEPT_MAX = 400
ESTIMATE_OF = 9
"""An estimate is the median of so many at most, the newest ones."""
FIGURES_S = {"switchover": 0.3, "failover": 0.5}
"""What is said before anything was measured here: from runs on one machine."""


class Move(Struct, frozen=True, tag_field="kind", tag="move"):
    """A role moved by this row of the table. `at_s`: wall clock."""

    at_s: float
    row: int
    was: str
    now: str


class Took(Struct, frozen=True, tag_field="kind", tag="took"):
    """A change of the active server, measured: from the last moment one acted until another did."""

    at_s: float
    act: Literal["switchover", "failover"]
    to: str
    seconds: float


class Pasts:
    """The newest of them."""

    def __init__(self, home: Path) -> None:
        self._path = home / FILE
        self._lines: deque[Move | Took] = deque(_read(self._path), maxlen=KEPT_MAX)
        self._written = 0

    def note(self, line: Move | Took) -> None:
        """One more. A disk that refuses costs the memory of it, nothing else."""
        self._lines.append(line)
        self._written += 1
        try:
            self._path.parent.mkdir(exist_ok=True)
            if self._written > KEPT_MAX:
                self._written = 0
                self._path.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in self._lines))
            else:
                with self._path.open("ab") as file:
                    file.write(msgspec.json.encode(line) + b"\n")
        except OSError:
            return

    def moves(self) -> list[Move]:
        """Newest first."""
        return [one for one in reversed(self._lines) if isinstance(one, Move)]

    def took(self, act: str = "") -> list[Took]:
        """Newest first; of one kind, or all."""
        return [one for one in reversed(self._lines) if isinstance(one, Took) and (not act or one.act == act)]

    def estimate(self, act: str) -> tuple[float, int]:
        """How long the next one would take in seconds, and of how many past ones that is the median."""
        past = [one.seconds for one in self.took(act)][:ESTIMATE_OF]
        return (statistics.median(past), len(past)) if past else (FIGURES_S[act], 0)


def iso(at_s: float) -> str:
    """ISO 8601 in UTC."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds")


def _read(path: Path) -> list[Move | Took]:
    found: list[Move | Took] = []
    try:
        text = path.read_bytes()
    except OSError:
        return found
    for line in text.splitlines()[-KEPT_MAX:]:
        try:
            found.append(msgspec.json.decode(line, type=Move | Took))
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
    return found
