"""The fault table names every fault, and only tests and words of the weather that exist."""

import re

from meetkeeper.testing.pairworld.weather import Weather
from tests.house.source import ROOT

TABLE = (ROOT / "docs" / "faults.md").read_text()
ROWS = re.findall(r"^\| F(\d+) \|(.*)\|$", TABLE, re.MULTILINE)


def test_every_fault_has_a_row_and_a_test() -> None:
    """F1 to F34, in order, each with at least one test."""
    assert [int(number) for number, _ in ROWS] == list(range(1, 35))
    assert not [number for number, row in ROWS if "::test_" not in row]


def test_every_named_test_exists() -> None:
    """A test that was renamed is renamed here too."""
    for path, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TABLE):
        assert re.search(rf"^(?:async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE), (
            f"{path}::{name}"
        )


def test_every_word_of_the_weather_exists() -> None:
    """What is said to be simulated can be drawn."""
    known = set(Weather.__struct_fields__)
    for number, row in ROWS:
        words = re.findall(r"`(\w+)`", row.split("|")[1])
        assert not set(words) - known, f"F{number}"
