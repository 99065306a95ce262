"""One endpoint of Microsoft Graph as all its rooms share it: one token, one pool of connections, one gate.

Limits are Microsoft's own (learn.microsoft.com "Microsoft Graph throttling"): four requests at a time to one mailbox;
whoever is told to wait (429, 503, 504, Retry-After) waits, and so do all rooms, because asking on prolongs it. Rules:
our token goes below the configured endpoint and nowhere else, whatever an answer or a cookie says; redirects are never
followed; no cookies, no proxies from the environment; answers are counted while they arrive; foreign errors end here.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from ssl import SSLContext
from urllib.parse import urlsplit

import httpx2
import msgspec
from msgspec import Raw, Struct

from meetkeeper.bounded.gate import Gate
from meetkeeper.bounded.http import Limits, closed, in_our_words, open_client, read_body
from meetkeeper.calendars.graph.answers import Answer, answer_of, to_error
from meetkeeper.calendars.graph.marks import lies_within
from meetkeeper.calendars.graph.token import Tokens
from meetkeeper.core.errors import Refused, TheirMistake

PAGE_SIZE = 100
PREFER = ", ".join(
    (
        'IdType="ImmutableId"',
        'outlook.timezone="UTC"',
        'outlook.body-content-type="text"',
        f"odata.maxpagesize={PAGE_SIZE}",
    )
)
"""Ids that survive a move, instants in UTC, bodies as text. Ids are of one kind only if every request says so."""
PREFER_HTML = PREFER.replace('="text"', '="html"')
BATCH_MAX = 20
"""Most requests in a `$batch` (learn.microsoft.com "JSON batching")."""
PER_MAILBOX_MAX = 4
"""Requests to one mailbox at a time (`MailboxConcurrency`)."""
_BUSY = frozenset({429, 503, 504})
_ERROR_BYTES_MAX = 1 << 16


LIMITS = Limits(read_s=60.0, at_once_max=16)


class Call(Struct, frozen=True):
    """One request: a method, an address below the endpoint, a JSON body."""

    method: str
    url: str
    body: bytes = b""
    as_html: bool = False
    """Bodies are asked for as they are kept, not as text."""
    if_match: str = ""
    """Only what still has this etag is changed (RFC 9110 section 13.1.1); else the answer is 412."""


class _Part(Struct, frozen=True):
    id: str
    status: int
    headers: Mapping[str, str | int | None] | None = None
    body: Raw = Raw(b"null")


class _Parts(Struct, frozen=True):
    responses: tuple[_Part, ...]


class _Places:
    """The places of one mailbox. Only one at a time gathers several, so that nobody waits for ever for the rest."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(PER_MAILBOX_MAX)
        self._gathering = asyncio.Lock()

    @asynccontextmanager
    async def take(self, count: int) -> AsyncIterator[None]:
        """Hold so many places."""
        held = 0
        try:
            async with self._gathering if count > 1 else nullcontext():
                while held < min(count, PER_MAILBOX_MAX):
                    await self._free.acquire()
                    held += 1
            yield
        finally:
            for _ in range(held):
                self._free.release()


