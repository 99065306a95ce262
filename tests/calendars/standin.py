"""A small CalDAV server over a real socket that does as it is told: honest by default, hostile by request.

Honest, it holds items and answers discovery, sync-collection, multiget, listings, UID queries, PUT and DELETE. For any
kind of request a `trick` may be set: a function that writes whatever it likes to the connection.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from html import escape, unescape
from ssl import SSLContext

from msgspec import Struct

from meetkeeper.bounded.http import Limits
from meetkeeper.calendars.caldav.client import CaldavSource
from meetkeeper.calendars.caldav.server import CaldavServer
from meetkeeper.core.configuration import CaldavCalendar
from meetkeeper.testing.contracts.calendar import text_of

HASTE = Limits(read_s=0.2, request_s=0.4, pass_s=2.0)
"""Limits for tests that wait for them."""
PLENTY = Limits(read_s=15, request_s=30, pass_s=60)
"""Limits for all others, so that a busy machine changes nothing."""
PATH = "/dav/room/"
TOKEN = "urn:token:"
CALENDAR_PROPS = (
    "<D:resourcetype><D:collection/><C:calendar/></D:resourcetype><D:displayname>Room</D:displayname>"
    "<D:supported-report-set><D:supported-report><D:report><D:sync-collection/></D:report></D:supported-report>"
    "</D:supported-report-set>"
)


class Request(Struct, frozen=True):
    """What arrived. `kind` is discover, sync, multiget, states, query, or the method."""

    method: str
    path: str
    headers: dict[str, str]
    body: str
    kind: str


Trick = Callable[[asyncio.StreamWriter, Request], Awaitable[None]]


class StandIn:
    """The server. `calendars` are the paths it calls calendars; `requests` is everything that arrived."""

    def __init__(self) -> None:
        self.items: dict[str, bytes] = {"a.ics": text_of("a"), "b.ics": text_of("b")}
        self.versions: dict[str, int] = {"a.ics": 1, "b.ics": 1}
        self.gone: dict[str, int] = {}
        self.version = 1
        self.props = CALENDAR_PROPS
        self.tricks: dict[str, Trick] = {}
        self.requests: list[Request] = []
        self.hides = False
        """What people do meanwhile is told to no token."""
        self.url = ""
        self.port = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def start(self, tls: SSLContext | None = None) -> None:
        """Listen on loopback."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}{PATH}"

    async def stop(self) -> None:
        """Stop listening and drop every connection."""
        assert self._server is not None
        self._server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._server.wait_closed()

    def put(self, name: str, text: bytes) -> None:
        """Somebody saves an item."""
        self.version += not self.hides
        self.items[name] = text
        self.versions[name] = 1 if self.hides else self.version
        self.gone.pop(name, None)

    def delete(self, name: str) -> None:
        """Somebody removes an item."""
        self.version += not self.hides
        del self.items[name], self.versions[name]
        if not self.hides:
            self.gone[name] = self.version

    def source(
        self,
        limits: Limits = PLENTY,
        *,
        server: CaldavServer | None = None,
        username: str = "",
        write: bool = True,
    ) -> CaldavSource:
        """A room that looks at this server."""
        settings = CaldavCalendar(url=self.url, username=username, write=write)
        return CaldavSource(settings, "secret", server=server or CaldavServer(self.url, limits=limits))

    def count(self, kind: str) -> int:
        """How many requests of this kind arrived."""
        return sum(request.kind == kind for request in self.requests)

    # --- the wire --------------------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while True:
                    request = await self._read(reader)
                    self.requests.append(request)
                    trick = self.tricks.get(request.kind) or self.tricks.get("*")
                    await (trick or self._honest)(writer, request)
                    await writer.drain()
                    if writer.is_closing():
                        break
        finally:
            self._open.discard(task)
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> Request:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ")
        pairs = (line.partition(": ") for line in head[1:] if line)
        headers = {name.lower(): value for name, _, value in pairs}
        body = (await reader.readexactly(int(headers.get("content-length", 0)))).decode()
        return Request(method, path, headers, body, _kind(method, headers, body))

    async def _honest(self, writer: asyncio.StreamWriter, request: Request) -> None:
        match request.kind:
            case "discover":
                reply = multistatus(response(request.path, self.props))
            case "sync":
                reply = self._sync(request)
            case "multiget":
                wanted = [unescape(href) for href in re.findall(r"<D:href>(.*?)</D:href>", request.body)]
                reply = multistatus(*(self.item(href) for href in wanted))
            case "states":
                own = response(PATH, "<D:resourcetype><D:collection/></D:resourcetype>")
                reply = multistatus(own, *(self.item(PATH + name, data=False) for name in sorted(self.items)))
            case "query":
                reply = multistatus(*(self.item(PATH + name) for name in sorted(self.items)))
            case "PUT":
                self.put(request.path.removeprefix(PATH), request.body.encode())
                reply = answer(201)
            case "DELETE":
                self.delete(request.path.removeprefix(PATH))
                reply = answer(204)
            case _:
                reply = answer(405)
        writer.write(reply)

    def _sync(self, request: Request) -> bytes:
        token = re.search(r"<D:sync-token>(.*?)</D:sync-token>", request.body)
        since = int(token[1].removeprefix(TOKEN) or 0) if token and token[1] else 0
        changed = [
            response(PATH + name, "<D:getetag>x</D:getetag>")
            for name, at in self.versions.items()
            if at > since
        ]
        gone = [lost(PATH + name) for name, at in self.gone.items() if since and at > since]
        return multistatus(*changed, *gone, token=f"{TOKEN}{self.version}")

    def item(self, href: str, *, data: bool = True) -> str:
        """The response element of one item."""
        name = href.removeprefix(PATH)
        if name not in self.items:
            return lost(href)
        text = escape(self.items[name].decode())
        props = f'<D:getetag>"{self.versions[name]}"</D:getetag><D:resourcetype/>'
        return response(href, props + (f"<C:calendar-data>{text}</C:calendar-data>" if data else ""))


