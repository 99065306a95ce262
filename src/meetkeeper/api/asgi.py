"""ASGI in few words: the types, a whole body within bounds, a whole answer in two messages."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, MutableMapping
from typing import Any

from meetkeeper.api import problems
from meetkeeper.api.problems import Problem
from meetkeeper.api.validation import BODY_BYTES_MAX
from meetkeeper.core.errors import MeetkeeperError, TheirMistake

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

SECURITY_HEADERS: tuple[tuple[str, str], ...] = (
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
)


class Gone(Exception):
    """The client went away before it had said everything."""


async def read_body(receive: Receive, length: bytes | None) -> bytes:
    """The whole request body. Raises `TheirMistake` (`too-large`) beyond `BODY_BYTES_MAX`, `Gone` on disconnect."""
    if length is not None and len(length) < 20 and length.isdigit() and int(length) > BODY_BYTES_MAX:
        raise too_large()
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Gone
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        if len(body) > BODY_BYTES_MAX:
            raise too_large()
        return body
    parts, size = [body], len(body)
    while message.get("more_body", False):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        part: bytes = message.get("body", b"")
        parts.append(part)
        size += len(part)
        if size > BODY_BYTES_MAX:
            raise too_large()
    return b"".join(parts)


def too_large() -> TheirMistake:
    """The refusal of a body beyond bounds."""
    return TheirMistake(
        "too-large",
        f"The body is larger than {BODY_BYTES_MAX} bytes. Send less at once.",
        detail={"bytes_max": BODY_BYTES_MAX},
    )


async def answer(send: Send, status: int, headers: Headers, body: bytes) -> None:
    """Send a whole response."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def answer_error(send: Send, error: MeetkeeperError) -> int:
    """Send the error as a problem document; the status it went out with."""
    problem = problems.to_problem(error)
    await answer_problem(send, problem, problems.headers_of(error).items())
    return problem.status


async def answer_problem(send: Send, problem: Problem, more: Iterable[tuple[str, str]] = ()) -> None:
    """Send a problem document."""
    body = problems.encode(problem)
    headers = [
        (b"content-type", problems.MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        *((name.encode(), value.encode("latin-1", "replace")) for name, value in more),
    ]
    if problem.status == 413:
        headers.append((b"connection", b"close"))
    await answer(send, problem.status, headers, body)


def target_of(scope: Mapping[str, Any]) -> str:
    """Path and query, as they were asked for."""
    query = scope.get("query_string", b"").decode("latin-1")
    raw = scope.get("raw_path")
    path = raw.decode("latin-1").partition("?")[0] if isinstance(raw, bytes) else str(scope.get("path", "/"))
    return f"{path}?{query}" if query else path


def address_of(scope: Mapping[str, Any], trusted: Collection[str]) -> str:
    """Whose request this is: the peer, or behind trusted proxies the last address they did not make up."""
    client = scope.get("client")
    address = str(client[0]) if client else ""
    if address not in trusted:
        return address
    forwarded = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for")
    for one in reversed(forwarded.decode("latin-1").split(",")):
        if one.strip():
            address = one.strip()[:64]
            if address not in trusted:
                break
    return address
