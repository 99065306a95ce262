"""Time comes in by this door alone."""

from typing import Protocol


class Clock(Protocol):
    """A wall clock, and a steady one for measuring."""

    def now_s(self) -> float:
        """Seconds since 1970-01-01 UTC by this machine's clock; may jump."""
        ...

    def steady_s(self) -> float:
        """Seconds since an arbitrary instant; never jumps, counts while the machine sleeps."""
        ...
