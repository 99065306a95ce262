"""The benches of scale come to their end and keep their promises at a small scale."""

import json
import subprocess
import sys

import pytest

from tests.house.source import ROOT

LOSS = ("loss", "--rooms", "6", "--meetings", "5")
EXCHANGE = ("loss", "--rooms", "3", "--meetings", "4", "--kind", "exchange")
STEADY = ("steady", "--rooms", "6", "--meetings", "2", "--poll", "1", "--settle", "0", "--minutes", "0.05")


@pytest.mark.parametrize(
    "words",
    [LOSS, pytest.param(EXCHANGE, marks=pytest.mark.slow), pytest.param(STEADY, marks=pytest.mark.slow)],
)
def test_scale_is_measured(words: tuple[str, ...]) -> None:
    """Figures as JSON; no URI changed, no mail again, no row in the outbox, no change lost."""
    command = [
        sys.executable,
        "-m",
        "bench.town",
        *words,
        *(("--a-day", "200000") if words[0] == "steady" else ()),
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=110, cwd=ROOT)
    figures = json.loads(ran.stdout)
    if words[0] == "loss":
        assert (figures["uris_changed"], figures["mails_again"], figures["outbox_rows"]) == (0, 0, 0)
        assert figures["after_loss_items_per_s"] > 0
    else:
        assert figures["changes_lost"] == 0
        assert figures["polls_per_s"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["exchange", "graph"])
def test_an_adapter_is_measured(kind: str) -> None:
    """Everything is read, with both sides' CPU time, and idle polls are timed."""
    command = [sys.executable, "-m", "bench.mailboxes", kind, "--rooms", "2", "--items", "10"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, cwd=ROOT)
    first, second, third = ran.stdout.splitlines()
    assert first.startswith("20 items of 2 rooms")
    assert "s of the fake" in second
    assert third.startswith("an idle poll")
