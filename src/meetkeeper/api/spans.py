"""The span of time and the rooms a query is about, read alike by every route."""

from meetkeeper.api import times
from meetkeeper.api.desk import Desk
from meetkeeper.api.problems import FieldError, Invalid
from meetkeeper.api.queries import FOREVER_S
from meetkeeper.api.validation import did_you_mean, nearest
from meetkeeper.core.words import RoomId


def read_span(
    desk: Desk, from_: str | None, until: str | None, *, default_until_s: int = FOREVER_S, zone: str = ""
) -> tuple[int, int]:
    """[from_s, until_s) as asked for; from now when `from` is left out. Raises `Invalid`."""
    in_zone = times.display_zone(zone, desk.follower.config.cluster.time_zone)
    errors: list[FieldError] = []
    ends = [int(desk.engine.now_s()), default_until_s]
    for place, (name, text) in enumerate((("from", from_), ("until", until))):
        if text is not None:
            try:
                ends[place] = times.bound_s(text, in_zone)
            except times.WrongTime as error:
                errors.append(FieldError(name, str(error)))
    if not errors and ends[1] <= ends[0]:
        errors.append(FieldError("until", "is not after `from`; send a later time."))
    if errors:
        raise Invalid(errors)
    return ends[0], ends[1]


def room_of(desk: Desk, name: str, field: str = "room") -> RoomId:
    """A room named in a query. Raises `Invalid` with the nearest names."""
    known = desk.follower.rooms
    if name not in known:
        near = nearest(name, known)
        hint = did_you_mean(near) or " GET /api/v1/rooms lists the rooms."
        raise Invalid([FieldError(field, f"there is no room {name[:63]!r}.{hint}", near)])
    return RoomId(name)
