"""One TLS connection between two servers, from its handshake to its end: bytes in, bytes out, one conversation.

What is to be sent waits here in order, not in the transport: so its size is known to the byte, large data leaves in
slices of the very object, and small messages that wait together leave together.
"""

import asyncio
import socket
import sys
from collections import deque
from typing import Protocol, cast

from meetkeeper.codec import wire
from meetkeeper.core.errors import TheirMistake
from meetkeeper.ha.conversation import Conversation, Ended, Heard, Linked, Stage
from meetkeeper.ha.words import Hello, Message, Refusal
from meetkeeper.replication.trust import says_name, why_broken, wrong_name

CROWDED_BYTES = 4 * 1024 * 1024
FREE_BYTES = 1024 * 1024
WAITING_BYTES_MAX = 64 * 1024 * 1024
"""More than this never waits: an owner that does not heed `crowded` loses the connection instead of the memory."""
UNACKNOWLEDGED_MS_MAX = 2500
"""How long the other machine may leave bytes unacknowledged: less than a lease, so that a dead line is known first."""
_SLICE_BYTES = 256 * 1024


class Owner(Protocol):
    """Who is told what becomes of a connection."""

    def on_linked(self, connection: "Connection", hello: Hello) -> None:
        """The other server has said an acceptable hello."""
        ...

    def on_heard(self, connection: "Connection", message: Message) -> None:
        """It said something."""
        ...

    def on_free(self, connection: "Connection") -> None:
        """No longer crowded."""
        ...

    def on_ended(self, connection: "Connection", why: Refusal) -> None:
        """Nothing comes any more. Told once, unless it was `abort` or `finish` that ended it."""
        ...


class Connection(asyncio.Protocol):
    """See the module. `settled` has None when linked, else why not; `lost` is set when the socket is gone."""

    def __init__(self, owner: Owner, conversation: Conversation, peer: str) -> None:
        self._owner, self._conversation, self._peer = owner, conversation, peer
        self._transport: asyncio.Transport | None = None
        self._reader = wire.Reader()
        self._waiting: deque[bytes | memoryview] = deque()
        self._paused = False
        self._pumping = False
        self._finishing = False
        self._over = False
        self.waiting_bytes = 0
        self.crowded = False
        self.settled: asyncio.Future[Refusal | None] = asyncio.get_running_loop().create_future()
        self.lost = asyncio.Event()

    @property
    def linked(self) -> bool:
        """True while the other server is accepted and the connection is not over."""
        return self._conversation.stage is Stage.LINKED and not self._over

    @property
    def alive(self) -> bool:
        """True while there is a socket, or may be one soon."""
        return not self.lost.is_set() and (self._transport is not None or not self._over)

    async def wait_lost(self) -> None:
        """Return when there is no socket any more; at once when there never was one."""
        if self._transport is not None:
            await self.lost.wait()

    # --- what the owner does ----------------------------------------------------------------------------------

    def send(self, message: Message) -> bool:
        """Put a message behind those that wait; False when too much waits or the connection is over."""
        if self._over or self.waiting_bytes > WAITING_BYTES_MAX:
            return False
        self._write(message)
        return True

    def finish(self) -> None:
        """Hang up after what waits has left; tell the owner nothing more."""
        self._over = self._finishing = True
        self._pump()

    def abort(self) -> None:
        """Hang up at once; tell the owner nothing more."""
        self._over = True
        if self._transport is not None:
            self._transport.abort()

    # --- what the loop says -----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake is done: whose certificate is it?"""
        self._transport = transport = cast(asyncio.Transport, transport)  # uvloop's is one without saying so
        if self._over:
            transport.abort()
            return
        transport.set_write_buffer_limits(high=_SLICE_BYTES, low=_SLICE_BYTES // 4)
        certificate = transport.get_extra_info("peercert")
        if not says_name(certificate, self._peer):
            self._refuse(wrong_name(certificate, self._peer))
            return
        opening = self._conversation.opening()
        if opening is not None:
            self._write(opening)

    def data_received(self, data: bytes) -> None:
        """Bytes, in any cuts."""
        if self._over:
            return
        try:
            messages = self._reader.feed(data)
        except TheirMistake as wrong:
            self._refuse(Refusal(wrong.code, wrong.message))
            return
        for message in messages:
            if self._over:
                break
            self._hear(message)

    def pause_writing(self) -> None:
        """The transport has enough."""
        self._paused = True

    def resume_writing(self) -> None:
        """The transport takes more."""
        self._paused = False
        self._pump()
        if self.crowded and self.waiting_bytes <= FREE_BYTES:
            self.crowded = False
            if not self._over:
                self._owner.on_free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self.lost.set()
        self._waiting.clear()
        self._end(why_broken(exc, self._peer))

    # --- within -----------------------------------------------------------------------------------------------

    def _hear(self, message: Message) -> None:
        turn = self._conversation.hear(message)
        match turn:
            case Heard(message=said):
                self._owner.on_heard(self, said)
            case Linked(hello=hello, answer=answer):
                if answer is not None:
                    self._write(answer)
                self._settle(None)
                self._owner.on_linked(self, hello)
            case Ended(refusal=refusal, answer=None):
                self._end(refusal)
                self.finish()
            case Ended(refusal=refusal):
                self._refuse(refusal)

    def _refuse(self, refusal: Refusal) -> None:
        if self.waiting_bytes:  # a last word among the bytes of another message would be garbage
            self._end(refusal)
            self.abort()
            return
        self._write(refusal)
        self._end(refusal)
        self.finish()

    def _end(self, why: Refusal) -> None:
        if self._over:
            self._settle(why)
            return
        self._over = True
        self._settle(why)
        self._owner.on_ended(self, why)

    def _settle(self, why: Refusal | None) -> None:
        if not self.settled.done():
            self.settled.set_result(why)

    def _write(self, message: Message) -> None:
        for piece in wire.pieces(message):
            self._waiting.append(piece)
            self.waiting_bytes += len(piece)
        self._pump()
        if self.waiting_bytes > CROWDED_BYTES:
            self.crowded = True

    def _pump(self) -> None:
        transport = self._transport
        if transport is None or self._pumping:
            return
        self._pumping = True
        try:
            while self._waiting and not self._paused:
                part = self._next_part()
                self.waiting_bytes -= len(part)
                transport.write(part)
        finally:
            self._pumping = False
        if self._finishing and not self._waiting:
            transport.close()

    def _next_part(self) -> bytes | memoryview:
        first = self._waiting.popleft()
        if len(first) > _SLICE_BYTES:
            view = memoryview(first)
            self._waiting.appendleft(view[_SLICE_BYTES:])
            return view[:_SLICE_BYTES]
        parts, size = [first], len(first)
        while self._waiting and size + len(self._waiting[0]) <= _SLICE_BYTES:
            parts.append(self._waiting.popleft())
            size += len(parts[-1])
        return first if len(parts) == 1 else b"".join(parts)


def tune(line: socket.socket) -> None:
    """No delay for small words; a dead line is noticed sooner than a lease ends (on Linux; elsewhere by beacons)."""
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS_MAX)
