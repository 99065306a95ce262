"""How answers look in a terminal: tables that fit, times in short words, colours that only repeat what words say."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import rich_click as click

from meetkeeper.cli import tables
from meetkeeper.cli.tables import Cell

_TONES = {
    "live": "good",
    "ending": "warn",
    "provisioned": "info",
    "scheduled": "warn",
    "cancelled": "dim",
    "ended": "dim",
    "failed": "bad",
    "ok": "good",
    "failing": "bad",
    "waiting": "warn",
    "parked": "bad",
    "unknown": "bad",
}


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str, flexible: int = -1) -> None:
    """Print rows under headings; a sentence when there are none. The `flexible` column gives way on narrow screens."""
    kept = [[Cell(cell, _TONES.get(cell, "")) for cell in row] for row in rows]
    click.echo(tables.table(headings, kept, flexible) if kept else empty)


def facts(rows: Iterable[tuple[str, str]]) -> None:
    """Print names and values, one a line; empty values are left out."""
    click.echo(tables.facts([(name, Cell(value)) for name, value in rows if value]))


def clock(text: str | None, *, day: bool = False) -> str:
    """An ISO time as HH:MM, with `day` as the date too (and the year when it is not this one); "" for none."""
    if not text:
        return ""
    at = datetime.fromisoformat(text)
    if not day:
        return at.strftime("%H:%M")
    return at.strftime("%a %d %b %H:%M" if at.year == datetime.now(at.tzinfo).year else "%a %d %b %Y %H:%M")


def second(text: str | None) -> str:
    """An ISO time to the second; "never" for none."""
    return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M:%S") if text else "never"