def response(href: str, props: str, status: int = 200) -> str:
    """A response with these properties."""
    return (
        f"<D:response><D:href>{escape(href)}</D:href><D:propstat><D:prop>{props}</D:prop>"
        f"<D:status>HTTP/1.1 {status} x</D:status></D:propstat></D:response>"
    )


def lost(href: str, status: int = 404) -> str:
    """A response that is only a status."""
    return f"<D:response><D:href>{escape(href)}</D:href><D:status>HTTP/1.1 {status} x</D:status></D:response>"


def multistatus(*responses: str, token: str = "") -> bytes:
    """A whole 207 answer."""
    inside = "".join(responses) + (f"<D:sync-token>{token}</D:sync-token>" if token else "")
    return xml(
        207, f'<D:multistatus xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">{inside}</D:multistatus>'
    )


def error(status: int, element: str) -> bytes:
    """An error with a precondition element."""
    return xml(status, f'<D:error xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">{element}</D:error>')


def xml(status: int, text: str) -> bytes:
    """An answer in XML."""
    return answer(status, text.encode(), "Content-Type: text/xml; charset=utf-8")


def answer(status: int, body: bytes = b"", *headers: str) -> bytes:
    """A whole answer."""
    lines = [f"HTTP/1.1 {status} x", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def says(reply: bytes, *, then_closes: bool = False) -> Trick:
    """A trick that answers with these bytes."""

    async def trick(writer: asyncio.StreamWriter, _request: Request) -> None:
        writer.write(reply)
        if then_closes:
            await writer.drain()
            writer.close()

    return trick


def _kind(method: str, headers: dict[str, str], body: str) -> str:
    if method == "PROPFIND":
        return "discover" if "current-user-principal" in body else "states"
    for name, kind in (
        ("sync-collection", "sync"),
        ("calendar-multiget", "multiget"),
        ("calendar-query", "query"),
    ):
        if f":{name} " in body:
            return kind
    return method
