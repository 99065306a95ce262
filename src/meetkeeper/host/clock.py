"""The real clock. Rule: nothing else in the house asks this machine for the time."""

import time

# Counts while the machine sleeps, so that a suspended server does not believe in its lease when it wakes.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class RealClock:
    """The wall clock, and the time since boot."""

    __slots__ = ()

    def now_s(self) -> float:
        """Seconds since 1970-01-01 UTC; may jump."""
        return time.time()

    def steady_s(self) -> float:
        """Seconds since boot, sleep included; never jumps."""
        return time.clock_gettime(_STEADY)
