"""One booking from bytes to bytes: the path many programs take at once.

Both doors use it: the plain route in `api.routes.meetings` and the short one in `api.hot`. The answer is made from the
plan itself, which holds the meeting as it was kept, so that a booking waits for the disk once.
"""

import msgspec
from msgspec import Struct

from meetkeeper.api.auth import Caller
from meetkeeper.api.bodies import MeetingBody
from meetkeeper.api.commands import idempotency_of, to_book
from meetkeeper.api.follower import Follower
from meetkeeper.api.gate import Gate
from meetkeeper.api.problems import FieldError, Invalid
from meetkeeper.api.validation import decode
from meetkeeper.api.views import API, etag, meeting_view
from meetkeeper.core.changes import MeetingKept
from meetkeeper.core.configuration import Config
from meetkeeper.core.errors import NotFound, OurMistake, TheirMistake
from meetkeeper.core.plan import Decision
from meetkeeper.core.state import State
from meetkeeper.core.words import Meeting, MeetingId

_FIELD_OF = {
    "unknown-room": "rooms",
    "unknown-bridge": "bridge",
    "time-zone": "time_zone",
    "recurrence": "recurrence",
    "past": "end",
    "start": "start",
    "end": "end",
    "duration": "end",
    "rooms": "rooms",
    "subject": "subject",
    "description": "description",
    "invitees": "invitees",
}
"""The field a refusal of the core is about, where it is about one."""

_decode_meeting = msgspec.json.Decoder(Meeting).decode
_encode = msgspec.json.Encoder().encode


class Booked(Struct, frozen=True, gc=False):
    """A booking that is kept, and its answer. `repeated` when the same request had been answered before."""

    id: MeetingId
    revision: int
    body: bytes
    repeated: bool

    @property
    def location(self) -> str:
        """Where the meeting is."""
        return f"{API}/meetings/{self.id}"

    @property
    def etag(self) -> str:
        """The meeting's entity tag."""
        return etag(self.revision)


async def book(gate: Gate, follower: Follower, caller: Caller, body: bytes, key: str | None) -> Booked:
    """Book and wait until it is kept.

    `key` is the Idempotency-Key. Raises `Invalid` and `TheirMistake` for what was sent, `Refused` (`conflict`) with the
    meetings in the way, `Unavailable` when this server can't decide now.
    """
    sent = decode(body, MeetingBody)
    config = follower.config
    command = to_book(sent, config, follower.rooms)
    if key is not None:
        command = msgspec.structs.replace(command, idempotency=idempotency_of(key, caller.name, sent))
    try:
        decision = await gate.engine.submit(command)
    except (TheirMistake, NotFound) as error:
        raise as_field_error(error) from None
    booked = _from_plan(decision, config)
    return booked or await _from_state(gate, MeetingId(decision.answer), config)


def as_field_error(error: TheirMistake | NotFound) -> TheirMistake | NotFound:
    """The core's refusal, told as the field it is about."""
    field = _FIELD_OF.get(error.code)
    return error if field is None else Invalid([FieldError(field, error.message)])


def _from_plan(decision: Decision, config: Config) -> Booked | None:
    for change in decision.plan.changes:
        if type(change) is MeetingKept and change.id == decision.answer:
            meeting = _decode_meeting(change.body)
            view = meeting_view(meeting, change.step, change.series, config.cluster)
            return Booked(meeting.id, meeting.revision, _encode(view), repeated=False)
    return None


async def _from_state(gate: Gate, meeting_id: MeetingId, config: Config) -> Booked:
    def look(state: State) -> Booked | None:
        kept = state.meetings.get(meeting_id)
        if kept is None:
            return None
        meeting = state.decode(kept)
        view = meeting_view(meeting, kept.step, kept.series, config.cluster)
        return Booked(meeting.id, meeting.revision, _encode(view), repeated=True)

    booked = await gate.engine.read(look)
    if booked is None:
        raise OurMistake(
            "answer-lost",
            f"Meeting {meeting_id} was booked but is not kept any more. Look for it in /api/v1/explain/{meeting_id}.",
        )
    return booked
