"""Reading, listing, changing, extending and cancelling meetings."""

import pytest

from meetkeeper.core.words import Step
from tests.api.house import NOW_S, READS, WRITES, House, booking

MEETINGS = "/api/v1/meetings"


async def test_a_change_needs_the_etag_of_what_was_seen(house: House) -> None:
    """PATCH and DELETE without If-Match are 428, with an old ETag 412, with nonsense 400, with `*` or the ETag done."""
    told = await house.book()
    path = f"{MEETINGS}/{told['id']}"
    body = {"subject": "Board, moved"}
    for method in ("PATCH", "DELETE"):
        missing = await house.client.request(method, path, json=body, headers=WRITES)
        assert missing.status_code == 428
        nonsense = await house.client.request(method, path, json=body, headers=WRITES | {"if-match": "soon"})
        assert nonsense.status_code == 400
    changed = await house.client.patch(path, json=body, headers=WRITES | {"if-match": '"1"'})
    assert changed.status_code == 200, changed.text
    assert changed.headers["etag"] == '"2"'
    stale = await house.client.patch(path, json=body | {"subject": "x"}, headers=WRITES | {"if-match": '"1"'})
    assert stale.status_code == 412
    assert stale.json()["values"] == {"revision": 2}
    gone = await house.client.delete(path, headers=WRITES | {"if-match": "*"})
    assert gone.status_code == 200
    assert gone.json()["state"] == "cancelled"


async def test_a_change_says_every_mistake_at_once(house: House) -> None:
    """Unknown fields and impossible values of a PATCH are told by field, as for a booking."""
    path = f"{MEETINGS}/{(await house.book())['id']}"
    shape = await house.client.patch(path, json={"subjct": 1, "rooms": 2}, headers=WRITES | {"if-match": "*"})
    assert {error["field"] for error in shape.json()["errors"]} == {"subjct", "rooms"}
    meaning = await house.client.patch(
        path, json={"start": "soon", "rooms": ["x"], "invitees": ["y"]}, headers=WRITES | {"if-match": "*"}
    )
    assert {error["field"] for error in meaning.json()["errors"]} == {"start", "rooms[0]", "invitees[0]"}
    backwards = await house.client.patch(
        path, json={"end": "2027-03-03T09:00"}, headers=WRITES | {"if-match": "*"}
    )
    assert backwards.json()["errors"][0]["field"] == "end"


async def test_a_new_start_keeps_the_length_and_the_door(house: House) -> None:
    """Moving a meeting by its start alone moves its end along; the VMR stays."""
    told = await house.book()
    moved = await house.client.patch(
        f"{MEETINGS}/{told['id']}", json={"start": "2027-03-03T14:00"}, headers=WRITES | {"if-match": "*"}
    )
    assert moved.json()["end"] == "2027-03-03T15:00:00+01:00"
    assert moved.json()["vmr"] == told["vmr"]


async def test_a_meeting_is_extended_unless_somebody_else_comes(house: House) -> None:
    """Extending moves the end; into the next booking it is a 409 that names it; both or neither field is a 400."""
    told = await house.book()
    later = await house.book(start="2027-03-03T12:00", end="2027-03-03T13:00", subject="Next")
    path = f"{MEETINGS}/{told['id']}/extend"
    longer = await house.client.post(path, json={"minutes": 30}, headers=WRITES)
    assert longer.json()["end"] == "2027-03-03T12:00:00+01:00"
    until = await house.client.post(path, json={"end": "2027-03-03T12:15"}, headers=WRITES)
    assert until.status_code == 409
    assert until.json()["conflicts"][0]["id"] == later["id"]
    for body in ({}, {"minutes": 5, "end": "2027-03-03T12:15"}, {"end": "2027-03-03T11:00"}):
        assert (await house.client.post(path, json=body, headers=WRITES)).status_code == 400
    stale = await house.client.post(path, json={"minutes": 5}, headers=WRITES | {"if-match": '"1"'})
    assert stale.status_code == 412


async def test_everybody_can_be_told_again(house: House) -> None:
    """Resending answers 202 and puts an announcement into the outbox."""
    told = await house.book(vmr=False)
    answer = await house.client.post(f"{MEETINGS}/{told['id']}/resend", headers=WRITES)
    assert answer.status_code == 202


