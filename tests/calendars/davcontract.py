"""What a real CalDAV server is tried for beyond the contract: its own way with tokens, discovery and lost calendars."""

import time
from urllib.parse import urlsplit

import pytest

from meetkeeper.calendars.caldav import mapping
from meetkeeper.calendars.caldav.client import CaldavSource
from meetkeeper.core.configuration import CaldavCalendar
from meetkeeper.core.errors import NotFound, Refused
from meetkeeper.ports.calendar import CookieRefused
from meetkeeper.testing.contracts.annotating import AnnotatingContract
from meetkeeper.testing.contracts.calendar import ROOM_EMAIL, CalendarContract, Held, text_of
from tests.calendars.auditing import what_it_hides_is_found
from tests.calendars.fuzzing import Fuzz
from tests.calendars.lying import LyingProxy
from tests.calendars.venues import PASSWORD, USER, DavVenue

FEW = 4
"""Characters of each layer of a cookie that are spoilt."""


def calendar_of(venue: DavVenue) -> mapping.Calendar:
    """The collection as cookies are bound to it."""
    split = urlsplit(venue.url)
    return mapping.Calendar(split.hostname or "", split.path)


class DavContract(CalendarContract, AnnotatingContract):
    """The contract and more. A subclass gives `venue` and `home`, the address of the user's home."""

    async def test_the_server_itself_refuses_an_unknown_token(self, venue: DavVenue) -> None:
        """A cookie of ours around a token the server never gave is refused by its precondition element."""
        held = await Held().follow(venue.source)
        opened = mapping.unseal(calendar_of(venue), held.cookie)
        assert opened is not None
        kind, token = opened
        assert kind == "sync"
        for unknown in (token[:-5], "nonsense", token[:-1] + "\u00f8"):
            with pytest.raises(CookieRefused):
                await held.follow(venue.source, mapping.seal("sync", calendar_of(venue), unknown))

    async def test_the_calendar_is_also_read_by_comparing_states(self, venue: DavVenue) -> None:
        """The way for servers that can't say what changed follows the same calendar to the same result."""
        held = Held()
        held.cookie = mapping.seal("etags", calendar_of(venue), "{}")
        for uid in ("a", "b", "c"):
            await venue.put(f"{uid}.ics", text_of(uid))
        assert (await held.follow(venue.source)).uids == {"a", "b", "c"}
        assert held.cookie.startswith("etags:")
        await venue.put("a.ics", text_of("a", "Other"))
        await venue.delete("b.ics")
        await held.follow(venue.standby)
        assert (held.uids, held.reported, held.gone) == ({"a", "c"}, {"a.ics"}, {"b.ics"})

    async def test_a_calendar_removed_on_the_server_is_not_found(self, venue: DavVenue) -> None:
        """A collection that is gone is an error, not an empty calendar, whatever cookie is shown."""
        await venue.put("a.ics", text_of("a"))
        held = await Held().follow(venue.source)
        by_states = mapping.seal("etags", calendar_of(venue), "{}")
        await venue.drop()
        for cookie in (held.cookie, "", by_states):
            with pytest.raises((NotFound, CookieRefused)):
                await Held().follow(venue.source, cookie)
        with pytest.raises(NotFound):
            await Held().follow(venue.source)

    async def test_the_home_of_several_calendars_is_asked_back(self, venue: DavVenue, home: str) -> None:
        """An address above the calendars is followed; where several are found, they are named and none is taken."""
        root = home[: home.index(f"/{USER}/") + 1]
        for url in (home, root, f"{root}{USER}"):
            source = CaldavSource(CaldavCalendar(url=url, username=USER), PASSWORD)
            with pytest.raises(Refused, match=f"calendars: .*/{USER}/"):
                await Held().follow(source)
            await source.close()

    async def test_what_the_server_hides_is_found_by_the_audit(self, venue: DavVenue) -> None:
        """Changes that never reach sync-collection are mended by a whole read, with the same doors."""
        async with LyingProxy(venue.url).running() as liar:
            url = liar.through(venue.url)
            source = CaldavSource(CaldavCalendar(url=url, username=USER), PASSWORD, own_email=ROOM_EMAIL)
            await what_it_hides_is_found(source, liar, venue.put, venue.delete)
            assert liar.hidden >= 3

    async def test_no_spoilt_cookie_does_harm(self, venue: DavVenue) -> None:
        """Under a running engine: every change is known, every door is the same, not one mail too many."""
        await Fuzz(venue, int(time.time()) // 3_600 * 3_600 + 2 * 86_400).run(FEW)
