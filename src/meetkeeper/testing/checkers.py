"""Promises as small judges: each looks at what happens in a simulated world and raises when its promise is broken.

A judge keeps its own books from what it sees and trusts no index of the state it judges. What was decided and not kept
when a server died never happened: every judge forgets it when the next server has read its home (`Booted`).
"""

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from meetkeeper.core.changes import (
    Change,
    EffectMoved,
    ItemKept,
    MeetingForgotten,
    MeetingKept,
    MeetingStepped,
    SeriesKept,
)
from meetkeeper.core.commands import Amend, Book, Cancel, Command, Release
from meetkeeper.core.effects import EnsureVmr, Phase
from meetkeeper.core.state import Kept as Row
from meetkeeper.core.state import Series, State, Status
from meetkeeper.core.words import (
    OPEN_STEPS,
    RUNNING_STEPS,
    Alias,
    EffectKey,
    Meeting,
    MeetingId,
    Step,
)
from meetkeeper.engine.node import touched_effects
from meetkeeper.testing.world import happenings as seen
from meetkeeper.testing.world.doors import OneDoorEach, SameDoor
from meetkeeper.testing.world.happenings import Violation
from meetkeeper.testing.world.letters import Adopted, MailOnce, ToldFinal
from meetkeeper.testing.world.listings import BrakeHolds, CookieBehind, NoFalseAlarm, SweepNeedsListing
from meetkeeper.testing.world.readback import StateIsJournal

_decode_meeting = msgspec.json.Decoder(Meeting).decode
_decode_series = msgspec.json.Decoder(Series).decode


class NothingLost:
    """P1: what was kept is found again after every crash, and with it everything that was acknowledged."""

    def __init__(self) -> None:
        self._hashes: dict[int, str] = {}
        self._kept_seq = 0
        self._asked: dict[int, tuple[object, int]] = {}
        self._answered: dict[MeetingId, tuple[int, int]] = {}

    def on_decided(self, happening: seen.Decided) -> None:
        """Remember the chain, and which frame holds what was asked for."""
        self._hashes[happening.position.seq] = happening.position.hash
        event = happening.event
        if isinstance(event, Command):
            # Somebody may ask the same thing again; which answer then rests on which frame only the server knows.
            again = id(event) in self._asked
            self._asked[id(event)] = event, 0 if again else happening.position.seq

    def on_kept(self, happening: seen.Kept) -> None:
        """From here on it must be found."""
        self._kept_seq = happening.position.seq

    def on_answered(self, happening: seen.Answered) -> None:
        """An acknowledged change must be found too."""
        _, decided_seq = self._asked.get(id(happening.command), (None, 0))
        seq = max(happening.seq, decided_seq)
        if seq > self._kept_seq:
            raise Violation(f"{happening.command} was answered at seq {seq}, kept is {self._kept_seq}")
        if isinstance(happening.answer, str) and isinstance(happening.command, Book | Amend | Cancel):
            meeting = happening.state.meeting(MeetingId(happening.answer))
            if meeting is not None:
                self._answered[meeting.id] = (seq, meeting.revision)

    def on_booted(self, happening: seen.Booted) -> None:
        """Everything kept is there, byte for byte."""
        position = happening.database.position
        if position.seq < self._kept_seq:
            raise Violation(f"seq {self._kept_seq} was kept, {position.seq} was found")
        known = self._hashes.get(position.seq)
        if known is not None and known != position.hash:
            raise Violation(f"seq {position.seq} was found with another history")
        for seq in [seq for seq in self._hashes if seq > position.seq]:
            del self._hashes[seq]
        self._hashes[position.seq] = position.hash
        self._kept_seq = position.seq
        self._asked.clear()
        self._acknowledged(happening.database.state)

    def on_lost(self, happening: seen.Lost) -> None:
        """Everybody knows that it is gone."""
        self._hashes.clear()
        self._kept_seq = 0
        self._answered.clear()

    def on_ended(self, happening: seen.Ended) -> None:
        """Nothing was lost on the way either."""
        self._acknowledged(happening.state)

    def _acknowledged(self, state: State) -> None:
        for meeting_id, (seq, revision) in self._answered.items():
            meeting = state.meeting(meeting_id)
            if meeting is not None and meeting.revision < revision:
                raise Violation(f"{meeting_id} was acknowledged at revision {revision} with seq {seq}")


