"""/join/ALIAS: it waits, asks, leads on and ends, and tells a stranger nothing."""

from typing import Any

import httpx2
import pytest

from meetkeeper.api.gate import Door
from meetkeeper.core.words import Alias
from meetkeeper.web.routes import routes
from tests.api.house import NOW_S, WRITES, House, open_house

START_S = NOW_S + 3_600
SECRETS = ("Quarterly numbers", "Ada", "ada@example.org", "bob@example.org", "oslo-3", "Fjord")


async def booked(house: House) -> dict[str, Any]:
    """A meeting with words nobody outside may read."""
    return await house.book(subject="Quarterly numbers", start="2027-03-03T09:30Z", end="2027-03-03T10:30Z")


async def door(house: House, alias: str) -> httpx2.Response:
    """What stands at the door."""
    return await house.client.get(f"/join/{alias}")


async def enter(house: House, alias: str, pin: str, **headers: str) -> httpx2.Response:
    """Try a PIN."""
    return await house.client.post(f"/join/{alias}", data={"pin": pin}, headers=headers)


def says_nothing(text: str, told: dict[str, Any]) -> None:
    """No private word is on the page."""
    for word in (*SECRETS, told["vmr"]["pin"], told["vmr"]["numeric_id"], told["id"]):
        assert word not in text, word


async def test_the_door_shows_times_alone_before_the_pin(house: House) -> None:
    """Waiting, opening, open, over, cancelled: each has its own words and no private one."""
    told = await booked(house)
    alias = told["vmr"]["alias"]
    seen = {}
    for name, at_s in (
        ("waiting", NOW_S),
        ("open", START_S + 1),
        ("ending", START_S + 3_400),
        ("over", START_S + 3_700),
    ):
        house.engine.at(at_s)
        answer = await door(house, alias)
        assert answer.status_code == 200
        says_nothing(answer.text, told)
        seen[name] = answer.text
    assert "today, 10:30" in seen["waiting"]
    assert 'data-state="waiting"' in seen["waiting"]
    assert 'name="pin"' in seen["open"]
    assert "ends soon" not in seen["open"]
    assert "ends soon" in seen["ending"]
    assert "is over" in seen["over"]
    other = await house.book(start="2027-03-04T09:30Z", end="2027-03-04T10:30Z")
    await house.client.delete(f"/api/v1/meetings/{other['id']}", headers=WRITES | {"if-match": "*"})
    assert "was cancelled" in (await door(house, other["vmr"]["alias"])).text


async def test_no_door_is_like_any_wrong_door(house: House) -> None:
    """An alias that is free and one that can't be one get the same page with 404: nothing is learned by trying."""
    await booked(house)
    pages = [await door(house, alias) for alias in ("abcdefghjk", "0000000000", "X", "%00", "a" * 300)]
    assert {page.status_code for page in pages} == {404}
    assert len({page.text for page in pages}) == 1
    tries = [await enter(house, alias, "123456") for alias in ("abcdefghjk", "X")]
    assert {page.status_code for page in tries} == {404}
    assert {page.text for page in tries} == {pages[0].text}
    state = await house.client.get("/join/abcdefghjk/state")
    assert state.status_code == 404
    assert state.json()["state"] == "unknown"


async def test_the_right_pin_leads_to_the_platform(house: House) -> None:
    """A right PIN sets a cookie for this door alone and leads on with 303; the address is kept by nobody."""
    told = await booked(house)
    house.engine.at(START_S + 1)
    alias, pin = told["vmr"]["alias"], told["vmr"]["pin"]
    answer = await enter(house, alias, f"{pin[:3]} {pin[3:]}")
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/join/{alias}/room"
    cookie = answer.headers["set-cookie"]
    assert f"Path=/join/{alias}" in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    on = await house.client.get(answer.headers["location"])
    assert on.status_code == 303
    assert on.headers["location"] == f"https://calls.example/{alias}"
    assert on.headers["cache-control"] == "no-store"
    again = await door(house, alias)
    assert again.headers["location"] == f"/join/{alias}/room"
    assert "https://calls.example" in (
        await house.client.get(f"/join/{alias}", headers={"cookie": ""})
    ).headers.get("content-security-policy", "https://calls.example")


async def test_a_pass_opens_its_own_meeting_alone(house: House) -> None:
    """Without the cookie, with a forged one, or after the end, the way behind the door leads back to it."""
    told = await booked(house)
    other = await house.book(rooms=["oslo-4"], start="2027-03-03T09:30Z", end="2027-03-03T10:30Z")
    house.engine.at(START_S + 1)
    alias = told["vmr"]["alias"]
    word = (await enter(house, alias, told["vmr"]["pin"])).headers["set-cookie"].split(";")[0]
    house.client.cookies.clear()

    async def behind(where: str, cookie: str) -> str:
        answer = await house.client.get(f"/join/{where}/room", headers={"cookie": cookie})
        return str(answer.headers["location"])

    assert await behind(alias, word) == f"https://calls.example/{alias}"
    for cookie in ("", "meetkeeper_join=1", word[:-1] + ("0" if word[-1] != "0" else "1"), "a=b; c"):
        assert await behind(alias, cookie) == f"/join/{alias}"
    assert await behind(other["vmr"]["alias"], word) == f"/join/{other['vmr']['alias']}"
    house.engine.at(START_S + 3_601)
    assert await behind(alias, word) == f"/join/{alias}"


async def test_before_the_window_no_pin_is_even_looked_at(house: House) -> None:
    """A PIN sent too early, right or wrong, is answered with the waiting page."""
    told = await booked(house)
    for pin in (told["vmr"]["pin"], "000000"):
        answer = await enter(house, told["vmr"]["alias"], pin)
        assert answer.status_code == 200
        assert 'data-state="waiting"' in answer.text


