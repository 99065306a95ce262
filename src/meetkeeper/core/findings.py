"""What reconciling finds: plain values from which `core.keeper` builds changes and effects.

Two stages, two records: `PageFindings` says what a calendar page changes in what was last seen, `UidFindings` what a
UID whose items have settled ought to mean for our meetings. Nothing here decides about VMRs, mails or the outbox.
"""

from enum import StrEnum

from msgspec import Struct

from meetkeeper.core.changes import CookieKept, ItemForgotten, ItemKept, RoomTold
from meetkeeper.core.plan import Note
from meetkeeper.core.state import Series
from meetkeeper.core.words import Meeting, Step, Uid


class Field(StrEnum):
    """What of a meeting differs, as far as a person would notice."""

    TIME = "time"
    SUBJECT = "subject"
    ORGANIZER = "organizer"
    INVITEES = "invitees"
    ROOMS = "rooms"
    DESCRIPTION = "description"
    PRIVATE = "private"
    JOIN = "join"
    """Its calendar names another way in, or asks for a VMR that it does not have."""


class New(Struct, frozen=True, kw_only=True, gc=False):
    """A meeting to be made (step `scheduled`), by start the soonest first; its end lies in the future.

    `meeting` is complete but for its VMR. Its `revision` follows every revision told under this UID before, so that the
    sequence in mails never goes back. `revived` is set when we know the meeting and it was closed (cancelled and there
    again, or over and moved to a later time): `meeting` then has the VMR it had.
    """

    meeting: Meeting
    revived: Meeting | None = None


class Changed(Struct, frozen=True, kw_only=True, gc=False):
    """An open meeting that differs. `after` has the VMR, the revision and the origin of `before`.

    `fields` is never empty: what nobody would notice (a version, the spelling of a name) is no finding. Keep
    `after.sequence` and `after.modified_s` as they are: they say how new the calendar's copy is. `quiet`: it was moved
    into the past; its clock ends it, nobody is told.
    """

    before: Meeting
    after: Meeting
    step: Step
    fields: tuple[Field, ...] = ()
    quiet: bool = False


class Vanished(Struct, frozen=True, kw_only=True, gc=False):
    """An open meeting that no calendar shows any more: it is cancelled, at once if it is running.

    `replaced`: the UID goes on as a series (or, the other way, as a single meeting) with the same door: cancel this
    row, tell nobody and do not close or retire a VMR that the successor uses.
    """

    meeting: Meeting
    step: Step
    replaced: bool = False


MeetingFinding = New | Changed | Vanished


class SeriesEvent(StrEnum):
    """What became of a series."""

    NEW = "new"
    CHANGED = "changed"
    ROLLED = "rolled"
    """Only `expanded_until_s` moves: time has passed."""
    ENDED = "ended"


class SeriesFinding(Struct, frozen=True, kw_only=True, gc=False):
    """A series as it is to be kept: `SeriesKept(uid, expanded_until_s, raw(series))`, VMR and revision filled in.

    `series` has VMR, revision and origin of `before`. A new one has no `before`, the revision to begin with and, if an
    ended series of this UID is remembered, its VMR. `told` is True when invitees have to hear of it: `series.digest`
    differs from the one before. An ended series is `over`; it is kept until its meetings are forgotten. `replaced` as
    in `Vanished`: it goes on as a single meeting, tell nobody that it ended.
    """

    event: SeriesEvent
    series: Series
    expanded_until_s: int
    before: Series | None = None
    told: bool = False
    replaced: bool = False


class PageFindings(Struct, frozen=True, gc=False):
    """What a page changes in what was last seen; all of it belongs into one plan."""

    changes: tuple[ItemKept | ItemForgotten | RoomTold | CookieKept, ...] = ()
    notes: tuple[Note, ...] = ()


class UidFindings(Struct, frozen=True, kw_only=True, gc=False):
    """What one UID's calendar items mean for our meetings; all of it belongs into one plan.

    `items` settle the rows that led here and belong into the plan even when nothing else was found. `same` counts
    meetings that are as they ought to be.
    """

    uid: Uid
    items: tuple[ItemKept | ItemForgotten, ...] = ()
    series: SeriesFinding | None = None
    meetings: tuple[MeetingFinding, ...] = ()
    same: int = 0
    notes: tuple[Note, ...] = ()
