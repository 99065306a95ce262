"""The board, its stream, the login and the acts behind it."""

import asyncio
import re
import typing
from typing import Any

import httpx2
import msgspec
import pytest

from meetkeeper.api.risks import Kind, Risk
from meetkeeper.core.changes import EffectMoved, RoomTold
from meetkeeper.core.plan import Plan
from meetkeeper.core.state import RoomNews, Status
from meetkeeper.core.words import RoomId
from meetkeeper.web.board import make_board
from meetkeeper.web.board_routes import PARTS, View, _news
from meetkeeper.web.pages import render, span, zone_word
from tests.api.house import NOW_S, PASSWORD, House, config, open_house


async def log_in(
    house: House, name: str = "olga", password: str = PASSWORD, next_: str = "/"
) -> httpx2.Response:
    """Fill the login form and send it."""
    page = await house.client.get("/login", params={"next": next_})
    proof = re.search(r'name="proof" value="([0-9a-f]+)"', page.text)
    assert proof is not None
    fields = {"proof": proof[1], "next": next_, "name": name, "password": password}
    return await house.client.post("/login", data=fields)


def proof_of(page: httpx2.Response) -> str:
    """What a form of this page must carry."""
    found = re.search(r'name="proof" value="([0-9a-f]+)"', page.text)
    assert found is not None
    return found[1]


async def test_nobody_sees_the_board_without_logging_in(house: House) -> None:
    """A page leads to the login and back, a stream is told 401, and the way back never leads elsewhere."""
    away = await house.client.get("/?day=2027-03-04")
    assert away.status_code == 303
    assert away.headers["location"] == "/login?next=%2F%3Fday%3D2027-03-04"
    assert (await house.client.get("/stream", headers={"accept": "text/event-stream"})).status_code == 401
    assert (await house.client.get("/meeting/nope")).status_code == 303
    assert (await log_in(house, next_="//evil.example/")).headers["location"] == "/"
    assert (await log_in(house, next_="https://evil.example/")).headers["location"] == "/"


