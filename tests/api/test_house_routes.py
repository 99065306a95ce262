"""Rooms, free and busy, outbox, risks, history, tokens, configuration, health and figures."""

import json

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from meetkeeper.core.changes import EffectMoved, RoomTold
from meetkeeper.core.events import PageSeen
from meetkeeper.core.plan import Plan
from meetkeeper.core.roomsettings import judge
from meetkeeper.core.state import RoomNews, Status
from meetkeeper.core.words import CalendarItem, RoomId
from meetkeeper.itemtext.reading import read_item
from meetkeeper.testing.contracts.calendar import text_of
from tests.api.house import LOCAL_TOKEN, NOW_S, READS, WRITES, House, pair_status


async def test_rooms_tell_what_goes_on_in_them(house: House) -> None:
    """Each room shows its calendar's standing, the meeting in it now and the next one."""
    now = await house.book(start="2027-03-03T08:00Z", end="2027-03-03T09:00Z")
    following = await house.book(start="2027-03-03T10:00Z", end="2027-03-03T11:00Z")
    rooms = {
        room["id"]: room for room in (await house.client.get("/api/v1/rooms", headers=READS)).json()["rooms"]
    }
    assert rooms["oslo-3"]["now"]["id"] == now["id"]
    assert rooms["oslo-3"]["next"]["id"] == following["id"]
    assert rooms["oslo-3"]["calendar"]["state"] == "none"
    assert rooms["oslo-4"]["calendar"]["state"] == "ok"
    house.engine.room_error = "401"
    room = (await house.client.get("/api/v1/rooms/oslo-4", headers=READS)).json()
    assert room["calendar"]["state"] == "failing"
    assert room["calendar"]["error"] == "401"


async def test_an_agenda_is_today_in_the_rooms_own_zone(house: House) -> None:
    """Without a span the agenda runs from midnight to midnight where the room is."""
    await house.book(rooms=["lisbon-1"], time_zone="")
    agenda = (await house.client.get("/api/v1/rooms/lisbon-1/agenda", headers=READS)).json()
    assert agenda["time_zone"] == "Europe/Lisbon"
    assert agenda["from"] == "2027-03-03T00:00:00+00:00"
    assert agenda["until"] == "2027-03-04T00:00:00+00:00"
    assert len(agenda["meetings"]) == 1
    empty = await house.client.get(
        "/api/v1/rooms/lisbon-1/agenda?from=2027-03-05&until=2027-03-06", headers=READS
    )
    assert empty.json()["meetings"] == []


async def test_free_rooms_are_free_for_the_whole_span(house: House) -> None:
    """A room with any meeting in the span is not free; busy spans are told of the rooms that were named."""
    told = await house.book()
    query = {"from": "2027-03-03T11:00", "until": "2027-03-03T12:00"}
    answer = (await house.client.get("/api/v1/freebusy", params=query, headers=READS)).json()
    assert answer["free"] == ["lisbon-1", "oslo-4"]
    named = (
        await house.client.get("/api/v1/freebusy", params=query | {"rooms": "oslo-3,oslo-4"}, headers=READS)
    ).json()
    assert named["free"] == ["oslo-4"]
    busy = {room["room"]: room["busy"] for room in named["rooms"]}
    assert [span["meeting"] for span in busy["oslo-3"]] == [told["id"]]
    assert busy["oslo-4"] == []
    seats = (
        await house.client.get("/api/v1/freebusy", params=query | {"capacity": "10"}, headers=READS)
    ).json()
    assert seats["free"] == ["lisbon-1"]
    for wrong in ({"rooms": "osl"}, {"until": "2027-03-01"}, {"until": "2099-01-01"}):
        assert (
            await house.client.get("/api/v1/freebusy", params=query | wrong, headers=READS)
        ).status_code == 400


async def test_a_room_is_read_anew_on_request(house: House) -> None:
    """Resync forgets the cookie and polls at once."""
    answer = await house.client.post("/api/v1/rooms/oslo-4/resync", headers=WRITES)
    assert answer.status_code == 202
    assert house.engine.poked == [RoomId("oslo-4")]


