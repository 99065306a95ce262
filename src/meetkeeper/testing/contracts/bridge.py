"""What every conference bridge must do: inherit the suite, hand it a `Venue`, and it tries all of it.

`DoorContract` holds for every bridge, also for one that is only an address. `BridgeContract` is for bridges that hold
rooms; phases are proved with guests who try to get in, never by asking the adapter.
"""

import asyncio
from abc import abstractmethod
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import pytest

from meetkeeper.core.configuration import ClusterConfig, Config, VmrConfig
from meetkeeper.core.effects import Phase
from meetkeeper.core.errors import Unavailable
from meetkeeper.core.vmr import Scope, derive, marker
from meetkeeper.core.words import Alias, Uid, Vmr
from meetkeeper.ports.bridge import AliasTaken, Bridge, Ensured, WantedVmr

SECRET = "a cluster secret of no importance at all"
CROWD = 20
"""How many ask for the same VMR at the same moment."""


class Guest(Protocol):
    """Somebody who got in."""

    @abstractmethod
    async def is_in(self) -> bool:
        """Whether the bridge still counts this guest among those inside."""


class Venue(Protocol):
    """A bridge to test, and the hands to shake it with."""

    bridge: Bridge
    standby: Bridge
    """What the other server of the pair uses: its own client with the same secrets."""

    @abstractmethod
    async def join(self, alias: Alias, pin: str) -> Guest | None:
        """Try the door as any participant would; None when it stays shut."""

    @abstractmethod
    async def occupy(self, alias: Alias) -> None:
        """Somebody else makes a room under this alias."""

    @abstractmethod
    async def is_occupied(self, alias: Alias) -> bool:
        """Whether that room still stands as it was made."""

    @abstractmethod
    async def restart(self, *, forget: bool) -> None:
        """The bridge's process ends and starts; `forget`: with no memory of its rooms."""

    @abstractmethod
    def unanswered(self) -> AbstractAsyncContextManager[None]:
        """Inside, what makes or changes a room is done and the answer never arrives."""

    @abstractmethod
    def away(self) -> AbstractAsyncContextManager[None]:
        """Inside, the bridge does not run."""


def wanted_vmr(
    name: str, phase: Phase = Phase.BOOKED, *, lineage: str = "here", attempt: int = 0
) -> WantedVmr:
    """A VMR for a meeting of this name, as the keeper would ask for it."""
    vmr = _derived(name)
    text = marker(lineage, Vmr(vmr.alias, vmr.numeric_id, vmr.pin, vmr.bridge, attempt))
    return WantedVmr(vmr.alias, vmr.numeric_id, vmr.pin, f"About {name}", text, phase)


def with_pin(wanted: WantedVmr, pin: str) -> WantedVmr:
    """The same with another PIN."""
    return WantedVmr(wanted.alias, wanted.numeric_id, pin, wanted.title, wanted.marker, wanted.phase)


def in_phase(wanted: WantedVmr, phase: Phase) -> WantedVmr:
    """The same in another phase."""
    return WantedVmr(wanted.alias, wanted.numeric_id, wanted.pin, wanted.title, wanted.marker, phase)


def _derived(name: str) -> Vmr:
    return derive(
        Config(cluster=ClusterConfig(secret=SECRET), vmr=VmrConfig(prefix="mk-")), Scope(Uid(name)), "bridge"
    )


