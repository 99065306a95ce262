"""POST /api/v1/meetings: what is booked, what is refused, and what is said about it."""

import asyncio
from typing import Any

import pytest

from tests.api.house import READS, WRITES, House, booking, open_house, unavailable

PATHS = ["/api/v1/meetings", "/api/v1/meetings/"]
"""The short way and the framework's way to the same route."""


async def test_a_booking_is_answered_with_everything_an_invitee_needs(house: House) -> None:
    """201 carries id, revision, times with offset and the VMR's addresses; Location and ETag lead back to it."""
    answer = await house.client.post("/api/v1/meetings", json=booking(), headers=WRITES)
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert told["start"] == "2027-03-03T10:30:00+01:00"
    assert told["state"] == "scheduled"
    assert told["organizer"] == {"name": "Ada", "email": "ada@example.org"}
    assert [one["email"] for one in told["invitees"]] == ["bob@example.org"]
    alias = told["vmr"]["alias"]
    assert told["vmr"]["join_url"] == f"http://meet.example/join/{alias}"
    assert told["vmr"]["sip_uri"] == f"sip:{alias}@meet.example"
    assert len(told["vmr"]["pin"]) == 6
    assert answer.headers["location"] == f"/api/v1/meetings/{told['id']}"
    assert answer.headers["etag"] == '"1"'
    read = await house.client.get(answer.headers["location"], headers=READS)
    assert read.status_code == 200
    assert read.json() == told


@pytest.mark.parametrize("path", PATHS)
async def test_both_doors_answer_alike(house: House, path: str) -> None:
    """The short way and the framework's way refuse and accept with the same status, body and headers."""
    wrong = await house.client.post(path, json=booking(rooms=["oslo-33"]), headers=WRITES)
    assert wrong.status_code == 400
    assert wrong.json()["errors"][0]["nearest"][0] == "oslo-3"
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
    for refusal in (wrong, other, big, broken):
        assert refusal.headers["content-type"] == "application/problem+json"


async def test_every_wrong_field_is_named_at_once(house: House) -> None:
    """A body with six mistakes of shape is answered with six field errors, not with the first."""
    body = {
        "rooms": "oslo-3",
        "subject": 7,
        "organizer": {"name": "Ada"},
        "start": "2027-03-03T10:30",
        "invitees": ["bob@example.org", {"email": 3}],
        "descripton": "typing",
    }
    answer = await house.client.post("/api/v1/meetings", json=body, headers=WRITES)
    assert answer.status_code == 400
    errors = {error["field"]: error for error in answer.json()["errors"]}
    assert set(errors) == {"rooms", "subject", "organizer.email", "invitees[1].email", "descripton", "end"}
    assert errors["descripton"]["nearest"] == ["description"]
    assert errors["end"]["message"] == "is missing."


