"""What may be sent to us: one frozen record for each request body. Unknown fields are refused, never ignored."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from meetkeeper.core.words import DESCRIPTION_CHARS_MAX, INVITEES_MAX, SUBJECT_CHARS_MAX

ROOMS_MAX = 100
"""Rooms of one meeting."""

RoomName = Annotated[
    str, Meta(min_length=1, max_length=63, description="A room's id as in the configuration")
]
Moment = Annotated[
    str,
    Meta(
        max_length=40,
        description="ISO 8601 date and time, with an offset or as a wall time in `time_zone`",
        examples=["2027-03-01T09:30", "2027-03-01T09:30:00+01:00"],
    ),
]
Subject = Annotated[str, Meta(max_length=SUBJECT_CHARS_MAX)]
Description = Annotated[str, Meta(max_length=DESCRIPTION_CHARS_MAX)]
ZoneName = Annotated[str, Meta(max_length=64, description="IANA zone name", examples=["Europe/Oslo"])]


class _Body(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class PersonBody(_Body, frozen=True, kw_only=True):
    """Somebody with a mailbox."""

    email: Annotated[str, Meta(max_length=254, examples=["ada@example.org"])]
    name: Annotated[str, Meta(max_length=200)] = ""


PersonOrEmail = PersonBody | Annotated[str, Meta(max_length=460, examples=["ada@example.org"])]
Invitees = Annotated[tuple[PersonOrEmail, ...], Meta(max_length=INVITEES_MAX)]
Rooms = Annotated[tuple[RoomName, ...], Meta(min_length=1, max_length=ROOMS_MAX)]


class MeetingBody(_Body, frozen=True, kw_only=True):
    """A meeting to be booked.

    `time_zone` is the first room's when left out. `recurrence` is an RFC 5545 RRULE without the property name.
    `vmr` false books the rooms alone. `uid` names the meeting from your side: booking the same `uid` again changes
    the meeting instead of making a second one.
    """

    rooms: Rooms
    subject: Subject
    organizer: PersonOrEmail
    start: Moment
    end: Moment
    time_zone: ZoneName = ""
    invitees: Invitees = ()
    description: Description = ""
    private: bool = False
    recurrence: Annotated[str, Meta(max_length=1_000, examples=["FREQ=WEEKLY;BYDAY=MO;COUNT=10"])] = ""
    vmr: bool = True
    bridge: Annotated[str, Meta(max_length=63)] = ""
    uid: Annotated[str, Meta(min_length=1, max_length=400)] | None = None


class MeetingPatch(_Body, frozen=True, kw_only=True):
    """Fields of a meeting to be changed; those left out stay as they are."""

    rooms: Rooms | None = None
    subject: Subject | None = None
    invitees: Invitees | None = None
    description: Description | None = None
    start: Moment | None = None
    end: Moment | None = None
    time_zone: ZoneName | None = None


class ExtendBody(_Body, frozen=True, kw_only=True):
    """Let a meeting last longer: by `minutes`, or until `end`. Exactly one of them."""

    minutes: Annotated[int, Meta(ge=1, le=44_640)] | None = None
    end: Moment | None = None


class BrakeBody(_Body, frozen=True, kw_only=True):
    """The vanished items that the brake holds: they are `gone`, or to be `kept` until seen again."""

    how: Literal["gone", "kept"]


class ReleaseBody(_Body, frozen=True, kw_only=True):
    """What becomes of a parked or unknown effect: `retry` it, or take it as `done`."""

    key: Annotated[str, Meta(min_length=1, max_length=1_000)]
    how: Literal["retry", "done"] = "retry"


class TokenBody(_Body, frozen=True, kw_only=True):
    """A token to be issued."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._@-]{0,62}$", examples=["lobby display"])]
    scope: Literal["read", "write"] = "read"


class RollbackBody(_Body, frozen=True, kw_only=True):
    """An earlier configuration to be put in force again; without `revision` the one before."""

    revision: Annotated[int, Meta(ge=0)] | None = None


class ReplayBody(_Body, frozen=True, kw_only=True):
    """What is to be booked again: all that is missing, or one `meeting`, even where it differs or was cancelled."""

    meeting: Annotated[str, Meta(max_length=64)] = ""


class DiscardBody(_Body, frozen=True, kw_only=True):
    """What nobody needs any more: the rest, or one `meeting`; `why` is kept."""

    why: Annotated[str, Meta(min_length=3, max_length=1_000)]
    meeting: Annotated[str, Meta(max_length=64)] = ""


Reason = Annotated[str, Meta(max_length=500, description="For the log and the register")]


class SwitchoverBody(_Body, frozen=True, kw_only=True):
    """The other server shall act."""

    dry_run: bool = False
    reason: Reason = ""


class ProofBody(_Body, frozen=True, kw_only=True):
    """A person's word that the other server has stopped: who made sure, when, how."""

    stopped: Annotated[str, Meta(min_length=3, max_length=500)]


class FailoverBody(_Body, frozen=True, kw_only=True):
    """This server shall act: the other one has stopped, or what it alone holds may be lost."""

    dry_run: bool = False
    proof: ProofBody | None = None
    accept_loss: Annotated[str, Meta(max_length=500, description="Why that is right")] = ""


class MaintenanceBody(_Body, frozen=True, kw_only=True):
    """A window in which no failover begins by itself; 0 minutes end it."""

    minutes: Annotated[float, Meta(ge=0, le=1440)]
    reason: Reason = ""


class RegisterResetBody(_Body, frozen=True, kw_only=True):
    """What the active server knows shall stand in the register."""

    reason: Annotated[str, Meta(min_length=3, max_length=500)]


class DrillBody(_Body, frozen=True, kw_only=True):
    """A drill."""

    reason: Reason = ""
