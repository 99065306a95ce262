"""Every source's cookies, spoilt byte by byte and by generation, under a running engine."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from meetkeeper.ports.calendar import CalendarSource, CookieRefused
from meetkeeper.testing.fakes.exchange.server import FakeExchange
from tests.calendars.exchangevenue import PASSWORD, USER, ExchangeVenue
from tests.calendars.fuzzing import Fuzz, Venue
from tests.calendars.graphvenue import GraphVenue
from tests.calendars.standin import StandIn
from tests.calendars.venues import FakeVenue, FolderVenue

KINDS = ("memory", "folder", "caldav", "exchange", "graph")
FEW = 12
"""Characters of each layer that are spoilt on every run."""


class StandInVenue:
    """A collection on the small CalDAV server."""

    def __init__(self, server: StandIn) -> None:
        self.server = server
        self.source: CalendarSource = server.source()

    async def put(self, name: str, text: bytes) -> None:
        """Somebody saves."""
        self.server.put(name, text)


@asynccontextmanager
async def opened(kind: str, folder: Path) -> AsyncIterator[Venue]:
    """A fresh, empty calendar of this kind."""
    if kind == "memory":
        yield FakeVenue()
    elif kind == "folder":
        yield FolderVenue(folder)
    elif kind == "caldav":
        server = StandIn()
        server.items.clear()
        server.versions.clear()
        await server.start()
        yield StandInVenue(server)
        await server.stop()
    elif kind == "exchange":
        fake = FakeExchange()
        fake.logins[USER] = PASSWORD
        fake.impersonators = {USER}
        await fake.start()
        exchange = ExchangeVenue(fake)
        yield exchange
        await exchange.close()
    else:
        graph = GraphVenue()
        graph.clock.now_s = time.time()
        await graph.open()
        graph.graph.api.generations_live = 3
        yield graph
        await graph.close()


def start_s() -> int:
    """Two days from now, on a whole hour."""
    return int(time.time()) // 3_600 * 3_600 + 2 * 86_400


@pytest.mark.parametrize("kind", KINDS)
async def test_no_spoilt_cookie_does_harm(kind: str, tmp_path: Path) -> None:
    """Some characters of both layers and every generation: all changes known, the same doors, not one mail too many."""
    async with opened(kind, tmp_path) as venue:
        await Fuzz(venue, start_s()).run(FEW)


async def test_the_fuzz_is_not_blind() -> None:
    """A calendar that takes a cookie it never gave, as one that stands for now, is found out."""
    with pytest.raises(AssertionError, match="a change was lost"):
        await Fuzz(Credulous(), start_s()).run(FEW)


class Credulous(FakeVenue):
    """It takes every cookie, and from then on tells what comes later alone."""

    def __init__(self) -> None:
        super().__init__()
        since = self.calendar._since
        version = self.calendar.__dict__

        def believe(cookie: str) -> tuple[int, bool]:
            try:
                return since(cookie)
            except CookieRefused:
                return version["_version"], False

        self.calendar._since = believe  # type: ignore[method-assign]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
async def test_no_spoilt_byte_does_harm(kind: str, tmp_path: Path) -> None:
    """Every single character of both layers, changed, left out, doubled and as the place of a cut."""
    async with opened(kind, tmp_path) as venue:
        await Fuzz(venue, start_s()).run(None)
