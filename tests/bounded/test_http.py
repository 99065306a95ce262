"""HTTP within bounds: what the wire does wrong is told in our words, and nothing goes where it should not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx2
import pytest

from meetkeeper.bounded.http import Limits, in_our_words, open_client, read_body
from meetkeeper.core.errors import MeetkeeperError, TheirMistake, Unavailable

LIMITS = Limits(connect_s=5.0, read_s=0.5)
Answering = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Listener:
    """A server that answers every request with what `answer` writes, and keeps the heads that it was sent."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(self.reply)
        await writer.drain()
        if b"hang" in self.reply:
            await reader.read()
        writer.close()


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    """Listening on loopback."""
    listener = Listener()
    server = await asyncio.start_server(listener.serve, "127.0.0.1", 0)
    listener.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    yield listener
    server.close()
    await server.wait_closed()


async def ask(url: str, bytes_max: int = 1_000) -> bytes | None:
    """The body of an answer, errors in our words."""
    client = open_client(LIMITS, tls=None, encrypted=False, headers={"Accept": "text/plain"})
    try:
        with in_our_words("mail.example", lambda: True):
            response = await client.send(client.build_request("GET", url), stream=True)
            try:
                return await read_body(response, bytes_max)
            finally:
                await response.aclose()
    finally:
        await client.aclose()


async def test_a_body_is_read_up_to_its_bound(listener: Listener) -> None:
    """One byte more than allowed is no body at all."""
    assert await ask(listener.url, 2) == b"ok"
    assert await ask(listener.url, 1) is None
    assert "accept: text/plain" in listener.heads[0].lower()


async def test_cookies_redirects_and_the_environment_are_left_alone(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No cookie comes back, no proxy is used, a redirect is an answer like any other."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9/")
    lines = ["HTTP/1.1 302 Found", "Set-Cookie: a=b; Path=/", "Location: http://127.0.0.1:9/"]
    listener.reply = "\r\n".join([*lines, "Content-Length: 2", "", "no"]).encode()
    client = open_client(LIMITS, tls=None, encrypted=False, headers={})
    for _ in range(2):
        assert (await client.get(listener.url)).status_code == 302
    await client.aclose()
    assert len(listener.heads) == 2
    assert "cookie" not in listener.heads[1].lower()


@pytest.mark.parametrize(
    ("reply", "error", "code"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut", Unavailable, "calendar.away"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhang", Unavailable, "calendar.away"),
        (b"nonsense\r\n\r\n", Unavailable, "calendar.away"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
            TheirMistake,
            "calendar.odd-answer",
        ),
    ],
)
async def test_what_the_wire_does_wrong(
    listener: Listener, reply: bytes, error: type[MeetkeeperError], code: str
) -> None:
    """Cut, silent, no HTTP, packed wrongly: each is one of our errors that names the server."""
    listener.reply = reply
    with pytest.raises(error, match=r"mail\.example") as caught:
        await ask(listener.url)
    assert caught.value.code == code


async def test_other_trouble_in_our_words() -> None:
    """Out of time, an address that is none, a client that was closed; what is our own mistake stays one."""
    for raised, code in (
        (TimeoutError(), "calendar.slow"),
        (httpx2.InvalidURL("x"), "calendar.odd-answer"),
        (ValueError(), "calendar.odd-answer"),
    ):
        with pytest.raises(MeetkeeperError) as caught, in_our_words("mail.example", lambda: True):
            raise raised
        assert caught.value.code == code
    with pytest.raises(Unavailable, match="no longer used"), in_our_words("mail.example", lambda: False):
        raise RuntimeError
    with pytest.raises(RuntimeError), in_our_words("mail.example", lambda: True):
        raise RuntimeError
