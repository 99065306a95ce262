"""How answers look in a terminal: tables of 80 columns, times in the reader's words, colours that only repeat words."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import rich_click as click
from rich.console import Console
from rich.table import Table
from rich.text import Text

_COLOURS = {
    "live": "bold green",
    "ending": "bold yellow",
    "provisioned": "green",
    "scheduled": "yellow",
    "cancelled": "dim strike",
    "ended": "dim",
    "failed": "bold red",
    "ok": "green",
    "failing": "bold red",
    "waiting": "yellow",
    "parked": "bold red",
    "unknown": "bold red",
    "red": "bold red",
    "yellow": "yellow",
}


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str) -> None:
    """Print rows under headings; a sentence when there are none."""
    kept = [list(row) for row in rows]
    if not kept:
        click.echo(empty)
        return
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        shown.add_column(heading, overflow="fold")
    for row in kept:
        shown.add_row(*[Text(cell, style=_COLOURS.get(cell, "")) for cell in row])
    Console(soft_wrap=False).print(shown)


def facts(rows: Iterable[tuple[str, str]]) -> None:
    """Print names and values, one a line; empty values are left out."""
    for name, value in rows:
        if value:
            click.echo(f"{name + ':':14} {value}")


def clock(text: str | None, *, day: bool = False) -> str:
    """An ISO time as HH:MM, with `day` as the date too; "" for none."""
    if not text:
        return ""
    at = datetime.fromisoformat(text)
    return at.strftime("%a %d %b %H:%M" if day else "%H:%M")


def second(text: str | None) -> str:
    """An ISO time to the second; "never" for none."""
    return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M:%S") if text else "never"
