"""Two TLS links on this machine, with certificates of their own and a relay between them that a test holds in hand."""

import asyncio
import datetime
from collections.abc import Callable
from pathlib import Path

from meetkeeper.replication.authority import Issued, issue, make_authority
from meetkeeper.replication.link import Line, TlsLink
from meetkeeper.testing.contracts.peer import Recorder

NOW = datetime.datetime.now(datetime.UTC)
AUTHORITY = make_authority(NOW)
STRANGERS = make_authority(NOW, "somebody else")
PATIENCE_S = 20.0
LOWER, GREATER = "alpha", "beta"


class Papers:
    """One server's three TLS files in a folder."""

    def __init__(self, folder: Path, name: str, authority: Issued = AUTHORITY, *, days: int = 30) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate, self.key = folder / "node.pem", folder / "node.key"
        self.authority = folder / "ca.pem"
        self.authority.write_bytes(AUTHORITY.certificate)
        self.renew(name, authority, days=days)

    def renew(
        self, name: str, authority: Issued = AUTHORITY, *, days: int = 30, now: datetime.datetime = NOW
    ) -> None:
        """Put another key and certificate in the place of these."""
        made = issue(authority, name, ("127.0.0.1",), days, now)
        self.key.write_bytes(made.key)
        self.certificate.write_bytes(made.certificate)


class Relay:
    """A TCP relay on the loop of the test: passes bytes on, breaks connections, or holds everything back."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.target = 0
        self.connections = 0

    async def start(self) -> "Relay":
        """Listen; `target` may be named later."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=2**16)
        return self

    @property
    def port(self) -> int:
        """Where to dial."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    def cut(self) -> None:
        """Reset every connection."""
        for writer in self._writers:
            writer.transport.abort()

    def stall(self) -> None:
        """Read nothing more from anybody."""
        self._flowing.clear()

    def flow(self) -> None:
        """Go on."""
        self._flowing.set()

    async def close(self) -> None:
        """End it."""
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target, limit=2**16)
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(far_writer)
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._pass_on(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await self._flowing.wait()
                data = await reader.read(2**16)
                await self._flowing.wait()
                if not data:
                    break
                writer.write(data)
                await writer.drain()
            writer.write_eof()
        except OSError:
            writer.transport.abort()


class TlsPair:
    """`testing.contracts.peer.PeerPair`: two links over TLS with a relay between them."""

    def __init__(self, relay: Relay, folder: Path) -> None:
        self.relay = relay
        self.papers = {name: Papers(folder / name, name) for name in (LOWER, GREATER)}
        self.at_one = Recorder(GREATER, LOWER)
        self.at_other = Recorder(LOWER, GREATER)
        self.one = TlsLink(self.line(GREATER))
        self.other = TlsLink(self.line(LOWER))
        self.others: list[TlsLink] = []

    def line(self, name: str) -> Line:
        """How this server is set up."""
        papers = self.papers[name]
        return Line(
            me=name,
            peer=LOWER if name == GREATER else GREATER,
            listen_host="127.0.0.1",
            listen_port=0,
            peer_host="127.0.0.1",
            peer_port=self.relay.port,
            certificate=papers.certificate,
            key=papers.key,
            authority=papers.authority,
        )

    def start(self) -> None:
        """Start both."""
        self.other.start(self.at_other)
        self.relay.target = self.other.port
        self.one.start(self.at_one)

    async def until(self, true: Callable[[], bool]) -> None:
        """Let the loop run until this is so."""
        async with asyncio.timeout(PATIENCE_S):
            while not true():  # noqa: ASYNC110 - what is waited for may be anybody's
                await asyncio.sleep(0.002)

    async def linked(self, times: int = 1) -> None:
        """Wait until both were linked so many times."""
        await self.until(lambda: len(self.at_one.links) >= times and len(self.at_other.links) >= times)

    def cut(self) -> None:
        """The relay resets what it holds."""
        self.relay.cut()

    def stall(self) -> None:
        """The relay takes nothing more."""
        self.relay.stall()

    def flow(self) -> None:
        """The relay goes on."""
        self.relay.flow()

    async def close(self) -> None:
        """End everything."""
        self.relay.flow()
        for link in (self.one, self.other, *self.others):
            await link.close()
        await self.relay.close()
