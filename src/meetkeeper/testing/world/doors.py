"""Judges of doors: a URI, a number and a PIN belong to one meeting, are derived, and stay (P4)."""

import msgspec

from meetkeeper.core.changes import MeetingKept, SeriesKept
from meetkeeper.core.state import Series
from meetkeeper.core.words import OPEN_STEPS, Alias, Meeting, Uid, Vmr
from meetkeeper.testing.world import happenings as seen
from meetkeeper.testing.world.happenings import Violation, unit_of

_decode_meeting = msgspec.json.Decoder(Meeting).decode
_decode_series = msgspec.json.Decoder(Series).decode


class SameDoor:
    """P4: once somebody was told, URI, numbers and PIN stay; a UID has the same doors in every life of the server."""

    def __init__(self) -> None:
        self._told: dict[str, Vmr] = {}
        self._derived: dict[tuple[Uid, int | None, int], Alias] = {}

    def on_posted(self, happening: seen.Posted) -> None:
        """Somebody is told."""
        told = happening.meeting or happening.series
        if happening.accepted and told is not None and told.vmr is not None:
            self._must_stay(unit_of(happening.meeting, happening.series), told.vmr, tell=True)

    def on_decided(self, happening: seen.Decided) -> None:
        """Nobody changes a door behind which people wait."""
        for change in happening.plan.changes:
            if type(change) is MeetingKept:
                if change.alias is None or change.step not in OPEN_STEPS:
                    continue
                meeting = _decode_meeting(change.body)
                shared = meeting.vmr is not None and change.numeric_id is None
                if meeting.vmr is not None and not shared:
                    self._must_stay(meeting.id, meeting.vmr)
                    self._must_be_derived(meeting.uid, meeting.original_start_s, meeting.vmr)
            elif type(change) is SeriesKept and change.alias is not None:
                series = _decode_series(change.body)
                if series.vmr is not None and not series.over:
                    self._must_stay(series.uid, series.vmr)
                    self._must_be_derived(series.uid, None, series.vmr)

    def on_lost(self, happening: seen.Lost) -> None:
        """The derived door comes back where it stands; one that was passed over may be free by now."""
        self._told = {
            unit: vmr
            for unit, vmr in self._told.items()
            if vmr.attempt == 0 and vmr.alias in happening.standing
        }

    def _must_stay(self, unit: str, vmr: Vmr, *, tell: bool = False) -> None:
        known = self._told.get(unit)
        if known is None:
            if tell:
                self._told[unit] = vmr
        elif (known.alias, known.numeric_id, known.pin) != (vmr.alias, vmr.numeric_id, vmr.pin):
            raise Violation(f"{unit} was told {known} and is now {vmr}")

    def _must_be_derived(self, uid: Uid, occurrence: int | None, vmr: Vmr) -> None:
        known = self._derived.setdefault((uid, occurrence, vmr.attempt), vmr.alias)
        if known != vmr.alias:
            raise Violation(f"{uid} had alias {known} and now derives {vmr.alias}")


class OneDoorEach:
    """No alias and no number belongs to two, and a buried alias to nobody but its last owner."""

    def on_decided(self, happening: seen.Decided) -> None:
        """Look at every door that is given out."""
        for change in happening.plan.changes:
            if type(change) is MeetingKept and change.alias is not None and change.step in OPEN_STEPS:
                self._look(happening, change)

    def _look(self, happening: seen.Decided, change: MeetingKept) -> None:
        state = happening.state
        uid = _decode_meeting(change.body).uid
        buried = state.tombstones.get(change.alias or Alias(""))
        if buried is not None and buried.uid != uid and buried.until_s > happening.now_s:
            raise Violation(f"{change.alias} is buried with {buried.uid} and given to {uid}")
        for other in state.meetings.values():
            if other.step in OPEN_STEPS and other.id != change.id:
                same_number = change.numeric_id is not None and other.numeric_id == change.numeric_id
                if (other.alias == change.alias or same_number) and state.decode(other).uid != uid:
                    raise Violation(f"{change.id} and {other.id} share {change.alias} or {change.numeric_id}")
