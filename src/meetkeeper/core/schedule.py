"""What is due when: the life of a meeting as arithmetic, and a view of it sorted by time.

The view is derived from State and may be rebuilt at any moment. Meetings due within two days stand in a heap, the
others in a list per day, so that a million future meetings cost eight bytes each and not a heap entry.
"""

from collections.abc import Iterable
from enum import StrEnum
from heapq import heapify, heappop, heappush

from meetkeeper.core.configuration import TimeConfig
from meetkeeper.core.words import MeetingId, Step

DAY_S = 86_400
NEAR_S = 2 * DAY_S


class Act(StrEnum):
    """What a meeting's clock asks for."""

    VERIFY = "verify"
    OPEN = "open"
    WARN = "warn"
    END = "end"
    FORGET = "forget"


# Looking a member up in its enum takes longer than the arithmetic below, and every kept meeting comes by here.
_SCHEDULED, _PROVISIONED, _LIVE, _ENDING = Step.SCHEDULED, Step.PROVISIONED, Step.LIVE, Step.ENDING
_VERIFY, _OPEN, _WARN, _END, _FORGET = Act


def next_due(
    start_s: int, end_s: int, step: Step, time: TimeConfig, *, verified: bool = False
) -> tuple[int, Act]:
    """When the meeting next wants something, and what. A pure function of where it stands.

    A meeting found late is due in the past: `keeper` starts it at once inside its window, and after its end ends it
    without ever having started it. One whose VMR was never confirmed is verified too: it needs that most.
    """
    if step is _SCHEDULED or step is _PROVISIONED:
        if not verified and time.verify_before_s > time.open_before_s:
            return start_s - time.verify_before_s, _VERIFY
        return start_s - time.open_before_s, _OPEN
    if step is _LIVE and time.warn_before_s and end_s - time.warn_before_s > start_s:
        return end_s - time.warn_before_s, _WARN
    if step is _LIVE or step is _ENDING:
        return end_s, _END
    return end_s + time.keep_days * DAY_S, _FORGET


class DueView:
    """Meeting ids by the time they are next due. May name a meeting too often or too early; never too late."""

    __slots__ = ("_far", "_heap", "_near_until_s", "_time", "seen_s", "verified")

    def __init__(self) -> None:
        self._time = TimeConfig()
        self._heap: list[tuple[int, MeetingId]] = []
        self._far: dict[int, list[MeetingId]] = {}
        self._near_until_s = 0
        self.seen_s = 0.0
        """The latest time at which anything was decided. It goes back only when what a wrong clock did is mended."""
        self.verified: dict[MeetingId, int] = {}
        """Meetings whose VMR this server has verified, and before which start; a new server verifies again."""

    def watch(self, meeting_id: MeetingId, start_s: int, end_s: int, step: Step) -> None:
        """The meeting is new or has changed."""
        due_s, _ = next_due(
            start_s, end_s, step, self._time, verified=self.verified.get(meeting_id) == start_s
        )
        if due_s < self._near_until_s:
            heappush(self._heap, (due_s, meeting_id))
        else:
            day = due_s // DAY_S
            far = self._far.get(day)
            if far is None:
                self._far[day] = [meeting_id]
            else:
                far.append(meeting_id)

    def watch_many(self, meetings: Iterable[tuple[MeetingId, int, int, Step]]) -> None:
        """`watch` for many at once, while the view is still new: the rule is asked once for each step."""
        far = self._far
        shifts: dict[Step, tuple[int, int]] = {}
        for meeting_id, start_s, end_s, step in meetings:
            if step not in shifts:
                shifts[step] = self._shift(step)
            by_start, by_end = shifts[step]
            due_s = start_s + by_start
            if due_s > end_s + by_end:
                due_s = end_s + by_end
            day = due_s // DAY_S
            if day in far:
                far[day].append(meeting_id)
            else:
                far[day] = [meeting_id]

    def _shift(self, step: Step) -> tuple[int, int]:
        """A step's due time is the earlier of start and end, each moved by so much; perhaps too early, never late."""
        never = 1 << 40
        due_s, act = next_due(0, never, step, self._time)
        if act is Act.WARN or due_s > never // 2:
            return never, due_s - never
        return due_s, never

    def retime(self, time: TimeConfig, meetings: Iterable[tuple[MeetingId, int, int, Step]]) -> None:
        """The rules have changed: build the view anew."""
        self._time = time
        self._heap.clear()
        self._far.clear()
        self._near_until_s = 0
        for meeting_id, start_s, end_s, step in meetings:
            self.watch(meeting_id, start_s, end_s, step)

    def act(self, meeting_id: MeetingId, start_s: int, end_s: int, step: Step) -> tuple[int, Act]:
        """When and what the meeting is due for, by the rules in force."""
        return next_due(start_s, end_s, step, self._time, verified=self.verified.get(meeting_id) == start_s)

    def pull(self, now_s: float) -> list[MeetingId]:
        """Meetings that may be due by now, by due time; each must be watched again by whoever acts on it."""
        self._approach(now_s)
        due: dict[MeetingId, None] = {}
        while self._heap and self._heap[0][0] <= now_s:
            due[heappop(self._heap)[1]] = None
        return list(due)

    def watched(self) -> dict[MeetingId, int]:
        """For each meeting the earliest time it is watched for, so that a check can compare."""
        earliest: dict[MeetingId, int] = {}
        far = ((day * DAY_S, meeting_id) for day, ids in self._far.items() for meeting_id in ids)
        for due_s, meeting_id in (*self._heap, *far):
            earliest[meeting_id] = min(due_s, earliest.get(meeting_id, due_s))
        return earliest

    def next_s(self, now_s: float) -> float:
        """The earliest instant at which somebody may be due; at most a day from now."""
        self._approach(now_s)
        return min(float(self._heap[0][0]), now_s + DAY_S) if self._heap else now_s + DAY_S

    def _approach(self, now_s: float) -> None:
        """Move days that have come near into the heap. Their entries are due at once and looked at when pulled."""
        wanted_s = (int(now_s) // DAY_S) * DAY_S + NEAR_S
        if wanted_s <= self._near_until_s:
            return
        self._near_until_s = wanted_s
        days = [day for day in self._far if day * DAY_S < wanted_s]
        for day in days:
            self._heap.extend((day * DAY_S, meeting_id) for meeting_id in self._far.pop(day))
        if days:
            heapify(self._heap)
