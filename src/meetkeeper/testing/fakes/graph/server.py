"""Graph and its authority on one loopback port: the wire, the limits, and whatever a hostile neighbour may do to it.

HTTP/1.1 with connections kept open. For any kind of request a `trick` may be set, which writes to the connection what
it likes. Kinds: token, delta, view, list, get, instances, batch, create, patch, delete,
calendar, subscribe.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from ssl import SSLContext
from urllib.parse import unquote

import httpx2
import msgspec
from msgspec import Struct

from meetkeeper.testing.fakes.graph.api import Api, Asked, Reply, asked_of, error, parallel_parts
from meetkeeper.testing.fakes.graph.tokens import Authority
from meetkeeper.testing.fakes.mailbox import Site

VERSION = "/v1.0"
PER_MAILBOX_MAX = 4
_REASONS = {200: "OK", 201: "Created", 204: "No Content", 400: "Bad Request", 429: "Too Many Requests"}


class Request(Struct, frozen=True):
    """What arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    kind: str


Trick = Callable[[asyncio.StreamWriter, Request], Awaitable[None]]


class FakeGraph:
    """The server. `api` and `authority` have switches of their own.

    `requests` is everything that arrived; `most` the most requests at a time, by mailbox; `slow_s` seconds before an
    answer; `subscriptions` who wants to be told; `pauses` are Retry-After values, each of which the next request is
    told to wait.
    """

    def __init__(self, site: Site, now_s: Callable[[], float] = time.time) -> None:
        self.site = site
        self.api = Api(site, now_s)
        self.authority = Authority(now_s)
        self.requests: list[Request] = []
        self.kinds: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.pauses: list[str] = []
        self.slow_s = 0.0
        self.tricks: dict[str, Trick] = {}
        self.subscriptions: dict[str, dict[str, str]] = {}
        self.authority_url = ""
        self.endpoint = ""
        self._busy: Counter[str] = Counter()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def start(self, tls: SSLContext | None = None, *, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen on loopback."""
        self._server = await asyncio.start_server(self._serve, host, port, ssl=tls, limit=1 << 22)
        bound = self._server.sockets[0].getsockname()[1]
        self.authority_url = f"http{'s' if tls else ''}://{host}:{bound}"
        self.endpoint = self.api.base = f"{self.authority_url}{VERSION}"

    async def stop(self) -> None:
        """Stop listening and drop every connection."""
        assert self._server is not None
        self._server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while not writer.is_closing():
                    request = await _read(reader)
                    self.requests.append(request)
                    self.kinds[request.kind] += 1
                    trick = self.tricks.get(request.kind) or self.tricks.get("*")
                    if trick is not None:
                        await trick(writer, request)
                    else:
                        writer.write(spelled(await self.honest(request)))
                    await writer.drain()
        finally:
            self._open.discard(task)
            writer.close()

    async def honest(self, request: Request) -> Reply:
        """What is answered when nobody plays tricks."""
        if request.kind == "token":
            path = request.target.partition("?")[0]
            status, body = self.authority.answer(path, request.body, self.authority_url + path)
            return Reply(status, body)
        if not self.authority.accepts(request.headers.get("authorization", "")):
            return error(401, "InvalidAuthenticationToken")
        if request.kind == "subscribe":
            return await self._subscribe(request)
        if self.pauses:
            return error(429, "ApplicationThrottled", ("Retry-After", self.pauses.pop(0)))
        target = request.target.removeprefix(VERSION)
        prefer, if_match = (request.headers.get(name, "") for name in ("prefer", "if-match"))
        asked = asked_of(request.method, target, prefer, request.body, if_match)
        mailboxes = parallel_parts(request.body) if request.kind == "batch" else _mailboxes_of(asked)
        return await self._within_limits(asked, mailboxes)

    # --- notifications ---------------------------------------------------------------------------------------------

    async def _subscribe(self, request: Request) -> Reply:
        """Make or renew a subscription; a new one only when its address echoes our token."""
        fields = msgspec.json.decode(request.body, type=dict[str, str])
        name = request.target.rpartition("/")[2]
        if request.method == "PATCH":
            if name not in self.subscriptions:
                return error(404, "ResourceNotFound")
            self.subscriptions[name] |= fields
            return Reply(200, {"id": name, **self.subscriptions[name]})
        token = f"Validation: <b>& {len(self.subscriptions)}</b>"
        async with httpx2.AsyncClient(trust_env=False) as http:
            answer = await http.post(fields["notificationUrl"], params={"validationToken": token})
        plain = answer.headers.get("content-type", "").startswith("text/plain")
        if answer.status_code != 200 or answer.text != token or not plain:
            return error(400, "ValidationError")
        name = f"sub-{len(self.subscriptions) + 1}"
        self.subscriptions[name] = fields
        return Reply(201, {"id": name, **fields})

    async def notify(self, **changed: str) -> list[int]:
        """Tell every subscriber that something has happened; the statuses they answered with."""
        statuses = []
        async with httpx2.AsyncClient(trust_env=False) as http:
            for name, one in self.subscriptions.items():
                notice = {"subscriptionId": name, "clientState": one["clientState"], "changeType": "updated"}
                answer = await http.post(one["notificationUrl"], json={"value": [notice | changed]})
                statuses.append(answer.status_code)
        return statuses

    async def _within_limits(self, asked: Asked, mailboxes: list[str]) -> Reply:
        self._busy.update(mailboxes)
        try:
            for one in set(mailboxes):
                self.most[one] = max(self.most[one], self._busy[one])
                if self._busy[one] > PER_MAILBOX_MAX:
                    return error(429, "MailboxConcurrency", ("Retry-After", "1"))
            if self.slow_s:
                await asyncio.sleep(self.slow_s)
            return self.api.answer(asked)
        finally:
            self._busy.subtract(mailboxes)


def spelled(reply: Reply) -> bytes:
    """The answer as bytes on the wire."""
    body = b"" if reply.body is None else msgspec.json.encode(reply.body)
    lines = [f"HTTP/1.1 {reply.status} {_REASONS.get(reply.status, 'Other')}"]
    lines += [f"{name}: {value}" for name, value in reply.headers]
    lines += ["Content-Type: application/json;odata.metadata=minimal", f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def _mailboxes_of(asked: Asked) -> list[str]:
    parts = asked.path.split("/")
    return [unquote(parts[2])] if len(parts) > 2 and parts[1] == "users" else []


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ")
    pairs = (line.partition(": ") for line in head[1:] if line)
    headers = {name.lower(): value for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, target, headers, body, _kind(method, target))


def _kind(method: str, target: str) -> str:
    path = target.partition("?")[0]
    if path.endswith("/oauth2/v2.0/token"):
        return "token"
    if path.endswith("/$batch"):
        return "batch"
    if path.startswith(f"{VERSION}/subscriptions"):
        return "subscribe"
    if method != "GET":
        return {"POST": "create", "PATCH": "patch", "DELETE": "delete"}.get(method, "other")
    for ending, kind in (
        ("/calendarView/delta", "delta"),
        ("/calendarView", "view"),
        ("/calendar/events", "list"),
        ("/instances", "instances"),
        ("/calendar", "calendar"),
    ):
        if path.endswith(ending):
            return kind
    return "get"