class KeptThenSpoken:
    """P1: no call, mail or write leaves before the frame it rests on is kept, nor shows what is not kept yet.

    `_rows` are the meetings by kept frames alone.
    """

    def __init__(self) -> None:
        self._keys: set[EffectKey] = set()
        self._sending: set[EffectKey] = set()
        self._rows: dict[MeetingId, Row] = {}
        self._series: dict[Alias, Series] = {}
        self._unkept: deque[seen.Decided] = deque()

    def on_booted(self, happening: seen.Booted) -> None:
        """What was found is kept."""
        state = happening.database.state
        self._keys = set(state.outbox)
        self._rows = dict(state.meetings)
        series = [state.one_series(uid) for uid in state.series]
        self._series = {one.vmr.alias: one for one in series if one is not None and one.vmr is not None}
        self._sending.clear()
        self._unkept.clear()

    def on_decided(self, happening: seen.Decided) -> None:
        """Not kept yet."""
        self._unkept.append(happening)

    def on_kept(self, happening: seen.Kept) -> None:
        """These may be spoken of."""
        while self._unkept and self._unkept[0].position.seq <= happening.position.seq:
            plan = self._unkept.popleft().plan
            self._keys.update(touched_effects(plan))
            for change in plan.changes:
                self._keep(change)

    def _keep(self, change: Change) -> None:
        match change:
            case EffectMoved() if change.status is Status.SENDING:
                self._sending.add(change.key)
            case EffectMoved():
                self._sending.discard(change.key)
            case MeetingKept():
                self._rows[change.id] = Row(
                    change.id,
                    change.start_s,
                    change.end_s,
                    change.rooms,
                    change.step,
                    bytes(change.body),
                    change.alias,
                    change.numeric_id,
                    change.series,
                )
            case MeetingStepped() if change.id in self._rows:
                self._rows[change.id] = msgspec.structs.replace(self._rows[change.id], step=change.step)
            case MeetingForgotten():
                self._rows.pop(change.id, None)
            case SeriesKept() if change.alias is not None:
                self._series[change.alias] = _decode_series(change.body)
            case _:
                pass

    def on_called(self, happening: seen.Called) -> None:
        """A bridge is told kept facts alone."""
        self._must_be_kept(happening.key)
        wanted = happening.wanted
        if wanted is None:
            return
        rows = [row for row in self._rows.values() if row.alias == happening.alias]
        running = any(row.step in RUNNING_STEPS for row in rows)
        if running is not (wanted.phase is Phase.OPEN):
            raise Violation(f"{happening.key} makes it {wanted.phase}; running by what is kept: {running}")
        meetings: list[Meeting | Series] = [_decode_meeting(row.body) for row in rows]
        if not meetings and happening.alias in self._series:
            meetings = [self._series[happening.alias]]
        if wanted.pin not in {meeting.vmr.pin for meeting in meetings if meeting.vmr is not None}:
            raise Violation(f"{happening.key} tells a PIN that is not kept yet")
        titles = {"Private meeting" if meeting.private else meeting.subject for meeting in meetings}
        if wanted.title not in titles:
            raise Violation(f"{happening.key} tells the title {wanted.title!r}, kept are {sorted(titles)}")

    def on_wrote(self, happening: seen.Wrote) -> None:
        """A calendar is told kept facts alone."""
        self._must_be_kept(happening.key)

    def on_handed_over(self, happening: seen.HandedOver) -> None:
        """A mail leaves after "sending" is kept."""
        if happening.key not in self._sending:
            raise Violation(f'{happening.key} leaves before its "sending" is kept')

    def _must_be_kept(self, key: EffectKey) -> None:
        if key not in self._keys:
            raise Violation(f"{key} is carried out before its frame is kept")


