"""A real Janus keeps the contract; guests join through its public API. What may go wrong with it is told in words."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from meetkeeper.bridges.janus.client import JanusBridge
from meetkeeper.bridges.janus.launch import INSTALL_HINT, PrivateJanus, Settings, find_janus
from meetkeeper.bridges.janus.mapping import BEACON
from meetkeeper.core.effects import Phase
from meetkeeper.core.errors import NotFound, Refused, TheirMistake, Unavailable
from meetkeeper.ports.bridge import Door, Ensured
from meetkeeper.testing.contracts.bridge import BridgeContract, in_phase, wanted_vmr
from meetkeeper.testing.participant import JoinRefused, Seat
from tests.bridges.venues import ADMIN_KEY, CLIENT_SECRET, JanusVenue, adapter, ask, private_janus
from tests.conftest import RequireReal


class TestJanusBridge(BridgeContract):
    """The whole contract."""


# --- secrets and settings -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "code", "named"),
    [
        ({"admin_secret": "guessed"}, "janus-admin-secret", "admin_secret"),
        ({"admin_key": "guessed"}, "janus-admin-key", "admin_key"),
    ],
)
async def test_a_wrong_secret_is_named(
    janus: PrivateJanus, wrong: dict[str, Any], code: str, named: str
) -> None:
    """Each wrong secret is refused for good, and the message says which setting it is."""
    bridge = adapter(janus.admin_url, **wrong)
    for verb in (bridge.probe, bridge.survey, lambda: bridge.ensure(wanted_vmr("secret"))):
        with pytest.raises(Refused, match=named) as refused:
            await verb()
        assert refused.value.code == code
        assert "guessed" not in refused.value.message
    await bridge.close()


async def test_a_room_made_with_another_cluster_secret_is_refused(venue: JanusVenue) -> None:
    """A room under our marker whose secret we cannot derive is neither opened nor removed, and the way out is told."""
    wanted = wanted_vmr("rotated")
    await venue.bridge.ensure(wanted)
    bridge = adapter(venue.janus.admin_url, room_key="rotated")
    for verb in (lambda: bridge.ensure(in_phase(wanted, Phase.OPEN)), lambda: bridge.retire(wanted.alias)):
        with pytest.raises(Refused, match="room-" + wanted.alias) as refused:
            await verb()
        assert refused.value.code == "janus-room-secret"
    await bridge.close()


async def test_janus_without_string_ids_is_refused(require_real: RequireReal, tmp_path: Path) -> None:
    """A Janus that wants numbers as rooms makes every verb say which setting to change."""
    require_real("Janus", find_janus() is not None, INSTALL_HINT)
    bridge, janus = await _with_rooms_file(tmp_path, 'general: { admin_key = "%s" }')
    for verb in (bridge.probe, lambda: bridge.ensure(wanted_vmr("string"))):
        with pytest.raises(Refused, match="string_ids"):
            await verb()
    await bridge.close()
    janus.stop()


async def test_janus_without_admin_key_is_refused(require_real: RequireReal, tmp_path: Path) -> None:
    """A Janus that hides its private rooms from everybody is noticed when it is greeted, not when rooms are missing."""
    require_real("Janus", find_janus() is not None, INSTALL_HINT)
    bridge, janus = await _with_rooms_file(tmp_path, '# "%s"\ngeneral: { string_ids = true }')
    with pytest.raises(Refused, match="admin_key"):
        await bridge.probe()
    await bridge.close()
    janus.stop()


async def _with_rooms_file(folder: Path, text: str) -> tuple[JanusBridge, PrivateJanus]:
    janus = private_janus(folder)
    said = text % ADMIN_KEY.replace("\\", "\\\\").replace('"', '\\"')
    janus.rooms_file.write_text(said, "utf-8")
    await asyncio.to_thread(janus.start)
    return adapter(janus.admin_url), janus


async def test_rooms_that_cannot_be_kept_still_work(venue: JanusVenue) -> None:
    """With a rooms file that Janus cannot write, rooms are made and opened all the same, and the probe says so."""
    wanted = wanted_vmr("volatile", Phase.OPEN)
    await venue.bridge.ensure(wanted)
    assert "outlive" in (await venue.bridge.probe()).text
    venue.janus.rooms_file.unlink()
    venue.janus.rooms_file.mkdir()
    try:
        await venue.bridge.ensure(wanted)
        assert "die with it" in (await venue.bridge.probe()).text
        assert await venue.join(wanted.alias, wanted.pin) is not None
    finally:
        venue.janus.rooms_file.rmdir()
    await venue.bridge.ensure(wanted)
    assert "outlive" in (await venue.bridge.probe()).text


# --- addresses and silence ------------------------------------------------------------------------------------------


async def test_the_public_interface_is_not_mistaken_for_the_admin_one(janus: PrivateJanus) -> None:
    """Pointed at the address for browsers, or at a wrong path, the adapter says what to check."""
    for url in (janus.client_url, janus.admin_url + "x", janus.admin_url.removesuffix("/admin")):
        bridge = adapter(url)
        with pytest.raises(TheirMistake, match="admin_url"):
            await bridge.probe()
        await bridge.close()


async def test_a_stuck_janus_is_unavailable_in_time(venue: JanusVenue) -> None:
    """A Janus that takes connections and answers nothing costs one time-out, and later answers are not mixed up."""
    bridge = adapter(venue.janus.admin_url, timeout_s=1.5)
    wanted = wanted_vmr("stuck")
    await bridge.ensure(wanted)
    venue.janus.pause()
    began = time.monotonic()
    try:
        with pytest.raises(Unavailable, match=r"within 1\.5 s"):
            await bridge.ensure(wanted)
    finally:
        venue.janus.resume()
    assert time.monotonic() - began < 10
    assert await bridge.ensure(wanted) == Ensured(wanted.marker)
    await bridge.close()


async def test_a_restart_between_two_questions_is_not_felt(venue: JanusVenue) -> None:
    """Kept connections that died with the former Janus do not make the first question afterwards fail."""
    wanted = wanted_vmr("kept connections")
    await asyncio.gather(*(venue.standby.ensure(wanted) for _ in range(8)))
    await venue.restart(forget=True)
    assert await venue.standby.ensure(wanted) == Ensured(None)


async def test_an_open_meeting_survives_a_restart_of_janus_alone(venue: JanusVenue) -> None:
    """After Janus crashed in the middle of a meeting people get back in with the PIN before any server of ours acts."""
    wanted = wanted_vmr("crashed", Phase.OPEN)
    await venue.bridge.ensure(in_phase(wanted, Phase.BOOKED))
    await venue.bridge.ensure(wanted)
    await venue.restart(forget=False)
    assert await venue.join(wanted.alias, "not it") is None
    assert await venue.join(wanted.alias, wanted.pin) is not None
    assert await venue.bridge.ensure(wanted) == Ensured(wanted.marker)


async def test_the_rooms_file_holds_only_what_is_on(venue: JanusVenue) -> None:
    """A room enters Janus' file when it opens and leaves it when it closes or is retired, so the file stays short."""
    over, gone, on, booked = (wanted_vmr(f"file {number}", Phase.OPEN) for number in range(4))
    for wanted in (over, gone, on, in_phase(booked, Phase.BOOKED)):
        await venue.bridge.ensure(wanted)
        await venue.bridge.ensure(wanted)
    await venue.bridge.ensure(in_phase(over, Phase.CLOSED))
    await venue.bridge.retire(gone.alias)
    text = venue.janus.rooms_file.read_text("utf-8")
    assert [wanted.alias in text for wanted in (over, gone, on, booked)] == [False, False, True, False]


