"""POST /api/v1/meetings: what is booked, what is refused, and what is said about it."""

import pytest

from tests.api.house import READS, WRITES, House, booking


async def test_a_booking_is_answered_with_everything_an_invitee_needs(house: House) -> None:
    """201 carries id, revision, times with offset, and the VMR's addresses; Location and ETag lead back to it."""
    answer = await house.client.post("/api/v1/meetings", json=booking(), headers=WRITES)
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert told["start"] == "2027-03-03T10:30:00+01:00"
    assert told["state"] == "scheduled"
    assert told["organizer"] == {"name": "Ada", "email": "ada@example.org"}
    assert told["invitees"] == [{"email": "bob@example.org", "name": ""}] or told["invitees"] == [
        {"email": "bob@example.org"}
    ]
    alias = told["vmr"]["alias"]
    assert told["vmr"]["join_url"] == f"http://meet.example/join/{alias}"
    assert told["vmr"]["sip_uri"] == f"sip:{alias}@meet.example"
    assert len(told["vmr"]["pin"]) == 6
    assert answer.headers["location"] == f"/api/v1/meetings/{told['id']}"
    assert answer.headers["etag"] == '"1"'
    read = await house.client.get(answer.headers["location"], headers=READS)
    assert read.status_code == 200
    assert read.json() == told


@pytest.mark.parametrize("path", ["/api/v1/meetings", "/api/v1/meetings/"])
async def test_both_doors_answer_alike(house: House, path: str) -> None:
    """The short way and the framework's way refuse and accept with the same status, body and headers."""
    wrong = await house.client.post(path, json=booking(rooms=["oslo-33"]), headers=WRITES)
    assert wrong.status_code == 400
    assert wrong.json()["errors"][0]["nearest"] == ["oslo-3", "oslo-4"]
    right = await house.client.post(path, json=booking(), headers=WRITES | {"idempotency-key": "k"})
    again = await house.client.post(path, json=booking(), headers=WRITES | {"idempotency-key": "k"})
    other = await house.client.post(
        path, json=booking(subject="x"), headers=WRITES | {"idempotency-key": "k"}
    )
    assert (right.status_code, again.status_code, other.status_code) == (201, 201, 422)
    assert right.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert (await house.client.post(path, json=booking())).status_code == 401
    assert (await house.client.post(path, json=booking(), headers=READS)).status_code == 403
    big = await house.client.post(path, content=b" " * ((1 << 20) + 1), headers=WRITES)
    assert big.status_code == 413
    broken = await house.client.post(path, content=b'{"rooms": [', headers=WRITES)
    assert broken.status_code == 400
    assert broken.json()["code"] == "malformed-json"