class NoDoubleBooking:
    """A request by API never puts two meetings into one room at once; nor does a series that rolls on.

    What a person does in a calendar is theirs to do, also to the copy of a meeting that was booked by API.
    """

    def __init__(self) -> None:
        self._known: set[MeetingId] = set()

    def on_booted(self, happening: seen.Booted) -> None:
        """What was found is known."""
        self._known = set(happening.database.state.meetings)

    def on_decided(self, happening: seen.Decided) -> None:
        """Look at every meeting the plan puts somewhere."""
        asked = isinstance(happening.event, Book | Amend)
        settled = {change.uid for change in happening.plan.changes if type(change) is ItemKept}
        for change in happening.plan.changes:
            if type(change) is not MeetingKept:
                continue
            fresh = change.id not in self._known
            self._known.add(change.id)
            if change.step not in OPEN_STEPS:
                continue
            meeting = _decode_meeting(change.body)
            rolled = fresh and meeting.origin == "api" and meeting.uid not in settled
            if asked or rolled:
                self._look(happening.state, change)

    def _look(self, state: State, change: MeetingKept) -> None:
        for room_id in change.rooms:
            room = state.rooms.get(room_id)
            if room is not None and room.conflicts:
                continue
            for other in state.meetings.values():
                if (
                    other.id != change.id
                    and room_id in other.rooms
                    and other.step in OPEN_STEPS
                    and other.start_s < change.end_s
                    and change.start_s < other.end_s
                ):
                    raise Violation(f"{room_id} is booked for {change.id} and {other.id} at once")


_NEXT = {
    Step.SCHEDULED: {Step.PROVISIONED, Step.LIVE, Step.ENDED},
    Step.PROVISIONED: {Step.LIVE, Step.ENDED},
    Step.LIVE: {Step.ENDING, Step.ENDED},
    Step.ENDING: {Step.ENDED},
    Step.ENDED: {Step.SCHEDULED},
}
"""The steps a clock or a bridge may take a meeting by."""
_CHANGED = {
    Step.SCHEDULED: {Step.SCHEDULED, Step.CANCELLED},
    Step.PROVISIONED: {Step.PROVISIONED, Step.CANCELLED},
    Step.LIVE: {Step.LIVE, Step.PROVISIONED, Step.CANCELLED},
    Step.ENDING: {Step.ENDING, Step.LIVE, Step.PROVISIONED, Step.CANCELLED},
    Step.ENDED: {Step.ENDED, Step.SCHEDULED, Step.PROVISIONED},
    Step.CANCELLED: {Step.CANCELLED, Step.SCHEDULED, Step.PROVISIONED},
}
"""The steps a change of the meeting itself may put it on: who comes back may find the VMR standing."""