class DoorContract:
    """For every bridge: each verb may be said twice, and the door needs nobody's answer.

    A subclass defines the fixture `bridge`.
    """

    async def test_every_verb_may_be_repeated(self, bridge: Bridge) -> None:
        """Ensuring and retiring twice is as good as once, in every phase."""
        for phase in Phase:
            wanted = wanted_vmr("repeated", phase)
            assert isinstance(await bridge.ensure(wanted), Ensured)
            assert isinstance(await bridge.ensure(wanted), Ensured)
        await bridge.retire(_derived("repeated").alias)
        await bridge.retire(_derived("repeated").alias)

    async def test_retiring_what_never_was_is_done(self, bridge: Bridge) -> None:
        """A VMR that is not there is retired already."""
        await bridge.retire(_derived("never").alias)

    async def test_the_instance_stays_while_the_bridge_runs(self, bridge: Bridge) -> None:
        """Asked twice, a bridge that has not restarted names the same instance and says who it is."""
        first, second = await bridge.probe(), await bridge.probe()
        assert first.instance == second.instance != ""
        assert first.text

    async def test_the_door_is_a_matter_of_arithmetic(self, bridge: Bridge) -> None:
        """The door is the same every time and is known before anything was made."""
        wanted = wanted_vmr("door", Phase.OPEN)
        door = bridge.door(wanted)
        assert door == bridge.door(wanted)
        assert door.kind == "none" or door.url.startswith("http")


