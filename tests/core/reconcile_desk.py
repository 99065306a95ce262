"""A desk for reconcile tests: calendars that people edit, a State, and a keeper that carries findings over plainly.

The keeper here knows no bridge and no mail; it keeps what the findings say, so that what is tested is the findings.
"""

# ruff: noqa: DTZ001 - wall times are naive on purpose

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from meetkeeper.core.changes import ConfigDeployed, MeetingKept, MeetingStepped, SeriesKept, apply, raw
from meetkeeper.core.configuration import (
    BrakeConfig,
    CaldavCalendar,
    ClusterConfig,
    Config,
    MailConfig,
    NoCalendar,
    RoomConfig,
    TimeConfig,
)
from meetkeeper.core.events import PageSeen
from meetkeeper.core.findings import Changed, New, PageFindings, SeriesEvent, UidFindings, Vanished
from meetkeeper.core.identity import fingerprint, meeting_id
from meetkeeper.core.reconcile import digest_page, due_uids, horizon_s, release_brake, roll, settle
from meetkeeper.core.state import State
from meetkeeper.core.words import (
    OPEN_STEPS,
    CalendarItem,
    Entry,
    Meeting,
    MeetingId,
    Person,
    RoomId,
    Step,
    Uid,
)
from meetkeeper.core.zones import DAY_S, wall_s

NOON = datetime(2026, 3, 2, 12)
"""A Monday; the desk's clock begins here, in UTC."""
NOW_S = wall_s(NOON)
HOUR_S = 3_600
A, B, C, HALL = RoomId("a"), RoomId("b"), RoomId("c"), RoomId("hall")
ANN, BEN = Person("ann@corp.example", "Ann"), Person("ben@corp.example", "Ben")


def config(**parts: Any) -> Config:
    """Rooms a, b, c with calendars that settle for ten seconds, and a hall without one."""
    rooms = [
        RoomConfig(
            id=name,
            email=f"{name}@rooms.example",
            calendar=CaldavCalendar(url="https://calendar.example/", settle_s=10.0),
        )
        for name in (A, B, C)
    ]
    known: dict[str, Any] = {
        "cluster": ClusterConfig(secret="s" * 32),
        "rooms": (*rooms, RoomConfig(id=HALL, calendar=NoCalendar())),
        "time": TimeConfig(horizon_days=30),
        "brake": BrakeConfig(items_min=3, percent=20),
        "mail": MailConfig(),
    }
    return Config(**{**known, **parts})


def entry(hours: float = 24, **fields: Any) -> Entry:
    """An hour in UTC, so many hours from the desk's begin, Ann inviting Ben."""
    known = {
        "start": NOON + timedelta(hours=hours),
        "duration_s": HOUR_S,
        "zone": "UTC",
        "subject": "Talk",
        "organizer": ANN,
        "attendees": (BEN,),
    }
    return Entry(**{**known, **fields})


def item(uid: str, master: Entry | None, *overrides: Entry, href: str = "", etag: str = "") -> CalendarItem:
    """An item under its own name unless said otherwise."""
    return CalendarItem(
        href=href or f"{uid}.ics",
        uid=Uid(uid),
        fingerprint=fingerprint(master, overrides),
        etag=etag,
        master=master,
        overrides=overrides,
    )


def single(uid: str, hours: float = 24, **fields: Any) -> CalendarItem:
    """A single meeting."""
    return item(uid, entry(hours, **fields))


def weekly(uid: str, *overrides: Entry, hours: float = 24, **fields: Any) -> CalendarItem:
    """A weekly series."""
    return item(uid, entry(hours, **{"rrule": "FREQ=WEEKLY", **fields}), *overrides)


def single_id(uid: str) -> MeetingId:
    """The id of the single meeting."""
    return meeting_id(Uid(uid), None)


def nth_id(uid: str, hours: float) -> MeetingId:
    """The id of the occurrence that the series put so many hours from the desk's begin."""
    return meeting_id(Uid(uid), NOW_S + int(hours * HOUR_S))


