"""The words of the house as frozen records: every other module speaks in these (GLOSSARY.md says them in prose).

Times: an instant is `..._s`, whole seconds since 1970-01-01 UTC; a wall time is a naive `datetime` beside the IANA
name of its zone. Records are frozen and keep out of the garbage collector (`gc=False`): they never form cycles.
"""

from datetime import datetime
from enum import StrEnum
from typing import Literal, NewType

from msgspec import Struct

MeetingId = NewType("MeetingId", str)
RoomId = NewType("RoomId", str)
Uid = NewType("Uid", str)
"""A calendar UID after normalisation (`core.identity.normalise_uid`)."""
Alias = NewType("Alias", str)
EffectKey = NewType("EffectKey", str)

START_MIN_S = 0
"""Earliest start accepted: 1970-01-01 UTC."""
START_MAX_S = 4_102_444_800
"""First start refused: 2100-01-01 UTC."""
DURATION_MAX_S = 31 * 86_400
"""Longest meeting accepted; a longer entry is a note in a calendar, not a meeting."""
INVITEES_MAX = 500
SUBJECT_CHARS_MAX = 1_000
DESCRIPTION_CHARS_MAX = 32_000
LOCATION_CHARS_MAX = 1_000
LINKS_MAX = 20
"""Ways in that one entry may name in fields made for them; more are passed over."""
LINK_CHARS_MAX = 2_000
RESOURCES_MAX = 50


class Step(StrEnum):
    """Where a meeting stands. Each step is a change of its own, so each happens once."""

    SCHEDULED = "scheduled"
    PROVISIONED = "provisioned"
    LIVE = "live"
    ENDING = "ending"
    ENDED = "ended"
    CANCELLED = "cancelled"
    FAILED = "failed"


OPEN_STEPS = frozenset({Step.SCHEDULED, Step.PROVISIONED, Step.LIVE, Step.ENDING})
"""Steps in which a meeting occupies its rooms."""
RUNNING_STEPS = frozenset({Step.LIVE, Step.ENDING})


class Person(Struct, frozen=True, gc=False, omit_defaults=True):
    """Somebody with a mailbox. `email` is lower case; `name` may be empty."""

    email: str
    name: str = ""


class Vmr(Struct, frozen=True, gc=False, omit_defaults=True):
    """A virtual meeting room as derived (`core.vmr`); URIs are spelled from it and the configuration.

    `alias` 10 base32 characters, `numeric_id` digits with a Luhn check digit, `pin` digits, `bridge` the configured
    bridge that carries it, `attempt` how often an alias had to be passed over because somebody else held it.
    """

    alias: Alias
    numeric_id: str
    pin: str
    bridge: str
    attempt: int = 0


class Foreign(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """A way in on somebody else's platform, as the invitation names it (`core.links`).

    `url` opens in a browser; `dial` is what a video system dials, empty where there is no such way. `rule` is the rule
    that found it, `source` where: link, location or body.
    """

    platform: str
    url: str
    rule: str
    source: str
    dial: str = ""


class Meeting(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The thing itself: one occurrence in one or more rooms. Its step lives beside it in `state.Kept`.

    Invariants: `start_s < end_s`; `rooms` is sorted and not empty; `revision` grows by one with each change a person
    would notice; `original_start_s` is None for a meeting that does not repeat, else the start the series gave it.
    """

    id: MeetingId
    uid: Uid
    subject: str
    organizer: Person
    rooms: tuple[RoomId, ...]
    start_s: int
    end_s: int
    time_zone: str
    revision: int = 1
    sequence: int = 0
    modified_s: int = 0
    invitees: tuple[Person, ...] = ()
    original_start_s: int | None = None
    description: str = ""
    vmr: Vmr | None = None
    all_day: bool = False
    private: bool = False
    origin: Literal["calendar", "api"] = "calendar"
    foreign: Foreign | None = None
    """The way in on somebody else's platform that its calendar names; such a meeting has no VMR."""
    former_vmr: Vmr | None = None
    """The VMR that a foreign way in took the place of; it comes back, the same, when that goes."""
    asked: bool = False
    """A keyword or an invited mailbox asks for a VMR (`core.asking`)."""


class Entry(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """One VEVENT in our words: the master of a calendar item, or an override of one of its occurrences.

    `start` is a wall time in `zone` (IANA name; "" = floating, read in the room's own zone; all-day entries carry
    midnight). `duration_s` is exact. `recurrence_id`, `rdates` and `exdates` are wall times in the master's zone.

    `location` is one line. `links` are ways in from fields made for them, the most trusted first: the provider's own
    (online meeting, conference data), then URL and X- properties. `resources` are addresses, in lower case, of invited
    rooms and resources that are no rooms of ours. All three are empty in an item that we ourselves wrote.
    """

    start: datetime
    duration_s: int
    zone: str = ""
    all_day: bool = False
    subject: str = ""
    description: str = ""
    organizer: Person | None = None
    attendees: tuple[Person, ...] = ()
    cancelled: bool = False
    private: bool = False
    sequence: int = 0
    modified_s: int = 0
    rrule: str = ""
    rdates: tuple[datetime, ...] = ()
    exdates: tuple[datetime, ...] = ()
    recurrence_id: datetime | None = None
    this_and_future: bool = False
    location: str = ""
    links: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()


class CalendarItem(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What one room's calendar shows under one name (`href`): a master, its overrides, or overrides alone.

    `fingerprint` is a hash of the fields that matter to us, made by `core.identity.fingerprint`; etags and change keys
    never decide, because our own writing changes them too. `remarks` tells what the mapping had to guess.
    """

    href: str
    uid: Uid
    fingerprint: str
    etag: str = ""
    master: Entry | None = None
    overrides: tuple[Entry, ...] = ()
    remarks: tuple[str, ...] = ()
    blocks: tuple[str, ...] = ()
    """References of our join blocks in its bodies (`core.joinblock`); they count in no fingerprint."""

    @property
    def repeats(self) -> bool:
        """True when this item stands for more than one meeting."""
        return bool(self.overrides) or (
            self.master is not None and bool(self.master.rrule or self.master.rdates)
        )


class Occurrence(Struct, frozen=True, gc=False):
    """One meeting that an item stands for: where the series put it, and where it is now."""

    original_start_s: int
    start_s: int
    end_s: int
    entry: Entry
