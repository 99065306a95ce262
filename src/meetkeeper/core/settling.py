"""What the settled items of one UID mean for our meetings: the second stage of `core.reconcile`.

`core.theirs` says what ought to be, State what is; the difference is findings. Rules of this file. Meetings that are
over are never made, changed or cancelled; one that a calendar has closed comes back when a calendar shows it again.
A running meeting ends when a calendar says so; one whose last copy merely disappears runs on to its end, because
rooms are released in the middle of meetings. A meeting booked here is its own master: copies older than it are its
echoes, a newer one is a person's hand, a deleted one takes its room out.
"""

from msgspec.structs import replace

from meetkeeper.core.asking import gains_vmr
from meetkeeper.core.changes import ItemForgotten, ItemKept
from meetkeeper.core.effects import WriteItem
from meetkeeper.core.findings import (
    Changed,
    Field,
    MeetingFinding,
    New,
    SeriesEvent,
    SeriesFinding,
    UidFindings,
    Vanished,
)
from meetkeeper.core.identity import meeting_id
from meetkeeper.core.plan import Note
from meetkeeper.core.state import ItemRow, Kept, Series, State
from meetkeeper.core.theirs import (
    Copy,
    Reading,
    Version,
    copies_of,
    differences,
    is_ahead,
    same_series,
    stand_in,
    stands,
    zone_of,
)
from meetkeeper.core.words import OPEN_STEPS, RUNNING_STEPS, Alias, Meeting, MeetingId, RoomId, Step, Uid
from meetkeeper.core.zones import DAY_S

LINKS_NOTED_MAX = 5


def settle(state: State, uid: Uid, now_s: float) -> UidFindings:
    """What all rooms' items with this UID mean for our meetings. Apply it, ask again: nothing is found."""
    return _Case(state, uid, now_s).settle()


def roll(state: State, uid: Uid, now_s: float) -> UidFindings:
    """Occurrences of an unchanged series that the horizon has reached: new meetings only, nobody is told.

    Nothing for a series that was booked here, is over, or has items that have yet to settle.
    """
    return _Case(state, uid, now_s).roll()


