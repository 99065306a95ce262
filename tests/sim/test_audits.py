"""Calendars that hide changes in simulated worlds: audits alone bring them to light, and blame no honest one."""

import pytest

from meetkeeper.core.audit import Comparison
from meetkeeper.testing.world.run import World, run_seed
from meetkeeper.testing.world.weather import Weather

HIDING = (11, 15, 18)
"""Worlds in which calendars hide changes."""
HONEST = (4, 5, 12)
"""Worlds in which they tell everything."""


def lived(seed: int) -> tuple[World, Weather]:
    """A world after its end, and the weather it had."""
    world = World(seed, 10.0)
    weather = world.weather
    world.run()
    return world, weather


def test_audits_alone_find_what_calendars_hide() -> None:
    """In the end everything agrees although nobody asked for a resync, and what was mended is counted."""
    mended = 0
    for seed in HIDING:
        world, weather = lived(seed)
        assert weather.hides > 0
        assert world.server is not None
        mended += sum(news.mended for news in world.server.state.rooms_news.values())
    assert mended > 0


def test_without_audits_such_a_world_does_not_converge(monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness is not blind: with audits switched off some hidden change is never known."""
    monkeypatch.setattr("meetkeeper.testing.world.audits.is_due", lambda *parts: False)
    assert any("BROKEN" in run_seed(seed, 10.0).broken for seed in HIDING)


def test_honest_calendars_are_audited_and_never_blamed() -> None:
    """A judge stands by in every world whose calendars tell everything; audits do happen there."""
    for seed in HONEST:
        world, weather = lived(seed)
        assert weather.hides == weather.silent_full == 0.0
        assert world.server is not None
        assert any(news.audited_s for news in world.server.state.rooms_news.values())


def test_the_judge_of_audits_is_not_blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """An audit that takes what is late for hidden is found out."""
    monkeypatch.setattr(Comparison, "reported", lambda self, names: None)
    assert all("is blamed" in run_seed(seed, 10.0).broken for seed in HONEST)