@pytest.mark.parametrize("kept", [0, 60, -30])
async def test_a_torn_rooms_file_is_got_over(venue: JanusVenue, kept: int) -> None:
    """A private Janus that crashed while it wrote its rooms starts with its settings, and the rooms are made again."""
    wanted = wanted_vmr("torn", Phase.OPEN)
    await venue.bridge.ensure(wanted)
    venue.janus.kill()
    text = venue.janus.rooms_file.read_text("utf-8")
    venue.janus.rooms_file.write_text(text[:kept], "utf-8")
    venue.janus.start()
    assert await venue.bridge.ensure(wanted) == Ensured(None)
    assert await venue.join(wanted.alias, wanted.pin) is not None


# --- many -----------------------------------------------------------------------------------------------------------


async def test_many_rooms_come_back_together(venue: JanusVenue) -> None:
    """All rooms may be ensured at once: new ones need no listing, and those that stand share a few listings."""
    wishes = [wanted_vmr(f"many {number}") for number in range(60)]
    assert await asyncio.gather(*map(venue.standby.ensure, wishes)) == [Ensured(None)] * 60
    await venue.restart(forget=False)
    venue.wire.counted = b'"list"'
    assert await asyncio.gather(*map(venue.bridge.ensure, wishes)) == [Ensured(None)] * 60
    assert venue.wire.count == 0
    found = await asyncio.gather(*map(venue.bridge.ensure, wishes))
    assert found == [Ensured(wanted.marker) for wanted in wishes]
    assert venue.wire.count <= 20
    assert len(await venue.bridge.survey()) == 60