async def test_meetings_come_in_pages_that_neither_lose_nor_repeat(house: House) -> None:
    """Walking the cursor shows every meeting once, by start, across rooms and meetings in several rooms."""
    for day in range(4, 9):
        for hour in (8, 10):
            rooms = [["oslo-3"], ["oslo-4"], ["oslo-3", "lisbon-1"]][(day + hour) % 3]
            await house.book(
                rooms=rooms,
                start=f"2027-03-{day:02d}T{hour:02d}:00Z",
                end=f"2027-03-{day:02d}T{hour + 1:02d}:00Z",
            )
    seen: list[str] = []
    cursor = None
    while True:
        query = {"limit": "3"} | ({"cursor": cursor} if cursor else {})
        page = (await house.client.get(MEETINGS, params=query, headers=READS)).json()
        seen += [one["start"] for one in page["meetings"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert len(seen) == 10
    assert seen == sorted(seen)
    everything = (await house.client.get(MEETINGS, headers=READS)).json()
    assert [one["start"] for one in everything["meetings"]] == seen


async def test_a_list_is_narrowed_by_span_room_and_state(house: House) -> None:
    """`from`, `until`, `room` and `state` narrow the list; cancelled meetings are shown to those who ask for them."""
    one = await house.book()
    two = await house.book(rooms=["oslo-4"], start="2027-03-05T10:00", end="2027-03-05T11:00")
    await house.client.delete(f"{MEETINGS}/{two['id']}", headers=WRITES | {"if-match": "*"})

    async def ids(**query: str) -> list[str]:
        answer = await house.client.get(MEETINGS, params=query, headers=READS)
        assert answer.status_code == 200, answer.text
        return [meeting["id"] for meeting in answer.json()["meetings"]]

    assert await ids() == [one["id"]]
    assert await ids(room="oslo-3") == [one["id"]]
    assert await ids(room="oslo-4") == []
    assert await ids(state="cancelled") == [two["id"]]
    assert await ids(until="2027-03-03T10:00") == []
    assert await ids(**{"from": "2027-03-03", "until": "2027-03-04"}) == [one["id"]]
    assert await ids(**{"from": "2027-03-03T11:29:59+01:00"}) == [one["id"]]
    assert await ids(**{"from": "2027-03-03T11:30:00+01:00"}) == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "soon"}, "from"),
        ({"until": "2027-02-01"}, "until"),
        ({"room": "osl-3"}, "room"),
        ({"state": "finished"}, "state"),
        ({"limit": "0"}, "limit"),
        ({"limit": "1001"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"cursor": "!!!"}, "cursor"),
        ({"form": "2027-03-03"}, "form"),
    ],
)
async def test_a_query_that_cannot_be_is_told_by_field(
    house: House, query: dict[str, str], field: str
) -> None:
    """A wrong or unknown query parameter is a 400 that names it; it never widens the answer silently."""
    answer = await house.client.get(MEETINGS, params=query, headers=READS)
    assert answer.status_code == 400, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_what_is_not_there_is_a_404_with_advice(house: House) -> None:
    """An unknown meeting, room or address is a problem document that says where to look."""
    for path in (
        f"{MEETINGS}/nope",
        "/api/v1/rooms/osl-3",
        "/api/v1/rooms/nope/agenda",
        "/api/v1/explain/nope",
        "/nowhere",
    ):
        answer = await house.client.get(path, headers=READS)
        assert answer.status_code == 404, path
        assert answer.headers["content-type"].startswith("application/problem+json"), path
        assert answer.json()["detail"][-1] in ".?", path
    wrong = await house.client.put(MEETINGS, json=booking(), headers=WRITES)
    assert wrong.status_code == 405
    assert "GET" in wrong.headers["allow"]


async def test_a_meeting_lives_through_its_states(house: House) -> None:
    """The state told by the API follows the meeting's steps."""
    told = await house.book()
    starts_s = NOW_S + 3_600
    states = []
    for at_s in (starts_s - 1, starts_s, starts_s + 3_400, starts_s + 3_600):
        house.engine.at(at_s)
        states.append((await house.client.get(f"{MEETINGS}/{told['id']}", headers=READS)).json()["state"])
    assert states == [Step.SCHEDULED, Step.LIVE, Step.ENDING, Step.ENDED]
