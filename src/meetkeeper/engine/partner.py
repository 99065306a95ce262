"""What an acting engine asks of the pair: may this be spoken of, may anybody be spoken to."""

import sys
from typing import Protocol

from meetkeeper.store.journal import Batch


class Partner(Protocol):
    """The pair, as seen by the engine."""

    def sending(self, batch: Batch) -> None:
        """Frames are about to be written here: send them at once, so that both disks work at the same time.

        Called in the committer's thread.
        """
        ...

    def kept(self) -> None:
        """More is on this server's disk."""
        ...

    def bound(self) -> int:
        """Frames up to this seq may be spoken of, as far as the other server is concerned (R1)."""
        ...

    def may_speak(self) -> bool:
        """Readers may be answered and neighbours called (R8)."""
        ...

    def held_seq(self) -> int:
        """Frames up to this seq stand on the other server's disk: what is handed over has to, in every mode."""
        ...


class Alone:
    """A server by itself: nobody to wait for."""

    def sending(self, batch: Batch) -> None:
        """Nobody to send to."""

    def kept(self) -> None:
        """Nobody to tell."""

    def bound(self) -> int:
        """No bound."""
        return sys.maxsize

    def may_speak(self) -> bool:
        """Always."""
        return True

    def held_seq(self) -> int:
        """Nobody to hand over to."""
        return sys.maxsize
