"""A house with its screens."""

from collections.abc import AsyncIterator, Iterator, MutableMapping
from typing import Any

import pytest
import structlog

from meetkeeper.web.routes import routes
from tests.api.house import House, open_house, redirecting


@pytest.fixture(autouse=True)
def log() -> Iterator[list[MutableMapping[str, Any]]]:
    """What was logged, instead of a page of traceback on the screen."""
    with structlog.testing.capture_logs() as entries:
        yield entries


@pytest.fixture
async def house() -> AsyncIterator[House]:
    """Three rooms, a bridge that leads to another platform, an operator."""
    async with open_house(more=routes, door=redirecting) as opened:
        yield opened
