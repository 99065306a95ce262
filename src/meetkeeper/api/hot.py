"""The short way for `POST /api/v1/meetings`: from the ASGI server to the engine with nothing in between.

The same functions as the plain route decode, check, decide and answer; only the framework's machinery is left out,
which costs more than all of them together (docs/decisions/0010). The route is documented by its plain twin.
"""

from meetkeeper.api import asgi
from meetkeeper.api.asgi import Receive, Scope, Send
from meetkeeper.api.auth import Verifier, digest_of, may_write, unauthorized
from meetkeeper.api.booking import book
from meetkeeper.api.follower import Follower
from meetkeeper.api.gate import Gate
from meetkeeper.api.metrics import Counts
from meetkeeper.api.writes import check_writable
from meetkeeper.core.errors import MeetkeeperError, TheirMistake

PATH = "/api/v1/meetings"
_CREATED = 201
_JSON = (b"content-type", b"application/json")
_NO_STORE = (b"cache-control", b"no-store")
_REPEATED = (b"idempotency-replayed", b"true")


class HotBooking:
    """An ASGI application for one route."""

    def __init__(self, gate: Gate, follower: Follower, verifier: Verifier, counts: Counts) -> None:
        self._gate = gate
        self._follower = follower
        self._verifier = verifier
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            status = await self._book(scope, receive, send)
        except MeetkeeperError as error:
            status = await asgi.answer_error(send, error)
        except asgi.Gone:
            return
        self._counts.add("POST", PATH, status)

    async def _book(self, scope: Scope, receive: Receive, send: Send) -> int:
        length = token = key = kind = None
        for name, value in scope["headers"]:
            if name == b"content-length":
                length = value
            elif name == b"authorization":
                token = value
            elif name == b"idempotency-key":
                key = value.decode("latin-1")
            elif name == b"content-type":
                kind = value
        if token is None:
            raise unauthorized("Booking needs a token: `Authorization: Bearer mk_…`.")
        caller = None
        if token[:7] == b"Bearer ":
            caller = self._verifier.known(digest_of(token[7:].decode("latin-1")))
        if caller is None:
            caller = await self._verifier.bearer(token.decode("latin-1"))
            assert caller is not None
        may_write(caller)
        check_writable(self._gate, PATH)
        if kind is not None and not _is_json(kind):
            raise TheirMistake("unsupported-media-type", "Send the meeting as application/json.")
        body = await asgi.read_body(receive, length)
        booked = await book(self._gate, self._follower, caller, body, key)
        headers = [
            _JSON,
            (b"content-length", str(len(booked.body)).encode()),
            (b"location", booked.location.encode()),
            (b"etag", booked.etag.encode()),
            _NO_STORE,
        ]
        if booked.repeated:
            headers.append(_REPEATED)
        await asgi.answer(send, _CREATED, headers, booked.body)
        return _CREATED


def _is_json(kind: bytes) -> bool:
    plain = kind.partition(b";")[0].strip().lower()
    return plain == b"application/json" or plain.endswith(b"+json")
