"""What a person or program can ask: a closed union. `keeper.step` answers with a plan or raises a `MeetkeeperError`."""

from typing import Literal

from msgspec import Raw, Struct

from meetkeeper.core.words import EffectKey, MeetingId, Person, RoomId, Uid


class Book(Struct, frozen=True, kw_only=True, gc=False):
    """Book rooms. `uid` makes it an upsert for callers who name their meetings; without it `nonce` derives one.

    `recurrence` is an RFC 5545 RRULE without the property name, read in `time_zone`. `idempotency` is
    (caller's scope and key, hash of the request): the same pair is answered with the same meeting.
    """

    rooms: tuple[RoomId, ...]
    subject: str
    organizer: Person
    start_s: int
    end_s: int
    time_zone: str
    nonce: str
    invitees: tuple[Person, ...] = ()
    description: str = ""
    private: bool = False
    recurrence: str = ""
    vmr: bool = True
    bridge: str = ""
    uid: Uid | None = None
    idempotency: tuple[str, str] | None = None


class Amend(Struct, frozen=True, kw_only=True, gc=False):
    """Change a meeting; fields left None stay. `revision` guards against deciding on an older one (If-Match)."""

    id: MeetingId
    revision: int | None = None
    rooms: tuple[RoomId, ...] | None = None
    subject: str | None = None
    invitees: tuple[Person, ...] | None = None
    description: str | None = None
    start_s: int | None = None
    end_s: int | None = None
    time_zone: str | None = None


class Cancel(Struct, frozen=True, kw_only=True, gc=False):
    """Cancel a meeting, or with `whole_series` every occurrence of its series."""

    id: MeetingId
    revision: int | None = None
    whole_series: bool = False


class Resend(Struct, frozen=True, gc=False):
    """Tell everybody again what they were told last, with the same Message-IDs."""

    id: MeetingId


class Release(Struct, frozen=True, gc=False):
    """A parked or unknown effect: `retry` it, or take it as `done`."""

    key: EffectKey
    how: Literal["retry", "done"]


class Resync(Struct, frozen=True, gc=False):
    """Forget a room's cookie: the next poll is a full pass."""

    room: RoomId


class ReleaseBrake(Struct, frozen=True, gc=False):
    """The vanished items the brake holds in this room: they are `gone`, or to be `kept` until seen again."""

    room: RoomId
    how: Literal["gone", "kept"]


class Deploy(Struct, frozen=True, gc=False):
    """Put a checked configuration in force. `base` is the revision it was made from."""

    body: Raw
    by: str
    base: int | None = None


class IssueToken(Struct, frozen=True, gc=False):
    """Let whoever presents the token with this SHA-256 in."""

    digest: str
    name: str
    scope: Literal["read", "write"]


class RevokeToken(Struct, frozen=True, gc=False):
    """Let it in no more."""

    name: str


Command = Book | Amend | Cancel | Resend | Release | Resync | ReleaseBrake | Deploy | IssueToken | RevokeToken