async def test_parked_effects_are_seen_and_released(house: House) -> None:
    """A parked effect stands first in the outbox and among the risks; releasing it moves it on."""
    told = await house.book()
    key = next(iter(house.engine.state.outbox))
    house.engine.keep(Plan(NOW_S, (EffectMoved(key, Status.PARKED, 3, 0.0, "the bridge refused"),)))
    listed = (await house.client.get("/api/v1/outbox", headers=READS)).json()
    assert listed["effects"][0]["status"] == "parked"
    assert listed["effects"][0]["meeting"] == told["id"]
    risks = (await house.client.get("/api/v1/risks", headers=READS)).json()["risks"]
    assert any(risk["kind"] == "outbox" and risk["level"] == "red" for risk in risks)
    retry = await house.client.post("/api/v1/outbox/release", json={"key": key}, headers=WRITES)
    assert retry.status_code == 200, retry.text
    assert retry.json()["status"] == "open"
    unknown = await house.client.post("/api/v1/outbox/release", json={"key": "nope"}, headers=WRITES)
    assert unknown.status_code == 404


async def test_what_may_go_wrong_is_told_before_it_does(house: House) -> None:
    """Brakes, silent calendars, dead bridges and meetings that should be open are risks, each with what to do."""
    assert (await house.client.get("/api/v1/risks", headers=READS)).json()["risks"] == []
    await house.book(start="2027-03-03T08:40Z", end="2027-03-03T09:00Z")
    house.engine.keep(Plan(NOW_S, (RoomTold(RoomId("oslo-4"), RoomNews(17, NOW_S)),)))
    house.engine.room_error = "no answer"
    house.engine.bridge_ok = False
    risks = (await house.client.get("/api/v1/risks", headers=READS)).json()["risks"]
    assert {risk["kind"] for risk in risks} == {"brake", "calendar", "bridge", "meeting"}
    assert all(risk["do"] for risk in risks)


async def test_what_a_calendar_hid_is_a_risk_and_a_figure(house: House) -> None:
    """While a room's last audit had something to mend it is told; the count goes on for good."""
    house.engine.keep(Plan(NOW_S, (RoomTold(RoomId("oslo-4"), RoomNews(0, 0.0, NOW_S, 2, 5)),)))
    (risk,) = (await house.client.get("/api/v1/risks", headers=READS)).json()["risks"]
    assert (risk["kind"], risk["level"], risk["room"]) == ("audit", "red", "oslo-4")
    assert "found 2 changes" in risk["text"]
    room = (await house.client.get("/api/v1/rooms/oslo-4", headers=READS)).json()["calendar"]
    assert (room["unreported"], room["mended"], room["last_audit"]) == (2, 5, "2027-03-03T08:30:00Z")
    assert "meetkeeper_audit_mended_total 5.0" in (await house.client.get("/metrics", headers=READS)).text


async def test_explain_tells_what_happened_and_why(house: House) -> None:
    """The history of a meeting names its frames, newest first."""
    told = await house.book()
    await house.client.delete(f"/api/v1/meetings/{told['id']}", headers=WRITES | {"if-match": "*"})
    history = (await house.client.get(f"/api/v1/explain/{told['id']}", headers=READS)).json()
    assert history["about"] == told["id"]
    assert "cancelled by request" in history["rows"][0]["why"][0]
    assert history["rows"][0]["seq"] > history["rows"][-1]["seq"]


async def test_a_mail_can_be_looked_at_before_it_is_sent(house: House) -> None:
    """The preview comes from the house's own writer."""
    told = await house.book()
    mail = await house.client.get(f"/api/v1/meetings/{told['id']}/mail?to=bob@example.org", headers=READS)
    assert mail.json()["to"] == "bob@example.org"
    assert told["id"] in mail.json()["text"]
    assert (await house.client.get("/api/v1/meetings/nope/mail", headers=READS)).status_code == 404


async def test_a_token_is_shown_once_and_closes_when_revoked(house: House) -> None:
    """An issued token opens the door at once, a revoked one does not; only its hash is kept."""
    issued = await house.client.post(
        "/api/v1/tokens", json={"name": "lobby", "scope": "read"}, headers=WRITES
    )
    assert issued.status_code == 201
    token = issued.json()["token"]
    assert token.startswith("mk_")
    assert len(token) == 46
    headers = {"authorization": f"Bearer {token}"}
    assert (await house.client.get("/api/v1/rooms", headers=headers)).status_code == 200
    assert (await house.client.post("/api/v1/rooms/oslo-4/resync", headers=headers)).status_code == 403
    listed = await house.client.get("/api/v1/tokens", headers=READS)
    assert token not in listed.text
    assert "lobby" in [one["name"] for one in listed.json()["tokens"]]
    assert (
        await house.client.post("/api/v1/tokens", json={"name": "lobby"}, headers=WRITES)
    ).status_code == 409
    assert (await house.client.delete("/api/v1/tokens/lobby", headers=WRITES)).status_code == 204
    assert (await house.client.get("/api/v1/rooms", headers=headers)).status_code == 401
    assert (await house.client.delete("/api/v1/tokens/lobby", headers=WRITES)).status_code == 404


