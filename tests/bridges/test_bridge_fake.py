"""The bridge in memory keeps the contract, so what is tested against it is tested against any bridge."""

import asyncio

import pytest

from meetkeeper.core.effects import Phase
from meetkeeper.core.errors import Refused
from meetkeeper.testing.contracts.bridge import BridgeContract, wanted_vmr
from meetkeeper.testing.fakes.bridge import Call, FakeBridge
from tests.bridges.venues import FakeVenue


class TestFakeBridge(BridgeContract):
    """The whole contract."""

    @pytest.fixture
    def venue(self) -> FakeVenue:
        """A bridge for each test."""
        return FakeVenue()


async def test_every_call_is_on_record() -> None:
    """Who asked what, whether it made something and whether the answer arrived can be read afterwards."""
    fake = FakeBridge()
    wanted = wanted_vmr("recorded")
    await fake.client("a").ensure(wanted)
    await fake.client("b").ensure(wanted)
    await fake.client("b").retire(wanted.alias)
    assert fake.calls == [
        Call("ensure", "a", wanted.alias, Phase.BOOKED, created=True),
        Call("ensure", "b", wanted.alias, Phase.BOOKED),
        Call("retire", "b", wanted.alias),
    ]


async def test_a_slow_bridge_has_done_it_before_it_answers() -> None:
    """Who gives up waiting for a slow bridge does not know, and it is done all the same."""
    fake = FakeBridge()
    fake.slow_s = 60.0
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(fake.client().ensure(wanted_vmr("slow")), 0.01)
    assert wanted_vmr("slow").alias in fake.vmrs


async def test_a_bridge_that_objects_refuses() -> None:
    """A reason to object becomes `Refused`, which is for good."""
    fake = FakeBridge()
    fake.objects = "no more rooms in the licence"
    with pytest.raises(Refused, match="licence"):
        await fake.client().ensure(wanted_vmr("objected"))
