"""From a calendar item to the meetings it stands for in a span of time.

Between `calendars.*.mapping`, which reads an item, and `core.reconcile`, which compares its meetings with ours;
bookings of a series come through here too. Own code, because a rule must stay bounded whatever somebody's calendar
says: a rule that never matches, ten thousand meetings, a series begun in another century.

Rules of this file. A meeting's identity in its series is its *original* start, the instant the series gave it, however
it was moved later. Everything is compared as an instant, so an exception date may be written in any zone. Bad data is
a problem told in a sentence and costs as little as possible: a rule that can't be used leaves the first meeting.
"""

from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, tzinfo
from heapq import merge
from itertools import islice

from msgspec import Struct

from meetkeeper.core.errors import TheirMistake
from meetkeeper.core.rrule import Until, read_rule
from meetkeeper.core.walk import walk
from meetkeeper.core.words import DURATION_MAX_S, START_MAX_S, START_MIN_S, CalendarItem, Entry, Occurrence
from meetkeeper.core.zones import DAY_S, find_zone, to_instant, wall_s

OCCURRENCES_MAX = 1_000
"""Occurrences given for one item and window; of more, the earliest are given and a problem says so."""
STARTS_MAX = 20_000
"""Starts of a series looked at for one window, exceptions and moves included."""
SERIES_START_MIN_S = -2_208_988_800
"""A series may have begun as early as 1900, its meetings count from `words.START_MIN_S` on. Wall seconds."""
_SLACK_S = 2 * DAY_S
"""Walls differ from UTC, and from themselves over a year, by less than this."""


class Expansion(Struct, frozen=True, gc=False):
    """Occurrences by start, and sentences about what could not be taken as written."""

    occurrences: tuple[Occurrence, ...] = ()
    problems: tuple[str, ...] = ()


def expand(item: CalendarItem, room_zone: str, from_s: int, until_s: int) -> Expansion:
    """The occurrences that share an instant with [from_s, until_s), or that the series had put there before they moved.

    `room_zone` (IANA) is where floating times and midnights are read. Never raises: what is malformed is a problem.
    """
    return _Reader(item, room_zone).expand(from_s, until_s)


def following(item: CalendarItem, room_zone: str, from_s: int) -> Occurrence | None:
    """The first occurrence that ends after `from_s`; None when there is none."""
    return _Reader(item, room_zone).following(from_s)


class _Shift(Struct, frozen=True, gc=False):
    """From the instant `since_s` on, starts lie `by_s` (on the wall) later and take their content from `entry`."""

    since_s: int
    by_s: int
    entry: Entry


