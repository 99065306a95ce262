"""The HTTP server in our process: real sockets, whole answers, and a stop that waits for nobody."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from meetkeeper.api.serve import bind, serve
from tests.api.house import READ_TOKEN, WRITE_TOKEN, House, booking, open_house


@asynccontextmanager
async def on_a_port() -> AsyncIterator[tuple[House, int, "asyncio.Task[None]"]]:
    """A house that listens."""
    async with open_house(served=True) as house:
        sock = bind("127.0.0.1", 0)
        up = asyncio.Event()
        serving = asyncio.create_task(serve(house.front, sock, ready=up.set))
        await up.wait()
        try:
            yield house, sock.getsockname()[1], serving
        finally:
            house.gate.stop.set()
            async with asyncio.timeout(10):
                await serving


def request(method: str, path: str, body: bytes = b"", token: str = WRITE_TOKEN, more: str = "") -> bytes:
    """A request as it goes over the wire."""
    length = "" if "chunked" in more else f"content-length: {len(body)}\r\n"
    head = f"{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n{length}{more}\r\n"
    return head.encode() + body


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """One whole response."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return int(head[0].split()[1]), headers, body


async def test_many_requests_share_a_connection() -> None:
    """Bookings, a body in chunks, a refusal and a read go over one connection in turn, pipelined ones too."""
    async with on_a_port() as (_, port, _serving):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for day in range(4, 7):
            body = json.dumps(booking(start=f"2027-03-0{day}T10:00Z", end=f"2027-03-0{day}T11:00Z")).encode()
            writer.write(request("POST", "/api/v1/meetings", body, more="content-type: application/json\r\n"))
            assert (await answer(reader))[0] == 201
        body = json.dumps(booking(rooms=["oslo-4"])).encode()
        pieces = (
            b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:50], body[50:])) + b"0\r\n\r\n"
        )
        writer.write(request("POST", "/api/v1/meetings", pieces, more="transfer-encoding: chunked\r\n"))
        assert (await answer(reader))[0] == 201
        writer.write(
            request("POST", "/api/v1/meetings", b"{}") + request("GET", "/api/v1/meetings", token=READ_TOKEN)
        )
        assert (await answer(reader))[0] == 400
        status, headers, told = await answer(reader)
        assert status == 200
        assert len(json.loads(told)["meetings"]) == 4
        assert headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers
        writer.close()


async def test_too_large_a_body_ends_the_connection() -> None:
    """A body announced or sent beyond a mebibyte is refused with 413 and the connection closed."""
    async with on_a_port() as (_, port, _serving):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            request("POST", "/api/v1/meetings", more="content-length: 9000000\r\n").replace(
                b"content-length: 0\r\n", b""
            )
        )
        status, headers, _body = await answer(reader)
        assert (status, headers["connection"]) == (413, "close")
        assert await reader.read() == b""
        writer.close()


@pytest.mark.parametrize("path", ["/api/v1/events"])
async def test_a_stop_waits_for_no_stream(path: str) -> None:
    """With a stream open the server is down within a second of the stop, and the reader sees a clean end."""
    async with on_a_port() as (house, port, serving):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("GET", path, token=READ_TOKEN))
        assert b"200" in await reader.readline()
        await reader.readuntil(b"retry")
        began = asyncio.get_running_loop().time()
        house.gate.stop.set()
        async with asyncio.timeout(5):
            await serving
        assert asyncio.get_running_loop().time() - began < 1.5
        assert (await reader.read()).endswith(b"0\r\n\r\n")
        writer.close()


async def test_a_reader_who_leaves_is_forgotten() -> None:
    """A stream whose reader has gone is closed, so that nothing piles up."""
    async with on_a_port() as (house, port, _serving):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("GET", "/api/v1/events", token=READ_TOKEN))
        await reader.readuntil(b"retry")
        assert house.front.desk.counts.streams == 1
        writer.close()
        await writer.wait_closed()
        async with asyncio.timeout(5):
            while house.front.desk.counts.streams:
                house.engine.touch(1)
                await asyncio.sleep(0.02)


def test_a_taken_port_is_an_error_at_once() -> None:
    """Listening where somebody listens fails before anything is served."""
    one = bind("127.0.0.1", 0)
    one.listen()
    with pytest.raises(OSError, match="in use"):
        bind("127.0.0.1", one.getsockname()[1]).listen()
    one.close()
