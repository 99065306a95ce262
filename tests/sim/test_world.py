"""Simulated worlds: a few on every run, those that once found something, and the same trace for the same seed."""

import os
import subprocess
import sys
from random import Random

import pytest

from meetkeeper.testing.world.__main__ import main
from meetkeeper.testing.world.run import run_seed
from meetkeeper.testing.world.weather import CALM, Weather, draw, shown

SMOKE = range(1, 11)
MINUTES = 10.0
KEPT = {
    (
        160,
        30.0,
    ): "a meeting was over, its UID went on as a series, and its last invitation came after the CANCEL",
    (
        1134,
        10.0,
    ): "a calendar told late of the copy that we had removed ourselves, and the meeting lost its room",
    (
        1219,
        10.0,
    ): "a change settled in the very look at the clock that opened the meeting, and closed it again",
    (
        2124,
        10.0,
    ): "an item was over by a clock that was ahead, and stayed unknown when the clock was right again",
    (
        2387,
        10.0,
    ): "a series began beyond the horizon: no bridge was asked, and everybody was told of its door",
    (
        4297,
        10.0,
    ): "a write into a calendar was slower than the removal after it, and what was cancelled stayed",
}
"""Worlds that found something, with their story. What else has changed since may have moved it to another seed."""


@pytest.mark.parametrize("seed", SMOKE)
def test_every_promise_holds(seed: int) -> None:
    """Ten worlds of different weather keep every promise and converge."""
    report = run_seed(seed, MINUTES)
    assert not report.broken, report.broken
    assert report.decisions > 50


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "minutes"), KEPT)
def test_every_promise_holds_where_one_was_broken(seed: int, minutes: float) -> None:
    """Worlds that once found a bug find none."""
    report = run_seed(seed, minutes)
    assert not report.broken, report.broken


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_hundred_worlds(capsys: pytest.CaptureFixture[str]) -> None:
    """The run that guards every change: two hundred seeds, none broken."""
    assert main(["--seeds", "200"]) == 0
    assert "every promise held" in capsys.readouterr().out


def test_the_same_seed_is_the_same_world() -> None:
    """Ten seeds under two hash seeds, in processes of their own, leave the same traces."""
    traces = [_traces(hash_seed) for hash_seed in ("0", "1")]
    assert traces[0] == traces[1]
    assert len(set(traces[0])) == len(SMOKE)


def _traces(hash_seed: str) -> list[str]:
    command = [sys.executable, "-m", "meetkeeper.testing.world", "--seeds", str(len(SMOKE)), "--minutes", "5"]
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    ran = subprocess.run(
        [*command, "--trace"], env=environment, capture_output=True, text=True, check=True, timeout=100
    )
    return ran.stdout.splitlines()[:-1]


def test_a_broken_promise_is_told_with_its_seed_and_story(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who finds a bug prints seed, weather and the latest decisions, and the run fails."""
    monkeypatch.setattr("meetkeeper.core.timing.stepped", lambda draft, row, step: None)
    assert main(["--seeds", "1", "--seed", "3", "--minutes", "5"]) == 1
    out = capsys.readouterr().out
    assert "seed 3\nweather:" in out
    assert "setting: pace" in out
    assert "Ticked()" in out
    assert "BROKEN" in out


def test_weather_differs_from_seed_to_seed() -> None:
    """Every fault is off in some worlds and on in others, and a calm world has none."""
    drawn = [draw(Random(seed)) for seed in range(60)]
    for name in Weather.__struct_fields__:
        if name not in ("checkpoint_rate", "read_back_rate"):
            assert len({getattr(weather, name) for weather in drawn}) > 1, name
    assert shown(CALM) == ""
