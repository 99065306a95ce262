"""What an invitee must read, as values: when, where, through which door, and what changed since the last mail.

Nothing here knows a mail or a calendar format: `mail.compose` pours an `Invitation` into templates and into the
iCalendar part, and whoever writes into an item of ours writes `join_block`. Rules of this file: a private meeting
gives away neither title nor description; every text is one line unless its field says otherwise; the same values give
the same words on every server.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum

from msgspec import Struct

from meetkeeper.core import vmr as vmrs
from meetkeeper.core.configuration import Config
from meetkeeper.core.identity import meeting_id
from meetkeeper.core.invitation_words import SEE_CALENDAR, say_days, say_offset, say_recurrence, say_span
from meetkeeper.core.joinblock import WAITS, JoinBlock, block_of, without_block
from meetkeeper.core.state import Series
from meetkeeper.core.words import Entry, Foreign, Meeting, Person, RoomId, Vmr
from meetkeeper.core.zones import find_zone

PRIVATE_TITLE = "Private meeting"
UNTITLED = "Meeting"
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


class Kind(StrEnum):
    """What the mail is about."""

    NEW = "new"
    MOVED = "moved"
    CHANGED = "changed"
    CANCELLED = "cancelled"
    UNINVITED = "uninvited"
    """The meeting stands, the reader is not asked to come any more."""


class Change(Struct, frozen=True, gc=False):
    """One thing that is different now. `old` and `new` are words; either may be empty."""

    what: str
    old: str
    new: str


class When(Struct, frozen=True, kw_only=True, gc=False):
    """The time in words, in the meeting's own zone and in UTC.

    `local` and `utc` are spans; `zone` is the IANA name, `offset` its distance from UTC then (both, with an arrow,
    when clocks change during the meeting). `utc` is empty for an all-day meeting, which is a date and not an instant.
    """

    local: str
    zone: str
    offset: str
    utc: str
    all_day: bool = False

    @property
    def is_utc(self) -> bool:
        """The meeting's own zone is UTC: saying it twice helps nobody."""
        return self.zone in ("UTC", "Etc/UTC")


class Join(Struct, frozen=True, kw_only=True, gc=False):
    """The door: web address, SIP URI (`sip:…`), dial-in number, PIN, and a telephone number if one is configured."""

    url: str
    sip: str
    numeric_id: str
    pin: str
    phone: str = ""


class Invitation(Struct, frozen=True, kw_only=True, gc=False):
    """All an invitee must read. `ref` names the meeting in block markers and notices.

    `when` is the next occurrence for a series, and `repeats` then says the rule in words. `description` is plain
    text with line breaks, cleaned by the caller. `join` is None for a meeting without a VMR; `foreign` is then the way
    in on another platform, if there is one.
    """

    kind: Kind
    ref: str
    revision: int
    title: str
    when: When
    where: tuple[str, ...]
    organizer: Person
    join: Join | None = None
    repeats: str = ""
    private: bool = False
    changes: tuple[Change, ...] = ()
    description: str = ""
    foreign: Foreign | None = None

    @property
    def cancelled(self) -> bool:
        """The reader need not come."""
        return self.kind in (Kind.CANCELLED, Kind.UNINVITED)


def of_meeting(
    config: Config, meeting: Meeting, kind: Kind, *, description: str = "", old: Meeting | None = None
) -> Invitation:
    """The invitation to one meeting. `description` is its text made plain; `old` is what invitees were told before."""
    changes = changes_between(config, old, meeting) if old is not None else ()
    return Invitation(
        kind=Kind.MOVED if kind is Kind.CHANGED and old is not None and _moved(old, meeting) else kind,
        ref=meeting.id,
        revision=meeting.revision,
        title=title_of(meeting.subject, private=meeting.private),
        when=say_when(meeting.start_s, meeting.end_s, meeting.time_zone, all_day=meeting.all_day),
        where=room_names(config, meeting.rooms),
        organizer=_one_line_person(meeting.organizer),
        join=join_of(config, meeting.vmr),
        private=meeting.private,
        changes=changes,
        description="" if meeting.private else without_block(description),
        foreign=meeting.foreign,
    )


def of_series(
    config: Config,
    series: Series,
    kind: Kind,
    *,
    description: str = "",
    next_s: tuple[int, int] | None = None,
) -> Invitation:
    """The invitation to a series. `next_s` is its next occurrence (start, end); None: where its item begins."""
    start_s, end_s = next_s or first_span(series)
    first = _first_entry(series)
    return Invitation(
        kind=kind,
        ref=meeting_id(series.uid, None),
        revision=series.revision,
        title=title_of(series.subject, private=series.private),
        when=say_when(start_s, end_s, zone_name(first.zone, series.time_zone), all_day=first.all_day),
        where=room_names(config, series.rooms),
        organizer=_one_line_person(series.organizer),
        join=join_of(config, series.vmr),
        repeats=repeats_of(series),
        private=series.private,
        description="" if series.private else without_block(description),
        foreign=series.foreign,
    )


def title_of(subject: str, *, private: bool) -> str:
    """The subject on one line, or what stands for it."""
    if private:
        return PRIVATE_TITLE
    return one_line(subject) or UNTITLED


def one_line(text: str) -> str:
    """The text without control characters, line breaks and lone surrogates; runs of space become one."""
    return " ".join(_UNPRINTABLE.sub(" ", text).split())


