"""The invitees' door as a value: what somebody at /join/ALIAS sees at an instant, decided without any screen.

Nothing private is in it before the PIN: times alone. An alias nobody knows and one that is malformed look the same.
"""

from typing import Literal

from msgspec import Struct

from meetkeeper.api.queries import AtDoor
from meetkeeper.core.words import RUNNING_STEPS, Step

Standing = Literal["unknown", "waiting", "opening", "open", "over", "cancelled", "failed"]


class Sight(Struct, frozen=True):
    """How the door stands. Instants are unix seconds."""

    standing: Standing
    opens_s: int = 0
    starts_s: int = 0
    ends_s: int = 0
    ending: bool = False


NOTHING = Sight("unknown")


def sight_of(found: AtDoor | None, now_s: float) -> Sight:
    """What is to be seen now."""
    if found is None:
        return NOTHING
    meeting, step = found.meeting, found.step
    opens_s = meeting.start_s - found.open_before_s
    if step is Step.CANCELLED:
        return Sight("cancelled", opens_s, meeting.start_s, meeting.end_s)
    if step is Step.ENDED or now_s >= meeting.end_s:
        return Sight("over", opens_s, meeting.start_s, meeting.end_s)
    if step is Step.FAILED:
        return Sight("failed", opens_s, meeting.start_s, meeting.end_s)
    if step in RUNNING_STEPS:
        warned = found.warn_before_s > 0 and now_s >= meeting.end_s - found.warn_before_s
        ending = step is Step.ENDING or warned
        return Sight("open", opens_s, meeting.start_s, meeting.end_s, ending=ending)
    return Sight(
        "opening" if now_s >= opens_s else "waiting", opens_s, meeting.start_s, meeting.end_s, ending=False
    )
