"""One CalDAV server as all its rooms share it: one pool of connections, one gate, one way of asking within bounds.

When the server says "not now" (429, 503, Retry-After) every room waits: a retry storm is answered by more of the same.
Rules: no cookies (they would mix users), no proxies or logins from the environment, redirects only within the server,
answers counted while they arrive, and every foreign error ends here.
"""

import asyncio
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from ssl import SSLContext
from urllib.parse import urlsplit

import httpx2
from msgspec import Struct

from meetkeeper.bounded import xml
from meetkeeper.bounded.gate import Gate, wait_s
from meetkeeper.bounded.http import Limits, closed, in_our_words, open_client, read_body
from meetkeeper.calendars.caldav import dav
from meetkeeper.calendars.caldav.mapping import path_of
from meetkeeper.core.errors import Refused, TheirMistake

REDIRECTS_MAX = 3
_READING = frozenset({"GET", "OPTIONS", "PROPFIND", "REPORT"})
_ERROR_BYTES_MAX = 1 << 20
_INLINE_BYTES_MAX = 1 << 16


LIMITS = Limits()


class Call(Struct, frozen=True):
    """One request: method, path on the server, body, further headers."""

    method: str
    path: str
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class Answer(Struct, frozen=True):
    """One answer: `path` is where it came from after redirects, `xml` its root element where there was one."""

    status: int
    path: str
    xml: dav.Node | None = None
    software: str = ""
    retry_after_s: float | None = None


