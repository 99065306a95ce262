"""The line between two servers: one mutually authenticated TLS connection, kept up for as long as its owner lives."""

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from meetkeeper.ha.words import Message
from meetkeeper.ports.peer import PeerEvents


class Line(Struct, frozen=True, kw_only=True):
    """Who talks to whom, where, and with which files (PEM)."""

    me: str
    peer: str
    """The peer's configured name: what its certificate has to say."""
    listen_host: str
    listen_port: int
    """0: any free one, see `TlsLink.port`."""
    peer_host: str
    peer_port: int
    certificate: Path
    key: Path
    authority: Path


class TlsLink:
    """`ports.peer.PeerLink` over TLS 1.3. `known` answers with the peer's instance as seen before, empty: never."""

    def __init__(self, line: Line, known: Callable[[], str] = str) -> None:
        self._line, self._known = line, known

    @property
    def port(self) -> int:
        """Where it listens, once started."""
        raise NotImplementedError

    def start(self, events: PeerEvents) -> None:
        """Listen, and dial where our name is the greater one.

        Raises `TheirMistake`: `link.listen` when the address can't be had, `link.certificate` for unusable files.
        """
        raise NotImplementedError

    def send(self, message: Message) -> bool:
        """Hand over; False when nobody is linked."""
        raise NotImplementedError

    @property
    def crowded(self) -> bool:
        """True while more than 4 MiB wait, until 1 MiB is left."""
        raise NotImplementedError

    def when_free(self, call: Callable[[], None]) -> None:
        """Call once, as soon as the line takes more, or is gone: nobody waits forever."""
        raise NotImplementedError

    def drop(self, why: str) -> None:
        """Break the connection; it is made again."""
        raise NotImplementedError

    async def close(self) -> None:
        """Break it for good, after what was handed over has left, or a few seconds have passed."""
        raise NotImplementedError