@pytest.mark.parametrize("path", ["/api/v1/meetings", "/api/v1/openapi.json", "/metrics", "/api/v1/events"])
async def test_nothing_is_open_without_a_token(house: House, path: str) -> None:
    """Without a token, with another scheme or an unknown token: 401 with a challenge."""
    for headers in ({}, {"authorization": "Basic b2xnYTp4"}, {"authorization": "Bearer mk_nope"}):
        answer = await house.client.get(path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_the_machines_own_key_opens_everything(house: House) -> None:
    """The token the server left for its own command line may write."""
    headers = {"authorization": f"Bearer {LOCAL_TOKEN}"}
    assert (await house.client.post("/api/v1/rooms/oslo-4/resync", headers=headers)).status_code == 202


async def test_the_configuration_is_shown_masked_and_taken_back_masked(house: House) -> None:
    """Secrets never leave; sent back as stars they stay; a real change is deployed under If-Match and rolled back."""
    shown = await house.client.get("/api/v1/config", headers=READS)
    assert "0123456789abcdef" not in shown.text
    assert "argon2id" not in shown.text
    assert "mail password" not in shown.text
    config = shown.json()["config"]
    config["rooms"][0]["capacity"] = 10
    body = json.dumps(config).encode()
    found = await house.client.post("/api/v1/config/check", content=body, headers=WRITES)
    assert found.json() == {"ok": True, "problems": [], "changes": ["  rooms[oslo-3].capacity: 8 → 10"]}
    assert (await house.client.put("/api/v1/config", content=body, headers=WRITES)).status_code == 428
    deployed = await house.client.put(
        "/api/v1/config", content=body, headers=WRITES | {"if-match": shown.headers["etag"]}
    )
    assert deployed.json() == {"revision": 2}
    state = house.engine.state.settings()
    assert state.cluster.secret == "0123456789abcdef0123456789abcdef"
    assert state.mail.password is not None
    assert state.mail.password.value == "mail password"
    stale = await house.client.put("/api/v1/config", content=body, headers=WRITES | {"if-match": '"1"'})
    assert stale.status_code == 412
    back = await house.client.post("/api/v1/config/rollback", json={}, headers=WRITES)
    assert back.json() == {"revision": 3}
    listed = (await house.client.get("/api/v1/config/revisions", headers=READS)).json()["revisions"]
    assert [one["revision"] for one in listed] == [3, 2, 1]


async def test_a_configuration_that_cannot_be_is_refused(house: House) -> None:
    """What is wrong is told; stars for a secret that is not there are refused; nothing is deployed."""
    shown = (await house.client.get("/api/v1/config", headers=READS)).json()["config"]
    shown["rooms"][0]["capacity"] = -1
    found = await house.client.post("/api/v1/config/check", json=shown, headers=WRITES)
    assert not found.json()["ok"]
    shown["access"]["operators"].append({"name": "eve", "password_hash": "********"})
    masked = await house.client.put("/api/v1/config", json=shown, headers=WRITES | {"if-match": "*"})
    assert masked.status_code == 400
    assert "masked" in masked.json()["detail"]
    for body in (b"[]", b"{", b"7", b"\xff", b"[" * 100_000):
        found = await house.client.post("/api/v1/config/check", content=body, headers=WRITES)
        assert found.status_code == 200, found.text
        assert not found.json()["ok"]
    assert house.engine.state.config_revision == 1


async def test_a_deployed_configuration_is_known_at_once(house: House) -> None:
    """A room added by a deployment can be booked in the next request."""
    shown = (await house.client.get("/api/v1/config", headers=READS)).json()["config"]
    shown["rooms"].append({"id": "bergen-1"})
    await house.client.put("/api/v1/config", json=shown, headers=WRITES | {"if-match": "*"})
    assert (await house.book(rooms=["bergen-1"]))["rooms"] == ["bergen-1"]


async def test_health_tells_load_balancers_where_to_go(house: House) -> None:
    """Live while the process answers; ready and active until it stops; passive while it follows."""

    async def codes() -> list[int]:
        return [
            (await house.client.get(f"/health/{one}")).status_code
            for one in ("live", "ready", "active", "passive")
        ]

    assert await codes() == [200, 200, 200, 503]
    house.engine.role = "passive"
    follows = pair_status(me="mk-b", peer="mk-a", role="passive", peer_role="active")
    house.engine.pair = follows
    assert await codes() == [200, 200, 503, 200]
    assert (await house.client.get("/health/passive?ready")).status_code == 200
    house.engine.pair = msgspec.structs.replace(follows, ready="at risk")
    assert (await house.client.get("/health/passive?ready")).json() == {"status": "at risk"}
    house.engine.pair = msgspec.structs.replace(follows, linked=False)
    assert await codes() == [200, 200, 503, 503]
    house.engine.pair = None
    house.engine.role = "active"
    house.gate.stop.set()
    assert await codes() == [200, 503, 503, 503]


async def test_figures_can_be_read_by_prometheus(house: House) -> None:
    """The page parses; it tells requests by route, meetings by state, the outbox, and how neighbours do."""
    await house.book()
    await house.client.get("/api/v1/rooms", headers=READS)
    page = await house.client.get("/metrics", headers=READS)
    families = {family.name: family for family in text_string_to_metric_families(page.text)}
    requests = {
        (sample.labels["method"], sample.labels["route"], sample.labels["status"]): sample.value
        for sample in families["meetkeeper_http_requests"].samples
    }
    assert requests["POST", "/api/v1/meetings", "201"] == 1
    assert requests["GET", "/api/v1/rooms", "200"] == 1
    states = {sample.labels["state"]: sample.value for sample in families["meetkeeper_meetings"].samples}
    assert states["scheduled"] == 1
    assert families["meetkeeper_kept_seq"].samples[0].value == house.engine.seq
    assert families["meetkeeper_active"].samples[0].value == 1


async def test_the_cluster_is_told_as_it_stands(house: House) -> None:
    """Role, epoch, last kept frame, neighbours and counts in one answer."""
    await house.book()
    told = (await house.client.get("/api/v1/cluster", headers=READS)).json()
    assert (told["role"], told["epoch"], told["seq"]) == ("active", 1, house.engine.seq)
    assert told["meetings"] == {"scheduled": 1}
    assert told["bridges"][0]["state"] == "ok"
    assert told["mail"]["state"] == "ok"


async def test_a_house_without_mail_has_nothing_to_preview(house: House) -> None:
    """Where no writer was given, the preview is a 501 problem."""
    told = await house.book()
    gate = house.gate
    bare = replace_preview(gate)
    object.__setattr__(house.front.desk, "gate", bare)
    answer = await house.client.get(f"/api/v1/meetings/{told['id']}/mail", headers=READS)
    assert answer.status_code == 501


def replace_preview(gate: object) -> object:
    """The same gate without a writer of mails."""
    import dataclasses

    return dataclasses.replace(gate, preview=None)  # type: ignore[type-var]


async def test_a_resync_is_looked_at_before_it_is_done(house: House) -> None:
    """The preview names what would be made, with its mails, and nothing of it is kept."""
    item = read_item("a.ics", text_of("a", "Talk").replace(b"20261201", b"20270901"))
    assert isinstance(item, CalendarItem)
    house.engine.pages = [PageSeen(RoomId("oslo-4"), (item,), listing=frozenset({"a.ics"}))]
    seq = house.engine.seq
    found = (await house.client.get("/api/v1/rooms/oslo-4/resync", headers=READS)).json()
    assert (found["items"], found["creates"], found["changes"], found["deletes"]) == (1, 1, 0, 0)
    assert (found["uris_changed"], found["complete"]) == (0, True)
    assert [(line["what"], line["subject"]) for line in found["lines"]] == [("create", "Talk")]
    assert (house.engine.seq, house.engine.poked) == (seq, [])
    assert (await house.client.get("/api/v1/rooms/osl/resync", headers=READS)).status_code == 404


async def test_a_room_is_examined(house: House) -> None:
    """What the doctor found comes worst first, each with symptom and remedy."""
    house.engine.findings = judge(
        "oslo@rooms.example", {"AllowConflicts": "False", "AutomateProcessing": "None"}
    )
    found = (await house.client.get("/api/v1/rooms/oslo-4/doctor", headers=READS)).json()
    assert [(one["code"], one["level"]) for one in found["findings"]] == [
        ("AutomateProcessing", "red"),
        ("AllowConflicts", "good"),
    ]
    assert "Set-CalendarProcessing oslo@rooms.example" in found["findings"][0]["mend"]
