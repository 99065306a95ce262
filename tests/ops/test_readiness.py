"""The verdict: each thing that can be wrong makes it worse by itself, says why, and nothing else does."""

from typing import Any

import pytest
from msgspec.structs import replace

from meetkeeper.ops.readiness import (
    READING_S_MAX,
    TRIED_S_MAX,
    UNMEASURED,
    Alike,
    Certificate,
    Reading,
    Tried,
    aged,
    judge,
)

ALIKE = Alike(release="1.0", tzdata="2026.1", time_zone="CET", config_revision=4)
WELL = Reading(
    at_s=1000.0,
    me="b",
    peer="a",
    linked=True,
    peer_acts=True,
    follows=True,
    in_sync=True,
    behind=0,
    same_hash=True,
    cookies=2,
    cookies_damaged=(),
    unusable="",
    neighbours=2,
    tried=(Tried("calendar", "oslo", True, "", 990.0), Tried("mail", "mail server", True, "", 990.0)),
    certificates=(Certificate("node", 300.0),),
    disk_free_bytes=10 << 30,
    clock_apart_s=0.01,
    ntp=True,
    mine=ALIKE,
    theirs=ALIKE,
    register="a folder",
    arbitrates=True,
    register_age_s=3.0,
    register_trouble="",
    fence="",
)


def test_when_all_is_well_it_is_ready() -> None:
    """No reason, and every check is ok."""
    verdict = judge(WELL)
    assert (verdict.ready, verdict.reasons) == ("ready", ())
    assert {one.state for one in verdict.checks} == {"ok"}


@pytest.mark.parametrize(
    ("changed", "ready", "says"),
    [
        ({"linked": False}, "not ready", "a is not there"),
        ({"peer_acts": False}, "not ready", "nobody to follow"),
        ({"same_hash": False}, "not ready", "differs"),
        ({"in_sync": False, "behind": 7}, "not ready", "7 frames behind"),
        ({"follows": False}, "not ready", "nobody has let it in yet"),
        ({"unusable": "no variable 'X'."}, "not ready", "no variable 'X'"),
        ({"certificates": (Certificate("node", -1.0),)}, "not ready", "has ended"),
        ({"certificates": (Certificate("node", None, "gone"),)}, "not ready", "can't be read"),
        ({"disk_free_bytes": 1 << 20}, "not ready", "full"),
        ({"behind": 5000}, "at risk", "5,000 frames"),
        ({"cookies_damaged": ("oslo",)}, "at risk", "oslo"),
        ({"tried": (WELL.tried[0], Tried("mail", "mail server", False, "535", 990.0))}, "at risk", "535"),
        ({"certificates": (Certificate("node", 5.0),)}, "at risk", "5 days"),
        ({"disk_free_bytes": 500 << 20}, "at risk", "nearly full"),
        ({"clock_apart_s": -3.0}, "at risk", "3.0 s behind"),
        ({"theirs": replace(ALIKE, release="1.1")}, "at risk", "1.1"),
        ({"theirs": replace(ALIKE, tzdata="2026.2")}, "at risk", "2026.2"),
        ({"theirs": replace(ALIKE, config_revision=5)}, "at risk", "on its way"),
        ({"register_trouble": "it is empty"}, "at risk", "it is empty"),
        ({"fence": "ended with 1"}, "at risk", "ended with 1"),
        ({"tried": ()}, "unknown", "2 neighbours"),
        ({"clock_apart_s": None}, "unknown", "clock"),
        ({"disk_free_bytes": None}, "unknown", "free space"),
        ({"theirs": None}, "unknown", "has not said"),
        ({"register_age_s": 1000.0}, "unknown", "not answered"),
    ],
)
def test_each_thing_that_is_wrong_is_named(changed: dict[str, Any], ready: str, says: str) -> None:
    """One change, one verdict, one reason."""
    verdict = judge(replace(WELL, **changed))
    assert verdict.ready == ready
    assert len(verdict.reasons) == 1
    assert says in verdict.reasons[0]


@pytest.mark.parametrize(
    "changed",
    [
        {"theirs": replace(ALIKE, time_zone="UTC")},
        {"ntp": None},
        {"ntp": False},
        {"fence": None},
        {"arbitrates": False},
        {"same_hash": None},
    ],
)
def test_what_is_harmless_is_named_and_no_reason(changed: dict[str, Any]) -> None:
    """Differing time zones, no NTP on this machine, no fence: ready all the same."""
    assert judge(replace(WELL, **changed)).ready == "ready"


def test_the_worst_comes_first_and_a_known_no_beats_an_unknown() -> None:
    """With a full disk and no clock the answer is: not ready, because of the disk."""
    verdict = judge(replace(WELL, disk_free_bytes=0, clock_apart_s=None, cookies_damaged=("oslo",)))
    assert verdict.ready == "not ready"
    assert [word in one for word, one in zip(("disk", "clock", "cookies"), verdict.reasons, strict=True)] == [
        True
    ] * 3


def test_a_neighbour_that_was_tried_long_ago_is_not_known() -> None:
    """Tries age."""
    assert judge(replace(WELL, at_s=990.0 + TRIED_S_MAX + 1)).ready == "unknown"


def test_a_verdict_counts_for_half_a_minute() -> None:
    """Then it is unknown, with the checks of before to look at; before the first reading it is unknown too."""
    verdict = judge(WELL)
    assert aged(verdict, 1000.0 + READING_S_MAX).ready == "ready"
    late = aged(verdict, 1000.0 + READING_S_MAX + 1)
    assert (late.ready, late.checks) == ("unknown", verdict.checks)
    assert "31 s old" in late.reasons[0]
    assert aged(UNMEASURED, 0.0).ready == "unknown"
