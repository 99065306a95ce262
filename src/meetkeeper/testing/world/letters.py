"""Judges of mails: each once under its Message-ID, and in the end everybody knows what is so (P4, P5)."""

from collections import deque

import msgspec
from msgspec import Struct

from meetkeeper.core.changes import EffectMoved, MeetingKept, SeriesKept
from meetkeeper.core.commands import Resend
from meetkeeper.core.effects import SendMail
from meetkeeper.core.events import Done, EffectReported
from meetkeeper.core.identity import meeting_id
from meetkeeper.core.state import Series, State, Status
from meetkeeper.core.words import OPEN_STEPS, Alias, EffectKey, Meeting, MeetingId, Step
from meetkeeper.testing.world import happenings as seen
from meetkeeper.testing.world.happenings import Violation, unit_of

_decode_meeting = msgspec.json.Decoder(Meeting).decode
_decode_series = msgspec.json.Decoder(Series).decode


class MailOnce:
    """P5: a mail is taken once under its Message-ID; twice only if its fate was unknown and it is to be sent again."""

    def __init__(self, unknown_fate: str) -> None:
        self._resend = unknown_fate == "resend"
        self._taken: dict[EffectKey, int] = {}
        self._passes: dict[EffectKey, int] = {}
        self._resent: dict[str, int] = {}
        self._ids: dict[tuple[str, int, str, str], str] = {}
        self._in_hand: set[EffectKey] = set()
        self._unkept: deque[seen.Decided] = deque()

    def on_handed_over(self, happening: seen.HandedOver) -> None:
        """Until its fate is reported."""
        self._in_hand.add(happening.key)

    def on_kept(self, happening: seen.Kept) -> None:
        """Its fate is known for good."""
        while self._unkept and self._unkept[0].position.seq <= happening.position.seq:
            for change in self._unkept.popleft().plan.changes:
                if type(change) is EffectMoved and change.status is not Status.SENDING:
                    self._in_hand.discard(change.key)

    def on_decided(self, happening: seen.Decided) -> None:
        """Somebody asks for it again."""
        self._unkept.append(happening)
        event = happening.event
        if isinstance(event, Resend):
            row = happening.state.meetings.get(event.id)
            for about in (str(event.id), str(row.series if row is not None else "")):
                self._resent[about] = self._resent.get(about, 0) + 1

    def on_unclear(self, happening: seen.Unclear) -> None:
        """Nobody knows."""
        if self._resend:
            self._passes[happening.key] = self._passes.get(happening.key, 0) + 1

    def on_died(self, happening: seen.Died) -> None:
        """What was in hand has an unknown fate."""
        if self._resend:
            for key in sorted(self._in_hand):
                self._passes[key] = self._passes.get(key, 0) + 1
        self._in_hand.clear()
        self._unkept.clear()

    def on_lost(self, happening: seen.Lost) -> None:
        """Revisions begin anew."""
        self._taken.clear()
        self._ids.clear()

    def on_posted(self, happening: seen.Posted) -> None:
        """Count what is taken."""
        if not happening.accepted:
            return
        effect, key = happening.effect, EffectKey(happening.message_id)
        about = (str(effect.meeting or effect.series), effect.revision, effect.method, effect.to)
        if self._ids.setdefault(about, happening.message_id) != happening.message_id:
            raise Violation(f"{about} went out under {self._ids[about]} and under {happening.message_id}")
        count = self._taken[key] = self._taken.get(key, 0) + 1
        if count > 1 + self._passes.get(key, 0) + self._resent.get(about[0], 0):
            raise Violation(f"{key} was handed over {count} times")


class Heard(Struct, frozen=True):
    """What one person was told once. `unit` is the meeting's id or the series' UID, as in the effect."""

    method: str
    revision: int
    unit: str


