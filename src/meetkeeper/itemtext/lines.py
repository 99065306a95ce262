"""iCalendar bytes → a bounded tree of components with the few properties we read (RFC 5545 section 3).

Everything hostile stops here: size, folding, nesting and counts are bounded, and whatever can't be read is said in one
sentence (`Unreadable`). Parameters are taken apart here: names with backslashes and percent signs stay as they are.
Properties nobody reads (attachments, HTML bodies, alarms' own) are passed over unparsed.
"""

import re
from collections.abc import Iterator, Mapping

from icalendar.parser import Contentline, Contentlines
from msgspec import Struct

ITEM_BYTES_MAX = 1 << 20
"""Largest item read; a meeting with a whole company in it is a tenth of that."""
LINES_MAX = 50_000
LINE_CHARS_MAX = 65_536
"""Longest unfolded line read; longer texts are cut here, any other longer property makes the item unreadable."""
COMPONENTS_MAX = 2_500
DEPTH_MAX = 8

TEXTS = frozenset({"SUMMARY", "DESCRIPTION", "LOCATION"})
CONFERENCES = (
    "X-GOOGLE-CONFERENCE",
    "X-MICROSOFT-SKYPETEAMSMEETINGURL",
    "X-MICROSOFT-ONLINEMEETINGEXTERNALLINK",
    "X-MICROSOFT-ONLINEMEETINGCONFLINK",
    "CONFERENCE",
    "URL",
)
"""Properties that name a way in, the most trusted first (RFC 7986 section 5.11; the X- ones as Google and Microsoft
write them)."""
OURS = "X-MEETKEEPER-ITEM"
"""Stands in items that we wrote ourselves: where they are held and how to get in was our own word."""
PEOPLE = frozenset({"ORGANIZER", "ATTENDEE"})
_EVENT = (
    TEXTS
    | PEOPLE
    | frozenset(CONFERENCES)
    | frozenset(
        {
            "UID",
            "DTSTART",
            "DTEND",
            "DURATION",
            "RRULE",
            "EXRULE",
            "RDATE",
            "EXDATE",
            "RECURRENCE-ID",
            "STATUS",
            "CLASS",
            "SEQUENCE",
            "LAST-MODIFIED",
            "DTSTAMP",
            "X-MICROSOFT-CDO-ALLDAYEVENT",
            OURS,
        }
    )
)
_OBSERVANCE = frozenset({"DTSTART", "TZOFFSETFROM", "TZOFFSETTO", "RRULE", "RDATE"})
_READ: Mapping[str, frozenset[str]] = {
    "VCALENDAR": frozenset({"METHOD"}),
    "VEVENT": _EVENT,
    "VTIMEZONE": frozenset({"TZID", "X-LIC-LOCATION"}),
    "STANDARD": _OBSERVANCE,
    "DAYLIGHT": _OBSERVANCE,
}
_TIMES = frozenset({"DTSTART", "DTEND", "RECURRENCE-ID", "EXDATE", "RDATE"})
_CARET = {"n": "\n", "'": '"', "^": "^"}
_CARETS = re.compile(r"\^([n'^])")
_PARAMETER = re.compile(r'[ \t]*([A-Za-z0-9-]{1,64})[ \t]*=((?:"[^"]*"|[^";:])*);?')
_HEAD = re.compile(r'[^:;]+((?:;(?:"[^"]*"|[^":])*)?):')
_NAME = re.compile(r"[ \t]*([A-Za-z0-9-]{1,64})[ \t]*[;:]")


class Unreadable(Exception):
    """The item can't be read. The message is a sentence for people and gives away nothing of its content."""


class Line(Struct, frozen=True, gc=False):
    """One property: its name in upper case, its parameters by upper-case name, its value as it stands (escaped)."""

    name: str
    params: Mapping[str, str]
    value: str


