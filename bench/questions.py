"""What the read rows ask, the same for everyone: question n is about this room, this day, this hour."""

import random
from typing import Final

from bench.records import DAY_S, DAYS, FIRST_DAY_S, HALF_HOUR_S, OPENS_AT_S, ROOMS, SEED

QUESTIONS: Final = 8_192
HALF_HOURS_OPEN: Final = 18
"""Hours begin at every half hour from 08:00 to 16:30."""
HOUR_S: Final = 3_600


def _draw() -> list[tuple[int, int, int]]:
    dice = random.Random(SEED)
    return [
        (dice.randrange(ROOMS), dice.randrange(DAYS), dice.randrange(HALF_HOURS_OPEN))
        for _ in range(QUESTIONS)
    ]


_DRAWN: Final = _draw()


def room_and_day(number: int) -> tuple[int, int]:
    """A room and the first second of a day."""
    room, day, _ = _DRAWN[number % QUESTIONS]
    return room, FIRST_DAY_S + day * DAY_S


def hour(number: int) -> tuple[int, int]:
    """The first second of an hour in office time, and the first after it."""
    _, day, half_hour = _DRAWN[number % QUESTIONS]
    start_s = FIRST_DAY_S + day * DAY_S + OPENS_AT_S + half_hour * HALF_HOUR_S
    return start_s, start_s + HOUR_S
