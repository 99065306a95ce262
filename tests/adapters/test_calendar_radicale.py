"""CalDAV against a real Radicale: the whole contract, and its logins."""

import importlib.util
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest

from meetkeeper.calendars.caldav.client import CaldavSource
from meetkeeper.core.configuration import CaldavCalendar
from meetkeeper.core.errors import Refused
from tests.calendars import davservers
from tests.calendars.davcontract import DavContract
from tests.calendars.venues import USER, DavVenue
from tests.conftest import RequireReal

pytestmark = pytest.mark.xdist_group("radicale")


@pytest.fixture(scope="module")
def home(require_real: RequireReal, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A private Radicale; the address of its user's home."""
    require_real("Radicale", importlib.util.find_spec("radicale") is not None, davservers.INSTALL_HINT)
    with davservers.radicale(tmp_path_factory.mktemp("radicale")) as address:
        yield address


@pytest.fixture
async def venue(home: str) -> AsyncIterator[DavVenue]:
    """Fresh collections for each test."""
    venue = DavVenue(home, uuid.uuid4().hex)
    await venue.open()
    yield venue
    await venue.close()


class TestRadicale(DavContract):
    """The whole contract."""


async def test_a_wrong_password_is_refused(venue: DavVenue) -> None:
    """A login the server does not take is an error that a person must mend, and it says where."""
    for username, password in ((USER, "wrong"), ("", "")):
        source = CaldavSource(CaldavCalendar(url=venue.url, username=username), password)
        with pytest.raises(Refused, match=r"127\.0\.0\.1/room/.*user name and password"):
            await source.probe()
        await source.close()