class Login:
    """A user's proof, one for each room: Basic at once where nobody can listen, Digest wherever it is asked for."""

    def __init__(self, username: str, password: str, *, at_once: bool) -> None:
        self._basic = httpx2.BasicAuth(username, password)
        self._digest = httpx2.DigestAuth(username, password)
        self._known = bool(username)
        self._scheme: httpx2.Auth | None = self._basic if at_once and username else None

    def flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Yields requests to send and takes their responses, as `httpx2.Auth.auth_flow` does; bodies are not read."""
        if self._scheme is not None:
            response = yield from _only_last(self._scheme.auth_flow(request))
        else:
            response = yield request
        if response is None or response.status_code != 401 or not self._known:
            return
        offered = " ".join(response.headers.get_list("www-authenticate")).lower()
        if "digest " in offered:
            wanted: httpx2.Auth = self._digest
        elif "basic" in offered:
            wanted = self._basic
        else:
            return
        if wanted is not self._scheme:
            self._scheme = wanted
            request.headers.pop("Authorization", None)
            yield from wanted.auth_flow(request)


def _only_last(
    flow: Generator[httpx2.Request, httpx2.Response, None],
) -> Generator[httpx2.Request, httpx2.Response, httpx2.Response | None]:
    """Run a flow and answer with the last response it was given."""
    response: httpx2.Response | None = None
    try:
        request = next(flow)
        while True:
            response = yield request
            request = flow.send(response)
    except StopIteration:
        return response


class CaldavServer:
    """One origin (scheme, host, port). Rooms `join` it and `leave` it; the last one out closes the connections."""

    def __init__(self, url: str, *, limits: Limits = LIMITS, tls: SSLContext | None = None) -> None:
        """`url` is any address on the server. No I/O. `tls` replaces the system's trusted authorities."""
        split = urlsplit(url)
        self.limits = limits
        self.host = (split.hostname or "").lower()
        self._origin = _origin(url)
        self._tls = tls
        self._encrypted = split.scheme.lower() == "https"
        self._secret_place = self._encrypted or self.host in ("localhost", "127.0.0.1", "::1")
        self._client: httpx2.AsyncClient | None = None
        self._slots = asyncio.Semaphore(limits.at_once_max)
        self._rooms = 0
        self._gate = Gate(self.host)

    def join(self, username: str, password: str) -> Login:
        """Take part; answers with the login to ask with."""
        self._rooms += 1
        return Login(username, password, at_once=self._secret_place)

    async def leave(self) -> None:
        """Take part no longer."""
        self._rooms -= 1
        if self._rooms <= 0 and self._client is not None:
            client, self._client = self._client, None
            await client.aclose()

    async def ask(self, call: Call, login: Login, until: float) -> Answer:
        """Send a request and read the answer, whatever its status. `until` is the loop's time when the pass must end.

        Raises `Unavailable` (away, silent, cut off, busy, out of time), `Refused` (a redirect elsewhere), and
        `TheirMistake` (an answer too large or not what it says to be).
        """
        if self._rooms <= 0:
            raise closed(self.host)
        now = asyncio.get_running_loop().time()
        self._gate.pass_through(now)
        with in_our_words(self.host, lambda: self._rooms > 0):
            async with asyncio.timeout_at(min(until, now + self.limits.request_s)), self._slots:
                self._gate.pass_through(asyncio.get_running_loop().time())
                answer = await self._again_where_it_hung_up(call, login)
        self._heed(answer)
        return answer

    def _heed(self, answer: Answer) -> None:
        if answer.status not in (429, 503):
            self._gate.well()
            return
        self._gate.shut(asyncio.get_running_loop().time(), answer.retry_after_s)

    async def _again_where_it_hung_up(self, call: Call, login: Login) -> Answer:
        """A server may close a kept connection in the moment in which it is used again (RFC 9112 section 9.3.1).

        Then what only reads is sent once more, over another one.
        """
        try:
            return await self._follow(call, login)
        except (httpx2.ReadError, httpx2.WriteError, httpx2.RemoteProtocolError):
            if call.method not in _READING:
                raise
        return await self._follow(call, login)

    async def _follow(self, call: Call, login: Login) -> Answer:
        path = call.path
        for _ in range(REDIRECTS_MAX + 1):
            async with self._exchange(call, path, login) as response:
                if response.status_code not in (301, 302, 307, 308):
                    return await self._read(response, path)
                path = self._redirected(response.headers.get("location", ""), path)
        raise Refused(
            "calendar.redirects", f"{self.host} redirects in circles; correct the calendar's address."
        )

    def _redirected(self, location: str, path: str) -> str:
        target = httpx2.URL(self._origin).join(path).join(location)
        inside = path_of(target.raw_path.decode("ascii", "replace"), self.host)
        if _origin(str(target)) != self._origin or inside is None:
            raise Refused(
                "calendar.redirects",
                f"{self.host} redirects to {target.scheme}://{target.host}, where our login must not go. "
                "If that is right, configure that address.",
            )
        return inside

    @asynccontextmanager
    async def _exchange(self, call: Call, path: str, login: Login) -> AsyncIterator[httpx2.Response]:
        """One request with its login; bodies of answers that only ask for a login are never read."""
        client = self._open_client()
        headers = [("Content-Type", "text/xml; charset=utf-8")] if call.body else []
        request = client.build_request(
            call.method,
            self._origin + path,
            content=call.body or None,
            headers=dict([*headers, *call.headers]),
        )
        flow = login.flow(request)
        request = next(flow)
        while True:
            response = await client.send(request, stream=True)
            try:
                try:
                    request = flow.send(response)
                except StopIteration:
                    yield response
                    return
            finally:
                await response.aclose()

    async def _read(self, response: httpx2.Response, path: str) -> Answer:
        status = response.status_code
        root = None
        if status == 207 or "xml" in response.headers.get("content-type", ""):
            root = await self._read_xml(response)
        retry = response.headers.get("retry-after")
        return Answer(
            status=status,
            path=path,
            xml=root,
            software=response.headers.get("server", "")[:100],
            retry_after_s=None if retry is None else wait_s(retry, datetime.now(UTC)),
        )

    async def _read_xml(self, response: httpx2.Response) -> dav.Node | None:
        """The body as XML. An error's body is a bonus: what can't be read of it does not matter."""
        matters = response.status_code == 207
        bytes_max = self.limits.answer_bytes_max if matters else _ERROR_BYTES_MAX
        body = await read_body(response, bytes_max)
        if body is None:
            if not matters:
                return None
            raise TheirMistake(
                xml.TOO_LARGE,
                f"{self.host} sent more than {bytes_max} bytes at once; split the calendar or look there.",
            )
        try:
            if len(body) <= _INLINE_BYTES_MAX:
                return dav.parse(body)
            return await asyncio.to_thread(dav.parse, body)
        except TheirMistake:
            if matters:
                raise
            return None

    def _open_client(self) -> httpx2.AsyncClient:
        if self._client is None:
            plain = {"Accept-Encoding": "identity"}
            self._client = open_client(self.limits, tls=self._tls, encrypted=self._encrypted, headers=plain)
        return self._client


class CaldavServers:
    """The servers of one configuration: rooms at the same origin share one."""

    def __init__(self, *, limits: Limits = LIMITS) -> None:
        self._limits = limits
        self._servers: dict[str, CaldavServer] = {}

    def at(self, url: str) -> CaldavServer:
        """The server behind this address. No I/O."""
        return self._servers.setdefault(_origin(url), CaldavServer(url, limits=self._limits))


def _origin(url: str) -> str:
    """Scheme, host and port; a login in the address is left out."""
    split = urlsplit(url)
    host = (split.hostname or "").lower()
    port = split.port or (443 if split.scheme == "https" else 80)
    return f"{split.scheme.lower()}://{f'[{host}]' if ':' in host else host}:{port}"