class OnceInTime:
    """P3: a meeting is opened inside its window and once; every step follows the one before it."""

    def __init__(self) -> None:
        self._rows: dict[MeetingId, tuple[Step, int, int]] = {}
        self._opened: dict[tuple[MeetingId, int], int] = {}

    def on_booted(self, happening: seen.Booted) -> None:
        """What was not kept never happened."""
        self._rows = {
            row.id: (row.step, row.start_s, row.end_s) for row in happening.database.state.meetings.values()
        }
        seq = happening.database.position.seq
        self._opened = {key: at for key, at in self._opened.items() if at <= seq}

    def on_lost(self, happening: seen.Lost) -> None:
        """Nothing is known any more."""
        self._opened.clear()

    def on_decided(self, happening: seen.Decided) -> None:
        """Follow every step."""
        for change in happening.plan.changes:
            if type(change) is MeetingStepped:
                self._stepped(happening, change)
            elif type(change) is MeetingKept:
                self._changed(change)

    def _stepped(self, happening: seen.Decided, change: MeetingStepped) -> None:
        row = self._rows.get(change.id)
        if row is None:
            return
        before, start_s, end_s = row
        if change.step not in _NEXT.get(before, set()):
            raise Violation(f"{change.id} went from {before} to {change.step}")
        self._rows[change.id] = (change.step, start_s, end_s)
        if before is Step.ENDED and (happening.now_s >= end_s or (change.id, start_s) in self._opened):
            raise Violation(f"{change.id} came back although it was over")
        if change.step is not Step.LIVE:
            return
        opens_s = start_s - happening.state.settings().time.open_before_s
        if not opens_s <= happening.now_s < end_s:
            raise Violation(f"{change.id} was opened {happening.now_s - opens_s:.3f} s after its time")
        if (change.id, start_s) in self._opened:
            raise Violation(f"{change.id} was opened twice for its start at {start_s}")
        self._opened[change.id, start_s] = happening.position.seq

    def _changed(self, change: MeetingKept) -> None:
        row = self._rows.get(change.id)
        if row is not None:
            before, start_s, _ = row
            if change.step not in _CHANGED.get(before, set()):
                raise Violation(f"{change.id} was changed from {before} to {change.step}")
            back = before not in OPEN_STEPS and change.step in OPEN_STEPS
            if back or change.step in (Step.SCHEDULED, Step.CANCELLED) or change.start_s != start_s:
                self._opened.pop((change.id, start_s), None)
                self._opened.pop((change.id, change.start_s), None)
        elif change.step not in (Step.SCHEDULED, Step.PROVISIONED):
            raise Violation(f"{change.id} began as {change.step}")
        self._rows[change.id] = (change.step, change.start_s, change.end_s)


class OnTime:
    """P3: nobody waits whose time has come, nobody stays whose time is over: two looks at the clock see to it.

    One look may have other things to decide first, and then the next follows at once.
    """

    def __init__(self) -> None:
        self._next_s = 0.0
        self._late: set[MeetingId] = set()

    def on_booted(self, happening: seen.Booted) -> None:
        """Look at everybody again."""
        self._next_s = 0.0
        self._late.clear()

    def on_decided(self, happening: seen.Decided) -> None:
        """Somebody may be due earlier now."""
        if happening.plan.changes:
            self._next_s = 0.0

    def on_ticked(self, happening: seen.Ticked) -> None:
        """Look at every meeting, without any view of what is due; and when the next one wants something."""
        now_s = happening.now_s
        if now_s < self._next_s:
            return
        opens_before_s = happening.state.settings().time.open_before_s
        next_s = now_s + 86_400.0
        late: set[MeetingId] = set()
        for row in happening.state.meetings.values():
            step = row.step
            if step is Step.SCHEDULED or step is Step.PROVISIONED:
                at_s = row.start_s - opens_before_s
            elif step is Step.LIVE or step is Step.ENDING:
                at_s = row.end_s
            else:
                continue
            if at_s > now_s:
                next_s = min(next_s, at_s)
            elif row.id in self._late:
                raise Violation(f"{row.id} is still {step} {now_s - at_s:.3f} s after it was to go on")
            else:
                late.add(row.id)
        self._next_s = now_s if late else next_s
        self._late = late


class OneReign:
    """P2: frames follow each other without a gap, and their epochs never go back; a new life has a new epoch."""

    def __init__(self) -> None:
        self._epoch = 0
        self._seq = 0
        self._last_life = 0

    def on_booted(self, happening: seen.Booted) -> None:
        """The next frame is of a higher epoch."""
        self._last_life = max(self._epoch, happening.database.position.epoch)
        self._seq = happening.database.position.seq

    def on_lost(self, happening: seen.Lost) -> None:
        """A new history."""
        self._epoch = self._seq = self._last_life = 0

    def on_decided(self, happening: seen.Decided) -> None:
        """One after the other."""
        position = happening.position
        if position.seq != self._seq + 1:
            raise Violation(f"seq {position.seq} after {self._seq}")
        if position.epoch < self._epoch or position.epoch <= self._last_life:
            raise Violation(f"epoch {position.epoch} after {self._epoch}, last life {self._last_life}")
        self._seq, self._epoch = position.seq, position.epoch


