"""An address pattern as a bridge: it keeps what of the contract an address can keep."""

from string import printable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meetkeeper.bridges.link.client import LinkBridge
from meetkeeper.bridges.link.mapping import to_url
from meetkeeper.core.configuration import LinkBridge as LinkConfig
from meetkeeper.core.effects import Phase
from meetkeeper.core.words import Alias
from meetkeeper.ports.bridge import Bridge, Door, WantedVmr
from meetkeeper.testing.contracts.bridge import DoorContract, wanted_vmr


class TestLinkBridge(DoorContract):
    """What holds for every bridge."""

    @pytest.fixture
    def bridge(self) -> Bridge:
        """A pattern with every field."""
        return LinkBridge(LinkConfig(id="link", url="https://meet.example/{alias}?p={pin}&n={numeric_id}"))

    async def test_nothing_can_be_listed(self, bridge: Bridge) -> None:
        """The survey is empty, however much was ensured."""
        await bridge.ensure(wanted_vmr("listed", Phase.OPEN))
        assert await bridge.survey() == ()

    async def test_the_door_leads_to_the_address(self, bridge: Bridge) -> None:
        """The fields are filled in and the rest is as configured."""
        wanted = wanted_vmr("led")
        address = f"https://meet.example/{wanted.alias}?p={wanted.pin}&n={wanted.numeric_id}"
        assert bridge.door(wanted) == Door("redirect", address)


@given(st.text(printable, min_size=1), st.text(printable), st.text(printable))
def test_values_stay_in_their_place(alias: str, pin: str, number: str) -> None:
    """No value breaks out of its place in the address, whatever it holds, braces and field names included."""
    wanted = WantedVmr(Alias(alias), number, pin, "", "", Phase.OPEN)
    url = to_url("https://meet.example/{alias}/{pin}/{numeric_id}/{other}#{}", wanted)
    assert url.startswith("https://meet.example/")
    assert url.endswith("/{other}#{}")
    assert url.count("/") == 6
    assert "?" not in url
