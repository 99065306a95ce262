"""Notices of a calendar service: its question is answered, the right word wakes the room, nothing else does."""

import json

import pytest

from meetkeeper.core.notices import is_meant, word_of
from meetkeeper.core.words import RoomId
from tests.api.house import House, config, open_house

ROOM = RoomId("oslo-4")
SECRET = config().cluster.secret


def notice(word: str, **more: object) -> dict[str, object]:
    """What the service posts."""
    return {"value": [{"subscriptionId": "s", "clientState": word, **more}]}


async def test_the_services_question_is_answered_with_its_token(house: House) -> None:
    """The token comes back as plain text, unescaped, for any room and without a login."""
    token = "Validation: <b>Testing</b> & more"
    answer = await house.client.post(f"/notices/{ROOM}", params={"validationToken": token})
    assert (answer.status_code, answer.text) == (200, token)
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not house.engine.poked


@pytest.mark.parametrize(
    "more", [{}, {"lifecycleEvent": "missed"}, {"lifecycleEvent": "subscriptionRemoved"}]
)
async def test_the_rooms_word_wakes_the_room(house: House, more: dict[str, object]) -> None:
    """A notice or a lifecycle event with the room's word has the room polled now."""
    answer = await house.client.post(f"/notices/{ROOM}", json=notice(word_of(SECRET, ROOM), **more))
    assert answer.status_code == 202
    assert house.engine.poked == [ROOM]


@pytest.mark.parametrize(
    ("room", "body"),
    [
        (ROOM, notice("")),
        (ROOM, notice("guess")),
        (ROOM, notice(word_of(SECRET, RoomId("oslo-3")))),
        (ROOM, notice(word_of("another secret" * 4, ROOM))),
        ("nowhere", notice(word_of(SECRET, RoomId("nowhere")))),
        (ROOM, {"value": [{"clientState": None}]}),
        (ROOM, {"value": "x"}),
        (ROOM, {}),
        (ROOM, []),
    ],
)
async def test_whatever_else_wakes_nobody(house: House, room: str, body: object) -> None:
    """Without the room's own word, or for a room that is not there, nothing happens."""
    answer = await house.client.post(f"/notices/{room}", json=body)
    assert answer.status_code == 403
    assert not house.engine.poked


async def test_a_passive_server_answers_for_itself() -> None:
    """Neither redirected nor refused: token and 202 as ever, because the service follows nothing and gives up."""
    async with open_house(acts=lambda: False, active_url=lambda: "http://mk-b.example:8080/") as house:
        answer = await house.client.post(f"/notices/{ROOM}", params={"validationToken": "t"})
        assert (answer.status_code, answer.text) == (200, "t")
        answer = await house.client.post(f"/notices/{ROOM}", json=notice(word_of(SECRET, ROOM)))
        assert answer.status_code == 202
        answer = await house.client.post(f"/notices/{ROOM}", json=notice("guess"))
        assert answer.status_code == 403
        assert (await house.client.post("/api/v1/meetings", json={})).status_code == 307


def test_hostile_bodies_are_no_notices() -> None:
    """Broken, deep, endless and odd texts are refused without an error."""
    deep = b'{"value":' + b"[" * 20_000 + b"]" * 20_000 + b"}"
    for body in (b"", b"\xff", b"null", deep, b'{"value":[{"clientState":"\\ud800"}]}'):
        assert not is_meant(body, SECRET, ROOM)
    many = [{"clientState": "no"}] * 2_000 + [{"clientState": word_of(SECRET, ROOM)}]
    assert not is_meant(json.dumps({"value": many}).encode(), SECRET, ROOM)