def join_of(config: Config, vmr: Vmr | None) -> Join | None:
    """The door of a VMR; None without one."""
    if vmr is None:
        return None
    return Join(
        url=vmrs.join_url(config.cluster, vmr.alias),
        sip=vmrs.sip_uri(config.cluster, vmr.alias),
        numeric_id=vmr.numeric_id,
        pin=vmr.pin,
    )


def room_names(config: Config, rooms: Sequence[RoomId]) -> tuple[str, ...]:
    """The rooms as people call them; a room that is no longer configured keeps its id."""
    wanted = set(rooms)
    names = {room.id: one_line(room.name) for room in config.rooms if room.id in wanted}
    return tuple(names.get(room) or room for room in rooms)


def say_when(start_s: int, end_s: int, zone: str, *, all_day: bool = False) -> When:
    """The span in words. A zone nobody knows is read as UTC: the instants are right all the same."""
    name = zone_name(zone)
    tz = zone_info(name)
    start, end = datetime.fromtimestamp(start_s, tz), datetime.fromtimestamp(end_s, tz)
    offset, at_end = say_offset(start), say_offset(end)
    if offset != at_end:
        offset = f"{offset} → {at_end}"
    if all_day:
        last = (end - timedelta(seconds=1)).date()
        return When(local=say_days(start.date(), last), zone=name, offset=offset, utc="", all_day=True)
    utc = _utc_span(start, end)
    return When(local=say_span(start, end), zone=name, offset=offset, utc=utc)


def _utc_span(start: datetime, end: datetime) -> str:
    """The span in UTC; its day is named only where it is not the one of the meeting's own zone."""
    from_utc, to_utc = start.astimezone(UTC), end.astimezone(UTC)
    if from_utc.date() == start.date() and to_utc.date() == end.date() == start.date():
        return f"{from_utc:%H:%M}–{to_utc:%H:%M} UTC"
    return say_span(from_utc, to_utc) + " UTC"


def zone_name(*wishes: str) -> str:
    """The first of these names that is a known IANA zone, else `UTC`."""
    return next((name for name in wishes if name and find_zone(name) is not None), "UTC")


def zone_info(name: str) -> tzinfo:
    """The zone of this name, UTC for a name nobody knows."""
    return find_zone(name) or UTC


def repeats_of(series: Series) -> str:
    """How the series repeats, in words; "" for an item that stands for one date."""
    master = series.item.master
    if master is None or master.rdates or not master.rrule:
        return SEE_CALENDAR if series.item.repeats else ""
    first = master.start.replace(tzinfo=zone_info(zone_name(master.zone, series.time_zone)))
    words = say_recurrence(master.rrule, first)
    if words == SEE_CALENDAR:
        return words
    if series.item.overrides or master.exdates:
        return f"{words}. Some dates differ; your calendar shows every date."
    return f"{words}."


def _first_entry(series: Series) -> Entry:
    if series.item.master is not None:
        return series.item.master
    return min(series.item.overrides, key=lambda entry: entry.start)


def first_span(series: Series) -> tuple[int, int]:
    """Start and end of the first date an item names, in seconds."""
    entry = _first_entry(series)
    zone = zone_info(zone_name(entry.zone, series.time_zone))
    start_s = int(entry.start.replace(tzinfo=zone).timestamp())
    return start_s, start_s + entry.duration_s


def changes_between(config: Config, old: Meeting, new: Meeting) -> tuple[Change, ...]:
    """What a reader of the last mail must know: time, rooms, title, organizer, in this order."""
    pairs = [
        ("When", _when_line(old), _when_line(new)),
        ("Where", ", ".join(room_names(config, old.rooms)), ", ".join(room_names(config, new.rooms))),
        ("Title", title_of(old.subject, private=old.private), title_of(new.subject, private=new.private)),
        ("Organizer", person_name(old.organizer), person_name(new.organizer)),
    ]
    return tuple(Change(what, before, after) for what, before, after in pairs if before != after)


def _when_line(meeting: Meeting) -> str:
    when = say_when(meeting.start_s, meeting.end_s, meeting.time_zone, all_day=meeting.all_day)
    return when.local if when.all_day else f"{when.local} ({when.zone})"


def _moved(old: Meeting, new: Meeting) -> bool:
    return (old.start_s, old.end_s) != (new.start_s, new.end_s)


def _one_line_person(person: Person) -> Person:
    return Person(one_line(person.email), one_line(person.name))


def person_name(person: Person) -> str:
    """A person's name, else the address."""
    return one_line(person.name) or one_line(person.email)


def join_block(invitation: Invitation) -> str:
    """The lines for a calendar entry's body, between markers that let us find and replace them; "" without a door.

    Several lines, ended by a line break.
    """
    block = block_for(invitation)
    return "" if block is None else block.text


def block_for(invitation: Invitation, *, waits: bool = False) -> JoinBlock | None:
    """The block for a calendar entry's body; None without a door. `waits`: the bridge can't say yet that it stands."""
    join = invitation.join
    if join is None or invitation.cancelled:
        return None
    if waits:
        return block_of(invitation.ref, [("", WAITS)])
    lines = [
        ("Join", join.url),
        ("PIN", join.pin),
        ("Video system", join.sip.removeprefix("sip:")),
        ("Meeting ID", join.numeric_id),
    ]
    if join.phone:
        lines.append(("Telephone", join.phone))
    return block_of(invitation.ref, lines)
