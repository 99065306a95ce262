"""A room mailbox in Microsoft 365 keeps the contract, as the fake Graph serves it over real HTTP."""

from collections.abc import AsyncIterator

import pytest

from meetkeeper.testing.contracts.calendar import CalendarContract
from tests.calendars.graphvenue import GraphVenue


@pytest.fixture
async def graph_venue() -> AsyncIterator[GraphVenue]:
    """A mailbox for each test."""
    venue = GraphVenue()
    await venue.open()
    yield venue
    await venue.close()


class TestGraph(CalendarContract):
    """The whole contract."""

    @pytest.fixture
    def venue(self, graph_venue: GraphVenue) -> GraphVenue:
        """Honest in every way."""
        return graph_venue


class TestGraphRepeating(CalendarContract):
    """The contract where every entry of a round comes twice, an older version last, on pages of three."""

    @pytest.fixture
    def venue(self, graph_venue: GraphVenue) -> GraphVenue:
        """As Graph may do by its own documentation."""
        graph_venue.graph.api.repeats = True
        graph_venue.graph.api.page_max = 3
        return graph_venue


class TestGraphElsewhere(CalendarContract):
    """The contract on a cloud that lacks exceptionOccurrences, sends HTML, and leaves masters out of rounds."""

    @pytest.fixture
    def venue(self, graph_venue: GraphVenue) -> GraphVenue:
        """A national cloud a release behind."""
        graph_venue.graph.api.knows_exceptions = False
        graph_venue.graph.api.html_only = True
        graph_venue.graph.api.masters_in_rounds = False
        return graph_venue
