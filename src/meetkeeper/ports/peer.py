"""The other server, at the far end of one mutually authenticated connection; and whoever can prove that it stopped."""

from collections.abc import Callable
from typing import Protocol

from meetkeeper.ha.words import Hello, Message, Proof


class PeerEvents(Protocol):
    """What a link tells its owner, on the owner's event loop."""

    def hello(self) -> Hello:
        """What to say first on a new connection."""
        ...

    def linked(self, hello: Hello) -> None:
        """The other server has said a hello that `ha.conversation` accepts."""
        ...

    def heard(self, message: Message) -> None:
        """It said something. Messages come in the order they were sent."""
        ...

    def unlinked(self, why: str) -> None:
        """The connection is gone; the link goes on trying. Told once per `linked`."""
        ...


class PeerLink(Protocol):
    """One connection at a time, kept up for as long as the owner lives."""

    def start(self, events: PeerEvents) -> None:
        """Listen or dial, and go on doing so."""
        ...

    def send(self, message: Message) -> bool:
        """Hand over; False when nobody is linked. Never blocks: `crowded` says when to hold back."""
        ...

    @property
    def crowded(self) -> bool:
        """True while more waits to be sent than the line takes."""
        ...

    def when_free(self, call: Callable[[], None]) -> None:
        """Call once, as soon as the line takes more; at once when it does."""
        ...

    def drop(self, why: str) -> None:
        """Break the connection; it is made again."""
        ...

    async def close(self) -> None:
        """Break it for good, after what was handed over has left."""
        ...


class StopProver(Protocol):
    """Who may know that the other server has stopped: its agent, a fence command."""

    async def ask(self, epoch: int) -> Proof | None:
        """A proof about `epoch`, its seal verified; None when it can't be had now. Never raises for a silent host."""
        ...