async def test_every_impossible_value_is_named_at_once(house: House) -> None:
    """A well-formed body with impossible values is answered with all of them, each with a way out."""
    body = booking(
        rooms=["oslo-3", "osl-4"],
        organizer="ada",
        invitees=["bob@example.org", "carl@"],
        start="2027-03-28T02:30",
        end="tomorrow",
        bridge="lnk",
    )
    answer = await house.client.post("/api/v1/meetings", json=body, headers=WRITES)
    assert answer.status_code == 400
    errors = {error["field"]: error["message"] for error in answer.json()["errors"]}
    assert set(errors) == {"rooms[1]", "organizer", "invitees[1]", "start", "end", "bridge"}
    assert "Did you mean oslo-4" in errors["rooms[1]"]
    assert "does not exist in Europe/Oslo" in errors["start"]
    assert "Did you mean link" in errors["bridge"]


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"start": "1969-12-31T23:59Z", "end": "1970-01-01T01:00Z"}, "start"),
        ({"start": "2100-01-01T00:00Z", "end": "2100-01-01T01:00Z"}, "start"),
        ({"start": "0001-01-01T00:00+14:00"}, "start"),
        ({"end": "2027-03-03T10:30"}, "end"),
        ({"end": "2027-03-03T09:00"}, "end"),
        ({"end": "2027-05-03T09:00"}, "end"),
        ({"start": "2027-03-03"}, "start"),
        ({"start": "2027-03-03T10:30:00.5"}, "start"),
        ({"start": "2027-03-02T10:30", "end": "2027-03-02T11:30"}, "end"),
        ({"time_zone": "Europe/Olso"}, "time_zone"),
        ({"time_zone": "../../etc/passwd"}, "time_zone"),
        ({"rooms": []}, "rooms"),
        ({"rooms": ["nowhere"]}, "rooms[0]"),
        ({"subject": "x" * 1_001}, "subject"),
        ({"organizer": "Ada <>"}, "organizer"),
        ({"recurrence": "FREQ=SOMETIMES"}, "recurrence"),
        ({"uid": "  "}, "uid"),
    ],
)
async def test_what_cannot_be_is_told_by_field(house: House, changed: dict[str, Any], field: str) -> None:
    """A start before 1970 or after 2099, an end before the start, an unknown room or zone: 400 naming the field."""
    answer = await house.client.post("/api/v1/meetings", json=booking(**changed), headers=WRITES)
    assert answer.status_code == 400, answer.text
    assert field in [error["field"] for error in answer.json()["errors"]], answer.text


async def test_times_are_read_in_the_zone_that_is_meant(house: House) -> None:
    """An offset wins; without one a wall time is read in `time_zone`, else the first room's, else the cluster's."""
    lisbon = await house.book(rooms=["lisbon-1"], time_zone="")
    assert lisbon["start"] == "2027-03-03T10:30:00+00:00"
    assert lisbon["time_zone"] == "Europe/Lisbon"
    offset = await house.book(start="2027-03-03T12:30:00-05:00", end="2027-03-03T18:45Z")
    assert offset["start"] == "2027-03-03T18:30:00+01:00"
    autumn = await house.book(start="2027-10-31T02:30", end="2027-10-31T02:45")
    assert autumn["start"] == "2027-10-31T02:30:00+02:00"


async def test_people_are_taken_in_any_usual_spelling(house: House) -> None:
    """A person is an object, a bare address or `Name <address>`; addresses are lower case and stand once."""
    told = await house.book(
        organizer="Ada Lovelace <Ada@Example.org>",
        invitees=["BOB@example.org", {"email": "bob@example.org", "name": "Bob"}, "carl@example.org"],
    )
    assert told["organizer"] == {"email": "ada@example.org", "name": "Ada Lovelace"}
    assert [one["email"] for one in told["invitees"]] == ["bob@example.org", "carl@example.org"]


async def test_a_conflict_names_the_meetings_in_the_way(house: House) -> None:
    """409 lists id, rooms and times of every meeting that holds the room."""
    first = await house.book()
    answer = await house.client.post("/api/v1/meetings", json=booking(subject="Other"), headers=WRITES)
    assert answer.status_code == 409
    (conflict,) = answer.json()["conflicts"]
    assert conflict == {
        "id": first["id"],
        "rooms": ["oslo-3"],
        "start": "2027-03-03T09:30:00Z",
        "end": "2027-03-03T10:30:00Z",
    }


async def test_an_idempotency_key_belongs_to_its_caller(house: House) -> None:
    """The same key from another caller is another request; nonsense for a key is refused."""
    from tests.api.house import LOCAL_TOKEN

    one = await house.client.post(
        "/api/v1/meetings", json=booking(), headers=WRITES | {"idempotency-key": "k"}
    )
    local = {"authorization": f"Bearer {LOCAL_TOKEN}", "idempotency-key": "k"}
    two = await house.client.post("/api/v1/meetings", json=booking(rooms=["oslo-4"]), headers=local)
    assert (one.status_code, two.status_code) == (201, 201)
    assert one.json()["id"] != two.json()["id"]
    bad = await house.client.post(
        "/api/v1/meetings", json=booking(), headers=WRITES | {"idempotency-key": "  "}
    )
    assert bad.status_code == 400