async def test_a_link_from_elsewhere_finds_the_session(house: House) -> None:
    """Coming from another site our strict cookie stays behind; the page asks for itself once more and has it."""
    answer = await house.client.get("/", headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 200
    assert 'http-equiv="refresh"' in answer.text


async def test_an_operator_logs_in_and_out(house: House) -> None:
    """The right password gives a cookie no script may read; logging out takes it away and needs the page's proof."""
    entered = await log_in(house)
    assert entered.status_code == 303
    cookie = entered.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    board = await house.client.get("/")
    assert board.status_code == 200
    assert "Log out" in board.text
    assert (await house.client.get("/api/v1/rooms")).status_code == 200
    assert (await house.client.post("/api/v1/rooms/oslo-4/resync")).status_code == 401
    assert (await house.client.post("/logout", data={"proof": "x"})).status_code == 403
    out = await house.client.post("/logout", data={"proof": proof_of(board)})
    assert "Max-Age=0" in out.headers["set-cookie"]
    house.client.cookies.clear()
    assert (await house.client.get("/")).status_code == 303


@pytest.mark.parametrize(
    ("name", "password"), [("olga", "wrong"), ("nobody", PASSWORD), ("", ""), ("olga", "")]
)
async def test_a_wrong_pair_is_told_without_saying_which(house: House, name: str, password: str) -> None:
    """A wrong name and a wrong password read the same."""
    answer = await log_in(house, name, password)
    assert answer.status_code == 401
    assert "Name or password is wrong" in answer.text
    assert "set-cookie" in answer.headers
    assert "meetkeeper_session" not in answer.headers["set-cookie"]


async def test_guessing_passwords_is_slow(house: House) -> None:
    """After six tries in a minute the seventh is told when to come again, right or wrong."""
    for _ in range(6):
        assert (await log_in(house, "olga", "wrong")).status_code == 401
    blocked = await log_in(house)
    assert blocked.status_code == 429
    assert "retry-after" in blocked.headers


async def test_a_login_from_another_page_is_refused(house: House) -> None:
    """A form without our proof, or with a proof for another cookie, opens nothing."""
    for fields in (
        {"name": "olga", "password": PASSWORD},
        {"name": "olga", "password": PASSWORD, "proof": "0" * 64},
    ):
        assert (await house.client.post("/login", data=fields)).status_code == 403


async def test_a_session_ends_with_its_password_its_operator_or_its_time(house: House) -> None:
    """A changed password, a removed operator, twelve hours or a changed letter: the cookie opens nothing more."""
    await log_in(house)
    sessions = house.front.desk.sessions
    cookie = house.client.cookies["meetkeeper_session"]
    assert sessions.known(cookie, NOW_S) is not None
    assert sessions.known(cookie, NOW_S + 12 * 3_600) is None
    assert sessions.known(cookie, NOW_S - 10) is None
    for forged in (
        cookie[:-1] + ("0" if cookie[-1] != "0" else "1"),
        "admin" + cookie[4:],
        "",
        ":::",
        "a:b:c:d",
    ):
        assert sessions.known(forged, NOW_S) is None
    follower = house.front.desk.follower
    follower._config = config(access=type(config().access)())
    assert sessions.known(cookie, NOW_S) is None


async def test_the_board_shows_what_is_wrong_live_and_next(house: House) -> None:
    """Risks, running meetings and the next ones are on the page, private subjects are not."""
    await house.book(subject="Running <b>now</b>", start="2027-03-03T08:30Z", end="2027-03-03T09:30Z")
    await house.book(rooms=["lisbon-1"], subject="Payroll", private=True)
    house.engine.at(NOW_S)
    house.engine.keep(Plan(NOW_S, (RoomTold(RoomId("oslo-4"), RoomNews(17, NOW_S)),)))
    await log_in(house)
    page = (await house.client.get("/")).text
    assert "Running &lt;b&gt;now&lt;/b&gt;" in page
    assert "17 items vanished" in page
    assert "Private meeting" in page
    assert "Payroll" not in page
    other_day = (await house.client.get("/?day=2027-03-05")).text
    assert "Friday 5 March 2027" in other_day
    for odd in ("/?day=nonsense", "/?day=9999-12-31", "/?q=%F0%9F%98%80", "/?day=0001-01-01", "/?q=fjord"):
        assert (await house.client.get(odd)).status_code == 200


async def test_the_stream_sends_what_has_changed_and_nothing_else(house: House) -> None:
    """The first event carries every part, the next ones only parts that look different, each for its element."""
    desk = house.front.desk
    parts = _news(desk, View("", "", "proof"))
    first = (await anext(parts)).decode()
    assert {target for target in PARTS if f'hx-target="#{target}"' in first} == set(PARTS)
    waiting: asyncio.Task[bytes] = asyncio.create_task(collect_one(parts))
    await asyncio.sleep(0.05)
    await house.book(subject="Brand new")
    news = (await asyncio.wait_for(waiting, 5)).decode()
    assert 'hx-target="#next"' in news
    assert "Brand new" in news
    assert 'hx-target="#wrong"' not in news
    house.gate.stop.set()
    async with asyncio.timeout(2):
        assert [part async for part in parts] == []


async def collect_one(parts: Any) -> bytes:
    """The next event."""
    chunk: bytes = await anext(parts)
    return chunk


async def test_operators_act_from_the_page(house: House) -> None:
    """Extending, resending, resyncing, releasing a brake and a parked effect work with the page's proof alone."""
    told = await house.book()
    key = next(iter(house.engine.state.outbox))
    house.engine.keep(Plan(NOW_S, (EffectMoved(key, Status.PARKED, 3, 0.0, "refused"),)))
    house.engine.keep(Plan(NOW_S, (RoomTold(RoomId("oslo-4"), RoomNews(2, NOW_S)),)))
    await log_in(house)
    page = await house.client.get(f"/meeting/{told['id']}")
    proof = proof_of(page)
    acts = [
        (f"/meeting/{told['id']}/extend", {"minutes": "15"}),
        (f"/meeting/{told['id']}/resend", {"again": "yes"}),
        ("/rooms/oslo-4/resync", {"again": "yes"}),
        ("/rooms/oslo-4/brake", {"how": "kept"}),
        ("/outbox", {"key": key, "how": "retry"}),
    ]
    for path, fields in acts:
        assert (await house.client.post(path, data=fields)).status_code == 403, path
        done = await house.client.post(path, data=fields | {"proof": proof})
        assert done.status_code == 303, (path, done.text)
        back = await house.client.get(done.headers["location"])
        assert 'role="status"' in back.text
    assert (await house.client.get(f"/meeting/{told['id']}")).text.count("11:45") >= 1


async def test_an_act_that_can_not_be_done_says_why(house: House) -> None:
    """Extending into the next booking shows the refusal on the meeting's page; nonsense is refused too."""
    told = await house.book()
    await house.book(start="2027-03-03T11:30", end="2027-03-03T12:30")
    await log_in(house)
    proof = proof_of(await house.client.get(f"/meeting/{told['id']}"))
    refused = await house.client.post(f"/meeting/{told['id']}/extend", data={"minutes": "15", "proof": proof})
    assert refused.status_code == 409
    assert "is taken by meeting" in refused.text
    odd = await house.client.post(f"/meeting/{told['id']}/extend", data={"minutes": "x", "proof": proof})
    assert odd.status_code == 409
    missing = await house.client.get("/meeting/aaaaaaaaaaaaaaaa")
    assert missing.status_code == 404
    assert "There is no meeting" in missing.text
    assert "/api/v1" not in missing.text
    assert (await house.client.get("/meeting/nope")).status_code == 404


async def test_a_big_house_shows_where_something_happens() -> None:
    """A thousand rooms make a page of those with a meeting, and say how many are left out; a search finds any."""
    from meetkeeper.core.configuration import RoomConfig

    rooms = tuple(RoomConfig(id=f"r-{number}", name=f"Room {number}") for number in range(1_000))
    async with open_house(config(rooms=rooms)) as house:
        await house.book(rooms=["r-700"], subject="Lonely")
        state, status = house.engine.state, house.engine.status()
        board = make_board(state, status, NOW_S)
        assert [track.room for track in board.timeline.tracks] == ["r-700"]
        assert board.timeline.hidden == 999
        assert [track.room for track in make_board(state, status, NOW_S, "", "room 12").timeline.tracks][
            :2
        ] == [
            "r-12",
            "r-120",
        ]
        assert [track.room for track in make_board(state, status, NOW_S, "", "lonely").timeline.tracks] == [
            "r-700"
        ]


async def test_overlapping_meetings_stand_in_lanes(house: House) -> None:
    """Meetings that overlap in one room get a lane each; widths and places follow the clock."""
    from meetkeeper.core.configuration import RoomConfig

    async with open_house(config(rooms=(RoomConfig(id="hall", conflicts=True),))) as busy:
        for start, end in (("08:00", "10:00"), ("09:00", "11:00"), ("10:00", "10:05")):
            await busy.book(rooms=["hall"], start=f"2027-03-03T{start}Z", end=f"2027-03-03T{end}Z")
        (track,) = make_board(busy.engine.state, busy.engine.status(), NOW_S).timeline.tracks
        assert [(bar.slot, bar.width, bar.lane) for bar in track.bars] == [
            (24, 24, 0),
            (36, 24, 1),
            (48, 1, 0),
        ]
    assert house.engine.seq


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3_599, "59 min"),
        (3_600, "1 h"),
        (5_400, "1 h 30 min"),
        (200_000, "2 days"),
    ],
)
def test_lengths_are_said_as_one_says_them(seconds: int, words: str) -> None:
    """Seconds, minutes, hours and days, never more precise than useful."""
    assert span(seconds) == words


