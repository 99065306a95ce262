"""A house with its door open for every test that asks."""

from collections.abc import AsyncIterator, Iterator, MutableMapping
from typing import Any

import pytest
import structlog

from tests.api.house import House, open_house


@pytest.fixture(autouse=True)
def log() -> Iterator[list[MutableMapping[str, Any]]]:
    """What was logged, instead of a page of traceback on the screen."""
    with structlog.testing.capture_logs() as entries:
        yield entries


@pytest.fixture
async def house() -> AsyncIterator[House]:
    """Three rooms, a bridge, two tokens, nobody's meeting yet."""
    async with open_house() as opened:
        yield opened