class BridgeContract(DoorContract):
    """For bridges that hold rooms. A subclass defines the fixture `venue`."""

    @pytest.fixture
    def bridge(self, venue: Venue) -> Bridge:
        """The one under test."""
        return venue.bridge

    async def test_a_new_vmr_is_made_and_found(self, venue: Venue) -> None:
        """What was not there is created, and the survey shows it with its marker and nobody in it."""
        wanted = wanted_vmr("new")
        assert await venue.bridge.ensure(wanted) == Ensured(None)
        found = {vmr.alias: vmr for vmr in await venue.bridge.survey()}
        assert found[wanted.alias].marker == wanted.marker
        assert found[wanted.alias].participants == 0

    async def test_a_repeated_wish_finds_its_own(self, venue: Venue) -> None:
        """The second time it is found, by either server, and there is still one."""
        wanted = wanted_vmr("again")
        await venue.bridge.ensure(wanted)
        assert await venue.bridge.ensure(wanted) == Ensured(wanted.marker)
        assert await venue.standby.ensure(wanted) == Ensured(wanted.marker)
        assert [vmr.alias for vmr in await venue.bridge.survey()].count(wanted.alias) == 1

    async def test_another_history_is_adopted(self, venue: Venue) -> None:
        """A VMR of ours from another lineage and attempt is taken over and carries our marker from then on."""
        former = wanted_vmr("adopted", lineage="before", attempt=3)
        wanted = wanted_vmr("adopted")
        await venue.standby.ensure(former)
        assert await venue.bridge.ensure(wanted) == Ensured(former.marker)
        found = {vmr.alias: vmr.marker for vmr in await venue.bridge.survey()}
        assert found[wanted.alias] == wanted.marker

    async def test_a_strangers_room_is_left_alone(self, venue: Venue) -> None:
        """An alias somebody else holds is reported in every phase; neither ensure, retire nor survey touches it."""
        alias = _derived("strange").alias
        await venue.occupy(alias)
        for phase in Phase:
            assert isinstance(await venue.bridge.ensure(wanted_vmr("strange", phase)), AliasTaken)
        await venue.bridge.retire(alias)
        assert alias not in {vmr.alias for vmr in await venue.bridge.survey()}
        assert await venue.is_occupied(alias)

    async def test_the_survey_knows_the_phase(self, venue: Venue) -> None:
        """A bridge that tells phases in its survey tells the one that was ensured last, through all of them."""
        for phase in (Phase.BOOKED, Phase.OPEN, Phase.CLOSED, Phase.OPEN, Phase.BOOKED):
            wanted = wanted_vmr("phases", phase)
            await venue.bridge.ensure(wanted)
            [found] = [vmr for vmr in await venue.bridge.survey() if vmr.alias == wanted.alias]
            assert found.phase in (phase, None)

    async def test_booked_keeps_everybody_out(self, venue: Venue) -> None:
        """Before the start the room is there and even the right PIN does not open it."""
        wanted = wanted_vmr("early")
        await venue.bridge.ensure(wanted)
        assert await venue.join(wanted.alias, wanted.pin) is None

    async def test_open_lets_in_who_has_the_pin(self, venue: Venue) -> None:
        """While it is open the right PIN opens, a wrong one does not, and the survey counts who is in."""
        wanted = wanted_vmr("open", Phase.OPEN)
        await venue.bridge.ensure(in_phase(wanted, Phase.BOOKED))
        await venue.bridge.ensure(wanted)
        assert await venue.join(wanted.alias, "not it") is None
        guest = await venue.join(wanted.alias, wanted.pin)
        assert guest is not None
        assert await guest.is_in()
        assert {v.alias: v.participants for v in await venue.bridge.survey()}[wanted.alias] == 1

    async def test_closed_puts_everybody_out(self, venue: Venue) -> None:
        """After the end nobody is in and nobody gets in; a later occurrence opens it again."""
        wanted = wanted_vmr("over", Phase.OPEN)
        await venue.bridge.ensure(wanted)
        guests = [await venue.join(wanted.alias, wanted.pin) for _ in range(3)]
        assert await venue.bridge.ensure(in_phase(wanted, Phase.CLOSED)) == Ensured(wanted.marker)
        for guest in guests:
            assert guest is not None
            assert not await guest.is_in()
        assert await venue.join(wanted.alias, wanted.pin) is None
        assert {v.alias: v.participants for v in await venue.bridge.survey()}[wanted.alias] == 0
        await venue.bridge.ensure(wanted)
        assert await venue.join(wanted.alias, wanted.pin) is not None

    async def test_a_new_pin_replaces_the_old(self, venue: Venue) -> None:
        """A changed PIN holds for whoever comes next; who is in stays in."""
        wanted = wanted_vmr("pin", Phase.OPEN)
        await venue.bridge.ensure(wanted)
        guest = await venue.join(wanted.alias, wanted.pin)
        await venue.bridge.ensure(with_pin(wanted, "975310"))
        assert guest is not None
        assert await guest.is_in()
        assert await venue.join(wanted.alias, wanted.pin) is None
        assert await venue.join(wanted.alias, "975310") is not None

    async def test_ensuring_again_disturbs_nobody(self, venue: Venue) -> None:
        """Bringing an open VMR to where it is leaves the people in it alone."""
        wanted = wanted_vmr("calm", Phase.OPEN)
        await venue.bridge.ensure(wanted)
        guest = await venue.join(wanted.alias, wanted.pin)
        for bridge in (venue.bridge, venue.standby):
            await bridge.ensure(wanted)
        assert guest is not None
        assert await guest.is_in()

    async def test_retired_means_gone(self, venue: Venue) -> None:
        """A retired VMR is out of the survey, its guests are out, and nobody gets in; doing it twice is harmless."""
        wanted = wanted_vmr("gone", Phase.OPEN)
        await venue.bridge.ensure(wanted)
        guest = await venue.join(wanted.alias, wanted.pin)
        for bridge in (venue.bridge, venue.standby):
            await bridge.retire(wanted.alias)
        assert guest is not None
        assert not await guest.is_in()
        assert wanted.alias not in {vmr.alias for vmr in await venue.bridge.survey()}
        assert await venue.join(wanted.alias, wanted.pin) is None

    async def test_retired_stays_gone(self, venue: Venue) -> None:
        """What was retired does not come back with a restart."""
        wanted = wanted_vmr("stays gone", Phase.OPEN)
        await venue.bridge.ensure(wanted)
        await venue.bridge.retire(wanted.alias)
        await venue.restart(forget=False)
        assert wanted.alias not in {vmr.alias for vmr in await venue.bridge.survey()}

    async def test_both_servers_see_the_same_instance(self, venue: Venue) -> None:
        """Two clients of one bridge agree which run of it they talk to."""
        assert (await venue.bridge.probe()).instance == (await venue.standby.probe()).instance

    @pytest.mark.parametrize("forget", [True, False])
    async def test_a_restart_shows_and_everything_comes_back(self, venue: Venue, *, forget: bool) -> None:
        """A restart changes the instance; ensuring again brings every VMR back, once, in its phase with its PIN."""
        before = (await venue.bridge.probe()).instance
        opened, booked = wanted_vmr("r-open", Phase.OPEN), wanted_vmr("r-booked")
        for wanted in (opened, booked):
            await venue.bridge.ensure(wanted)
        await venue.restart(forget=forget)
        assert (await venue.bridge.probe()).instance != before
        for wanted in (opened, booked):
            assert await venue.bridge.ensure(wanted) in (Ensured(None), Ensured(wanted.marker))
        assert sorted(vmr.alias for vmr in await venue.bridge.survey()) == sorted(
            [opened.alias, booked.alias]
        )
        assert await venue.join(opened.alias, opened.pin) is not None
        assert await venue.join(booked.alias, booked.pin) is None

    async def test_a_restart_alone_opens_nothing(self, venue: Venue) -> None:
        """Before anybody ensures anything, a restarted bridge is at least as closed as it went."""
        over, moved = wanted_vmr("s-over", Phase.OPEN), wanted_vmr("s-moved", Phase.OPEN)
        booked = wanted_vmr("s-booked")
        for wanted in (over, moved, booked):
            await venue.bridge.ensure(wanted)
        await venue.bridge.ensure(in_phase(over, Phase.CLOSED))
        for _ in range(2):
            await venue.bridge.ensure(in_phase(moved, Phase.BOOKED))
        await venue.restart(forget=False)
        for wanted in (over, moved, booked):
            assert await venue.join(wanted.alias, wanted.pin) is None

    async def test_a_crowd_makes_one(self, venue: Venue) -> None:
        """Of many who ask at the same moment, from both servers, exactly one creates; all are answered."""
        wanted = wanted_vmr("crowd")
        bridges = [venue.bridge, venue.standby] * (CROWD // 2)
        answers = await asyncio.gather(*(bridge.ensure(wanted) for bridge in bridges))
        assert answers.count(Ensured(None)) == 1
        assert answers.count(Ensured(wanted.marker)) == CROWD - 1
        assert [vmr.alias for vmr in await venue.bridge.survey()].count(wanted.alias) == 1

    async def test_a_lost_answer_costs_nothing(self, venue: Venue) -> None:
        """When the bridge did as asked and the answer was lost, the caller hears `Unavailable` and asks again."""
        wanted = wanted_vmr("unknown", Phase.OPEN)
        async with venue.unanswered():
            with pytest.raises(Unavailable):
                await venue.bridge.ensure(wanted)
        assert await venue.bridge.ensure(wanted) == Ensured(wanted.marker)
        assert await venue.join(wanted.alias, wanted.pin) is not None
        async with venue.unanswered():
            with pytest.raises(Unavailable):
                await venue.bridge.retire(wanted.alias)
        await venue.bridge.retire(wanted.alias)
        assert wanted.alias not in {vmr.alias for vmr in await venue.bridge.survey()}

    async def test_away_is_unavailable(self, venue: Venue) -> None:
        """A bridge that does not run makes every verb `Unavailable`; once it is back they work."""
        wanted = wanted_vmr("away")
        await venue.bridge.ensure(wanted)
        async with venue.away():
            for verb in (
                lambda: venue.bridge.ensure(wanted),
                lambda: venue.bridge.retire(wanted.alias),
                venue.bridge.survey,
                venue.bridge.probe,
            ):
                with pytest.raises(Unavailable):
                    await verb()
        assert isinstance(await venue.bridge.ensure(wanted), Ensured)

    async def test_any_title_will_do(self, venue: Venue) -> None:
        """Quotes, line breaks, markup, other scripts and great length in a title neither break nor hide a VMR."""
        plain = wanted_vmr("title")
        for title in (
            '"; { } \\ # /* */',
            "zwei\nZeilen\t\x00\x1b[0m",
            "会議 🎉 مرحبا",
            "<b>&amp;</b>",
            "x" * 5_000,
            "",
        ):
            wanted = WantedVmr(plain.alias, plain.numeric_id, plain.pin, title, plain.marker, Phase.OPEN)
            await venue.bridge.ensure(wanted)
            assert await venue.bridge.ensure(wanted) == Ensured(plain.marker)
        await venue.restart(forget=False)
        assert isinstance(await venue.bridge.ensure(plain), Ensured)
