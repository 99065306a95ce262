"""A room's calendar on its own page: what a resync would do, doing it, what a doctor finds, and what can't be done."""

from meetkeeper.core.errors import Unavailable
from meetkeeper.core.events import PageSeen
from meetkeeper.core.preview import Preview
from meetkeeper.core.roomsettings import Finding
from meetkeeper.core.words import CalendarItem, RoomId
from meetkeeper.itemtext.reading import read_item
from tests.api.house import House
from tests.web.test_board import log_in, proof_of

PAGE = "/rooms/oslo-4"


async def test_a_resync_is_seen_before_it_is_done(house: House) -> None:
    """The page names each meeting and counts mails, keeps nothing, and offers to do it; then it is done."""
    item = read_item("a.ics", ITEM.encode())
    assert isinstance(item, CalendarItem)
    secret = read_item(
        "b.ics", ITEM.replace("Talk", "Payroll\nCLASS:PRIVATE").replace("UID:a", "UID:b").encode()
    )
    assert isinstance(secret, CalendarItem)
    house.engine.pages = [PageSeen(RoomId("oslo-4"), (item, secret), listing=frozenset({"a.ics", "b.ics"}))]
    await log_in(house)
    proof = proof_of(await house.client.get(PAGE))
    seq = house.engine.seq
    assert (await house.client.post(f"{PAGE}/preview", data={"again": "yes"})).status_code == 403
    seen = await house.client.post(f"{PAGE}/preview", data={"proof": proof})
    assert seen.status_code == 200
    assert "would do this" in seen.text
    assert "Talk" in seen.text
    assert "Private meeting" in seen.text
    assert "Payroll" not in seen.text
    assert (house.engine.seq, house.engine.poked) == (seq, [])
    done = await house.client.post(f"{PAGE}/resync", data={"proof": proof})
    assert done.status_code == 303
    assert "from the beginning" in (await house.client.get(done.headers["location"])).text
    assert house.engine.poked == ["oslo-4"]


async def test_a_calm_calendar_says_so(house: House) -> None:
    """Nothing to do is one sentence and no table."""
    house.engine.pages = [PageSeen(RoomId("oslo-4"), (), listing=frozenset())]
    await log_in(house)
    proof = proof_of(await house.client.get(PAGE))
    seen = (await house.client.post(f"{PAGE}/preview", data={"proof": proof})).text
    assert "would change nothing" in seen
    assert "<table" not in seen


async def test_a_calendar_that_is_away_is_told_on_the_page(house: House) -> None:
    """A refusal is one sentence where the buttons are, with the status of the refusal."""

    async def away(_: RoomId) -> Preview:
        raise Unavailable("calendar", "cal.example does not answer.")

    house.engine.preview_resync = away  # type: ignore[assignment, method-assign]
    await log_in(house)
    proof = proof_of(await house.client.get(PAGE))
    said = await house.client.post(f"{PAGE}/preview", data={"proof": proof})
    assert said.status_code == 503
    assert "cal.example does not answer." in said.text
    assert "What would a resync do?" in said.text


async def test_the_doctor_is_on_the_page(house: House) -> None:
    """Each finding with symptom and remedy; what is well has none."""
    house.engine.findings = (
        Finding(code="A", level="good", text="All is read.", mend="Do nothing."),
        Finding(code="B", level="red", text="Nobody answers.", symptom="Invitations wait.", mend="Set-It."),
    )
    await log_in(house)
    proof = proof_of(await house.client.get(PAGE))
    seen = (await house.client.post(f"{PAGE}/doctor", data={"proof": proof})).text
    for words in ("All is read.", "Nobody answers.", "Invitations wait.", "Set-It."):
        assert words in seen
    assert "Do nothing." not in seen
    assert seen.index("Nobody answers.") < seen.index("All is read.")


async def test_every_room_on_the_board_leads_to_its_page(house: House) -> None:
    """From the timeline; a room without a calendar says so, one that is not there is not found."""
    await log_in(house)
    board = (await house.client.get("/")).text
    assert f'href="{PAGE}"' in board
    assert "booked here alone" in (await house.client.get("/rooms/lisbon-1")).text
    missing = await house.client.get("/rooms/atlantis")
    assert missing.status_code == 404
    assert "atlantis" in missing.text


ITEM = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//test//test//EN
BEGIN:VEVENT
UID:a
DTSTAMP:20270301T080000Z
DTSTART:20270901T090000Z
DTEND:20270901T100000Z
SUMMARY:Talk
ORGANIZER:mailto:kari@example.org
END:VEVENT
END:VCALENDAR
"""
