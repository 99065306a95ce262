"""The gate before a busy server: shut for as long as it says, longer and longer where it says nothing."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meetkeeper.bounded.gate import QUIET_S_MAX, QUIET_S_MIN, RETRY_AFTER_S_MAX, Gate, wait_s
from meetkeeper.core.errors import Unavailable


def test_a_named_pause_is_kept_to_its_end() -> None:
    """Shut until then, with what is left as the time to come back; a shorter pause never opens it earlier."""
    gate = Gate("mail.example")
    gate.pass_through(0.0)
    assert gate.shut(100.0, 30.0) == 30.0
    gate.shut(101.0, 1.0)
    with pytest.raises(Unavailable, match=r"mail\.example has asked for a pause") as caught:
        gate.pass_through(110.0)
    assert caught.value.retry_after_s == 20.0
    gate.pass_through(130.0)


def test_unnamed_pauses_grow_until_the_server_is_well() -> None:
    """Doubled each time up to a bound; one good answer makes the next one short again."""
    gate = Gate("mail.example")
    pauses = [gate.shut(0.0, None) for _ in range(20)]
    assert pauses[:3] == [QUIET_S_MIN, 2 * QUIET_S_MIN, 4 * QUIET_S_MIN]
    assert pauses == sorted(pauses)
    assert pauses[-1] == QUIET_S_MAX
    gate.well()
    assert gate.shut(0.0, None) == QUIET_S_MIN


@given(st.text(max_size=40))
def test_any_retry_after_is_a_bounded_wait(header: str) -> None:
    """Seconds, a date or nonsense: the wait is within bounds or unknown."""
    wait = wait_s(header, datetime(2026, 11, 22, tzinfo=UTC))
    assert wait is None or 0 <= wait <= RETRY_AFTER_S_MAX


def test_retry_after_as_a_date() -> None:
    """A date is a wait from now, in any of HTTP's spellings."""
    now = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
    assert wait_s("Sun, 22 Nov 2026 12:01:30 GMT", now) == 90
    assert wait_s("Sun, 22 Nov 2026 12:01:30", now) in (90, None)
    assert wait_s("17", now) == 17
