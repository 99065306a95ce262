"""The rule for real neighbours: skipped with advice on a laptop, required in CI."""

import pytest

from tests.conftest import RequireReal


def test_a_missing_neighbour_is_skipped_with_advice(
    require_real: RequireReal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the variable, the test is skipped and the line says what to install."""
    monkeypatch.delenv("MEETKEEPER_REQUIRE_REAL", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt install janus"):
        require_real("janus", False, "apt install janus")


def test_a_missing_neighbour_fails_where_it_is_required(
    require_real: RequireReal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With MEETKEEPER_REQUIRE_REAL=1 a missing neighbour is a failure, so CI cannot go green without it."""
    monkeypatch.setenv("MEETKEEPER_REQUIRE_REAL", "1")
    with pytest.raises(pytest.fail.Exception, match="janus is not on this machine"):
        require_real("janus", False, "apt install janus")


def test_asking_for_a_neighbour_marks_the_test(
    require_real: RequireReal, request: pytest.FixtureRequest
) -> None:
    """A test that asks is marked `real`, and goes on when the neighbour is there."""
    require_real("python", True, "")
    assert request.node.get_closest_marker("real") is not None
