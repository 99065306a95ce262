"""From what people and programs send to the core's commands: every field checked, every mistake told at once."""

import email.utils
import hashlib
import itertools
import re
import secrets
import unicodedata
from collections.abc import Mapping
from zoneinfo import ZoneInfo

import msgspec

from meetkeeper.api import times
from meetkeeper.api.bodies import ExtendBody, MeetingBody, MeetingPatch, PersonBody, PersonOrEmail
from meetkeeper.api.problems import FieldError, Invalid
from meetkeeper.api.validation import did_you_mean, nearest
from meetkeeper.core.commands import Amend, Book
from meetkeeper.core.configuration import Config, RoomConfig
from meetkeeper.core.errors import TheirMistake
from meetkeeper.core.identity import normalise_uid
from meetkeeper.core.words import Meeting, MeetingId, Person, RoomId

_ADDRESS = re.compile(r"[^@\s<>\"(),:;\\\[\]]{1,64}@[^@\s<>\"(),:;\\\[\]]{1,189}")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")
_encode = msgspec.json.Encoder().encode


_process = secrets.token_hex(12)
_numbers = itertools.count(1)


def fresh_nonce() -> str:
    """A word no other booking on any server has: 96 random bits of this process and a number.

    It names the meeting and is no secret; drawing fresh bits for each would cost more than deciding the booking.
    """
    return f"{_process}-{next(_numbers):x}"


class Reader:
    """Reads one request against the configuration; collects what is wrong with it."""

    __slots__ = ("_config", "_rooms", "errors")

    def __init__(self, config: Config, rooms: Mapping[RoomId, RoomConfig]) -> None:
        self._config = config
        self._rooms = rooms
        self.errors: list[FieldError] = []

    def wrong(self, field: str, message: str, near: tuple[str, ...] = ()) -> None:
        """Remember one mistake."""
        self.errors.append(FieldError(field, message, near))

    def verdict(self) -> None:
        """Raise `Invalid` if there was any."""
        if self.errors:
            raise Invalid(self.errors)

    def rooms(self, names: tuple[str, ...]) -> tuple[RoomId, ...]:
        """The rooms, each known."""
        known = self._rooms
        for index, name in enumerate(names):
            if name not in known:
                near = nearest(name, known)
                hint = did_you_mean(near) or " GET /api/v1/rooms lists the rooms."
                self.wrong(f"rooms[{index}]", f"there is no room {name[:63]!r}.{hint}", near)
        return tuple(map(RoomId, names))

    def zone(self, name: str, rooms: tuple[RoomId, ...]) -> ZoneInfo | None:
        """The named zone, else the first room's, else the cluster's."""
        if not name:
            room = self._rooms.get(rooms[0]) if rooms else None
            name = (room.time_zone if room is not None else "") or self._config.cluster.time_zone
        try:
            return times.zone(name)
        except times.WrongTime as error:
            self.wrong("time_zone", str(error), error.near)
            return None

    def moment(self, field: str, text: str, zone: ZoneInfo | None) -> int | None:
        """Unix seconds; None when it can't be read."""
        try:
            return times.instant_s(text, zone or times.zone("UTC"))
        except times.WrongTime as error:
            self.wrong(field, str(error))
            return None

    def span(self, start_s: int | None, end_s: int | None) -> None:
        """Both lie where meetings can be, in this order."""
        if start_s is None:
            return
        field = "start"
        try:
            times.check_start(start_s)
            field = "end"
            if end_s is not None:
                times.check_span(start_s, end_s)
        except times.WrongTime as error:
            self.wrong(field, str(error))

    def person(self, sent: PersonOrEmail, field: str, index: int | None = None) -> Person:
        """Somebody with a mailbox, the address in lower case."""
        if isinstance(sent, PersonBody):
            name, address = sent.name, sent.email
        elif "<" in sent:
            name, address = email.utils.parseaddr(sent)
        else:
            name, address = "", sent
        if not _ADDRESS.fullmatch(address):
            address = address.strip()
            if not _ADDRESS.fullmatch(address):
                place = field if index is None else f"{field}[{index}]"
                where = f"{place}.email" if isinstance(sent, PersonBody) else place
                self.wrong(where, "is not an e-mail address; send for example ada@example.org.")
        return Person(address.lower(), one_line(name) if name else "")

    def people(self, sent: tuple[PersonOrEmail, ...]) -> tuple[Person, ...]:
        """The invitees, each address once."""
        people: dict[str, Person] = {}
        for index, one in enumerate(sent):
            person = self.person(one, "invitees", index)
            people[person.email] = person
        return tuple(people.values())

    def bridge(self, name: str) -> str:
        """A configured bridge, or none in particular."""
        if name and all(bridge.id != name for bridge in self._config.bridges):
            known = [bridge.id for bridge in self._config.bridges]
            near = nearest(name, known)
            self.wrong("bridge", f"there is no bridge {name[:63]!r}.{did_you_mean(near)}", near)
        return name


def one_line(text: str) -> str:
    """Text for one line: control characters and line ends become spaces, composed characters their usual form."""
    if text.isascii() and text.isprintable():
        return text.strip()
    cleaned = _CONTROL.sub(" ", text).replace("\r", " ").replace("\n", " ").replace("\t", " ")
    return unicodedata.normalize("NFC", cleaned).strip()


