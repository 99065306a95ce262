"""A house with its door open for every test that asks."""

from collections.abc import AsyncIterator

import pytest

from tests.api.house import House, open_house


@pytest.fixture
async def house() -> AsyncIterator[House]:
    """Three rooms, a bridge, two tokens, nobody's meeting yet."""
    async with open_house() as opened:
        yield opened