async def test_closing_wins_against_a_crowd_at_the_door(venue: JanusVenue) -> None:
    """However many push in while a meeting is closed, nobody is in afterwards."""
    wanted = wanted_vmr("pushing", Phase.OPEN)
    closed = in_phase(wanted, Phase.CLOSED)
    pushing = True
    got_in = asyncio.Event()

    async def push() -> None:
        while pushing:
            if await venue.join(wanted.alias, wanted.pin):
                got_in.set()

    for _ in range(5):
        await venue.bridge.ensure(wanted)
        people = [asyncio.create_task(push()) for _ in range(6)]
        await asyncio.wait_for(got_in.wait(), 5)
        await venue.bridge.ensure(closed)
        for _ in range(5):
            assert not ask(venue.janus, request="listparticipants", room=wanted.alias)["participants"]
            await asyncio.sleep(0.01)
        pushing = False
        await asyncio.gather(*people)
        pushing = True
        got_in.clear()


# --- odds and ends --------------------------------------------------------------------------------------------------


async def test_the_beacon_is_nobodys_room(venue: JanusVenue) -> None:
    """The room that tells one run of Janus from the next is not surveyed, and nobody can join it."""
    await venue.bridge.probe()
    assert await venue.bridge.survey() == ()
    with pytest.raises(JoinRefused):
        await Seat.take(venue.janus.client_url, BEACON, "", secret=CLIENT_SECRET)


async def test_guests_see_the_title(venue: JanusVenue) -> None:
    """Who joins reads the meeting's title in the room's description, after marker and phase."""
    wanted = wanted_vmr("titled", Phase.OPEN)
    await venue.bridge.ensure(wanted)
    seat = await Seat.take(venue.janus.client_url, wanted.alias, wanted.pin, secret=CLIENT_SECRET)
    assert seat.description == f"{wanted.marker} open {wanted.title}"
    await seat.leave()


def test_the_door_leads_to_the_built_in_client() -> None:
    """With a client_url the page gets the room's facts; without one there is no door."""
    wanted = wanted_vmr("door", Phase.OPEN)
    inside = adapter("http://127.0.0.1:1/admin", client_url="http://127.0.0.1:2/janus")
    assert inside.door(wanted) == Door("janus", "http://127.0.0.1:2/janus", wanted.alias, CLIENT_SECRET)
    assert adapter("http://127.0.0.1:1/admin").door(wanted) == Door("none")


def test_a_start_that_fails_shows_the_log(require_real: RequireReal, tmp_path: Path) -> None:
    """When Janus ends at once, the error carries the end of its log."""
    require_real("Janus", find_janus() is not None, INSTALL_HINT)
    elsewhere = Settings(admin_secret="a", admin_key="k", address="203.0.113.1", admin_port=9, client_port=9)
    janus = PrivateJanus(tmp_path, elsewhere)
    with pytest.raises(Unavailable, match="libjanus_http"):
        janus.start()
    assert not janus.pid


def test_a_missing_janus_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without Janus on the machine the error says what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotFound, match="apt install janus"):
        private_janus(tmp_path)
