"""The pair on the board: both servers, what lies between them, what needs attention; nothing on a server by itself."""

import pytest
from msgspec.structs import replace

from meetkeeper.api.risks import risks
from meetkeeper.core.words import RoomId
from meetkeeper.engine.seat import peer_readiness
from meetkeeper.engine.status import PairStatus, RoomStatus
from meetkeeper.ha.words import Facts, Role
from meetkeeper.web.board import make_board
from meetkeeper.web.pages import render
from meetkeeper.web.routes import routes
from tests.api.house import NOW_S, READS, House, open_house, pair_status
from tests.ha.views import passive, record

AWAY = "mk-b is not there."


def page_of(house: House) -> str:
    """The server's part of the page, and what needs attention."""
    board = make_board(house.engine.state, house.engine.status(), NOW_S)
    return render("board_server.html", board=board) + render("board_wrong.html", board=board, proof="")


async def test_a_server_by_itself_has_no_panel() -> None:
    """Nothing about a pair where there is none; asked for it, the door says so."""
    async with open_house(more=routes) as house:
        assert 'id="pair"' not in page_of(house)
        said = await house.client.get("/api/v1/cluster/readiness", headers=READS)
        assert said.status_code == 404
        assert said.json()["code"] == "no-pair"
        assert (await house.client.get("/api/v1/cluster", headers=READS)).json()["pair"] is None


async def test_a_whole_pair_is_calm() -> None:
    """Both names and roles, the verdict of the passive one; nothing needs attention because of it."""
    async with open_house(more=routes) as house:
        house.engine.pair = pair_status()
        text = page_of(house)
        for word in ("mk-a", "mk-b", "in sync", "both disks", "ready"):
            assert word in text
        assert not [
            one
            for one in risks(house.engine.state, house.engine.status(), NOW_S)
            if one.kind in ("pair", "standby")
        ]


@pytest.mark.parametrize(("ready", "level"), [("not ready", "red"), ("at risk", "amber")])
async def test_a_passive_that_is_not_ready_needs_attention(ready: str, level: str) -> None:
    """Named with its reason and with what to say next."""
    async with open_house(more=routes) as house:
        house.engine.pair = pair_status(ready=ready, reasons=("The disk is full.",))
        found = [
            one for one in risks(house.engine.state, house.engine.status(), NOW_S) if one.kind == "standby"
        ]
        assert [(one.level, one.about) for one in found] == [(level, "mk-b")]
        assert "The disk is full." in found[0].text
        assert "standby" in page_of(house)


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (
            pair_status(linked=False, durability="local"),
            ["mk-b is not there. An answer given now is on one disk alone."],
        ),
        (pair_status(linked=False), ["mk-b is not there."]),
        (pair_status(linked=False, durability="local", maintenance_left_s=60.0), []),
    ],
)
async def test_nothing_is_called_well_while_the_other_server_is_away(
    status: PairStatus, told: list[str]
) -> None:
    """Before its absence is an alarm it is named already; not in a maintenance window, which somebody has opened."""
    async with open_house(more=routes) as house:
        house.engine.pair = status
        found = [one for one in risks(house.engine.state, house.engine.status(), NOW_S) if one.kind == "pair"]
        assert [one.text for one in found] == told


async def test_one_frame_is_one_frame() -> None:
    """Numbers are said as people say them."""
    async with open_house(more=routes) as house:
        house.engine.pair = pair_status(behind=1, loss=1)
        text = page_of(house)
        assert "1 frame" in text
        assert "1 frames" not in text


async def test_an_alarm_needs_attention_and_stands_in_the_figures() -> None:
    """The other server is gone: on the page, among the risks, in the metrics."""
    async with open_house(more=routes) as house:
        house.engine.pair = pair_status(
            linked=False, peer_role="unknown", in_sync=("mk-a",), durability="local", loss=12,
            ready="unknown", alarms=(("peer", "mk-b is not there."),),
        )  # fmt: skip
        text = page_of(house)
        assert "mk-b is not there." in text
        assert "12 frames" in text
        figures = (await house.client.get("/metrics", headers=READS)).text
        assert 'meetkeeper_pair_alarm{alarm="peer"} 1.0' in figures
        assert "meetkeeper_pair_loss_frames 12.0" in figures
        assert 'meetkeeper_pair_standby{verdict="unknown"} 1.0' in figures
        seen = (await house.client.get("/api/v1/cluster", headers=READS)).json()["pair"]
        assert seen["loss"] == 12


async def test_a_line_that_carries_nothing_is_no_good_line() -> None:
    """A server that stands still keeps its connections: silent, since when, and one red risk instead of a vague one."""
    async with open_house(more=routes) as house:
        house.engine.pair = pair_status(
            heard_s=9.2, in_sync=("mk-a",), alarms=(("catching-up", "mk-b does not hold everything yet."),)
        )
        told = [one for one in risks(house.engine.state, house.engine.status(), NOW_S) if one.kind == "pair"]
        assert [one.level for one in told] == ["red"]
        text = page_of(house)
        assert '<span class="tag bad">silent</span>' in text
        assert "9 s ago" in text
        assert "mk-b has said nothing for 9 s" in text
        house.engine.pair = pair_status(heard_s=float("inf"))
        assert "silent" not in page_of(house)


def test_a_verdict_from_before_the_passive_fell_behind_counts_no_longer() -> None:
    """The active server passes the passive one's word on while it is linked and in sync, and not after."""
    facts, both = Facts(ready="ready"), passive(role=Role.ACTIVE, record=record(active="a"))
    assert peer_readiness(both, facts) == ("ready", ())
    alone = replace(both, record=record(active="a", in_sync=("a",)))
    assert peer_readiness(alone, facts) == ("not ready", ("b does not hold everything yet.",))
    assert peer_readiness(replace(both, linked=False), facts) == ("unknown", ("b is not there.",))


async def test_rooms_hide_nothing_that_concerns_them_all() -> None:
    """A calendar server that is away takes a line for each room; what is wrong with the pair comes before them."""
    async with open_house(more=routes) as house:
        house.engine.pair = pair_status(alarms=(("lagging", "mk-b lags behind."),))
        rooms = tuple(RoomStatus(RoomId(room), "dav", NOW_S, error="away") for room in ("aaa", "zzz"))
        status = replace(house.engine.status(), rooms=rooms)
        found = [one for one in risks(house.engine.state, status, NOW_S) if one.level == "amber"]
        assert [one.kind for one in found if one.kind in ("pair", "calendar")] == [
            "pair",
            "calendar",
            "calendar",
        ]