class GraphClient:
    """One endpoint with one app's token. Rooms `join` and `leave`; the last one out closes the connections."""

    def __init__(
        self, endpoint: str, tokens: Tokens, *, limits: Limits = LIMITS, tls: SSLContext | None = None
    ) -> None:
        """No I/O. `tls` replaces the system's trusted authorities."""
        split = urlsplit(endpoint)
        self.limits = limits
        self.endpoint = endpoint.rstrip("/")
        self.host = (split.hostname or "").lower()
        self._tokens = tokens
        self._tls = tls
        self._http: httpx2.AsyncClient | None = None
        self._slots = asyncio.Semaphore(limits.at_once_max)
        self._mailboxes: dict[str, _Places] = {}
        self._rooms = 0
        self._gate = Gate(self.host)

    def join(self) -> None:
        """Take part."""
        self._rooms += 1

    async def leave(self) -> None:
        """Take part no longer."""
        self._rooms -= 1
        if self._rooms <= 0 and self._http is not None:
            http, self._http = self._http, None
            await http.aclose()

    async def ask(self, call: Call, mailbox: str, until: float, *, weight: int = 1) -> Answer:
        """Send a request and read the answer, whatever its status. `until` is the loop's time when the pass must end.

        `weight` is how many of the mailbox's places it takes: a batch has as many as parts run side by side.
        Raises `Unavailable` (away, silent, cut off, out of time, or a pause was asked for), `Refused` (a redirect, no
        login), `TheirMistake` (an address elsewhere, an answer too large).
        """
        if self._rooms <= 0:
            raise closed(self.host)
        now = asyncio.get_running_loop().time()
        self._gate.pass_through(now)
        own = self._mailboxes.setdefault(mailbox, _Places())
        with in_our_words(self.host, lambda: self._rooms > 0):
            async with (
                asyncio.timeout_at(min(until, now + self.limits.request_s)),
                own.take(weight),
                self._slots,
            ):
                self._gate.pass_through(asyncio.get_running_loop().time())
                answer = await self._exchange(call)
        self.heed(answer)
        return answer

    async def batch(
        self, urls: Sequence[str], mailbox: str, until: float, *, side_by_side: bool = False
    ) -> list[Answer]:
        """GET these addresses (relative to the endpoint) in as few requests as possible; answers in their order.

        The parts of a batch run one after the other (`dependsOn`) and end with the first that fails, so it counts as
        one request to its mailbox. Where most may fail they run `side_by_side`, as many as the mailbox allows.
        Raises what `ask` does, and `Unavailable` when a part was told to wait.
        """
        at_once = PER_MAILBOX_MAX if side_by_side else BATCH_MAX
        answers: list[Answer] = []
        while len(answers) < len(urls):
            wanted = urls[len(answers) : len(answers) + at_once]
            answers += await self._batch(wanted, mailbox, until, chained=not side_by_side)
        return answers

    async def _batch(self, urls: Sequence[str], mailbox: str, until: float, *, chained: bool) -> list[Answer]:
        """Answers to the first of these addresses, at least one; chained, up to the first that failed."""
        asked = [
            {
                "id": str(number),
                "method": "GET",
                "url": url,
                "headers": {"Prefer": PREFER},
                **({"dependsOn": [str(number - 1)]} if number and chained else {}),
            }
            for number, url in enumerate(urls)
        ]
        call = Call("POST", f"{self.endpoint}/$batch", msgspec.json.encode({"requests": asked}))
        answer = await self.ask(call, mailbox, until, weight=1 if chained else len(urls))
        if answer.status != 200:
            raise to_error(answer, f"{self.host} (batch)")
        try:
            parts = {part.id: part for part in msgspec.json.decode(answer.body, type=_Parts).responses}
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise self._no_parts() from None
        answers: list[Answer] = []
        for number in range(len(urls)):
            part = parts.get(str(number))
            if part is None:
                raise self._no_parts()
            if part.status == 424 and number:
                break
            headers = {name.lower(): str(value) for name, value in (part.headers or {}).items()}
            one = answer_of(part.status, bytes(part.body), headers.get("retry-after"))
            self.heed(one)
            if one.status in _BUSY:
                raise to_error(one, f"{self.host} (batch)")
            answers.append(one)
        return answers

    def _no_parts(self) -> TheirMistake:
        return TheirMistake(
            "calendar.odd-answer",
            f"{self.host} did not answer every part of a batch; look at what stands between.",
        )

    def heed(self, answer: Answer) -> None:
        """Nobody asks while the endpoint wants a pause."""
        if answer.status not in _BUSY:
            if answer.status < 500:
                self._gate.well()
            return
        self._gate.shut(asyncio.get_running_loop().time(), answer.retry_after_s)

    async def _exchange(self, call: Call) -> Answer:
        """One request with our token; a token that is not accepted is fetched anew, once."""
        if not lies_within(self.endpoint, call.url):
            raise TheirMistake(
                "calendar.foreign-link",
                f"{self.host} answered with an address outside of {self.endpoint}, where our token must not go. "
                "Look at what stands between.",
            )
        http = self._open_http()
        answer = Answer(0)
        for attempt in (1, 2):
            token = await self._tokens.get(http)
            prefer = PREFER_HTML if call.as_html else PREFER
            headers = {"Authorization": f"Bearer {token}", "Prefer": prefer, "Accept": "application/json"}
            if call.body:
                headers["Content-Type"] = "application/json"
            if call.if_match:
                headers["If-Match"] = call.if_match
            request = http.build_request(call.method, call.url, content=call.body or None, headers=headers)
            if not lies_within(self.endpoint, str(request.url)):
                raise TheirMistake(
                    "calendar.foreign-link",
                    f"An address of {self.host} reads in two ways; it is not followed.",
                )
            response = await http.send(request, stream=True)
            try:
                answer = await self._read(response)
            finally:
                await response.aclose()
            if answer.status != 401 or attempt == 2:
                break
            self._tokens.drop(token)
        return answer

    async def _read(self, response: httpx2.Response) -> Answer:
        if response.status_code in (301, 302, 303, 307, 308):
            raise Refused(
                "calendar.redirects",
                f"{self.host} redirects elsewhere, where our token must not go. Correct the endpoint.",
            )
        matters = response.status_code < 300
        bytes_max = self.limits.answer_bytes_max if matters else _ERROR_BYTES_MAX
        body = await read_body(response, bytes_max)
        if body is None and matters:
            raise TheirMistake(
                "calendar.answer-too-large",
                f"{self.host} sent more than {bytes_max} bytes at once; look at what stands between.",
            )
        return answer_of(response.status_code, body or b"", response.headers.get("retry-after"))

    def _open_http(self) -> httpx2.AsyncClient:
        if self._http is None:
            encrypted = self.endpoint.startswith("https")
            self._http = open_client(self.limits, tls=self._tls, encrypted=encrypted, headers={})
        return self._http
