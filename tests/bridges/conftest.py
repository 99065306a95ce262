"""One real Janus for a module, and a venue on it for each test."""

from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import pytest

from meetkeeper.bridges.janus.launch import INSTALL_HINT, PrivateJanus, find_janus
from tests.bridges.venues import JanusVenue, Wire, private_janus
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
    wire = Wire(urlsplit(janus.admin_url).port or 0)
    await wire.open()
    venue = JanusVenue(janus, wire)
    yield venue
    await venue.close()
    await wire.close()
