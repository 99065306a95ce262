"""Bridges to test and the hands to shake them with: one in memory, and a real Janus in a folder of its own."""

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from meetkeeper.bridges.janus.client import JanusBridge, Secrets
from meetkeeper.bridges.janus.launch import PrivateJanus, Settings
from meetkeeper.core.configuration import JanusBridge as JanusConfig
from meetkeeper.core.configuration import Secret
from meetkeeper.core.words import Alias
from meetkeeper.ports.bridge import Bridge
from meetkeeper.testing.fakes.bridge import FakeBridge
from meetkeeper.testing.participant import JoinRefused, Seat

ADMIN_SECRET = "admin secret"
ADMIN_KEY = 'key with "quotes" and \\'
CLIENT_SECRET = "client secret"
ROOM_KEY = "the cluster's secret"
STRANGER = "somebody else's room"


class FakeVenue:
    """The bridge in memory."""

    def __init__(self) -> None:
        self.fake = FakeBridge()
        self.bridge: Bridge = self.fake.client("a")
        self.standby: Bridge = self.fake.client("b")

    async def join(self, alias: Alias, pin: str) -> "FakeGuest | None":
        name = f"guest {len(self.fake.guests.get(alias, ()))}"
        return FakeGuest(self.fake, alias, name) if self.fake.join(alias, pin, name) else None

    async def occupy(self, alias: Alias) -> None:
        self.fake.taken[alias] = STRANGER

    async def is_occupied(self, alias: Alias) -> bool:
        return self.fake.taken.get(alias) == STRANGER

    async def restart(self, *, forget: bool) -> None:
        self.fake.restart(forget=forget)

    @asynccontextmanager
    async def unanswered(self) -> AsyncIterator[None]:
        self.fake.silent = True
        yield
        self.fake.silent = False

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        self.fake.away = True
        yield
        self.fake.away = False


class FakeGuest:
    """Somebody in the bridge in memory."""

    def __init__(self, fake: FakeBridge, alias: Alias, name: str) -> None:
        self._fake, self._alias, self._name = fake, alias, name

    async def is_in(self) -> bool:
        return self._name in self._fake.guests.get(self._alias, ())


class JanusVenue:
    """A real Janus. Guests join by its public API; the adapter under test goes through a wire that can be cut."""

    def __init__(self, janus: PrivateJanus, wire: "Wire") -> None:
        self.janus = janus
        self.wire = wire
        self.bridge: Bridge = adapter(wire.url, client_url=janus.client_url)
        self.standby: Bridge = adapter(janus.admin_url, client_url=janus.client_url)
        self._seats: list[Seat] = []

    async def join(self, alias: Alias, pin: str) -> "JanusGuest | None":
        try:
            seat = await Seat.take(self.janus.client_url, alias, pin, secret=CLIENT_SECRET)
        except JoinRefused:
            return None
        self._seats.append(seat)
        return JanusGuest(self.janus, alias, seat)

    async def occupy(self, alias: Alias) -> None:
        ask(
            self.janus,
            request="create",
            admin_key=ADMIN_KEY,
            room=alias,
            description=STRANGER,
            permanent=False,
        )

    async def is_occupied(self, alias: Alias) -> bool:
        rooms = ask(self.janus, request="list", admin_key=ADMIN_KEY)["list"]
        found = [room for room in rooms if room["room"] == alias]
        return [(room["description"], room["pin_required"]) for room in found] == [(STRANGER, False)]

    async def restart(self, *, forget: bool) -> None:
        self.janus.kill()
        if forget:
            self.janus.rooms_file.unlink()
        self.janus.start()

    @asynccontextmanager
    async def unanswered(self) -> AsyncIterator[None]:
        self.wire.swallow = True
        yield
        self.wire.swallow = False

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        self.janus.stop()
        yield
        self.janus.start()

    async def close(self) -> None:
        for seat in self._seats:
            await seat.leave()
        await self.bridge.close()
        await self.standby.close()
        rooms = ask(self.janus, request="list", admin_key=ADMIN_KEY)["list"] if self.janus.pid else []
        if rooms:
            await self.restart(forget=True)


class JanusGuest:
    """Somebody in a real room, counted by Janus itself."""

    def __init__(self, janus: PrivateJanus, alias: Alias, seat: Seat) -> None:
        self._janus, self._alias, self._seat = janus, alias, seat

    async def is_in(self) -> bool:
        said = ask(self._janus, request="listparticipants", room=self._alias)
        return self._seat.id in {person["id"] for person in said.get("participants", ())}


class Wire:
    """Carries bytes to Janus and back.

    Told to `swallow`, it breaks off where Janus answers to what makes or changes rooms. `count` grows with every
    request that holds the bytes `counted`.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._server: asyncio.Server | None = None
        self._carried: set[asyncio.Task[None]] = set()
        self._ends: set[asyncio.StreamWriter] = set()
        self.swallow = False
        self.counted = b""
        self.count = 0
        self.url = ""

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/admin"

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for end in self._ends:
            end.close()
        await asyncio.gather(*self._carried, return_exceptions=True)

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._carried.add(asyncio.create_task(self._carry(reader, writer)))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.close()
            return
        self._ends |= {writer, far_writer}
        muted = asyncio.Event()
        back = asyncio.create_task(self._pump(far_reader, writer, muted))
        try:
            while chunk := await reader.read(65_536):
                self.count += bool(self.counted) and chunk.count(self.counted)
                if self.swallow and any(word in chunk for word in (b'"create"', b'"edit"', b'"destroy"')):
                    muted.set()
                far_writer.write(chunk)
        except OSError:
            pass
        finally:
            far_writer.close()
            await back

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, muted: asyncio.Event
    ) -> None:
        try:
            while chunk := await reader.read(65_536):
                if muted.is_set():
                    break
                writer.write(chunk)
        except OSError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def janus_venue(janus: PrivateJanus) -> AsyncIterator[JanusVenue]:
    """A running Janus as a venue, left as it was found."""
    wire = Wire(urlsplit(janus.admin_url).port or 0)
    await wire.open()
    venue = JanusVenue(janus, wire)
    yield venue
    await venue.close()
    await wire.close()


def private_janus(folder: Path) -> PrivateJanus:
    """A Janus that is not started yet."""
    settings = Settings(admin_secret=ADMIN_SECRET, admin_key=ADMIN_KEY, client_secret=CLIENT_SECRET)
    return PrivateJanus(folder, settings)


def adapter(
    admin_url: str,
    *,
    client_url: str = "",
    timeout_s: float = 10.0,
    admin_secret: str = ADMIN_SECRET,
    admin_key: str = ADMIN_KEY,
    room_key: str = ROOM_KEY,
) -> JanusBridge:
    """The adapter under test."""
    config = JanusConfig(
        id="janus",
        admin_url=admin_url,
        admin_secret=Secret(env="UNUSED"),
        admin_key=Secret(env="UNUSED"),
        client_url=client_url,
    )
    held = Secrets(
        admin_secret=admin_secret, admin_key=admin_key, room_key=room_key, client_secret=CLIENT_SECRET
    )
    return JanusBridge(config, held, timeout_s=timeout_s)


def ask(janus: PrivateJanus, **request: object) -> dict[str, Any]:
    """What Janus' administrator would do by hand."""
    message = {
        "janus": "message_plugin",
        "transaction": "test",
        "admin_secret": ADMIN_SECRET,
        "plugin": "janus.plugin.videoroom",
        "request": request,
    }
    with urllib.request.urlopen(janus.admin_url, json.dumps(message).encode(), timeout=5) as answer:
        said: dict[str, Any] = json.loads(answer.read())["response"]
    return said
