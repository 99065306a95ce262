"""One real Janus for a module, and a venue on it for each test."""

from collections.abc import AsyncIterator, Iterator

import pytest

from meetkeeper.bridges.janus.launch import INSTALL_HINT, PrivateJanus, find_janus
from tests.bridges.venues import JanusVenue, janus_venue, private_janus
from tests.conftest import RequireReal


@pytest.fixture(scope="module")
def janus(require_real: RequireReal, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateJanus]:
    """A private Janus, running."""
    require_real("Janus", find_janus() is not None, INSTALL_HINT)
    private = private_janus(tmp_path_factory.mktemp("janus"))
    private.start()
    yield private
    private.stop()


@pytest.fixture
async def venue(janus: PrivateJanus) -> AsyncIterator[JanusVenue]:
    """The real Janus as a venue, left as it was found."""
    async with janus_venue(janus) as venue:
        yield venue
