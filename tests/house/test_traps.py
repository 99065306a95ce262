"""The table of calendar traps names every trap, and only tests that exist."""

import re

import pytest

from tests.house.source import ROOT

TABLE = (ROOT / "docs" / "calendars.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| T(\d+) \|(.*)\|$", TABLE, re.MULTILINE)


def test_every_trap_has_a_row_a_rule_and_a_test() -> None:
    """T1 to T38, in order, each with a rule and at least one test."""
    assert [int(number) for number, _ in ROWS] == list(range(1, 39))
    for number, row in ROWS:
        trap, rule, tests = (cell.strip() for cell in row.split("|"))
        assert trap, number
        assert rule, number
        assert "::test_" in tests, number


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`([\w/]+\.py)::\w+`", TABLE))))
def test_every_named_test_exists(path: str) -> None:
    """A test that was renamed is renamed there too."""
    there = set(
        re.findall(r"^ *(?:async )?def (test_\w+)\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
    )
    named = set(re.findall(rf"`{re.escape(path)}::(\w+)`", TABLE))
    assert named <= there, named - there
