"""Times as people type them: `now+10m`, `14:00`, `tomorrow 9:30`, or ISO 8601."""

import re
from datetime import datetime, timedelta

from meetkeeper.api.client import TheirMistake

_FROM_NOW = re.compile(r"now(?:\s*\+\s*(\d+)\s*([smhd]))?")
_CLOCK = re.compile(r"(?:(today|tomorrow)\s+)?(\d{1,2}):(\d{2})")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def moment(text: str, now: datetime) -> str:
    """What the API is sent. `now` is aware; a bare ISO wall time is left for the server to read in the room's zone.

    Raises `TheirMistake` for words that mean no time.
    """
    words = text.strip().lower()
    from_now = _FROM_NOW.fullmatch(words)
    if from_now:
        amount, unit = from_now.groups()
        later = timedelta(**{_UNITS[unit]: int(amount)}) if amount else timedelta()
        return (now + later).replace(microsecond=0).isoformat()
    by_clock = _CLOCK.fullmatch(words)
    if by_clock:
        day, hour, minute = by_clock.groups()
        if int(hour) < 24 and int(minute) < 60:
            at = now.replace(hour=int(hour), minute=int(minute), second=0, microsecond=0)
            return (at + timedelta(days=1) if day == "tomorrow" else at).isoformat()
    try:
        return datetime.fromisoformat(text.strip()).isoformat()
    except ValueError:
        raise TheirMistake(
            "when", f"{text!r} is no time. Say 14:00, tomorrow 9:30, now+10m or 2027-03-01T09:30."
        ) from None


def later(text: str, minutes: float) -> str:
    """So many minutes after a moment."""
    return (datetime.fromisoformat(text) + timedelta(minutes=minutes)).isoformat()
