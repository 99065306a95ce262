"""A proxy before a real CalDAV server that, while it `hides`, leaves every change out of answers to sync-collection.

The token goes through, so that what was left out is never told again: as servers do that lose the history of a
calendar, or were restored beneath their clients.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx2

_MEMBERS = re.compile(rb"<(?:\w+:)?response[ >].*?</(?:\w+:)?response>", re.DOTALL)
_EMPTY_TOKEN = re.compile(rb"<(?:\w+:)?sync-token\s*/>|<(?:\w+:)?sync-token>\s*</")
_PASSED_ON = ("content-type", "depth", "authorization", "if-match", "if-none-match")


class LyingProxy:
    """One upstream server; `url(path)` is where to reach it through the proxy."""

    def __init__(self, upstream: str) -> None:
        split = urlsplit(upstream)
        self._origin = f"{split.scheme}://{split.netloc}"
        self._http = httpx2.AsyncClient(trust_env=False, timeout=60)
        self._port = 0
        self.hides = False
        self.hidden = 0

    def through(self, url: str) -> str:
        """The same address by way of the proxy."""
        return f"http://127.0.0.1:{self._port}{urlsplit(url).path}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator["LyingProxy"]:
        """Listen inside."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        async with server:
            yield self
        await self._http.aclose()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, path, _ = head[0].split(" ")
            pairs = (line.partition(": ") for line in head[1:] if line)
            headers = {name.lower(): value for name, _, value in pairs}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            passed = {name: value for name, value in headers.items() if name in _PASSED_ON}
            answer = await self._http.request(method, self._origin + path, content=body, headers=passed)
            writer.write(self._told(body, answer))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _told(self, asked: bytes, answer: httpx2.Response) -> bytes:
        content = answer.content
        if self.hides and b"sync-collection" in asked and not _EMPTY_TOKEN.search(asked):
            content, left_out = _MEMBERS.subn(b"", content)
            self.hidden += left_out
        kept = [
            f"{name}: {value}"
            for name, value in answer.headers.items()
            if name.lower() in ("content-type", "etag", "www-authenticate", "location", "dav")
        ]
        length = [f"Content-Length: {len(content)}", "Connection: close"]
        return "\r\n".join([f"HTTP/1.1 {answer.status_code} x", *kept, *length, "", ""]).encode() + content