async def test_booking_a_known_uid_changes_the_meeting(house: House) -> None:
    """A caller who names meetings by `uid` books the same one again without a second meeting or VMR."""
    one = await house.book(uid="crm-17")
    same = await house.book(uid="crm-17")
    moved = await house.book(uid="crm-17", start="2027-03-03T12:30", end="2027-03-03T13:30")
    assert same["id"] == one["id"] == moved["id"]
    assert same["revision"] == 1
    assert moved["revision"] == 2
    assert moved["vmr"] == one["vmr"]


async def test_a_series_is_booked_by_its_rule(house: House) -> None:
    """A recurrence books every occurrence in the horizon; all share one VMR and one series."""
    first = await house.book(recurrence="FREQ=WEEKLY;COUNT=3")
    listed = (await house.client.get("/api/v1/meetings", headers=READS)).json()["meetings"]
    assert [one["start"][:10] for one in listed] == ["2027-03-03", "2027-03-10", "2027-03-17"]
    assert {one["series"] for one in listed} == {first["series"]}
    assert {one["vmr"]["alias"] for one in listed} == {first["vmr"]["alias"]}


@pytest.mark.parametrize("path", PATHS)
async def test_a_stopping_server_takes_nothing_new(house: House, path: str) -> None:
    """Once the stop has begun a booking is answered 503 with Retry-After, reading still works."""
    house.gate.stop.set()
    answer = await house.client.post(path, json=booking(), headers=WRITES)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert (await house.client.get("/api/v1/meetings", headers=READS)).status_code == 200


@pytest.mark.parametrize("path", PATHS)
async def test_an_engine_that_cannot_answer_is_a_503(house: House, path: str) -> None:
    """`Unavailable` from the engine reaches the caller with its Retry-After; any other failure is ours and says so."""
    house.engine.fails = unavailable()
    answer = await house.client.post(path, json=booking(), headers=WRITES)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
    house.engine.fails = ZeroDivisionError("a mistake")
    answer = await house.client.post(path, json=booking(), headers=WRITES)
    assert answer.status_code == 500
    assert answer.json()["code"] == "our-mistake"


@pytest.mark.parametrize("path", PATHS)
async def test_a_write_is_led_to_the_active_server(path: str) -> None:
    """Where another server is active, 307 names the same address there."""
    async with open_house(active_url=lambda: "http://mk-b.example:8080/") as house:
        answer = await house.client.post(path, json=booking(), headers=WRITES)
        assert answer.status_code == 307
        assert answer.headers["location"].startswith("http://mk-b.example:8080/api/v1/meetings")
        assert (await house.client.get(path, headers=READS)).status_code == 200


async def test_bodies_of_another_kind_are_refused(house: House) -> None:
    """A form is 415, a JSON number 400, broken UTF-8 400, a body in pieces is taken whole."""
    form = await house.client.post("/api/v1/meetings", data={"a": "b"}, headers=WRITES)
    assert form.status_code == 415
    number = await house.client.post("/api/v1/meetings", content=b"7", headers=WRITES)
    assert number.status_code == 400
    broken = await house.client.post("/api/v1/meetings", content=b'{"subject": "\xff"}', headers=WRITES)
    assert broken.status_code == 400
    deep = await house.client.post("/api/v1/meetings", content=b'{"rooms":' + b"[" * 100_000, headers=WRITES)
    assert deep.status_code == 400


async def test_many_bookings_at_once_are_each_their_own(house: House) -> None:
    """Fifty callers at the same instant get fifty meetings, or a conflict where they want the same room and time."""
    bodies = [
        booking(
            start=f"2027-03-{4 + number % 25:02d}T{8 + number // 25:02d}:00Z",
            end=f"2027-03-{4 + number % 25:02d}T{8 + number // 25:02d}:30Z",
        )
        for number in range(50)
    ]
    answers = await asyncio.gather(
        *(house.client.post("/api/v1/meetings", json=body, headers=WRITES) for body in bodies)
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 50
