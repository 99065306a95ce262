"""A room mailbox of the fake Exchange keeps the contract of every calendar."""

from collections.abc import AsyncIterator

import pytest

from meetkeeper.testing.contracts.calendar import CalendarContract
from meetkeeper.testing.fakes.exchange.server import FakeExchange
from tests.calendars.exchangevenue import PASSWORD, USER, ExchangeVenue


@pytest.fixture
async def venue() -> AsyncIterator[ExchangeVenue]:
    """A fresh fake with an empty mailbox."""
    fake = FakeExchange()
    fake.logins[USER] = PASSWORD
    fake.impersonators = {USER}
    await fake.start()
    venue = ExchangeVenue(fake)
    yield venue
    await venue.close()
    assert not fake.complaints


class TestExchange(CalendarContract):
    """The suite on EWS."""