def horizon_s(state: State, now_s: float) -> int:
    """Until when occurrences become meetings: whole days, so that it moves once a day."""
    return (int(now_s) // DAY_S + 1 + state.settings().time.horizon_days) * DAY_S


class _Case:
    """One UID: its rows sorted into those that stand, wait and are lost, and our meetings beside them."""

    def __init__(self, state: State, uid: Uid, now_s: float) -> None:
        self.state, self.uid, self.now_s = state, uid, now_s
        self.rows = state.items_of(uid)
        self.lost = [row for row in self.rows if row.gone and (row.settle_at_s or 0.0) <= now_s]
        self.present = [row for row in self.rows if row not in self.lost and row.room in state.rooms]
        single_row = state.meetings.get(meeting_id(uid, None))
        self.single = None if single_row is None else state.decode(single_row)
        self.ours = state.meetings_of(uid)
        self.series = state.one_series(uid)
        zone = zone_of(state, min((row.room for row in self.present), default=None))
        self.copies = copies_of(self.present, self.single, zone, now_s)
        self.standing = [copy for copy in self.copies if stands(copy.item)]
        if len(self.standing) > 1:
            # A room may still show last week's date: that decides nothing beside a copy that is not over.
            ahead = [copy for copy in self.standing if is_ahead(copy.item, zone, now_s)]
            self.standing = ahead or self.standing
        self.notes: list[Note] = []
        self.left: Alias | None = None
        """The VMR that the series leaves for a link."""
        self.joins = False
        """The series gets a VMR, for all its occurrences."""

    # --- the two questions -----------------------------------------------------------------------------------------

    def settle(self) -> UidFindings:
        """What `settle` says."""
        if self._is_booked():
            version = self._booked_version()
            newer = [copy for copy in self.standing if copy.version > version]
            if not newer or self._is_called_off():
                return self._settle_booked()
            self.standing = self._with_echoes(newer)
        reading = Reading(self.state, self.uid, self.standing)
        until_s = max(self._expanded_until_s(), horizon_s(self.state, self.now_s))
        wanted = reading.meetings(int(self.now_s) - DAY_S, until_s)
        self._look_beyond(reading, wanted, until_s)
        goes_on = self._goes_on(reading, wanted)
        series = self._series_finding(reading, until_s, goes_on=goes_on)
        if series is not None and series.before is not None:
            vmr = series.before.vmr
            self.left = None if vmr is None or series.series.foreign is None else vmr.alias
            self.joins = gains_vmr(self.state, series.before, series.series)
        meetings, same = self._compare(reading, wanted, goes_on=goes_on)
        self._note_problems(reading)
        return UidFindings(
            uid=self.uid,
            items=self._settled_rows(alone=self._may_let_go(reading, wanted, meetings)),
            series=series,
            meetings=meetings,
            same=same,
            notes=tuple(self.notes),
        )

    def roll(self) -> UidFindings:
        """What `roll` says."""
        series, until_s = self.series, horizon_s(self.state, self.now_s)
        unsettled = any(row.settle_at_s is not None for row in self.rows)
        if series is None or series.over or series.origin == "api" or unsettled or not self.standing:
            return UidFindings(uid=self.uid)
        from_s = self._expanded_until_s()
        if from_s >= until_s:
            return UidFindings(uid=self.uid)
        reading = Reading(self.state, self.uid, self.standing)
        wanted = reading.meetings(from_s, until_s) if reading.repeats else {}
        new = [
            New(meeting=one)
            for one in wanted.values()
            if one.id not in self.state.meetings and one.end_s > self.now_s
        ]
        finding = SeriesFinding(
            event=SeriesEvent.ROLLED, series=series, expanded_until_s=until_s, before=series
        )
        return UidFindings(uid=self.uid, series=finding, meetings=tuple(sorted(new, key=_start_of)))

    # --- comparing ---------------------------------------------------------------------------------------------------

    def _look_beyond(self, reading: Reading, wanted: dict[MeetingId, Meeting], until_s: int) -> None:
        """Meetings of ours outside the window are asked for one by one: they may still be wanted."""
        if not reading.repeats:
            return
        for row in self.ours:
            if row.id in wanted or row.step not in OPEN_STEPS or row.series is None:
                continue
            original_s = self.state.decode(row).original_start_s
            if original_s is not None and not int(self.now_s) - DAY_S <= original_s < until_s:
                found = reading.meetings(original_s, original_s + 1).get(row.id)
                if found is not None:
                    wanted[row.id] = found

    def _compare(
        self, reading: Reading, wanted: dict[MeetingId, Meeting], *, goes_on: bool
    ) -> tuple[tuple[MeetingFinding, ...], int]:
        findings: list[MeetingFinding] = []
        same = 0
        for one in wanted.values():
            finding = self._compare_one(one)
            if finding is not None:
                findings.append(finding)
            elif one.id in self.state.meetings:
                same += 1
        for row in self.ours:
            if row.id not in wanted and self._has_vanished(row):
                replaced = goes_on and (row.series is not None) != reading.repeats
                findings.append(Vanished(meeting=self.state.decode(row), step=row.step, replaced=replaced))
        findings.sort(key=_start_of)
        return tuple(findings), same

    def _compare_one(self, meeting: Meeting) -> MeetingFinding | None:
        now_s = self.now_s
        row = self.state.meetings.get(meeting.id)
        if row is None:
            if meeting.end_s <= now_s:
                return None
            return New(meeting=replace(meeting, revision=self._next_revision(meeting)))
        before = self.state.decode(row)
        after = replace(
            meeting,
            revision=before.revision,
            vmr=before.vmr,
            former_vmr=before.former_vmr,
            origin=before.origin,
        )
        if before.origin == "api":
            after = replace(after, foreign=None, asked=False)
        if row.step not in OPEN_STEPS:
            return self._revived(row, before, after)
        fields = differences(before, after)
        if Field.JOIN not in fields and self._goes_another_way(row, before, after):
            fields = (*fields, Field.JOIN)
        if not fields or (before.end_s <= now_s and after.end_s <= now_s):
            return None
        quiet = after.end_s <= now_s
        return Changed(before=before, after=after, step=row.step, fields=fields, quiet=quiet)

    def _goes_another_way(self, row: Kept, before: Meeting, after: Meeting) -> bool:
        """It gets a VMR that nobody asked for before, or asks for its own where its series leaves theirs for a link."""
        joins = self.joins and row.series is not None and before.vmr is None and after.foreign is None
        if joins or gains_vmr(self.state, before, after):
            return True
        asks = after.asked and not before.asked and after.foreign is None
        return asks and self.left is not None and row.alias == self.left

    def _revived(self, row: Kept, before: Meeting, after: Meeting) -> New | None:
        """A closed meeting that ought to be: cancelled by a calendar and there again, or over and held again later.

        What was cancelled here, as a booking, is not brought back by its copies.
        """
        moved = (before.start_s, before.end_s) != (after.start_s, after.end_s)
        back = before.origin != "api" if row.step is Step.CANCELLED else moved
        if not back or after.end_s <= self.now_s:
            return None
        revision = max(before.revision + 1, self._next_revision(after))
        return New(meeting=replace(after, revision=revision), revived=before)

    def _has_vanished(self, row: Kept) -> bool:
        if row.step not in OPEN_STEPS or row.end_s <= self.now_s:
            return False
        if row.step in RUNNING_STEPS and not self.present:
            why = "its last calendar copy disappeared while it was running: it goes on to its end"
            self.notes.append(Note("sync.running", row.id, why))
            return False
        return True

    def _next_revision(self, meeting: Meeting) -> int:
        """One more than anything told under this UID as a meeting of the other kind."""
        if meeting.original_start_s is None and self.series is not None:
            return self.series.revision + 1
        return 1

    # --- the series --------------------------------------------------------------------------------------------------

    def _expanded_until_s(self) -> int:
        row = self.state.series.get(self.uid)
        return 0 if row is None else row.expanded_until_s

    def _series_finding(self, reading: Reading, until_s: int, *, goes_on: bool) -> SeriesFinding | None:
        before = None if self.series is None or self.series.over else self.series
        if not reading.repeats:
            return None if before is None else self._series_ended(before, replaced=goes_on)
        series = reading.series()
        if before is None:
            if not goes_on:
                return None
            told = [ours.revision for ours in (self.series, self.single) if ours is not None]
            vmr = None if self.series is None else self.series.vmr
            series = replace(series, revision=max(told, default=0) + 1, vmr=vmr)
            return SeriesFinding(event=SeriesEvent.NEW, series=series, expanded_until_s=until_s, told=True)
        series = replace(
            series,
            revision=before.revision,
            vmr=before.vmr,
            former_vmr=before.former_vmr,
            origin=before.origin,
        )
        if before.origin == "api":
            series = replace(series, foreign=None, asked=False)
        if same_series(before, series) and not (goes_on and gains_vmr(self.state, before, series)):
            if until_s == self._expanded_until_s():
                return None
            return SeriesFinding(
                event=SeriesEvent.ROLLED, series=before, expanded_until_s=until_s, before=before
            )
        return SeriesFinding(
            event=SeriesEvent.CHANGED,
            series=series,
            expanded_until_s=until_s,
            before=before,
            told=before.digest != series.digest,
        )

    def _series_ended(self, before: Series, *, replaced: bool) -> SeriesFinding:
        reading = Reading(
            self.state, self.uid, [Copy(room, before.item, (0, 0), False) for room in before.rooms]
        )
        told = not replaced and is_ahead(before.item, reading.zone, self.now_s)
        return SeriesFinding(
            event=SeriesEvent.ENDED,
            series=replace(before, over=True),
            expanded_until_s=self._expanded_until_s(),
            before=before,
            told=told,
            replaced=replaced,
        )

    def _goes_on(self, reading: Reading, wanted: dict[MeetingId, Meeting]) -> bool:
        """The UID has a meeting that is not over, be it beyond the horizon."""
        if any(one.end_s > self.now_s for one in wanted.values()):
            return True
        return any(is_ahead(copy.item, reading.zone, self.now_s) for copy in reading.copies)

    # --- the rows ----------------------------------------------------------------------------------------------------

    def _settled_rows(self, *, alone: bool) -> tuple[ItemKept | ItemForgotten, ...]:
        """Rows as they stand once this is done: lost ones forgotten, a lone single meeting's item let go.

        Of several copies each keeps its own item: who is the newest may change, and then the others are needed again.
        """
        changes: list[ItemKept | ItemForgotten] = [ItemForgotten(row.room, row.href) for row in self.lost]
        for row in self.rows:
            if row in self.lost or row.gone:
                continue
            item = row.item
            if alone:
                item = None
            elif item is None and len(self.present) > 1:
                item = stand_in(row, self.single)
            if row.settle_at_s is not None or item is not row.item:
                changes.append(kept_row(replace(row, item=item, settle_at_s=None)))
        return tuple(changes)

    def _may_let_go(
        self, reading: Reading, wanted: dict[MeetingId, Meeting], meetings: tuple[MeetingFinding, ...]
    ) -> bool:
        """The one copy there is says no more than the meeting made from it, version included."""
        if not wanted or any(one.foreign is not None or one.asked for one in wanted.values()):
            return False
        if len(self.present) != 1 or reading.repeats or self._is_booked():
            return False
        if meetings or self.single is None:
            return True
        return self.standing[0].version == (self.single.sequence, self.single.modified_s)

    def _note_problems(self, reading: Reading) -> None:
        self.notes.extend(Note("sync.problem", self.uid, problem) for problem in reading.problems)
        if reading.unmatched:
            hosts = sorted({link.split("/")[2] for link in reading.unmatched})[:LINKS_NOTED_MAX]
            why = f"no rule knows its links to {', '.join(hosts)}; `meetkeeper links test` tries rules"
            self.notes.append(Note("link.unmatched", self.uid, why))

    # --- booked here -----------------------------------------------------------------------------------------------

    def _is_booked(self) -> bool:
        if self.series is not None:
            return self.series.origin == "api"
        return self.single is not None and self.single.origin == "api"

    def _is_called_off(self) -> bool:
        if self.series is not None:
            return self.series.over
        return any(row.step is Step.CANCELLED for row in self.ours)

    def _booked_version(self) -> Version:
        ours = self.series or self.single
        assert ours is not None, "a booking is a series or a single meeting"
        return ours.sequence, ours.modified_s

    def _booked_rooms(self, rooms: tuple[RoomId, ...]) -> tuple[RoomId, ...]:
        """The booked rooms without those whose copy was deleted or cancelled in the room's own calendar."""
        present = {row.room for row in self.present}
        lost = {row.room for row in self.lost if row.room not in present}
        lost |= {copy.room for copy in self.copies if copy.fresh and not stands(copy.item)}
        return tuple(room for room in rooms if room not in lost or self._is_being_written(room))

    def _is_being_written(self, room: RoomId) -> bool:
        """Our copy is still on its way into the calendar: that it is not there says nothing."""
        ids = {row.id for row in self.ours}
        return any(
            isinstance(row.effect, WriteItem)
            and row.effect.room == room
            and not row.effect.remove
            and (row.effect.series == self.uid or row.effect.meeting in ids)
            for row in self.state.outbox.values()
        )

    def _with_echoes(self, newer: list[Copy]) -> list[Copy]:
        """A person changed some copy of a booking: the booked rooms that show an older one follow the newest."""
        ours = self.series or self.single
        assert ours is not None, "a booking is a series or a single meeting"
        rooms = {copy.room for copy in newer}
        first = newer[0]
        echoes = [
            Copy(room, first.item, first.version, False)
            for room in self._booked_rooms(ours.rooms)
            if room not in rooms
        ]
        return sorted([*newer, *echoes], key=lambda copy: (-copy.version[0], -copy.version[1], copy.room))

    def _settle_booked(self) -> UidFindings:
        """No copy is newer than our booking: only rooms may have been taken out."""
        findings: list[MeetingFinding] = []
        for row in self.ours:
            before = self.state.decode(row)
            rooms = self._booked_rooms(before.rooms)
            if rooms == before.rooms or row.step not in OPEN_STEPS or row.end_s <= self.now_s:
                continue
            if rooms:
                after = replace(before, rooms=rooms)
                fields = differences(before, after)
                findings.append(Changed(before=before, after=after, step=row.step, fields=fields))
            elif self._has_vanished(row):
                findings.append(Vanished(meeting=before, step=row.step))
        findings.sort(key=_start_of)
        return UidFindings(
            uid=self.uid,
            items=self._settled_rows(alone=False),
            series=self._booked_series(),
            meetings=tuple(findings),
            same=len(self.ours) - len(findings),
            notes=tuple(self.notes),
        )

    def _booked_series(self) -> SeriesFinding | None:
        before = self.series
        if before is None or before.over:
            return None
        rooms = self._booked_rooms(before.rooms)
        if rooms == before.rooms:
            return None
        return SeriesFinding(
            event=SeriesEvent.CHANGED if rooms else SeriesEvent.ENDED,
            series=replace(before, rooms=rooms) if rooms else replace(before, over=True),
            expanded_until_s=self._expanded_until_s(),
            before=before,
            told=True,
        )


def kept_row(row: ItemRow) -> ItemKept:
    """The change that keeps this row."""
    return ItemKept(
        room=row.room,
        href=row.href,
        uid=row.uid,
        etag=row.etag,
        fingerprint=row.fingerprint,
        item=row.item,
        settle_at_s=row.settle_at_s,
        gone=row.gone,
        held=row.held,
    )


def _start_of(finding: MeetingFinding) -> tuple[int, MeetingId]:
    match finding:
        case Changed():
            return finding.after.start_s, finding.after.id
        case _:
            return finding.meeting.start_s, finding.meeting.id
