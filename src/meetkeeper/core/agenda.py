"""Who occupies a room when: two indexes over the kept meetings, exact and fast to ask.

`Agenda` is one room's meetings sorted by start. `Occupancy` is, for every half hour, one integer with a bit per room
that somebody touches: "which of 1,000 rooms are free" is then an `or` over a few integers, and only the rooms touched
in the first or last half hour have to be looked at in their agenda.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from operator import sub
from typing import Protocol

from meetkeeper.core.words import OPEN_STEPS, MeetingId, RoomId, Step

SLOT_S = 1_800


class Spanning(Protocol):
    """What an index needs to know of a meeting (`state.Kept` is one)."""

    @property
    def id(self) -> MeetingId:
        """The meeting's id."""
        ...

    @property
    def start_s(self) -> int:
        """Its start."""
        ...

    @property
    def end_s(self) -> int:
        """Its end, exclusive."""
        ...

    @property
    def step(self) -> Step:
        """Where it stands."""
        ...


class Agenda:
    """One room's meetings by start. `starts[i]` is the start of `meetings[i]`; `longest_s` never shrinks."""

    __slots__ = ("longest_s", "meetings", "starts")

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.meetings: list[Spanning] = []
        self.longest_s = 0

    def put(self, meeting: Spanning) -> None:
        """Add a meeting that is not in it."""
        at = bisect_right(self.starts, meeting.start_s)
        self.starts.insert(at, meeting.start_s)
        self.meetings.insert(at, meeting)
        length_s = meeting.end_s - meeting.start_s
        if length_s > self.longest_s:
            self.longest_s = length_s

    def fill(self, meetings: list[Spanning]) -> None:
        """Take over many meetings, in one go; this agenda is empty and `meetings` sorted by start."""
        self.meetings = meetings
        self.starts = [meeting.start_s for meeting in meetings]
        self.longest_s = max(map(sub, [meeting.end_s for meeting in meetings], self.starts), default=0)

    def swap(self, old: Spanning, new: Spanning) -> None:
        """Put `new` where `old` is; both have the same span."""
        self.meetings[self._find(old)] = new

    def drop(self, meeting: Spanning) -> None:
        """Take a meeting out."""
        at = self._find(meeting)
        del self.starts[at]
        del self.meetings[at]

    def between(self, from_s: int, until_s: int) -> list[Spanning]:
        """Meetings that share an instant with [from_s, until_s), by start."""
        first = bisect_left(self.starts, from_s - self.longest_s)
        last = bisect_left(self.starts, until_s)
        if first == last:
            return []
        return [meeting for meeting in self.meetings[first:last] if meeting.end_s > from_s]

    def occupying(self, from_s: int, until_s: int) -> list[Spanning]:
        """Those of `between` that still hold the room."""
        return [meeting for meeting in self.between(from_s, until_s) if meeting.step in OPEN_STEPS]

    def _find(self, meeting: Spanning) -> int:
        at = bisect_left(self.starts, meeting.start_s)
        while self.meetings[at] is not meeting:
            at += 1
        return at


class Occupancy:
    """Which rooms are touched in each half hour: `busy[slot]` has the bit of every room with a meeting in that slot."""

    __slots__ = ("bits", "busy", "rooms")

    def __init__(self) -> None:
        self.busy: dict[int, int] = {}
        self.bits: dict[RoomId, int] = {}
        self.rooms: list[RoomId] = []

    def bit(self, room: RoomId) -> int:
        """The room's bit, given at first sight and never changed while this index lives."""
        bit = self.bits.get(room)
        if bit is None:
            bit = 1 << len(self.rooms)
            self.bits[room] = bit
            self.rooms.append(room)
        return bit

    def put(self, room: RoomId, start_s: int, end_s: int) -> None:
        """A meeting holds the room from here on."""
        bit, busy = self.bits.get(room) or self.bit(room), self.busy
        slot, end = start_s // SLOT_S, -(-end_s // SLOT_S)
        while slot < end:
            busy[slot] = busy.get(slot, 0) | bit
            slot += 1

    def fill(self, room: RoomId, meetings: Iterable[Spanning]) -> None:
        """`put` for all of these that still hold the room; they come sorted by start."""
        bit, busy = self.bit(room), self.busy
        get, slot, holding, slot_s = busy.get, 0, OPEN_STEPS, SLOT_S
        for meeting in meetings:
            if meeting.step in holding:
                first, end = meeting.start_s // slot_s, -(-meeting.end_s // slot_s)
                if slot < first:
                    slot = first
                while slot < end:
                    busy[slot] = get(slot, 0) | bit
                    slot += 1

    def drop(self, room: RoomId, start_s: int, end_s: int, agenda: Agenda) -> None:
        """A meeting holds the room no longer; `agenda` is the room's, already without it."""
        bit, busy = self.bit(room), self.busy
        for slot in range(start_s // SLOT_S, (end_s - 1) // SLOT_S + 1):
            if agenda.occupying(slot * SLOT_S, (slot + 1) * SLOT_S):
                continue
            left = busy.get(slot, 0) & ~bit
            if left:
                busy[slot] = left
            else:
                busy.pop(slot, None)

    def free_rooms(self, from_s: int, until_s: int, agendas: dict[RoomId, Agenda]) -> list[RoomId]:
        """Rooms nobody holds in [from_s, until_s), in the order in which they became known."""
        first, last = from_s // SLOT_S, (until_s - 1) // SLOT_S
        get = self.busy.get
        touched = 0
        for slot in range(first, last + 1):
            touched |= get(slot, 0)
        edges = 0
        if from_s % SLOT_S:
            edges |= get(first, 0)
        if until_s % SLOT_S:
            edges |= get(last, 0)
        rooms = self.rooms
        if not touched:
            return rooms.copy()
        digits = format(touched, f"0{len(rooms)}b")[::-1]
        free = [room for room, digit in zip(rooms, digits, strict=True) if digit == "0"]
        if edges:
            surely = set(free)
            for room, bit in self.bits.items():
                if bit & edges and not agendas[room].occupying(from_s, until_s):
                    surely.add(room)
            free = [room for room in rooms if room in surely]
        return free
