"""Who leads whom where: requests reach whoever acts, never somebody who did."""

from pathlib import Path

import pytest

from tests.pair.servers import Client, laid_down

pytestmark = pytest.mark.slow


def test_a_successor_takes_bookings_while_the_frozen_active_is_still_linked(tmp_path: Path) -> None:
    """The line to a frozen process stays up for a while; nobody is led along it to a server that can't answer."""
    with laid_down(tmp_path) as pair:
        pair.start()
        client = Client(pair)
        client.book()
        pair.a.freeze()
        try:
            pair.wait_active(pair.b)
            told = client.book(3.0, pair.b)
        finally:
            pair.a.thaw()
        assert told.by == "b"
        assert 307 not in client.refusals