class ToldFinal:
    """In the end everybody concerned was told the final revision, or its mail is parked with a reason.

    People are told by UID: a series that goes on as a single meeting, or the other way, is one thing to them. An
    occurrence with a VMR of its own is a thing of its own.
    """

    def __init__(self) -> None:
        self._heard: dict[str, dict[str, list[Heard]]] = {}
        self._adopted: dict[str, int] = {}
        self._known: dict[str, tuple[int, set[str]]] = {}
        self._ended: set[str] = set()
        """Series that had no meeting left when they went: nobody is told."""
        self._quiet: set[str] = set()
        """Meetings that were moved into the past: nobody is told."""
        self._replaced: set[str] = set()
        """Meetings that go on as another kind: that one is told."""

    def on_posted(self, happening: seen.Posted) -> None:
        """Somebody hears something."""
        if happening.accepted:
            effect = happening.effect
            heard = Heard(effect.method, effect.revision, unit_of(happening.meeting, happening.series))
            thing = self._heard.setdefault(_thing_of(happening.meeting, happening.series), {})
            thing.setdefault(effect.to, []).append(heard)

    def on_lost(self, happening: seen.Lost) -> None:
        """Revisions begin anew; what was heard before is judged by `Adopted`."""
        self._heard.clear()
        self._known.clear()

    def on_decided(self, happening: seen.Decided) -> None:
        """A VMR that stood there from a lost history counts as told; a meeting moved into the past tells nobody."""
        state = happening.state
        for note in happening.plan.notes:
            if note.code == "meeting.replaced":
                self._replaced.add(note.about)
            elif note.code == "vmr.adopted":
                alias = Alias(note.about)
                uid = state.series_by_alias.get(alias)
                meeting_id = state.by_alias.get(alias)
                told = (
                    state.one_series(uid) if uid is not None else state.meeting(meeting_id or MeetingId(""))
                )
                if told is not None:
                    self._adopted[uid or meeting_id or ""] = told.revision
        for change in happening.plan.changes:
            if type(change) is MeetingKept:
                self._note_quiet(_decode_meeting(change.body))
            elif type(change) is SeriesKept:
                self._note_end(_decode_series(change.body))

    def _note_end(self, series: Series) -> None:
        revision, _ = self._known.get(series.uid, (0, None))
        self._known[series.uid] = series.revision, set()
        if series.over and series.revision == revision:
            self._ended.add(series.uid)
        else:
            self._ended.discard(series.uid)

    def _note_quiet(self, meeting: Meeting) -> None:
        people = _people_of(meeting)
        revision, before = self._known.get(meeting.id, (0, people))
        if revision != meeting.revision:
            self._quiet.discard(meeting.id)
        elif before != people:
            self._quiet.add(meeting.id)
            for to in before - people:
                self._heard.get(_thing_of(meeting, None), {}).pop(to, None)
        self._known[meeting.id] = meeting.revision, people

    def on_ended(self, happening: seen.Ended) -> None:
        """Ask everybody."""
        state = happening.state
        if not state.settings().mail.host:
            return
        for row in state.meetings.values():
            meeting = state.decode(row)
            if row.id in self._quiet or (row.id in self._replaced and row.step not in OPEN_STEPS):
                continue
            if row.series is None:
                series = state.one_series(meeting.uid)
                if row.step in OPEN_STEPS or series is None or series.over:
                    self._ask(state, meeting, over=row.step is Step.CANCELLED)
            elif row.numeric_id is not None and row.alias not in state.series_by_alias:
                self._ask(state, meeting, over=row.step is Step.CANCELLED)
        for uid in state.series:
            one = state.one_series(uid)
            if one is not None and not one.own_vmrs and uid not in self._ended:
                self._ask(state, one, over=one.over)

    def _ask(self, state: State, told: Meeting | Series, *, over: bool) -> None:
        if told.vmr is None and told.origin != "api":
            return
        if told.vmr is not None and f"vmr/{told.vmr.alias}/booked/new" in state.outbox:
            return
        meeting, series = (told, None) if isinstance(told, Meeting) else (None, told)
        unit = unit_of(meeting, series)
        heard = self._heard.get(_thing_of(meeting, series), {})
        if over:
            heard = {to: some for to, some in heard.items() if some[-1].unit == unit}
        rooms = {room.email.lower() for room in state.rooms.values() if room.email}
        people = _people_of(told) - rooms
        of_uid = _thing_of(meeting, series) == told.uid
        units = {told.uid, meeting_id(told.uid, None)} if of_uid else {unit}
        held = {
            (row.effect.to, row.effect.method)
            for row in state.outbox.values()
            if isinstance(row.effect, SendMail) and units & {row.effect.meeting, row.effect.series}
        }
        for to in sorted({*people, *heard} if not over else heard):
            wanted = "REQUEST" if to in people and not over else "CANCEL"
            if (to, wanted) in held or self._is_content(unit, told.revision, wanted, heard.get(to, [])):
                continue
            last = f"{heard[to][-1]}" if to in heard else "nothing"
            raise Violation(f"{to} heard {last} of {unit}, which is at revision {told.revision}: {wanted}")

    def _is_content(self, unit: str, revision: int, wanted: str, heard: list[Heard]) -> bool:
        if wanted == "REQUEST":
            return self._adopted.get(unit) == revision or Heard(wanted, revision, unit) in heard
        # Told at this very revision: it was over before it was gone.
        return not heard or heard[-1].method == "CANCEL" or heard[-1].revision == revision


def _thing_of(meeting: Meeting | None, series: Series | None) -> str:
    """What it is to people: a UID, or an occurrence by itself."""
    if series is not None:
        return series.uid
    assert meeting is not None
    return meeting.uid if meeting.original_start_s is None else meeting.id


def _people_of(told: Meeting | Series) -> set[str]:
    return {person.email.lower() for person in (told.organizer, *told.invitees) if person.email}


class Adopted:
    """P4: after the loss of everything, whoever was told of a door that still stands is not told again."""

    def __init__(self) -> None:
        self._told: dict[Alias, set[str]] = {}
        self._quiet: dict[Alias, set[str]] = {}

    def on_posted(self, happening: seen.Posted) -> None:
        """Somebody is told of a door."""
        effect = happening.effect
        told = happening.meeting or happening.series
        if not happening.accepted or told is None or told.vmr is None or effect.method != "REQUEST":
            return
        alias = told.vmr.alias
        if effect.revision == 1 and effect.to in self._quiet.get(alias, ()):
            raise Violation(f"{effect.to} was told of {alias} before everything was lost, and is told again")
        self._told.setdefault(alias, set()).add(effect.to)

    def on_lost(self, happening: seen.Lost) -> None:
        """Doors that stand count as told."""
        self._quiet = {alias: self._told.get(alias, set()) for alias in happening.standing}

    def on_forgot(self, happening: seen.Forgot) -> None:
        """The bridge lost them too."""
        for alias in happening.aliases:
            self._quiet.pop(alias, None)

    def on_decided(self, happening: seen.Decided) -> None:
        """The bridge was away for so long that everybody was told anyway, or somebody asked for it.

        Or the answer to the first question was lost, and with it whose marker stood there before.
        """
        match happening.event:
            case EffectReported(key, Done(_, lineage)) if lineage == happening.state.lineage:
                self._quiet.pop(Alias(key.split("/")[1]), None)
            case _:
                pass
        for note in happening.plan.notes:
            if note.code == "vmr.told-unprovisioned":
                self._quiet.pop(Alias(note.about), None)
        if isinstance(happening.event, Resend):
            row = happening.state.meetings.get(happening.event.id)
            if row is not None and row.alias is not None:
                self._quiet.pop(row.alias, None)
