"""CalDAV against a real SOGo: the whole contract, and what is its own: it never refuses a token."""

from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest

from meetkeeper.calendars.caldav import mapping
from meetkeeper.testing.contracts.annotating import AnnotatingContract
from meetkeeper.testing.contracts.calendar import CalendarContract, Held, text_of
from tests.calendars import sogo
from tests.calendars.davcontract import calendar_of
from tests.calendars.venues import DavVenue
from tests.conftest import RequireReal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.xdist_group("sogo")]


@pytest.fixture(scope="module")
def home(require_real: RequireReal) -> Iterator[str]:
    """A private SOGo; the address of its user's calendars."""
    require_real("SOGo", sogo.is_installed(), sogo.INSTALL_HINT)
    with sogo.sogo() as address:
        yield address


@pytest.fixture
async def venue(home: str) -> AsyncIterator[DavVenue]:
    """A new collection."""
    made = DavVenue(home, uuid4().hex)
    await made.open()
    yield made
    await made.close()


class TestSogo(CalendarContract, AnnotatingContract):
    """The whole contract."""

    async def test_an_unknown_token_costs_a_full_list_and_loses_nothing(self, venue: DavVenue) -> None:
        """It answers any token as if it were none: what is held stays, what is gone is found by a complete pass."""
        await venue.put("a.ics", text_of("a"))
        await venue.put("b.ics", text_of("b"))
        held = await Held().follow(venue.source)
        await venue.delete("b.ics")
        await held.follow(venue.source, mapping.seal("sync", calendar_of(venue), "nonsense"))
        assert "a" in held.uids
        assert (await held.follow(venue.source, "")).uids == {"a"}

    @pytest.mark.parametrize("name", ["two words.ics", "späte-käse.ics", "a+b=c@d.ics"])
    async def test_names_may_be_odd(self, venue: DavVenue, name: str) -> None:  # type: ignore[override]
        """It names items without percent-encoding, so a name with a percent sign in it can't be told: none here."""
        await venue.put(name, text_of("odd"))
        held = await Held().follow(venue.source)
        assert held.uids == {"odd"}
        await venue.put(name, text_of("odd", "Other"))
        await held.follow(venue.source)
        assert [item.master.subject for item in held.items.values() if item.master] == ["Other"]
        await venue.delete(name)
        assert (await held.follow(venue.source, "")).uids == set()
