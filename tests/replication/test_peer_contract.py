"""Both lines between servers against the same suite: the one in memory, and TLS over sockets."""

from collections.abc import Callable

import pytest

from meetkeeper.testing.contracts.peer import PeerContract, PeerPair, Recorder
from meetkeeper.testing.fakes.peer import FakeLine
from tests.replication.lines import TlsPair

ROUNDS_MAX = 1000


class FakePair:
    """The line in memory and its levers."""

    def __init__(self) -> None:
        self.line = FakeLine("alpha", "beta")
        self.one, self.other = self.line.ends["beta"], self.line.ends["alpha"]
        self.at_one, self.at_other = Recorder("beta", "alpha"), Recorder("alpha", "beta")

    def start(self) -> None:
        """Start both."""
        self.one.start(self.at_one)
        self.other.start(self.at_other)

    async def until(self, true: Callable[[], bool]) -> None:
        """Let messages move until this is so."""
        for _ in range(ROUNDS_MAX):
            if true():
                return
            self.line.run()
        raise AssertionError("nothing moves any more")

    def cut(self) -> None:
        """Break it."""
        self.line.cut("the network")

    def stall(self) -> None:
        """Nothing moves."""
        self.line.stalled = True

    def flow(self) -> None:
        """It moves again."""
        self.line.stalled = False


class TestFakeLine(PeerContract):
    """In memory."""

    @pytest.fixture
    def pair(self) -> PeerPair:
        """Two ends of a line in memory."""
        return FakePair()


class TestTlsLink(PeerContract):
    """Over TLS."""

    @pytest.fixture
    def pair(self, tls_pair: TlsPair) -> PeerPair:
        """Two ends of a TLS connection."""
        return tls_pair
