"""The calendar of the read rows as SQL databases want it."""

from collections.abc import Iterator

from bench.records import CALENDAR_MEETINGS, Records, slot_of


def calendar_rows() -> Iterator[tuple[int, int, int, int, bytes]]:
    """Number, room, start, end and JSON of every meeting."""
    for number, body in Records().many(CALENDAR_MEETINGS):
        slot = slot_of(number)
        yield number, slot.room, slot.start_s, slot.end_s, body
