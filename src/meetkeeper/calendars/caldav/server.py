"""One CalDAV server as all its rooms share it: one pool of connections, one gate, one way of asking within bounds.

When the server says "not now" (429, 503, Retry-After) every room waits: a retry storm is answered by more of the same.
Rules: no cookies (they would mix users), no proxies or logins from the environment, redirects only within the server,
answers counted while they arrive, and every foreign error ends here.
"""

import asyncio
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ssl import SSLContext
from urllib.parse import urlsplit

import httpx2
from msgspec import Struct

from meetkeeper.calendars.caldav import dav
from meetkeeper.calendars.caldav.mapping import path_of, wait_s
from meetkeeper.core.errors import Refused, TheirMistake, Unavailable

REDIRECTS_MAX = 3
_READING = frozenset({"GET", "OPTIONS", "PROPFIND", "REPORT"})
QUIET_S_MIN = 5.0
"""How long a busy server that names no time is left alone; doubled each time, up to `QUIET_S_MAX`."""
QUIET_S_MAX = 300.0
TOO_LARGE = "calendar.answer-too-large"
_ERROR_BYTES_MAX = 1 << 20
_INLINE_BYTES_MAX = 1 << 16


class Limits(Struct, frozen=True, kw_only=True):
    """How long and how much. Times in seconds: a connection, a silence, a request, a whole pass over a calendar."""

    connect_s: float = 10.0
    read_s: float = 30.0
    request_s: float = 120.0
    pass_s: float = 900.0
    answer_bytes_max: int = 64 << 20
    at_once_max: int = 8


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
        self._quiet_until = 0.0
        self._strikes = 0

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
            raise _closed(self.host)
        self._mind_the_gate()
        now = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(min(until, now + self.limits.request_s)), self._slots:
                self._mind_the_gate()
                answer = await self._again_where_it_hung_up(call, login)
        except TimeoutError:
            raise Unavailable("calendar.slow", f"{self.host} took too long; it is asked again.") from None
        except httpx2.DecodingError:
            raise TheirMistake("calendar.odd-answer", f"{self.host} sent an answer packed wrongly.") from None
        except httpx2.HTTPError as error:
            why = str(error) or type(error).__name__
            raise Unavailable(
                "calendar.away", f"{self.host} can't be reached ({why}); it is asked again."
            ) from None
        except (httpx2.InvalidURL, NotImplementedError, ValueError) as error:
            raise TheirMistake(
                "calendar.odd-answer",
                f"{self.host} answered in a way that can't be followed ({error}); look at it.",
            ) from None
        except RuntimeError:
            if self._rooms > 0:
                raise
            raise _closed(self.host) from None
        self._heed(answer)
        return answer

    def _mind_the_gate(self) -> None:
        wait = self._quiet_until - asyncio.get_running_loop().time()
        if wait > 0:
            raise Unavailable(
                "calendar.busy", f"{self.host} has asked for a pause; nobody asks it now.", retry_after_s=wait
            )

    def _heed(self, answer: Answer) -> None:
        if answer.status not in (429, 503):
            self._strikes = 0
            return
        pause_s = answer.retry_after_s
        if pause_s is None:
            pause_s = min(QUIET_S_MIN * 2.0**self._strikes, QUIET_S_MAX)
            self._strikes = min(self._strikes + 1, 10)
        self._quiet_until = max(self._quiet_until, asyncio.get_running_loop().time() + pause_s)

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
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > bytes_max:
                if not matters:
                    return None
                raise TheirMistake(
                    TOO_LARGE,
                    f"{self.host} sent more than {bytes_max} bytes at once; split the calendar or look there.",
                )
        try:
            if len(body) <= _INLINE_BYTES_MAX:
                return dav.parse(bytes(body))
            return await asyncio.to_thread(dav.parse, bytes(body))
        except TheirMistake:
            if matters:
                raise
            return None

    def _open_client(self) -> httpx2.AsyncClient:
        if self._client is None:
            times = httpx2.Timeout(self.limits.read_s, connect=self.limits.connect_s)
            at_once = self.limits.at_once_max
            self._client = httpx2.AsyncClient(
                headers={"User-Agent": "meetkeeper", "Accept-Encoding": "identity"},
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
                timeout=times,
                limits=httpx2.Limits(
                    max_connections=at_once, max_keepalive_connections=at_once, keepalive_expiry=30
                ),
                trust_env=False,
                verify=self._tls
                if self._tls is not None
                else self._encrypted,  # plain HTTP needs no authorities
            )
        return self._client


def _closed(host: str) -> Unavailable:
    return Unavailable("calendar.closed", f"{host} is no longer used by this configuration.")


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
