"""The real clock: plausible, and steady where it says so."""

from datetime import UTC, datetime

from meetkeeper.host.clock import RealClock


def test_the_wall_clock_tells_the_time() -> None:
    """Seconds since 1970 in UTC."""
    assert abs(RealClock().now_s() - datetime.now(UTC).timestamp()) < 5.0


def test_the_steady_clock_never_goes_back() -> None:
    """Each reading is at least the one before."""
    clock = RealClock()
    readings = [clock.steady_s() for _ in range(1_000)]
    assert readings == sorted(readings)
