"""A plan while it is being written: the keeper's rooms add to it, nobody reads it before it is whole."""

from collections.abc import Iterable

from meetkeeper.core.changes import Change, MeetingKept, SeriesKept
from meetkeeper.core.effects import Announce, Effect, EnsureVmr, key_of
from meetkeeper.core.plan import Note, Plan
from meetkeeper.core.state import State
from meetkeeper.core.words import Alias, Meeting, MeetingId, RoomId, Step


class Draft:
    """Collects changes, effects and notes for one plan. An effect that already stands in the outbox is not added."""

    __slots__ = (
        "_changes",
        "_effects",
        "_notes",
        "_state",
        "asked",
        "body_bytes",
        "forgotten",
        "now_s",
        "placed",
        "steps",
    )

    def __init__(self, state: State, now_s: float) -> None:
        self._state = state
        self.now_s = now_s
        self._changes: list[Change] = []
        self._effects: dict[str, Effect] = {}
        self._notes: list[Note] = []
        self.body_bytes = 0
        """Size of the meetings and series in it, by far the largest things a plan holds."""
        self.steps: dict[MeetingId, Step] = {}
        """Steps that meetings take in this plan: the state does not know them yet."""
        self.asked: set[Alias] = set()
        """VMRs that this plan asks of their bridge."""
        self.placed: dict[RoomId, list[Meeting]] = {}
        """Meetings that this plan puts into a room."""
        self.forgotten: set[MeetingId] = set()
        """Meetings that this plan forgets."""

    def change(self, *changes: Change) -> None:
        """Facts about to be true, in order."""
        self._changes.extend(changes)
        for change in changes:
            if type(change) is MeetingKept or type(change) is SeriesKept:
                self.body_bytes += memoryview(change.body).nbytes

    def place(self, meeting: Meeting) -> None:
        """The meeting holds its rooms from here on."""
        for room in meeting.rooms:
            self.placed.setdefault(room, []).append(meeting)

    def effect(self, effect: Effect) -> None:
        """Something to do outside, once. Nobody is told where no mail server is configured."""
        if type(effect) is Announce and not self._state.settings().mail.host:
            return
        key = key_of(effect)
        if key not in self._state.outbox:
            self._effects[key] = effect
        if type(effect) is EnsureVmr:
            self.asked.add(effect.alias)

    def note(self, code: str, about: str, why: str) -> None:
        """Why."""
        self._notes.append(Note(code, about, why))

    def notes(self, notes: Iterable[Note]) -> None:
        """Several whys."""
        self._notes.extend(notes)

    def take(self, part: "Draft") -> None:
        """Everything that another draft for the same state has collected."""
        self._changes.extend(part._changes)
        for key, effect in part._effects.items():
            self._effects.setdefault(key, effect)
        self._notes.extend(part._notes)
        self.body_bytes += part.body_bytes
        self.steps.update(part.steps)
        self.forgotten.update(part.forgotten)
        self.asked.update(part.asked)
        for room, meetings in part.placed.items():
            self.placed.setdefault(room, []).extend(meetings)

    def plan(self) -> Plan:
        """The finished plan."""
        return Plan(self.now_s, tuple(self._changes), tuple(self._effects.values()), tuple(self._notes))

    def __len__(self) -> int:
        return len(self._changes) + len(self._effects)