async def test_whatever_may_go_wrong_can_be_shown(house: House) -> None:
    """A risk of any kind has its line and its word; its hour is told by the board's clock."""
    board = make_board(house.engine.state, house.engine.status(), NOW_S)
    for kind in typing.get_args(Kind):
        risk = Risk(
            level="red", kind=kind, about="oslo-4", at="2027-03-03T04:00:00-05:00", room="oslo-4", subject="",
            text="It is so.", do="Do this.", at_s=NOW_S,
        )  # fmt: skip
        shown = msgspec.structs.replace(board, wrong=(risk,), wrong_count=1, wrong_red=1)
        text = render("board_wrong.html", board=shown, proof="")
        assert "It is so." in text
        assert ("calendar item" if kind == "item" else kind) in text
        assert f'<span class="when">{board.now}</span>' in text


async def test_a_board_in_the_night_shows_now(house: House) -> None:
    """The timeline reaches to the present hour of today, and on another day only as far as meetings do."""
    late_s = NOW_S - NOW_S % 86_400 + 22 * 3_600 + 1_200
    status = house.engine.status()
    today = make_board(house.engine.state, status, late_s).timeline
    assert today.now_slot is not None
    another = make_board(house.engine.state, status, late_s, "2027-03-20").timeline
    assert len(another.hours) == 12


def test_a_zone_is_named_as_people_know_it() -> None:
    """UTC has many names in the zone data and one on the page."""
    assert zone_word("Etc/UTC") == "UTC"
    assert zone_word("Europe/Oslo") == "Europe/Oslo"
