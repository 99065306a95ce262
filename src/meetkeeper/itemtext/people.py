"""ORGANIZER and ATTENDEE → persons (RFC 5545 section 3.8.4): mailboxes in lower case, rooms left out, each one once."""

import re
from urllib.parse import unquote

from msgspec import Struct

from meetkeeper.core.words import INVITEES_MAX, RESOURCES_MAX, Person
from meetkeeper.itemtext.lines import Component, Line
from meetkeeper.itemtext.texts import NAME_CHARS_MAX, one_line

EMAIL_CHARS_MAX = 254
_EMAIL = re.compile(r"[^@\s<>\"(),:;\\\[\]\x00-\x1f\x7f]{1,64}@[^@\s<>\"(),:;\\\[\]\x00-\x1f\x7f]{1,253}")
_NO_PEOPLE = frozenset({"ROOM", "RESOURCE"})


class Attendance(Struct, frozen=True, gc=False):
    """Who comes. `declined`: the room itself has said no (RFC 5545 section 3.2.12).

    `resources` are addresses of invited rooms and resources that are no rooms of ours.
    """

    organizer: Person | None
    attendees: tuple[Person, ...]
    declined: bool
    resources: tuple[str, ...] = ()


class People:
    """Reads the people of one item. `remarks` says who was left out, without naming anybody."""

    def __init__(self, own_email: str, room_emails: frozenset[str]) -> None:
        self.remarks: list[str] = []
        self._own = own_email
        self._rooms = room_emails | {own_email} if own_email else room_emails

    def attend(self, event: Component) -> Attendance:
        """Organizer, attendees and the room's own answer. A room that organizes its own meeting is no organizer."""
        line = event.first("ORGANIZER")
        organizer = None if line is None else _person(line)
        if organizer is not None and organizer.email in self._rooms:
            organizer = None
        found: dict[str, Person] = {}
        resources: dict[str, None] = {}
        declined = False
        unreadable = "ATTENDEE" in event.broken
        for line in event.all("ATTENDEE"):
            person = _person(line)
            if person is not None and person.email == self._own:
                declined = line.params.get("PARTSTAT", "").strip().upper() == "DECLINED"
            if line.params.get("CUTYPE", "").strip().upper() in _NO_PEOPLE:
                if person is not None and person.email not in self._rooms:
                    resources[person.email] = None
                continue
            if person is None:
                unreadable = True
            elif person.email not in self._rooms:
                found.setdefault(person.email, person)
        if unreadable:
            self.remarks.append("An attendee without a readable mail address was left out.")
        attendees = tuple(found.values())
        if len(attendees) > INVITEES_MAX:
            self.remarks.append(
                f"It names more than {INVITEES_MAX} attendees; the first {INVITEES_MAX} were taken."
            )
        asked = tuple(sorted(resources)[:RESOURCES_MAX])
        return Attendance(organizer, attendees[:INVITEES_MAX], declined, asked)


def _person(line: Line) -> Person | None:
    """The mailbox in a `mailto:` value, else in the EMAIL parameter (RFC 7986 section 6.2)."""
    value = line.value.strip()
    scheme, _, rest = value.partition(":")
    address = (
        unquote(rest.partition("?")[0]) if scheme.lower() == "mailto" else line.params.get("EMAIL", value)
    )
    email = address.strip().lower()
    if len(email) > EMAIL_CHARS_MAX or _EMAIL.fullmatch(email) is None:
        return None
    name = one_line(line.params.get("CN", ""), NAME_CHARS_MAX)
    return Person(email, "" if name.lower() == email else name)
