"""Rows of text that fit a terminal: columns as wide as they need, the last flexible one cut with an ellipsis."""

import shutil
import sys
import unicodedata
from collections.abc import Sequence

import rich_click as click

WIDTH = 80
"""Columns assumed where there is no terminal, and the least a table is laid out for."""
_GAP = 2

COLOURS = {"good": "green", "warn": "yellow", "bad": "red", "info": "blue", "dim": "bright_black", "": ""}


class Cell:
    """One text and its tone (`good`, `warn`, `bad`, `info`, `dim` or none)."""

    __slots__ = ("text", "tone")

    def __init__(self, text: object, tone: str = "") -> None:
        self.text = one_line(str(text))
        self.tone = tone


def one_line(text: str) -> str:
    """Text that can't move the cursor: control characters shown as spaces."""
    return "".join(" " if unicodedata.category(char) in ("Cc", "Cf") else char for char in text).strip()


def width_of(text: str) -> int:
    """Terminal columns a text takes."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def cut(text: str, width: int) -> str:
    """The text in at most that many columns."""
    if width_of(text) <= width:
        return text
    kept = ""
    for char in text:
        if width_of(kept + char) > width - 1:
            break
        kept += char
    return kept + "…" if width > 0 else ""


def screen_width() -> int:
    """The terminal's columns; `WIDTH` where there is none."""
    if not sys.stdout.isatty():
        return WIDTH
    return max(40, shutil.get_terminal_size((WIDTH, 24)).columns)


def table(heads: Sequence[str], rows: Sequence[Sequence[Cell | str]], flexible: int = -1) -> str:
    """The rows under their heads. The flexible column gives way when the screen is too narrow."""
    cells = [[one if isinstance(one, Cell) else Cell(one) for one in row] for row in rows]
    widths = [
        max([width_of(head), *(width_of(row[place].text) for row in cells)])
        for place, head in enumerate(heads)
    ]
    flexible %= len(heads)
    room = screen_width() - sum(widths) - _GAP * (len(heads) - 1) + widths[flexible]
    widths[flexible] = min(widths[flexible], max(8, room))
    lines = [_line([Cell(head, "dim") for head in heads], widths)]
    lines += [_line(row, widths) for row in cells]
    return "\n".join(lines)


def facts(pairs: Sequence[tuple[str, Cell | str]]) -> str:
    """Names and values, one below the other."""
    width = max((width_of(name) for name, _ in pairs), default=0)
    lines = []
    for name, value in pairs:
        cell = value if isinstance(value, Cell) else Cell(value)
        lines.append(
            click.style(name + " " * (width - width_of(name)), dim=True) + "  " + _styled(cell, cell.text)
        )
    return "\n".join(lines)


def _line(row: Sequence[Cell], widths: Sequence[int]) -> str:
    parts = []
    for cell, width in zip(row, widths, strict=True):
        text = cut(cell.text, width)
        parts.append(_styled(cell, text) + " " * (width - width_of(text)))
    return (" " * _GAP).join(parts).rstrip()


def _styled(cell: Cell, text: str) -> str:
    colour = COLOURS.get(cell.tone, "")
    return click.style(text, fg=colour) if colour else text
