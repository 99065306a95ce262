"""The line between two servers: one mutually authenticated TLS connection, kept up for as long as its owner lives.

Both servers listen; the one whose name sorts later dials. Who is at the other end is decided by its certificate and
its hello (`ha.conversation`), never by its address. A new valid connection takes the place of an older one: the
other server has restarted, or the older line is dead and does not know it yet. Strangers cost little: a few at once,
for two seconds, with one small message; each reason for refusing them is logged at most once a minute.
"""

import asyncio
import contextlib
import errno
import random
import socket
import sys
from collections import deque
from collections.abc import Callable, Coroutine
from pathlib import Path

import structlog
from msgspec import Struct

from meetkeeper.core.errors import TheirMistake
from meetkeeper.ha.conversation import Conversation
from meetkeeper.ha.words import Hello, Message, Refusal
from meetkeeper.ports.peer import PeerEvents
from meetkeeper.replication.connection import Connection, tune
from meetkeeper.replication.trust import Trust, why_broken

log = structlog.get_logger("peer")

HELLO_S_MAX = 2.0
"""From a connection's first packet to an accepted hello."""
STRANGERS_MAX = 8
"""Connections that have not said an accepted hello yet. One more, and the oldest of them goes."""
RETRY_FIRST_S, RETRY_LAST_S = 0.05, 1.0
STEADY_S = 2.0
"""A link that held for so long is dialled again at once when it breaks; one that did not is not hammered."""
CLOSE_S_MAX = 2.0
REPLACED_TIMES, REPLACED_WITHIN_S = 4, 20.0
"""So many new connections in the place of others in so many seconds are two servers that quarrel over one name."""
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_GOODBYE_S = 1.0
_SAY_AGAIN_S = 60.0


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
        self._trust = Trust(line.certificate, line.key, line.authority)
        self._events: PeerEvents | None = None
        self._listener: socket.socket | None = None
        self._current: Connection | None = None
        self._linked_at = 0.0
        self._closing = False
        self._untold: str | None = None
        self._gone = asyncio.Event()
        self._free_calls: list[Callable[[], None]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._strangers: dict[asyncio.Task[None], None] = {}
        self._made: list[Connection] = []
        self._replaced_at: deque[float] = deque(maxlen=REPLACED_TIMES)
        self._said_at: dict[str, float] = {}

    @property
    def port(self) -> int:
        """Where it listens, once started."""
        assert self._listener is not None, "not started"
        return int(self._listener.getsockname()[1])

    def start(self, events: PeerEvents) -> None:
        """Listen, and dial where our name sorts later. The owner's event loop is running.

        Raises `TheirMistake`: `link.listen` when the address can't be had, `link.certificate` for unusable files.
        """
        assert self._events is None, "started twice"
        self._trust.listening()
        self._listener = _listen(self._line.listen_host, self._line.listen_port)
        self._events = events
        loop = asyncio.get_running_loop()
        self._gone.set()
        self._tasks.append(loop.create_task(self._keep_accepting(), name="peer accepting"))
        if self._line.me > self._line.peer:
            self._tasks.append(loop.create_task(self._keep_dialling(), name="peer dialling"))

    def send(self, message: Message) -> bool:
        """Hand over; False when nobody is linked."""
        current = self._current
        if current is None:
            return False
        if current.send(message):
            return True
        self.drop("more waits than may ever wait: the other server takes nothing")
        return False

    @property
    def crowded(self) -> bool:
        """True from more than 4 MiB that wait until no more than 1 MiB is left."""
        return self._current is not None and self._current.crowded

    def when_free(self, call: Callable[[], None]) -> None:
        """Call once, as soon as the line takes more, or is gone: nobody waits forever."""
        if self.crowded:
            self._free_calls.append(call)
        else:
            call()

    def drop(self, why: str) -> None:
        """Break the connection; it is made again. `unlinked` is told in a moment, not within this call."""
        current = self._current
        if current is not None:
            current.abort()
            self._unlink(why)
            asyncio.get_running_loop().call_soon(self._tell_unlinked)

    async def close(self) -> None:
        """Break it for good, after what was handed over has left, or two seconds have passed."""
        self._closing = True
        tasks = [*self._tasks, *self._strangers]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._listener is not None:
            self._listener.close()
        current = self._current
        if current is not None:
            current.finish()
            self._unlink("closed on this side")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S_MAX):
                    await current.lost.wait()
        self._tell_unlinked()
        for connection in self._made:
            if connection.alive:
                connection.abort()
                await connection.wait_lost()

    # --- what connections say -----------------------------------------------------------------------------------

    def on_linked(self, connection: Connection, hello: Hello) -> None:
        """Put a connection in the place of any older one."""
        if self._current is not None:
            self._current.abort()
            self._unlink("a newer connection took its place")
            self._look_for_twins(hello)
        self._tell_unlinked()
        self._current = connection
        self._linked_at = asyncio.get_running_loop().time()
        self._gone.clear()
        self._said_at.clear()
        log.info("peer.linked", peer=hello.name, instance=hello.instance, release=hello.facts.release)
        assert self._events is not None
        self._events.linked(hello)

    def _look_for_twins(self, hello: Hello) -> None:
        now = asyncio.get_running_loop().time()
        self._replaced_at.append(now)
        if len(self._replaced_at) == REPLACED_TIMES and now - self._replaced_at[0] < REPLACED_WITHIN_S:
            self._replaced_at.clear()
            log.error(
                "peer.twins",
                peer=hello.name,
                instance=hello.instance,
                why=f"Connections of {hello.name} push each other out: two copies of its home run, or its network "
                "breaks again and again. Look for a second host with its node.json, and stop it.",
            )

    def on_heard(self, connection: Connection, message: Message) -> None:
        """Hand on what the linked one said."""
        if connection is self._current:
            assert self._events is not None
            self._events.heard(message)

    def on_free(self, connection: Connection) -> None:
        """Call those who wait for room, until there is none."""
        while connection is self._current and self._free_calls and not connection.crowded:
            self._free_calls.pop(0)()

    def on_ended(self, connection: Connection, why: Refusal) -> None:
        """A connection is over, linked or not."""
        if connection is self._current:
            self._unlink(why.text)
            self._tell_unlinked()

    def _unlink(self, why: str) -> None:
        self._current = None
        self._untold = why
        self._gone.set()

    def _tell_unlinked(self) -> None:
        why, self._untold = self._untold, None
        if why is None:
            return
        (log.info if self._closing else log.warning)("peer.unlinked", peer=self._line.peer, why=why)
        assert self._events is not None
        self._events.unlinked(why)
        calls, self._free_calls = self._free_calls, []
        for call in calls:
            call()

    # --- connecting ---------------------------------------------------------------------------------------------

    async def _keep_accepting(self) -> None:
        loop = asyncio.get_running_loop()
        assert self._listener is not None
        while True:
            try:
                line, address = await loop.sock_accept(self._listener)
            except OSError as wrong:
                exhausted = wrong.errno in _EXHAUSTED  # else a caller has gone already
                if exhausted:
                    log.error("peer.cannot_accept", why=str(wrong))
                await asyncio.sleep(RETRY_LAST_S if exhausted else RETRY_FIRST_S)
                continue
            if len(self._strangers) >= STRANGERS_MAX:
                next(iter(self._strangers)).cancel()
            task = loop.create_task(self._welcome(line, str(address[0])), name="peer welcoming")
            self._strangers[task] = None
            task.add_done_callback(lambda done: self._strangers.pop(done, None))
            await asyncio.sleep(0)  # the task begins, and the socket is its own, before it may be sent away

    async def _welcome(self, line: socket.socket, caller: str) -> None:
        loop = asyncio.get_running_loop()
        connection = self._connection(dialled=False)

        async def open_line() -> None:
            try:
                tune(line)
            except OSError:
                line.close()
                raise
            await loop.connect_accepted_socket(
                lambda: connection,
                line,
                ssl=self._trust.listening(),
                ssl_handshake_timeout=2 * HELLO_S_MAX,
                ssl_shutdown_timeout=_GOODBYE_S,
            )

        why = await self._greet(connection, open_line)
        if why is not None:
            self._say_refused(caller, why)

    async def _keep_dialling(self) -> None:
        pause = RETRY_FIRST_S
        loop = asyncio.get_running_loop()
        while True:
            await self._gone.wait()
            why = await self._dial()
            if why is None:
                await self._gone.wait()
                if loop.time() - self._linked_at >= STEADY_S:
                    pause = RETRY_FIRST_S
            else:
                self._say_refused(f"{self._line.peer_host}:{self._line.peer_port}", why)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - so that two don't keep step
            pause = min(2 * pause, RETRY_LAST_S)

    async def _dial(self) -> Refusal | None:
        loop = asyncio.get_running_loop()
        connection = self._connection(dialled=True)

        async def open_line() -> None:
            transport, _ = await loop.create_connection(
                lambda: connection,
                self._line.peer_host,
                self._line.peer_port,
                ssl=self._trust.dialling(),
                server_hostname="",
                ssl_handshake_timeout=2 * HELLO_S_MAX,
                ssl_shutdown_timeout=_GOODBYE_S,
            )
            tune(transport.get_extra_info("socket"))

        return await self._greet(connection, open_line)

    def _connection(self, *, dialled: bool) -> Connection:
        assert self._events is not None
        conversation = Conversation(self._events.hello, self._known, dialled=dialled)
        connection = Connection(self, conversation, self._line.peer)
        self._made = [one for one in self._made if one.alive]
        self._made.append(connection)
        return connection

    async def _greet(
        self, connection: Connection, open_line: Callable[[], Coroutine[None, None, None]]
    ) -> Refusal | None:
        """None once it is linked, else why not; then it is over."""
        why: Refusal | None = Refusal("line.pushed_out", "Too many strangers called at once.")
        said = False
        try:
            async with asyncio.timeout(HELLO_S_MAX):
                await open_line()
                why = await connection.settled
                said = True
        except (OSError, ValueError, OverflowError) as wrong:  # TLS, time, and addresses that are none
            why = why_broken(wrong, self._line.peer)
        finally:
            # A refused one still says so by itself; one that was linked as its time ran out stays.
            if not said and not connection.linked:
                connection.abort()
        return None if connection.linked else why

    def _say_refused(self, caller: str, why: Refusal) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._said_at.get(why.code, -_SAY_AGAIN_S) + _SAY_AGAIN_S:
            return
        self._said_at[why.code] = now
        event = "peer.unreachable" if why.code.startswith("line.") else "peer.refused"
        log.warning(event, peer=self._line.peer, caller=caller, code=why.code, why=why.text)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            if sys.platform != "win32":  # there it would let two programs have one port
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(2 * STRANGERS_MAX)
            listener.setblocking(False)
        except OSError:
            listener.close()
            raise
    except (OSError, ValueError, OverflowError) as wrong:
        raise TheirMistake(
            "link.listen",
            f"Can't listen on {host}:{port} for the other server ({wrong}). Correct `pair.listen` in node.json, or "
            "end the program that holds the port.",
        ) from wrong
    return listener
