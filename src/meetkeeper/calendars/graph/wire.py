"""What Graph sends, as records: collections and events, as far as they matter. Pure.

Every field may be missing or null. An event that can't be read costs itself alone, a collection that can't be read is
none; whatever has no id is no event.
"""

import msgspec
from msgspec import Raw, Struct, field
from msgspec.structs import replace

from meetkeeper.calendars.graph.patterns import Recurrence
from meetkeeper.itemtext.texts import one_line

CATEGORY = "meetkeeper"
"""Marks items that were written here, for people and for `is_ours`."""
ID_CHARS_MAX = 1_000


class Moment(Struct, frozen=True, gc=False):
    """`dateTimeTimeZone`."""

    dateTime: str = ""  # noqa: N815 - as on the wire
    timeZone: str | None = None  # noqa: N815


class Address(Struct, frozen=True, gc=False):
    """`emailAddress`."""

    address: str | None = None
    name: str | None = None


class Guest(Struct, frozen=True, gc=False):
    """`recipient` and `attendee`."""

    emailAddress: Address | None = None  # noqa: N815
    type: str | None = None


class Body(Struct, frozen=True, gc=False):
    """`itemBody`."""

    content: str | None = None
    contentType: str | None = None  # noqa: N815


class Response(Struct, frozen=True, gc=False):
    """`responseStatus`."""

    response: str | None = None


class Location(Struct, frozen=True, gc=False):
    """`location`."""

    displayName: str | None = None  # noqa: N815


class Online(Struct, frozen=True, gc=False):
    """`onlineMeetingInfo`."""

    joinUrl: str | None = None  # noqa: N815


class Removed(Struct, frozen=True, gc=False):
    """`@removed`: why is of no use, it says "deleted" for what merely lies outside of the window."""

    reason: str | None = None


class Property(Struct, frozen=True, gc=False):
    """`singleValueLegacyExtendedProperty`."""

    id: str = ""
    value: str | None = None


class Event(Struct, frozen=True):
    """`event`, as far as it matters. `size` is that of its JSON text, in bytes."""

    id: str
    type: str | None = None
    removed: Removed | None = field(default=None, name="@removed")
    subject: str | None = None
    body: Body | None = None
    start: Moment | None = None
    end: Moment | None = None
    is_all_day: bool | None = field(default=None, name="isAllDay")
    is_cancelled: bool | None = field(default=None, name="isCancelled")
    is_organizer: bool | None = field(default=None, name="isOrganizer")
    response_status: Response | None = field(default=None, name="responseStatus")
    sensitivity: str | None = None
    organizer: Guest | None = None
    attendees: tuple[Guest, ...] | None = None
    uid: str | None = field(default=None, name="iCalUId")
    master_id: str | None = field(default=None, name="seriesMasterId")
    recurrence: Recurrence | None = None
    original_start: str | None = field(default=None, name="originalStart")
    original_zone: str | None = field(default=None, name="originalStartTimeZone")
    occurrence_id: str | None = field(default=None, name="occurrenceId")
    modified: str | None = field(default=None, name="lastModifiedDateTime")
    change_key: str | None = field(default=None, name="changeKey")
    etag: str | None = field(default=None, name="@odata.etag")
    categories: tuple[str, ...] | None = None
    location: Location | None = None
    online: Online | None = field(default=None, name="onlineMeeting")
    online_url: str | None = field(default=None, name="onlineMeetingUrl")
    properties: tuple[Property, ...] | None = field(default=None, name="singleValueExtendedProperties")
    exceptions: tuple[Raw, ...] | None = field(default=None, name="exceptionOccurrences")
    cancelled_ids: tuple[str, ...] | None = field(default=None, name="cancelledOccurrences")
    size: int = field(default=0, name="-size")

    @property
    def is_ours(self) -> bool:
        """Written by us, as far as the visible mark says."""
        return CATEGORY in (self.categories or ())


class Broken(Struct, frozen=True):
    """An event that can't be read beyond its id."""

    id: str
    sentence: str = "Microsoft 365 gave it in a form that can't be read; open and save it."


class _Named(Struct, frozen=True):
    id: str


class _Called(Struct, frozen=True):
    name: str | None = None


class Page(Struct, frozen=True):
    """A collection: `value`, and where to go on or where to ask for changes."""

    value: tuple[Raw, ...]
    next_link: str | None = field(default=None, name="@odata.nextLink")
    delta_link: str | None = field(default=None, name="@odata.deltaLink")


_PAGE = msgspec.json.Decoder(Page)
_EVENT = msgspec.json.Decoder(Event)
_NAMED = msgspec.json.Decoder(_Named)


def read_page(body: bytes) -> Page | None:
    """The collection; None for anything else."""
    try:
        return _PAGE.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def read_event(body: Raw | bytes) -> Event | Broken | None:
    """One event; None when not even an id can be read."""
    try:
        event = _EVENT.decode(body)
        return replace(event, size=len(bytes(body))) if _fits(event.id) else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        named = _NAMED.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return Broken(named.id) if _fits(named.id) else None


def read_name(body: bytes) -> str:
    """What a calendar is called; "" when it does not say."""
    try:
        return one_line(msgspec.json.decode(body, type=_Called).name or "", 100)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def _fits(name: str) -> bool:
    """Printable ASCII, which every id of Graph is; whatever else would have to be quoted in more ways than one."""
    return 0 < len(name) <= ID_CHARS_MAX and name.isascii() and name.isprintable() and " " not in name
