"""The HTTP side of the fake: requests over a real socket, logins, and answers that come late, in drips or cut."""

import asyncio
import base64
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from email.utils import formatdate

from msgspec import Struct

HEAD_BYTES_MAX = 64 * 1024
BODY_BYTES_MAX = 64 * 1024 * 1024


class Request(Struct, frozen=True):
    """What arrived; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def header(self, name: str) -> str:
        """A header's value, or ""."""
        return self.headers.get(name.lower(), "")

    @property
    def basic(self) -> tuple[str, str] | None:
        """The user and password of a Basic login."""
        kind, _, value = self.header("authorization").partition(" ")
        if kind.lower() != "basic":
            return None
        try:
            user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except ValueError:
            return None
        return user, password


class Reply(Struct, frozen=True):
    """What is answered. `cut`: so many bytes of the body arrive, then the connection breaks; `drip_s`: the pause after
    each byte of it; `raw` replaces everything. `stream` is a body in chunks (RFC 9112 7.1) that goes on while it lasts.
    """

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "text/xml; charset=utf-8"
    cut: int | None = None
    drip_s: float = 0.0
    raw: bytes | None = None
    stream: AsyncGenerator[bytes, None] | None = None


Handler = Callable[[Request], Awaitable[Reply]]


class Wire:
    """Listens on loopback and hands requests to `handle`. `skew_s` is how far the server's clock is ahead."""

    def __init__(self, handle: Handler, now_s: Callable[[], float]) -> None:
        self.port = 0
        self.skew_s = 0.0
        self.handle = handle
        self._now_s = now_s
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def start(self, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        """Listen; `port` 0 takes a free one."""
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", port, ssl=tls, limit=HEAD_BYTES_MAX
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and drop every connection."""
        if self._server is None:
            return
        self._server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        broken = (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)
        try:
            with suppress(*broken):
                while await self._answer(writer, await self.handle(await _read(reader))):
                    pass
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            self._open.discard(task)

    async def _answer(self, writer: asyncio.StreamWriter, reply: Reply) -> bool:
        """True when the connection may carry another request."""
        if reply.raw is not None:
            writer.write(reply.raw)
            await writer.drain()
            return False
        size = f"Content-Length: {len(reply.body)}" if reply.stream is None else "Transfer-Encoding: chunked"
        head = [
            f"HTTP/1.1 {reply.status} Said",
            f"Date: {formatdate(self._now_s() + self.skew_s, usegmt=True)}",
            f"Content-Type: {reply.content_type}",
            size,
            *(f"{name}: {value}" for name, value in reply.headers),
        ]
        writer.write("\r\n".join([*head, "", ""]).encode("latin-1"))
        if reply.stream is not None:
            async with aclosing(reply.stream):
                async for piece in reply.stream:
                    writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                    await writer.drain()
            writer.write(b"0\r\n\r\n")
            await writer.drain()
            return True
        body = reply.body if reply.cut is None else reply.body[: reply.cut]
        if reply.drip_s:
            for at in range(len(body)):
                writer.write(body[at : at + 1])
                await writer.drain()
                await asyncio.sleep(reply.drip_s)
        else:
            writer.write(body)
        await writer.drain()
        return reply.cut is None


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ", 2)
    pairs = (line.partition(":") for line in head[1:] if line)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = await _read_chunks(reader)
    else:
        body = await reader.readexactly(min(int(headers.get("content-length") or 0), BODY_BYTES_MAX))
    return Request(method, path, headers, body)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while True:
        size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        chunk = await reader.readexactly(size + 2)
        if size == 0:
            return bytes(body)
        body += chunk[:-2]