class Desk:
    """State, clock, and the rooms' calendars as people edit them."""

    def __init__(self, settings: Config | None = None, now_s: float = NOW_S) -> None:
        self.state = State()
        self.now_s = now_s
        self.calendars: dict[RoomId, dict[str, CalendarItem]] = {A: {}, B: {}, C: {}}
        self.deploy(settings or config())

    def deploy(self, settings: Config) -> None:
        """Put a configuration in force."""
        apply(self.state, ConfigDeployed(self.state.config_revision + 1, "test", raw(settings)))

    # --- what people and calendars do --------------------------------------------------------------------------------

    def put(self, room: RoomId, *items: CalendarItem) -> None:
        """Somebody writes items into a room's calendar."""
        for one in items:
            self.calendars[room][one.href] = one

    def remove(self, room: RoomId, *hrefs: str) -> None:
        """Somebody deletes items."""
        for href in hrefs:
            self.calendars[room].pop(href, None)

    def full(self, room: RoomId, cookie: str | None = None) -> PageFindings:
        """A complete pass in one page."""
        items = tuple(self.calendars[room].values())
        listing = frozenset(self.calendars[room])
        return self.page(PageSeen(room, items, cookie=cookie, listing=listing))

    def show(self, room: RoomId, *items: CalendarItem, gone: Iterable[str] = ()) -> PageFindings:
        """Somebody edits a room's calendar, and the increment arrives."""
        self.put(room, *items)
        names = tuple(gone)
        self.remove(room, *names)
        return self.page(PageSeen(room, items, names))

    def page(self, page: PageSeen) -> PageFindings:
        """A page arrives and is kept."""
        findings = digest_page(self.state, page, self.now_s)
        for change in findings.changes:
            apply(self.state, change)
        return findings

    def release(self, room: RoomId, how: Any) -> PageFindings:
        """A person decides about the brake."""
        findings = release_brake(self.state, room, how, self.now_s)
        for change in findings.changes:
            apply(self.state, change)
        return findings

    def step(self, meeting: MeetingId, step: Step) -> None:
        """A meeting's clock moves it on."""
        apply(self.state, MeetingStepped(meeting, step, self.now_s))

    # --- the keeper's part -------------------------------------------------------------------------------------------

    def wait(self, seconds: float = 10.0) -> list[UidFindings]:
        """Time passes, and what has settled is carried over."""
        self.now_s += seconds
        found = []
        while uids := due_uids(self.state, self.now_s):
            for uid in uids:
                found.append(self.settle(uid))
        return found

    def settle(self, uid: str) -> UidFindings:
        """Settle one UID and carry its findings over."""
        findings = settle(self.state, Uid(uid), self.now_s)
        self.carry(findings)
        return findings

    def roll(self) -> list[UidFindings]:
        """Let the horizon bring further occurrences."""
        horizon = horizon_s(self.state, self.now_s)
        behind = [uid for uid, row in self.state.series.items() if row.expanded_until_s < horizon]
        found = [roll(self.state, uid, self.now_s) for uid in behind]
        for findings in found:
            self.carry(findings)
        return found

    def carry(self, findings: UidFindings) -> None:
        """Keep what was found."""
        for change in findings.items:
            apply(self.state, change)
        if findings.series is not None:
            series = findings.series.series
            if findings.series.told:
                series = replace(series, revision=series.revision + 1)
            assert series.over == (findings.series.event is SeriesEvent.ENDED)
            apply(self.state, SeriesKept(series.uid, findings.series.expanded_until_s, raw(series)))
        for finding in findings.meetings:
            match finding:
                case New():
                    self._keep(finding.meeting, Step.SCHEDULED)
                case Changed():
                    self._keep(replace(finding.after, revision=finding.after.revision + 1), finding.step)
                case Vanished():
                    self._keep(finding.meeting, Step.CANCELLED)

    def _keep(self, meeting: Meeting, step: Step) -> None:
        series = None if meeting.original_start_s is None else meeting.uid
        body = raw(meeting)
        apply(
            self.state,
            MeetingKept(meeting.id, meeting.start_s, meeting.end_s, meeting.rooms, step, body, series=series),
        )

    # --- looking -----------------------------------------------------------------------------------------------------

    def open(self) -> list[Meeting]:
        """Open meetings by start."""
        rows = [row for row in self.state.meetings.values() if row.step in OPEN_STEPS]
        return sorted((self.state.decode(row) for row in rows), key=lambda one: (one.start_s, one.id))

    def step_of(self, meeting: MeetingId) -> Step:
        """Where a meeting stands."""
        return self.state.meetings[meeting].step

    def picture(self) -> dict[str, Any]:
        """What a person may rely on: open meetings that are not over, series that go on, items seen and held."""
        meetings = [one for one in self.open() if one.end_s > self.now_s]
        plain = {"revision": 1, "sequence": 0, "modified_s": 0, "vmr": None}
        series = [self.state.one_series(uid) for uid in sorted(self.state.series)]
        rows = [row for of_room in self.state.items.values() for row in of_room.values()]
        return {
            "meetings": [replace(one, **plain) for one in meetings],
            "series": [
                (one.uid, one.digest, one.rooms) for one in series if one is not None and not one.over
            ],
            "items": sorted((row.room, row.href, row.uid, row.fingerprint, row.held) for row in rows),
            "unsettled": dict(self.state.unsettled),
        }


__all__ = ["ANN", "BEN", "DAY_S", "HALL", "HOUR_S", "NOON", "NOW_S", "A", "B", "C", "Desk"]
