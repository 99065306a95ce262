"""From a calendar item to the meetings it stands for in a span of time."""

from msgspec import Struct

from meetkeeper.core.words import CalendarItem, Occurrence

OCCURRENCES_MAX = 1_000
"""Occurrences given for one item and window; of more, the earliest are given and a problem says so."""


class Expansion(Struct, frozen=True, gc=False):
    """Occurrences by start, and sentences about what could not be taken as written."""

    occurrences: tuple[Occurrence, ...] = ()
    problems: tuple[str, ...] = ()


def expand(item: CalendarItem, room_zone: str, from_s: int, until_s: int) -> Expansion:
    """The occurrences that share an instant with [from_s, until_s), or that the series had put there before they moved.

    `room_zone` (IANA) is where floating times and midnights are read. Never raises: what is malformed is a problem.
    """
    raise NotImplementedError


def following(item: CalendarItem, room_zone: str, from_s: int) -> Occurrence | None:
    """The first occurrence that ends after `from_s`; None when there is none."""
    raise NotImplementedError
