"""One gate before a server that all its rooms share: when it says "not now", every room waits. Pure.

A retry storm is answered by more of the same. Times are seconds of a clock that only goes forward, given by the caller.
"""

from datetime import datetime
from email.utils import parsedate_to_datetime

from meetkeeper.core.errors import Unavailable

QUIET_S_MIN = 5.0
"""How long a busy server that names no time is left alone; doubled each time, up to `QUIET_S_MAX`."""
QUIET_S_MAX = 300.0
RETRY_AFTER_S_MAX = 3_600.0
"""Longest pause that a server may ask for; beyond that it is asked again to be sure."""


class Gate:
    """Open, or shut until some moment."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._shut_until = 0.0
        self._strikes = 0

    def pass_through(self, now: float) -> None:
        """Raises `Unavailable` with what is left of the pause while the gate is shut."""
        wait_s = self._shut_until - now
        if wait_s > 0:
            raise Unavailable(
                "calendar.busy",
                f"{self._host} has asked for a pause; nobody asks it now.",
                retry_after_s=wait_s,
            )

    def shut(self, now: float, pause_s: float | None) -> float:
        """The server wants a pause, of this length or of one that it does not name; how long it is."""
        if pause_s is None:
            pause_s = min(QUIET_S_MIN * 2.0**self._strikes, QUIET_S_MAX)
            self._strikes = min(self._strikes + 1, 10)
        self._shut_until = max(self._shut_until, now + pause_s)
        return pause_s

    def well(self) -> None:
        """The server has answered as it should: the next unnamed pause is a short one again."""
        self._strikes = 0


def wait_s(header: str, now: datetime) -> float | None:
    """Retry-After, as seconds or as a date (RFC 9110 section 10.2.3), bounded; None when it can't be read."""
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), RETRY_AFTER_S_MAX)
    try:
        seconds = (parsedate_to_datetime(text) - now).total_seconds()
    except (TypeError, ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), RETRY_AFTER_S_MAX)
