"""Wall clocks and instants at the door: ISO 8601 in, unix seconds inside, ISO 8601 with offset out."""

import functools
import zoneinfo
from datetime import UTC, datetime, timedelta

from meetkeeper.api.moments import iso_utc
from meetkeeper.api.validation import did_you_mean, nearest
from meetkeeper.core.words import DURATION_MAX_S, START_MAX_S, START_MIN_S

__all__ = [
    "WrongTime",
    "bound_s",
    "check_span",
    "check_start",
    "day_span_s",
    "display_zone",
    "instant_s",
    "iso",
    "iso_utc",
    "zone",
    "zone_names",
]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class WrongTime(ValueError):
    """What was sent is no time this server can use; the message is a sentence for the sender."""

    def __init__(self, message: str, near: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.near = near


@functools.cache
def zone_names() -> frozenset[str]:
    """Every IANA zone this server knows."""
    return frozenset(zoneinfo.available_timezones())


@functools.lru_cache(maxsize=1024)
def zone(name: str) -> zoneinfo.ZoneInfo:
    """The zone of this IANA name. Raises `WrongTime` with the nearest names."""
    if name not in zone_names():
        near = nearest(name, zone_names())
        raise WrongTime(
            f"is not a time zone this server knows; use an IANA name such as Europe/Oslo.{did_you_mean(near)}",
            near,
        )
    return zoneinfo.ZoneInfo(name)


def instant_s(text: str, in_zone: zoneinfo.ZoneInfo) -> int:
    """Unix seconds of an ISO 8601 date and time, read in `in_zone` when it carries no offset.

    A local time that the clocks skip is refused; one that comes twice means the first. Raises `WrongTime`.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise WrongTime(
            "is not an ISO 8601 date and time; send for example 2027-03-01T09:30 or 2027-03-01T09:30:00+01:00."
        ) from None
    if len(text) < 13:
        raise WrongTime("needs a time of day beside the date, for example 2027-03-01T09:30.")
    if moment.microsecond:
        raise WrongTime("has fractions of a second; meetings start and end on whole seconds.")
    try:
        if moment.tzinfo is not None:
            return (moment - _EPOCH) // timedelta(seconds=1)
        seconds = int(moment.replace(tzinfo=in_zone).timestamp())
        if datetime.fromtimestamp(seconds, in_zone).replace(tzinfo=None, fold=0) != moment:
            raise WrongTime(
                f"does not exist in {in_zone.key}: the clocks are put forward over it. Choose a time before or after."
            )
    except (OverflowError, OSError, ValueError) as error:
        if isinstance(error, WrongTime):
            raise
        raise WrongTime("lies outside the years this server can count.") from None
    return seconds


def check_start(start_s: int) -> None:
    """Raise `WrongTime` when nobody can meet then."""
    if start_s < START_MIN_S:
        raise WrongTime("lies before 1970; meetings can't be kept that far back.")
    if start_s >= START_MAX_S:
        raise WrongTime("lies after 2099; choose an earlier time.")


def check_span(start_s: int, end_s: int) -> None:
    """Raise `WrongTime` about the end."""
    if end_s <= start_s:
        raise WrongTime("is not after the start; a meeting has to last at least a second.")
    if end_s - start_s > DURATION_MAX_S:
        raise WrongTime(f"makes the meeting longer than {DURATION_MAX_S // 86_400} days; book several.")


def iso(at_s: float, in_zone: zoneinfo.ZoneInfo) -> str:
    """ISO 8601 with offset, to the second."""
    return datetime.fromtimestamp(int(at_s), in_zone).isoformat()


def display_zone(*names: str) -> zoneinfo.ZoneInfo:
    """The first of these names that is a zone we know; UTC when none is. For showing, never for deciding."""
    for name in names:
        if name and name in zone_names():
            return zone(name)
    return zone("UTC")


def bound_s(text: str, in_zone: zoneinfo.ZoneInfo) -> int:
    """Unix seconds of one end of a span somebody asks for: a date (its midnight) or a date and time.

    A `+` that an address turned into a space is taken as meant. Raises `WrongTime`.
    """
    text = text.strip()
    if len(text) > 6 and text[-6] == " " and text[-3] == ":":
        text = f"{text[:-6]}+{text[-5:]}"
    if len(text) == 10:
        text += "T00:00"
        try:
            moment = datetime.fromisoformat(text).replace(tzinfo=in_zone)
            return int(moment.timestamp())
        except (ValueError, OverflowError, OSError):
            pass
    return instant_s(text, in_zone)


def day_span_s(at_s: float, in_zone: zoneinfo.ZoneInfo) -> tuple[int, int]:
    """Midnight to midnight around an instant; 23 to 25 hours."""
    midnight = datetime.fromtimestamp(at_s, in_zone).replace(
        hour=0, minute=0, second=0, microsecond=0, fold=0
    )
    return int(midnight.timestamp()), int((midnight + timedelta(days=1)).timestamp())
