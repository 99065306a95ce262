"""CalDAV against a real Xandikos: the whole contract."""

import importlib.util
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.calendars import davservers
from tests.calendars.davcontract import DavContract
from tests.calendars.venues import DavVenue
from tests.conftest import RequireReal

pytestmark = pytest.mark.xdist_group("xandikos")


@pytest.fixture(scope="module")
def home(require_real: RequireReal, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A private Xandikos; the address of its user's home."""
    require_real("Xandikos", importlib.util.find_spec("xandikos") is not None, davservers.INSTALL_HINT)
    with davservers.xandikos(tmp_path_factory.mktemp("xandikos")) as address:
        yield address


@pytest.fixture
async def venue(home: str) -> AsyncIterator[DavVenue]:
    """Fresh collections for each test."""
    venue = DavVenue(home, uuid.uuid4().hex)
    await venue.open()
    yield venue
    await venue.close()


class TestXandikos(DavContract):
    """The whole contract."""
