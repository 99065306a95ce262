"""What the tests of the line share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.replication.lines import Relay, TlsPair


@pytest.fixture
async def tls_pair(tmp_path: Path) -> AsyncIterator[TlsPair]:
    """Two links over TLS on this machine, not started yet."""
    pair = TlsPair(await Relay().start(), tmp_path)
    yield pair
    await pair.close()