def paragraphs(text: str) -> str:
    """Text of several lines without control characters."""
    if text.isascii() and text.isprintable():
        return text
    return _CONTROL.sub("", text).replace("\r\n", "\n")


def to_book(body: MeetingBody, config: Config, rooms: Mapping[RoomId, RoomConfig]) -> Book:
    """The command for a booking. Raises `Invalid` with every field that can't be taken."""
    reader = Reader(config, rooms)
    room_ids = reader.rooms(body.rooms)
    zone = reader.zone(body.time_zone, room_ids)
    start_s = reader.moment("start", body.start, zone)
    end_s = reader.moment("end", body.end, zone)
    reader.span(start_s, end_s)
    organizer = reader.person(body.organizer, "organizer")
    invitees = reader.people(body.invitees)
    bridge = reader.bridge(body.bridge)
    uid = None if body.uid is None else normalise_uid(one_line(body.uid))
    if uid == "":
        reader.wrong("uid", "is empty; leave it out, or name the meeting.")
    reader.verdict()
    assert zone is not None
    assert start_s is not None
    assert end_s is not None
    return Book(
        rooms=room_ids,
        subject=one_line(body.subject),
        organizer=organizer,
        start_s=start_s,
        end_s=end_s,
        time_zone=zone.key,
        nonce=fresh_nonce(),
        invitees=invitees,
        description=paragraphs(body.description),
        private=body.private,
        recurrence=one_line(body.recurrence).removeprefix("RRULE:"),
        vmr=body.vmr,
        bridge=bridge,
        uid=uid,
    )


def to_amend(
    body: MeetingPatch,
    meeting: Meeting,
    revision: int | None,
    config: Config,
    rooms: Mapping[RoomId, RoomConfig],
) -> Amend:
    """The command for a change. A new zone alone moves nothing: start and end are instants."""
    reader = Reader(config, rooms)
    room_ids = None if body.rooms is None else reader.rooms(body.rooms)
    zone = reader.zone(body.time_zone or meeting.time_zone, ())
    start_s = None if body.start is None else reader.moment("start", body.start, zone)
    end_s = None if body.end is None else reader.moment("end", body.end, zone)
    if start_s is not None and body.end is None:
        end_s = start_s + meeting.end_s - meeting.start_s
    if not reader.errors and (start_s is not None or end_s is not None):
        reader.span(
            meeting.start_s if start_s is None else start_s, meeting.end_s if end_s is None else end_s
        )
    invitees = None if body.invitees is None else reader.people(body.invitees)
    reader.verdict()
    return Amend(
        id=meeting.id,
        revision=revision,
        rooms=room_ids,
        subject=None if body.subject is None else one_line(body.subject),
        invitees=invitees,
        description=None if body.description is None else paragraphs(body.description),
        start_s=start_s,
        end_s=end_s,
        time_zone=None if not body.time_zone else body.time_zone,
    )


def to_extension(body: ExtendBody, meeting: Meeting, revision: int) -> Amend:
    """The command that moves a meeting's end further out."""
    if (body.minutes is None) == (body.end is None):
        raise Invalid([FieldError("minutes", "send either `minutes` or `end`, one of them.")])
    try:
        if body.end is not None:
            end_s = times.instant_s(body.end, times.display_zone(meeting.time_zone))
        else:
            end_s = meeting.end_s + 60 * (body.minutes or 0)
        times.check_span(meeting.start_s, end_s)
    except times.WrongTime as error:
        raise Invalid([FieldError("end" if body.end else "minutes", str(error))]) from None
    if end_s <= meeting.end_s:
        raise Invalid(
            [FieldError("end", "is not later than the present end; to shorten a meeting, PATCH it.")]
        )
    return Amend(id=meeting.id, revision=revision, end_s=end_s)


def idempotency_of(key: str | None, caller: str, body: MeetingBody) -> tuple[str, str] | None:
    """The caller's key in the caller's own scope, and a hash of what was asked. Raises `TheirMistake`."""
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise TheirMistake(
            "idempotency-key",
            "The Idempotency-Key must be 1 to 255 visible ASCII characters. Send for example a UUID.",
        )
    return f"{caller}|{key}", hashlib.sha256(_encode(body)).hexdigest()


def revision_of(if_match: str | None) -> int | None:
    """The revision an If-Match header names; None for `*`, which takes whatever revision there is.

    Raises `TheirMistake`: `precondition-required` when the header is missing, `if-match` when it is no ETag of ours.
    """
    if if_match is None:
        raise TheirMistake(
            "precondition-required",
            "Send If-Match with the ETag of the meeting you looked at, so that nobody's change is overwritten unseen; "
            "`If-Match: *` takes it as it is.",
        )
    text = if_match.strip()
    if text == "*":
        return None
    digits = text.removeprefix("W/").strip('"')
    if not digits.isascii() or not digits.isdigit() or len(digits) > 18:
        raise TheirMistake(
            "if-match", f"{text[:40]!r} is no ETag of this server. Send the one GET answered with."
        )
    return int(digits)


def meeting_id_of(text: str) -> MeetingId:
    """An id as it stands in an address."""
    return MeetingId(text.strip().lower())
