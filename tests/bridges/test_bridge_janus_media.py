"""Real people in a real room: sound and pictures flow, and the phases hold for them."""

import asyncio

import pytest

from meetkeeper.core.effects import Phase
from meetkeeper.testing.contracts.bridge import in_phase, wanted_vmr
from meetkeeper.testing.participant import INSTALL_HINT, JoinRefused, Participant, media_available
from tests.bridges.venues import CLIENT_SECRET, JanusVenue
from tests.conftest import RequireReal

WRONG_PIN = 433
PATIENCE_S = 10.0


@pytest.fixture(autouse=True)
def _aiortc(require_real: RequireReal) -> None:
    require_real("aiortc", media_available(), INSTALL_HINT)


async def join(venue: JanusVenue, room: str, pin: str, name: str) -> Participant:
    """Come in with microphone and camera."""
    return await Participant.take(venue.janus.client_url, room, pin, display=name, secret=CLIENT_SECRET)


async def test_a_meeting_from_booking_to_end(venue: JanusVenue) -> None:
    """Refused before the start and with a wrong PIN, media between two while it is open, dropped and refused after."""
    wanted = wanted_vmr("a real meeting", Phase.OPEN)
    await venue.bridge.ensure(in_phase(wanted, Phase.BOOKED))
    with pytest.raises(JoinRefused) as early:
        await join(venue, wanted.alias, wanted.pin, "early")
    assert early.value.code == WRONG_PIN

    await venue.bridge.ensure(wanted)
    with pytest.raises(JoinRefused) as guessed:
        await join(venue, wanted.alias, "000000", "guessing")
    assert guessed.value.code == WRONG_PIN

    ada = await join(venue, wanted.alias, wanted.pin, "Ada")
    await ada.publish()
    bob = await join(venue, wanted.alias, wanted.pin, "Bob")
    await bob.publish()
    assert ada.id in bob.others
    await bob.watch(ada.id)
    await bob.wait_received(pictures=5, sounds=20)

    await venue.bridge.ensure(in_phase(wanted, Phase.CLOSED))
    for person in (ada, bob):
        async with asyncio.timeout(PATIENCE_S):
            await person.dropped.wait()
        assert not await person.is_in()
    seen = bob.pictures_seen
    with pytest.raises(JoinRefused):
        await join(venue, wanted.alias, wanted.pin, "late")
    await asyncio.sleep(0.5)
    assert bob.pictures_seen <= seen + 2, "pictures flow on after the end"
    for person in (ada, bob):
        await person.leave()


async def test_nobody_watches_unseen(venue: JanusVenue) -> None:
    """Who knows the PIN and is not in the list of participants cannot receive anybody's pictures."""
    wanted = wanted_vmr("no lurkers", Phase.OPEN)
    await venue.bridge.ensure(wanted)
    ada = await join(venue, wanted.alias, wanted.pin, "Ada")
    await ada.publish()
    lurker = await join(venue, wanted.alias, wanted.pin, "Eve")
    lurker.private_id = 0
    with pytest.raises(JoinRefused) as unseen:
        await lurker.watch(ada.id)
    assert unseen.value.code == WRONG_PIN
    for person in (ada, lurker):
        await person.leave()


async def test_a_call_outlives_whoever_opened_it(venue: JanusVenue) -> None:
    """Media goes on while the server that opened the room is gone and the standby ensures it anew."""
    wanted = wanted_vmr("failover", Phase.OPEN)
    await venue.bridge.ensure(wanted)
    ada = await join(venue, wanted.alias, wanted.pin, "Ada")
    await ada.publish()
    bob = await join(venue, wanted.alias, wanted.pin, "Bob")
    await bob.watch(ada.id)
    await venue.bridge.close()
    await venue.standby.ensure(wanted)
    await bob.wait_received(pictures=10, sounds=10)
    assert not ada.dropped.is_set()
    for person in (ada, bob):
        await person.leave()