class Component(Struct, frozen=True):
    """One BEGIN…END: the lines that are read, the components inside, and names of lines that were broken."""

    name: str
    lines: tuple[Line, ...]
    parts: tuple["Component", ...]
    broken: tuple[str, ...] = ()

    def all(self, name: str) -> Iterator[Line]:
        """Every line of this name, in the order written."""
        return (line for line in self.lines if line.name == name)

    def first(self, name: str) -> Line | None:
        """The first line of this name."""
        return next(self.all(name), None)

    def inside(self, name: str) -> Iterator["Component"]:
        """The components of this name directly inside."""
        return (part for part in self.parts if part.name == name)


class _Open:
    """A component whose END has not come yet."""

    __slots__ = ("broken", "lines", "name", "parts")

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: list[Line] = []
        self.parts: list[Component] = []
        self.broken: list[str] = []

    def close(self) -> Component:
        return Component(self.name, tuple(self.lines), tuple(self.parts), tuple(self.broken))


def parse(data: bytes) -> Component:
    """The one VCALENDAR in these bytes. Raises `Unreadable` for anything else."""
    root: Component | None = None
    stack: list[_Open] = []
    count = 0
    for text in _unfolded(data):
        match = _NAME.match(text)
        if match is None:
            continue
        name = match[1].upper()
        if name == "BEGIN":
            count += 1
            if count > COMPONENTS_MAX or len(stack) >= DEPTH_MAX:
                raise Unreadable(f"It holds more than {COMPONENTS_MAX} parts, or parts nested too deeply.")
            if root is not None:
                raise Unreadable("It holds several calendars; keep one meeting in each item.")
            stack.append(_Open(text[match.end() :].strip().upper()[:64]))
        elif name == "END":
            root = _end(stack, text[match.end() :].strip().upper())
        elif stack and name in _READ.get(stack[-1].name, ()):
            _take(stack[-1], name, text)
    if root is None:
        raise Unreadable(
            "It ends before END:VCALENDAR; it is cut off or still being written."
            if stack
            else "It is not iCalendar."
        )
    return root


def _unfolded(data: bytes) -> list[Contentline]:
    if len(data) > ITEM_BYTES_MAX:
        raise Unreadable(f"It is larger than {ITEM_BYTES_MAX // 1024} KiB; take attachments out of it.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unreadable("It is not UTF-8 text (RFC 5545 section 3.1.4).") from None
    if "\0" in text:
        raise Unreadable("It holds NUL bytes; it is damaged or still being written.")
    if text.count("\n") > LINES_MAX:
        raise Unreadable(f"It has more than {LINES_MAX} lines.")
    return Contentlines.from_ical(text)  # type: ignore[no-untyped-call, no-any-return]


def _end(stack: list[_Open], name: str) -> Component | None:
    """Close the innermost component; answers with the calendar itself once that is closed."""
    if not stack or stack[-1].name != name:
        raise Unreadable("Its BEGIN and END lines do not match; it is damaged or still being written.")
    done = stack.pop().close()
    if stack:
        stack[-1].parts.append(done)
        return None
    if done.name != "VCALENDAR":
        raise Unreadable("It is not a VCALENDAR.")
    return done


def _take(component: _Open, name: str, text: str) -> None:
    if len(text) > LINE_CHARS_MAX:
        if name in CONFERENCES:
            component.broken.append(name)
            return
        if name not in TEXTS:
            raise Unreadable(f"Its {name} is longer than {LINE_CHARS_MAX} characters.")
        text = text[:LINE_CHARS_MAX]
    match = _HEAD.match(text)
    if match is None:
        component.broken.append(name)
        return
    params = {one[1].upper(): _plain(one[2]) for one in _PARAMETER.finditer(match[1])}
    value = text[match.end() :]
    if name in _TIMES and ":" in value and params:  # TZID=(UTC+01:00) Berlin:2026…, which ought to be quoted
        more, _, value = value.rpartition(":")
        last = next(reversed(params))
        params[last] = f"{params[last]}:{more}"
    component.lines.append(Line(name, params, value))


def _plain(text: str) -> str:
    """A parameter's value without quotes, with the characters of RFC 6868 put back."""
    return _CARETS.sub(lambda match: _CARET[match[1]], text.strip().replace('"', ""))