class _Reader:
    """One item being read: its zones, exceptions and moves, and the problems found on the way."""

    def __init__(self, item: CalendarItem, room_zone: str) -> None:
        self.problems: dict[str, None] = {}
        self.master = item.master
        self._room = self._known(room_zone, UTC) if room_zone else UTC
        self._wall = self._room if item.master is None else self._zone(item.master)
        self._overrides: dict[int, Entry] = {}
        self._shifts: list[_Shift] = []
        self._excluded: set[int] = set()
        self._excluded_days: set[int] = set()
        for entry in item.overrides:
            self._read_override(entry)
        self._shifts.sort(key=lambda shift: shift.since_s)
        self._since = [shift.since_s for shift in self._shifts]
        if self.master is not None:
            self._read_exceptions(self.master)

    def expand(self, from_s: int, until_s: int) -> Expansion:
        """What `expand` says."""
        found: list[Occurrence] = []
        for one in self._occurrences(from_s, until_s):
            if _matters(one, from_s, until_s):
                found.append(one)
                if len(found) > OCCURRENCES_MAX + len(self._overrides):
                    break
        found.sort(key=_by_start)
        if len(found) > OCCURRENCES_MAX:
            self._problem(
                f"It has more than {OCCURRENCES_MAX} meetings in this span; the earliest are taken."
            )
            del found[OCCURRENCES_MAX:]
        return Expansion(tuple(found), tuple(self.problems))

    def following(self, from_s: int) -> Occurrence | None:
        """What `following` says: the earliest of all overrides and the next one that is none."""
        found: list[Occurrence] = []
        for one in self._occurrences(from_s, START_MAX_S):
            if one.end_s > from_s:
                found.append(one)
                if one.original_start_s not in self._overrides:
                    break
        return min(found, key=_by_start, default=None)

    # --- reading ---------------------------------------------------------------------------------------------------

    def _problem(self, sentence: str) -> None:
        self.problems[sentence] = None

    def _known(self, name: str, fallback: tzinfo) -> tzinfo:
        zone = find_zone(name)
        if zone is None:
            self._problem(f"The time zone {name[:60]!r} is not known; its times are read as {fallback}.")
            return fallback
        return zone

    def _zone(self, entry: Entry) -> tzinfo:
        """Where the entry's wall hangs; all-day entries hang in the room."""
        return self._room if entry.all_day or not entry.zone else self._known(entry.zone, self._room)

    def _read_override(self, entry: Entry) -> None:
        if entry.recurrence_id is None:
            self._problem("It has an override that does not say which meeting it overrides.")
            return
        zone = self._zone(entry) if self.master is None else self._wall
        given = wall_s(entry.recurrence_id)
        original_s = to_instant(given, zone)
        known = self._overrides.get(original_s)
        if known is not None and (known.sequence, known.modified_s) > (entry.sequence, entry.modified_s):
            return
        self._overrides[original_s] = entry
        self._shifts = [shift for shift in self._shifts if shift.since_s != original_s]
        if entry.this_and_future:
            self._shifts.append(_Shift(original_s, wall_s(entry.start) - given, entry))

    def _read_exceptions(self, master: Entry) -> None:
        timed = not master.all_day and wall_s(master.start) % DAY_S != 0
        for exdate in master.exdates:
            given = wall_s(exdate)
            self._excluded.add(to_instant(given, self._wall))
            if timed and given % DAY_S == 0:
                # A date where a time is wanted: many calendars mean the whole day.
                self._excluded_days.add(given)

    # --- occurrences -----------------------------------------------------------------------------------------------

    def _occurrences(self, from_s: int, until_s: int) -> Iterator[Occurrence]:
        """Overrides wherever they are, then the others by original start, from near the window on; not yet filtered."""
        if self.master is not None and self.master.cancelled:
            return
        yield from self._overridden(from_s, until_s)
        seen = self._overrides.keys() | self._excluded
        for at in self._walls(from_s, until_s):
            original_s = to_instant(at, self._wall)
            if original_s in seen or at - at % DAY_S in self._excluded_days:
                continue
            seen.add(original_s)
            one = self._placed(at, original_s)
            if one is not None:
                yield one

    def _walls(self, from_s: int, until_s: int) -> Iterator[int]:
        """Original starts in wall seconds, ascending, all that may matter for the window; UNTIL and COUNT are kept."""
        master = self.master
        if master is None:
            return
        start = wall_s(master.start)
        if not (master.rrule or master.rdates):
            yield start
            return
        longest = min(
            DURATION_MAX_S, max([master.duration_s, *(shift.entry.duration_s for shift in self._shifts)])
        )
        later = max((shift.by_s for shift in self._shifts), default=0)
        earlier = min((shift.by_s for shift in self._shifts), default=0)
        low = from_s - _SLACK_S - max(0, later) - max(0, longest)
        high = min(until_s - min(0, earlier), START_MAX_S) + _SLACK_S
        dates = sorted(at for rdate in master.rdates if low <= (at := wall_s(rdate)) <= high)
        for looked, at in enumerate(merge(dates, self._ruled(master, start, low, high))):
            if looked == STARTS_MAX:
                self._problem(f"More than {STARTS_MAX} starts had to be looked at; later ones are left out.")
                return
            yield at

    def _ruled(self, master: Entry, start: int, low: int, high: int) -> Iterator[int]:
        """The starts that the rule gives; the first one alone when there is no rule, or none that can be used."""
        if start < SERIES_START_MIN_S:
            self._problem("The series began before 1900; its meetings are left out.")
            return
        try:
            if not master.rrule:
                yield from (start,) if low <= start <= high else ()
                return
            rule = read_rule(master.rrule)
            until_s = START_MAX_S if rule.until is None else self._until(master, rule.until)
            for at in walk(rule, start, low, high):
                if at != start and to_instant(at, self._wall) > until_s:
                    return
                yield at
        except TheirMistake as mistake:
            self._problem(mistake.message)
            if low <= start <= high:
                yield start

    def _until(self, master: Entry, until: Until) -> int:
        """The last instant at which an instance may start. Midnight UTC stands for the date in an all-day series."""
        if until.utc and not (master.all_day and until.seconds % DAY_S == 0):
            return until.seconds
        return to_instant(min(until.seconds, START_MAX_S), self._wall)

    def _overridden(self, from_s: int, until_s: int) -> list[Occurrence]:
        """The overrides that matter for the window, those left over from an earlier rule taken out."""
        found = []
        for original_s, entry in self._overrides.items():
            if original_s not in self._excluded:
                one = self._occurrence(entry, original_s, wall_s(entry.start))
                if one is not None and _matters(one, from_s, until_s):
                    found.append(one)
        left_over = self._left_over(found)
        return [one for one in found if one.original_start_s not in left_over]

    def _left_over(self, overridden: list[Occurrence]) -> set[int]:
        """Original starts of overrides that override nothing and are older than the master (RFC 5546 §3.2.2).

        The master's rule has changed since: its calendar should have swept them.
        """
        master = self.master
        if master is None:
            return set()
        older = {
            one.original_start_s: wall_s(one.entry.recurrence_id)
            for one in overridden
            if one.entry.sequence < master.sequence and one.entry.recurrence_id is not None
        }
        if not older:
            return set()
        ruled = self._ruled(master, wall_s(master.start), min(older.values()), max(older.values()))
        given = set(islice(ruled, STARTS_MAX))
        if len(given) == STARTS_MAX:
            return set()
        given.update(wall_s(rdate) for rdate in master.rdates)
        left = {original_s for original_s, at in older.items() if at not in given}
        if left:
            self._problem("It has changes to meetings that its rule no longer gives; they are left out.")
        return left

    def _placed(self, at: int, original_s: int) -> Occurrence | None:
        """The occurrence that nobody overrides, moved by the latest "this and future" before it."""
        index = bisect_right(self._since, original_s) - 1
        if index < 0:
            assert self.master is not None, "starts come from a master"
            return self._occurrence(self.master, original_s, at)
        shift = self._shifts[index]
        return self._occurrence(shift.entry, original_s, at + shift.by_s)

    def _occurrence(self, entry: Entry, original_s: int, at: int) -> Occurrence | None:
        """The entry's meeting that starts at these wall seconds; None for one that is cancelled or can't be."""
        if entry.cancelled:
            return None
        if not 0 < entry.duration_s <= DURATION_MAX_S:
            days = DURATION_MAX_S // DAY_S
            self._problem(
                f"It lasts {entry.duration_s} s; a meeting lasts longer than nothing and at most {days} days."
            )
            return None
        zone = self._zone(entry)
        start_s = to_instant(at, zone) if abs(at) <= START_MAX_S + _SLACK_S else at
        if not START_MIN_S <= start_s < START_MAX_S:
            if not (entry.rrule or entry.rdates):
                self._problem("It does not start between 1970 and 2100.")
            return None
        whole_days = entry.all_day and entry.duration_s % DAY_S == 0
        end_s = to_instant(at + entry.duration_s, zone) if whole_days else start_s + entry.duration_s
        return Occurrence(original_s, start_s, end_s, entry)


def _matters(one: Occurrence, from_s: int, until_s: int) -> bool:
    """It shares an instant with the window, or the series had put it there before it moved."""
    return (one.start_s < until_s and one.end_s > from_s) or from_s <= one.original_start_s < until_s


def _by_start(one: Occurrence) -> tuple[int, int]:
    return one.start_s, one.original_start_s
