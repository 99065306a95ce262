"""The meetings every contender keeps: the same 1,490 bytes of JSON with seven attendees, made from a seed.

`Booking` is the typed form a program wants to hold. A record is a pure function of the seed and its number, and is
put together from ready-made pieces, so that a million of them cost seconds and the load makers stay out of the way.
Number n lies in room n % 1,000; each room has five meetings on each of forty days, none of them touching another.
"""

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct, json

SEED: Final = 20500301
RECORD_BYTES: Final = 1490
ATTENDEES: Final = 7
ROOMS: Final = 1_000
MEETINGS_PER_DAY: Final = 5
DAYS: Final = 40
CALENDAR_MEETINGS: Final = ROOMS * MEETINGS_PER_DAY * DAYS
"""Meetings in the read rows: 200 in each of 1,000 rooms."""
FIRST_DAY_S: Final = 2_529_705_600
"""2050-03-01T00:00:00Z, a Tuesday far enough ahead never to be past."""
DAY_S: Final = 86_400
HALF_HOUR_S: Final = 1_800
PEOPLE: Final = 20_000
OPENS_AT_S: Final = 8 * 3_600
TURN_S: Final = 2 * 3_600
"""Each of the five daily meetings lies inside its own two hours."""
LENGTH_MAX_S: Final = 2 * HALF_HOUR_S

SYLLABLES: Final = (
    "an",
    "ber",
    "cho",
    "da",
    "el",
    "fri",
    "go",
    "hal",
    "is",
    "jo",
    "ka",
    "li",
    "mo",
    "ne",
    "or",
    "pa",
)
STATES: Final = ("accepted", "declined", "tentative", "needs-action")
WORDS: Final = (
    "budget",
    "review",
    "roadmap",
    "quarter",
    "customer",
    "release",
    "risk",
    "hiring",
    "design",
    "update",
)


class Attendee(Struct, frozen=True, gc=False):
    """Somebody invited."""

    name: str
    email: str
    status: str


class Booking(Struct, frozen=True, gc=False):
    """One meeting as a program wants to hold it."""

    uid: str
    subject: str
    room: str
    start_s: int
    end_s: int
    time_zone: str
    sequence: int
    organizer: Attendee
    attendees: tuple[Attendee, ...]
    description: str


class Slot(Struct, frozen=True, gc=False):
    """Where meeting `number` lies."""

    room: int
    start_s: int
    end_s: int


def uid_of(number: int) -> str:
    """The calendar UID of a meeting, also its key wherever keys are texts."""
    return f"{number:012d}-meeting@calendar.example"


def room_name(room: int) -> str:
    """The name of a room."""
    return f"room-{room:04d}"


def slot_of(number: int) -> Slot:
    """Room and time of a meeting; after 200 meetings the room's calendar goes on with later days."""
    room, index = number % ROOMS, number // ROOMS
    day, turn = divmod(index, MEETINGS_PER_DAY)
    mixed = (number * 2_654_435_761) >> 7
    late, long = mixed % 3, 1 + (mixed >> 3) % 2
    start_s = FIRST_DAY_S + day * DAY_S + OPENS_AT_S + turn * TURN_S + late * HALF_HOUR_S
    return Slot(room, start_s, start_s + long * HALF_HOUR_S)


class Records:
    """All meetings of one seed."""

    def __init__(self, seed: int = SEED) -> None:
        dice = random.Random(seed)
        self._people = [self._person(dice) for _ in range(PEOPLE)]
        self._people_json = [json.encode(person) for person in self._people]
        self._filler = " ".join(dice.choice(WORDS) for _ in range(400))

    def _person(self, dice: random.Random) -> Attendee:
        first, last = ("".join(dice.choice(SYLLABLES) for _ in range(3)).title() for _ in range(2))
        email = f"{first}.{last}{dice.randrange(100):02d}@corp.example".lower()
        return Attendee(f"{first} {last}", email, dice.choice(STATES))

    def _invited(self, number: int) -> list[int]:
        first = number * 7_919
        return [(first + step * 2_741) % PEOPLE for step in range(ATTENDEES)]

    def json(self, number: int) -> bytes:
        """The meeting as it is kept: exactly `RECORD_BYTES` bytes, the description filling up."""
        slot, invited = slot_of(number), self._invited(number)
        people = b",".join([self._people_json[index] for index in invited])
        head = (
            f'{{"uid":"{uid_of(number)}","subject":"{self._subject(number)}","room":"{room_name(slot.room)}",'
            f'"start_s":{slot.start_s},"end_s":{slot.end_s},"time_zone":"Europe/Berlin","sequence":0,"organizer":'
        ).encode()
        head += self._people_json[invited[0]] + b',"attendees":[' + people + b'],"description":"'
        return head + self._description(number, RECORD_BYTES - len(head) - 2).encode() + b'"}'

    def booking(self, number: int) -> Booking:
        """The same meeting, typed."""
        return json.decode(self.json(number), type=Booking)

    def ical(self, number: int) -> bytes:
        """The same meeting as a calendar server wants it (RFC 5545, lines folded)."""
        booking = self.booking(number)
        lines = [
            "BEGIN:VCALENDAR",
            "VERSION:2.0",
            "PRODID:-//meetkeeper//bench//EN",
            "BEGIN:VEVENT",
            f"UID:{booking.uid}",
            "DTSTAMP:20270101T000000Z",
            f"DTSTART:{_utc(booking.start_s)}",
            f"DTEND:{_utc(booking.end_s)}",
            f"SUMMARY:{booking.subject}",
            f"LOCATION:{booking.room}",
            f"SEQUENCE:{booking.sequence}",
            f"ORGANIZER;CN={booking.organizer.name}:mailto:{booking.organizer.email}",
            *(
                f"ATTENDEE;CN={person.name};PARTSTAT={person.status.upper()}:mailto:{person.email}"
                for person in booking.attendees
            ),
            f"DESCRIPTION:{booking.description}",
            "END:VEVENT",
            "END:VCALENDAR",
        ]
        return "".join(_folded(line) for line in lines).encode()

    def many(self, count: int) -> Iterator[tuple[int, bytes]]:
        """Numbers and JSON of the first `count` meetings."""
        for number in range(count):
            yield number, self.json(number)

    def _subject(self, number: int) -> str:
        return f"{WORDS[number % 10]} {WORDS[number // 10 % 10]} {number:07d}"

    def _description(self, number: int, length: int) -> str:
        start = number % 1_000
        return self._filler[start : start + length]


def _utc(instant_s: int) -> str:
    return datetime.fromtimestamp(instant_s, UTC).strftime("%Y%m%dT%H%M%SZ")


def _folded(line: str) -> str:
    pieces = [line[:74]] + [" " + line[at : at + 73] for at in range(74, len(line), 73)]
    return "".join(piece + "\r\n" for piece in pieces)
