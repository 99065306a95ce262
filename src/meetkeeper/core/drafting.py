"""A plan while it is being written: the keeper's rooms add to it, nobody reads it before it is whole."""

from collections.abc import Iterable

from meetkeeper.core.changes import Change
from meetkeeper.core.effects import Announce, Effect, key_of
from meetkeeper.core.plan import Note, Plan
from meetkeeper.core.state import State
from meetkeeper.core.words import Meeting, MeetingId, RoomId, Step


class Draft:
    """Collects changes, effects and notes for one plan. An effect that already stands in the outbox is not added."""

    __slots__ = ("_changes", "_effects", "_notes", "_state", "forgotten", "now_s", "placed", "steps")

    def __init__(self, state: State, now_s: float) -> None:
        self._state = state
        self.now_s = now_s
        self._changes: list[Change] = []
        self._effects: dict[str, Effect] = {}
        self._notes: list[Note] = []
        self.steps: dict[MeetingId, Step] = {}
        """Steps that meetings take in this plan: the state does not know them yet."""
        self.placed: dict[RoomId, list[Meeting]] = {}
        """Meetings that this plan puts into a room."""
        self.forgotten: set[MeetingId] = set()
        """Meetings that this plan forgets."""

    def change(self, *changes: Change) -> None:
        """Facts about to be true, in order."""
        self._changes.extend(changes)

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

    def note(self, code: str, about: str, why: str) -> None:
        """Why."""
        self._notes.append(Note(code, about, why))

    def notes(self, notes: Iterable[Note]) -> None:
        """Several whys."""
        self._notes.extend(notes)

    def plan(self) -> Plan:
        """The finished plan."""
        return Plan(self.now_s, tuple(self._changes), tuple(self._effects.values()), tuple(self._notes))

    def __len__(self) -> int:
        return len(self._changes) + len(self._effects)