async def test_too_many_wrong_pins_are_slowed_down(house: House) -> None:
    """After ten wrong tries from one address it is told when to try again, even with the right PIN; others get in."""
    told = await booked(house)
    house.engine.at(START_S + 1)
    alias, pin = told["vmr"]["alias"], told["vmr"]["pin"]
    for _ in range(10):
        assert (await enter(house, alias, "000000")).status_code == 403
    blocked = await enter(house, alias, pin)
    assert blocked.status_code == 429
    assert int(blocked.headers["retry-after"]) >= 1
    assert "Too many wrong tries. Wait 6 s" in blocked.text
    elsewhere = await enter(house, alias, pin, **{"x-forwarded-for": "198.51.100.9"})
    assert elsewhere.status_code == 303
    house.engine.clock_s += 7
    assert (await enter(house, alias, pin)).status_code == 303


async def test_a_crowd_gets_in_at_once(house: House) -> None:
    """Three hundred invitees with the right PIN come in the same minute, from one address or from many."""
    told = await booked(house)
    house.engine.at(START_S + 1)
    for number in range(300):
        address = "192.0.2.1" if number % 2 else f"192.0.2.{number % 250}"
        answer = await enter(house, told["vmr"]["alias"], told["vmr"]["pin"], **{"x-forwarded-for": address})
        assert answer.status_code == 303, number


async def test_guessing_from_many_addresses_is_slowed_down_too(house: House) -> None:
    """However many addresses take part, one alias bears no more than 200 wrong PINs a minute."""
    told = await booked(house)
    house.engine.at(START_S + 1)
    codes = [
        (
            await enter(
                house, told["vmr"]["alias"], "000000", **{"x-forwarded-for": f"10.0.{n // 250}.{n % 250}"}
            )
        ).status_code
        for n in range(210)
    ]
    assert codes[:200] == [403] * 200
    assert codes[200:] == [429] * 10


@pytest.mark.parametrize("pin", ["", " ", "１２３４５６", "9" * 5_000, "x\x00y", "' or 1=1"])
async def test_any_text_for_a_pin_is_just_wrong(house: House, pin: str) -> None:
    """Whatever is typed, the page says that the PIN is wrong."""
    told = await booked(house)
    house.engine.at(START_S + 1)
    answer = await enter(house, told["vmr"]["alias"], pin)
    assert answer.status_code == 403
    assert "This PIN is wrong" in answer.text


async def test_without_a_browser_door_the_dialling_facts_are_shown() -> None:
    """Where the bridge has no client of its own, address, number and PIN stand on the page after the PIN."""
    async with open_house(more=routes) as house:
        told = await booked(house)
        house.engine.at(START_S + 1)
        await enter(house, told["vmr"]["alias"], told["vmr"]["pin"])
        page = await house.client.get(f"/join/{told['vmr']['alias']}/room")
        assert page.status_code == 200
        for fact in (
            "Quarterly numbers",
            told["vmr"]["sip_uri"],
            told["vmr"]["numeric_id"],
            told["vmr"]["pin"],
        ):
            assert fact in page.text


async def test_the_built_in_room_may_talk_to_its_bridge_alone() -> None:
    """The room page carries what its client needs, and its policy lets it talk to us and the bridge alone."""

    async def janus(alias: Alias) -> Door | None:
        return Door("janus", url="https://bridge.example:8089/janus", room=alias, secret='s"><script>')

    async with open_house(more=routes, door=janus) as house:
        told = await booked(house)
        house.engine.at(START_S + 1)
        alias = told["vmr"]["alias"]
        await enter(house, alias, told["vmr"]["pin"])
        page = await house.client.get(f"/join/{alias}/room")
        assert f'data-room="{alias}"' in page.text
        assert f'data-door="/join/{alias}"' in page.text
        assert "<script>" not in page.text
        assert "connect-src 'self' https://bridge.example:8089;" in page.headers["content-security-policy"]


async def test_every_page_is_kept_to_itself(house: House) -> None:
    """No page is cached, framed, or runs anything but our own files; no inline script or style stands on it."""
    told = await booked(house)
    for path in (f"/join/{told['vmr']['alias']}", "/join/abcdefghjk", "/login"):
        page = await house.client.get(path)
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["referrer-policy"] == "no-referrer"
        assert page.headers["x-content-type-options"] == "nosniff"
        assert " style=" not in page.text
        assert "<script>" not in page.text
        assert " onclick" not in page.text


async def test_a_series_has_one_door_for_all_its_meetings(house: House) -> None:
    """The same alias waits for the next occurrence when one is over."""
    told = await house.book(
        recurrence="FREQ=WEEKLY;COUNT=2", start="2027-03-03T09:30Z", end="2027-03-03T10:30Z"
    )
    alias = told["vmr"]["alias"]
    house.engine.at(START_S + 1)
    assert 'name="pin"' in (await door(house, alias)).text
    house.engine.at(START_S + 3_700)
    waiting = await door(house, alias)
    assert 'data-state="waiting"' in waiting.text
    assert "Wed 10 March 2027, 10:30" in waiting.text


async def test_the_waiting_page_asks_in_a_few_bytes(house: House) -> None:
    """The state tells the server's clock and the next change, and nothing about the meeting."""
    told = await booked(house)
    state = await house.client.get(f"/join/{told['vmr']['alias']}/state")
    assert state.json() == {
        "state": "waiting",
        "now": int(NOW_S * 1_000),
        "opens": int(START_S * 1_000),
        "ends_words": "11:30",
        "ending": False,
    }
    assert state.headers["cache-control"] == "no-store"
