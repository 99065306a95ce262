"""Subscriptions to a mailbox: made after a pass, renewed at half of their life; their trouble harms no pass."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import pytest

from meetkeeper.calendars.graph.notices import AGAIN_S, Notices, Post
from meetkeeper.calendars.graph.source import GraphSource
from meetkeeper.core.notices import is_meant, word_of
from meetkeeper.core.words import RoomId
from meetkeeper.testing.contracts.calendar import ROOM_EMAIL, Held, text_of
from tests.calendars.graphvenue import GraphVenue

SECRET = "s" * 40
ROOM = RoomId("room")


class Ear:
    """What listens at our public address: it echoes tokens and counts notices that are meant for the room."""

    def __init__(self) -> None:
        self.woken = 0
        self.deaf = False
        self._server: asyncio.Server | None = None
        self.url = ""

    async def start(self) -> None:
        """Listen on loopback."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/notices/{ROOM}"

    async def stop(self) -> None:
        """Listen no longer."""
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            (int(line[15:]) for line in head.lower().split("\r\n") if line[:15] == "content-length:"), 0
        )
        body = await reader.readexactly(length)
        token = parse_qs(urlsplit(head.split(" ")[1]).query).get("validationToken", [""])[0].encode()
        status, reply = (404, b"") if self.deaf else (200, token)
        if not token:
            meant = is_meant(body, SECRET, ROOM)
            self.woken += meant
            status = 202 if meant else 403
        lines = f"HTTP/1.1 {status} x\r\nContent-Type: text/plain\r\nContent-Length: {len(reply)}\r\n"
        writer.write(f"{lines}Connection: close\r\n\r\n".encode() + reply)
        await writer.drain()
        writer.close()


class Listening:
    """A room that is told of changes, and whatever listens for it."""

    def __init__(self, venue: GraphVenue, ear: Ear) -> None:
        self.venue, self.ear = venue, ear
        client = venue.client()
        self.notices = Notices(client, ROOM_EMAIL, Post(ear.url, word_of(SECRET, ROOM)), venue.clock)
        self.source: GraphSource = venue.look(client, notices=self.notices)


@pytest.fixture
async def listening() -> AsyncIterator[Listening]:
    """For each test."""
    venue, ear = GraphVenue(), Ear()
    await venue.open()
    await ear.start()
    yield Listening(venue, ear)
    await venue.close()
    await ear.stop()


async def test_a_change_is_told_with_the_rooms_word(listening: Listening) -> None:
    """After the first pass there is a subscription whose notices, lifecycle events included, bear the room's word."""
    await listening.venue.put("a.ics", text_of("a"))
    held = await Held().follow(listening.source)
    graph = listening.venue.graph
    assert len(graph.subscriptions) == 1
    assert await graph.notify() == [202]
    assert await graph.notify(lifecycleEvent="missed") == [202]
    assert await graph.notify(clientState="forged") == [403]
    assert listening.ear.woken == 2
    await held.follow(listening.source)
    assert graph.kinds["subscribe"] == 1


async def test_a_subscription_is_renewed_at_half_of_its_life(listening: Listening) -> None:
    """Not before, and when the service has lost it, it is made anew."""
    graph, clock = listening.venue.graph, listening.venue.clock
    held = await Held().follow(listening.source)
    (first,) = graph.subscriptions.values()
    ends = first["expirationDateTime"]
    clock.now_s += 30 * 3_600
    await held.follow(listening.source)
    assert graph.kinds["subscribe"] == 1
    clock.now_s += 10 * 3_600
    await held.follow(listening.source)
    assert graph.kinds["subscribe"] == 2
    assert next(iter(graph.subscriptions.values()))["expirationDateTime"] > ends
    graph.subscriptions.clear()
    clock.now_s += 40 * 3_600
    await held.follow(listening.source)
    assert len(graph.subscriptions) == 1
    assert not listening.notices.trouble


async def test_trouble_with_notices_harms_no_pass(listening: Listening) -> None:
    """Refused, the pass is whole all the same, the doctor says why, and it is tried again some time later."""
    listening.ear.deaf = True
    await listening.venue.put("a.ics", text_of("a"))
    held = await Held().follow(listening.source)
    assert held.uids == {"a"}
    assert held.cookie
    assert "graph.notify" in {finding.code for finding in await listening.source.doctor()}
    listening.ear.deaf = False
    await held.follow(listening.source)
    assert not listening.venue.graph.subscriptions
    listening.venue.clock.now_s += AGAIN_S
    await held.follow(listening.source)
    assert len(listening.venue.graph.subscriptions) == 1
    assert "graph.notify" not in {finding.code for finding in await listening.source.doctor()}