class OpenForTheRunning:
    """A bridge is asked to open a VMR for a running meeting alone."""

    def on_called(self, happening: seen.Called) -> None:
        """Look who runs."""
        if happening.wanted is None or happening.wanted.phase is not Phase.OPEN:
            return
        rows = [row for row in happening.state.meetings.values() if row.alias == happening.alias]
        if not any(row.step in RUNNING_STEPS for row in rows):
            raise Violation(f"{happening.alias} is opened although none of its meetings runs")


class NobodyWaitsInVain:
    """P3: who waits for a VMR has a bridge that is being asked for it; a VMR that stands is nobody's to wait for.

    Else the meeting is never verified, and stays at risk until it opens.
    """

    def on_decided(self, happening: seen.Decided) -> None:
        """Look at whoever this plan lets wait, and at who waits for what is asked no longer."""
        if isinstance(happening.event, Release):
            # A person may take a question as answered that no bridge has heard.
            return
        state = happening.state
        touched = {change.alias for change in happening.plan.changes if type(change) is MeetingKept}
        for change in happening.plan.changes:
            if type(change) is MeetingStepped and change.id in state.meetings:
                touched.add(state.meetings[change.id].alias)
            elif type(change) is EffectMoved and change.status is Status.DONE and change.key in state.done:
                effect = state.done[change.key].effect
                touched.add(effect.alias if isinstance(effect, EnsureVmr) else None)
        touched.discard(None)
        if not touched:
            return
        waiting = touched - {
            row.effect.alias for row in state.outbox.values() if isinstance(row.effect, EnsureVmr)
        }
        for row in state.meetings.values() if waiting else ():
            if row.alias in waiting and row.step is Step.SCHEDULED:
                raise Violation(f"{row.id} waits for {row.alias}, and nobody asks a bridge for it")


Judge = (
    NothingLost
    | KeptThenSpoken
    | SameDoor
    | OneDoorEach
    | MailOnce
    | ToldFinal
    | Adopted
    | StateIsJournal
    | NoDoubleBooking
    | OnceInTime
    | OnTime
    | NobodyWaitsInVain
    | OneReign
    | OpenForTheRunning
    | CookieBehind
    | SweepNeedsListing
    | BrakeHolds
)
_ON: dict[str, type] = {
    "on_booted": seen.Booted,
    "on_died": seen.Died,
    "on_lost": seen.Lost,
    "on_decided": seen.Decided,
    "on_ticked": seen.Ticked,
    "on_kept": seen.Kept,
    "on_answered": seen.Answered,
    "on_called": seen.Called,
    "on_posted": seen.Posted,
    "on_handed_over": seen.HandedOver,
    "on_unclear": seen.Unclear,
    "on_wrote": seen.Wrote,
    "on_forgot": seen.Forgot,
    "on_read_back": seen.ReadBack,
    "on_healed": seen.Healed,
    "on_ended": seen.Ended,
}


class Checkers:
    """All of them; each sees what it has a word for."""

    def __init__(self, unknown_fate: str, *, honest: bool = False) -> None:
        """`honest`: no calendar of this world hides a change, so that no audit may find any."""
        judges: tuple[Judge, ...] = (
            NothingLost(),
            KeptThenSpoken(),
            SameDoor(),
            OneDoorEach(),
            MailOnce(unknown_fate),
            ToldFinal(),
            Adopted(),
            StateIsJournal(),
            NoDoubleBooking(),
            OnceInTime(),
            OnTime(),
            NobodyWaitsInVain(),
            OneReign(),
            OpenForTheRunning(),
            CookieBehind(),
            SweepNeedsListing(),
            BrakeHolds(),
            *((NoFalseAlarm(),) if honest else ()),
        )
        self._by_kind: dict[type, list[Callable[[Any], None]]] = {}
        for judge in judges:
            for name, kind in _ON.items():
                look = getattr(judge, name, None)
                if look is not None:
                    self._by_kind.setdefault(kind, []).append(look)

    def see(self, happening: seen.Happening) -> None:
        """Let every judge look. Raises `Violation`."""
        for look in self._by_kind.get(type(happening), ()):
            look(happening)
