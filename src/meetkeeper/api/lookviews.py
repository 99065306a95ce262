"""What is answered when a room is looked at: what a resync would do, and what a doctor found."""

from msgspec import Struct

from meetkeeper.api import times
from meetkeeper.core.configuration import ClusterConfig
from meetkeeper.core.preview import Line, Preview
from meetkeeper.core.roomsettings import Examined, Finding

LINES_MAX = 500
"""Meetings named in an answer; all are counted."""


class _View(Struct, frozen=True, kw_only=True):
    pass


class LineView(_View, frozen=True, kw_only=True):
    """A meeting a resync would touch. `what`: create, change or delete; `new_uri` never ought to be true."""

    what: str
    meeting: str
    subject: str
    start: str
    rooms: tuple[str, ...]
    new_uri: bool


class ResyncView(_View, frozen=True, kw_only=True):
    """What a resync would do. `lines` come nearest first; `complete` is false when there are more than it holds."""

    room: str
    items: int
    problems: tuple[str, ...]
    creates: int
    changes: int
    deletes: int
    same: int
    held: int
    uris_changed: int
    mails: int
    written: int
    retired: int
    lines: tuple[LineView, ...]
    complete: bool


class FindingView(_View, frozen=True, kw_only=True):
    """One thing about a room. `level`: good, note, amber or red; `mend` is what to do."""

    code: str
    level: str
    text: str
    symptom: str
    mend: str


class ExaminedView(_View, frozen=True, kw_only=True):
    """What a doctor found in a room, the worst first."""

    room: str
    items: int
    findings: tuple[FindingView, ...]


_ORDER = ("red", "amber", "note", "good")


def resync_view(room: str, found: Preview, cluster: ClusterConfig) -> ResyncView:
    """A preview as it is answered."""

    def count(what: str) -> int:
        return sum(line.what == what for line in found.lines)

    return ResyncView(
        room=room,
        items=found.items,
        problems=tuple(f"{href}: {sentence}" for href, sentence in found.problems[:LINES_MAX]),
        creates=count("create"),
        changes=count("change"),
        deletes=count("delete"),
        same=found.same,
        held=found.held,
        uris_changed=found.uris_changed,
        mails=len(found.mails),
        written=found.written,
        retired=found.retired,
        lines=tuple(_line(line, cluster) for line in found.lines[:LINES_MAX]),
        complete=max(len(found.lines), len(found.problems)) <= LINES_MAX,
    )


def _line(line: Line, cluster: ClusterConfig) -> LineView:
    meeting = line.meeting
    zone = times.display_zone(meeting.time_zone, cluster.time_zone)
    return LineView(
        what=line.what,
        meeting=meeting.id,
        subject=meeting.subject,
        start=times.iso(meeting.start_s, zone),
        rooms=meeting.rooms,
        new_uri=line.new_uri,
    )


def examined_view(room: str, found: Examined) -> ExaminedView:
    """Findings as they are answered."""
    findings = sorted(found.findings, key=lambda one: _ORDER.index(one.level))
    return ExaminedView(room=room, items=found.items, findings=tuple(map(_finding, findings)))


def _finding(one: Finding) -> FindingView:
    return FindingView(code=one.code, level=one.level, text=one.text, symptom=one.symptom, mend=one.mend)
