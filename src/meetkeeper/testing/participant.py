"""Somebody who takes part: joins a VideoRoom through Janus' public API, as a browser does, with or without media.

`Seat` is the signalling alone and costs two requests; `Participant` sends sound and pictures of its own and counts what
it sees of others. aiortc (extra `e2e`) is imported when the first `Participant` joins.
"""

import asyncio
import contextlib
import importlib.util
import secrets
from typing import TYPE_CHECKING, Any, Self

import httpx2

if TYPE_CHECKING:
    from aiortc import MediaStreamTrack, RTCPeerConnection

INSTALL_HINT = "pip install 'meetkeeper[e2e]', on a machine with any network address besides loopback"
ANSWER_SECONDS_MAX = 10.0
POLL_SECONDS_MAX = 40.0
"""Janus answers a long poll after 30 s at the latest."""
PICTURES_PER_S = 10


def media_available() -> bool:
    """Whether aiortc is installed and there is an address for media: neither it nor Janus sends any on loopback."""
    if importlib.util.find_spec("aiortc") is None:
        return False
    from aioice import ice

    return bool(ice.get_host_addresses(use_ipv4=True, use_ipv6=True))


class JoinRefused(Exception):
    """The door stayed shut. `code` is Janus': 426 no such room, 433 wrong PIN."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code


class _Api:
    """One session on Janus' public API; what arrives by long poll is handed out by handle."""

    def __init__(self, url: str, secret: str) -> None:
        self._url = url
        self._secret = secret
        self._http = httpx2.AsyncClient(
            timeout=httpx2.Timeout(POLL_SECONDS_MAX),
            trust_env=False,
            verify=url.startswith("https"),  # reading the system's certificates takes longer than joining
        )
        self._session = ""
        self._poll: asyncio.Task[None] | None = None
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self.handles: dict[int, asyncio.Queue[dict[str, Any]]] = {}

    async def open(self) -> None:
        answer = await self._post("", {"janus": "create"})
        self._session = f"/{answer['data']['id']}"
        self._poll = asyncio.create_task(self._keep_polling())

    async def attach(self) -> int:
        answer = await self._post(self._session, {"janus": "attach", "plugin": "janus.plugin.videoroom"})
        handle = int(answer["data"]["id"])
        self.handles[handle] = asyncio.Queue()
        return handle

    async def say(
        self, handle: int, body: dict[str, Any], jsep: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Send a message and wait for the event that answers it (not the ack)."""
        message: dict[str, Any] = {"janus": "message", "body": body, "transaction": secrets.token_hex(8)}
        if jsep is not None:
            message["jsep"] = jsep
        outcome = self._waiting[message["transaction"]] = asyncio.get_running_loop().create_future()
        try:
            await self._post(f"{self._session}/{handle}", message)
            return await asyncio.wait_for(outcome, ANSWER_SECONDS_MAX)
        finally:
            self._waiting.pop(message["transaction"], None)

    async def close(self) -> None:
        """Leave without a trace: Janus drops every handle of the session."""
        if self._poll is not None:
            self._poll.cancel()
            with contextlib.suppress(asyncio.CancelledError, httpx2.HTTPError):
                await self._poll
        with contextlib.suppress(httpx2.HTTPError):
            await self._post(self._session, {"janus": "destroy"})
        await self._http.aclose()

    async def _post(self, path: str, message: dict[str, Any]) -> dict[str, Any]:
        message = {"transaction": secrets.token_hex(8), "apisecret": self._secret, **message}
        answer = await self._http.post(self._url + path, json=message)
        said: dict[str, Any] = answer.json()
        if said["janus"] == "error":
            raise JoinRefused(said["error"]["code"], said["error"]["reason"])
        return said

    async def _keep_polling(self) -> None:
        """Until Janus no longer knows us or is gone, which every handle then hears."""
        params = {"maxev": "10", "apisecret": self._secret}
        events: list[dict[str, Any]] = []
        with contextlib.suppress(httpx2.HTTPError):
            while not any(event["janus"] == "error" for event in events):
                said = (await self._http.get(self._url + self._session, params=params)).json()
                events = said if isinstance(said, list) else [said]
                for event in events:
                    self._hand_out(event)
        for queue in self.handles.values():
            queue.put_nowait({"janus": "timeout"})

    def _hand_out(self, event: dict[str, Any]) -> None:
        waiting = self._waiting.get(event.get("transaction", ""))
        if event["janus"] == "event" and waiting is not None and not waiting.done():
            waiting.set_result(event)
        elif event.get("sender") in self.handles:
            self.handles[event["sender"]].put_nowait(event)


class Seat:
    """A place in a room. `dropped` is set when the room ended or put us out; `others` are publishers seen so far."""

    def __init__(self, api: _Api, handle: int, room: str) -> None:
        self._api = api
        self._handle = handle
        self._room = room
        self.dropped = asyncio.Event()
        self.id = ""
        self.private_id = 0
        self.description = ""
        self.others: dict[str, dict[str, Any]] = {}
        self._listening: asyncio.Task[None] | None = None

    @classmethod
    async def take(cls, url: str, room: str, pin: str, *, display: str = "guest", secret: str = "") -> Self:
        """Join. Raises `JoinRefused` when the room says no, and httpx2's errors when Janus is away."""
        async with contextlib.AsyncExitStack() as undo:
            api = _Api(url, secret)
            undo.push_async_callback(api.close)
            await api.open()
            seat = cls(api, await api.attach(), room)
            await seat._join(pin, display)
            undo.pop_all()
        return seat

    async def is_in(self) -> bool:
        """Whether the room's list of participants holds us."""
        event = await self._api._post(
            f"{self._api._session}/{self._handle}",
            {"janus": "message", "body": {"request": "listparticipants", "room": self._room}},
        )
        people = event["plugindata"]["data"].get("participants", ())
        return any(person["id"] == self.id for person in people)

    async def leave(self) -> None:
        """Hang up."""
        if self._listening is not None:
            self._listening.cancel()
        await self._api.close()

    async def _join(self, pin: str, display: str) -> None:
        body = {"request": "join", "ptype": "publisher", "room": self._room, "pin": pin, "display": display}
        said = _data(await self._api.say(self._handle, body))
        self.id, self.private_id = said["id"], said["private_id"]
        self.description = said["description"]
        self._note(said)
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        while True:
            event = await self._api.handles[self._handle].get()
            said = event.get("plugindata", {}).get("data", {})
            self._note(said)
            over = said.get("videoroom") == "destroyed" or said.get("reason") == "kicked"
            if over or event["janus"] in ("hangup", "detached", "timeout"):
                self.dropped.set()

    def _note(self, said: dict[str, Any]) -> None:
        for publisher in said.get("publishers", ()):
            self.others[publisher["id"]] = publisher


class Participant(Seat):
    """A seat with a microphone and a camera: sends a tone of silence and moving grey, and can watch others."""

    def __init__(self, api: _Api, handle: int, room: str) -> None:
        super().__init__(api, handle, room)
        self._connections: list[RTCPeerConnection] = []
        self._watchers: set[asyncio.Task[None]] = set()
        self.pictures_seen = 0
        self.sounds_heard = 0
        self.connected = asyncio.Event()
        self._arrived = asyncio.Event()

    async def publish(self) -> None:
        """Send sound and pictures; returns when the media connection stands (at most `ANSWER_SECONDS_MAX`)."""
        connection = self._connection()
        for track in _own_tracks():
            connection.addTrack(track)
        await connection.setLocalDescription(await connection.createOffer())
        answer = await self._api.say(self._handle, {"request": "configure"}, _jsep(connection))
        await self._accept(connection, answer)
        await asyncio.wait_for(self.connected.wait(), ANSWER_SECONDS_MAX)

    async def watch(self, other: str) -> None:
        """Receive what this publisher sends; `pictures_seen` and `sounds_heard` count the frames."""
        handle = await self._api.attach()
        body = {
            "request": "join",
            "ptype": "subscriber",
            "room": self._room,
            "pin": self._pin,
            "private_id": self.private_id,
            "streams": [{"feed": other}],
        }
        offer = await self._api.say(handle, body)
        _data(offer)
        connection = self._connection()
        connection.add_listener("track", self._look_at)
        await self._accept(connection, offer)
        await connection.setLocalDescription(await connection.createAnswer())
        await self._api.say(handle, {"request": "start"}, _jsep(connection))

    async def wait_received(self, *, pictures: int = 0, sounds: int = 0) -> None:
        """Until that many more frames of each kind have arrived (at most `ANSWER_SECONDS_MAX`).

        Raises `TimeoutError`.
        """
        pictures, sounds = self.pictures_seen + pictures, self.sounds_heard + sounds
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            while self.pictures_seen < pictures or self.sounds_heard < sounds:
                self._arrived.clear()
                await self._arrived.wait()

    async def leave(self) -> None:
        """Hang up and let go of every media connection."""
        for task in self._watchers:
            task.cancel()
        for connection in self._connections:
            await connection.close()
        await super().leave()

    async def _join(self, pin: str, display: str) -> None:
        self._pin = pin
        await super()._join(pin, display)

    def _connection(self) -> "RTCPeerConnection":
        from aiortc import RTCConfiguration, RTCPeerConnection

        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._connections.append(connection)

        def look() -> None:
            if connection.connectionState == "connected":
                self.connected.set()
            elif connection.connectionState in ("closed", "failed"):
                self.dropped.set()

        connection.add_listener("connectionstatechange", look)
        return connection

    async def _accept(self, connection: "RTCPeerConnection", event: dict[str, Any]) -> None:
        from aiortc import RTCSessionDescription

        _data(event)
        await connection.setRemoteDescription(
            RTCSessionDescription(event["jsep"]["sdp"], event["jsep"]["type"])
        )

    def _look_at(self, track: "MediaStreamTrack") -> None:
        task = asyncio.create_task(self._count(track))
        self._watchers.add(task)

    async def _count(self, track: "MediaStreamTrack") -> None:
        from aiortc.mediastreams import MediaStreamError

        with contextlib.suppress(MediaStreamError):
            while True:
                await track.recv()
                if track.kind == "video":
                    self.pictures_seen += 1
                else:
                    self.sounds_heard += 1
                self._arrived.set()


def _data(event: dict[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = event["plugindata"]["data"]
    if "error_code" in said:
        raise JoinRefused(said["error_code"], said["error"])
    return said


def _jsep(connection: "RTCPeerConnection") -> dict[str, Any]:
    local = connection.localDescription
    return {"type": local.type, "sdp": local.sdp}


def _own_tracks() -> "list[MediaStreamTrack]":
    from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack
    from av import VideoFrame

    class Camera(VideoStreamTrack):
        """Small and slow, so that a dozen of them fit on one core."""

        _count = 0

        async def recv(self) -> VideoFrame:
            await asyncio.sleep(1 / PICTURES_PER_S)
            frame = VideoFrame(width=160, height=120)
            for plane in frame.planes:
                plane.update(bytes([self._count % 256]) * plane.buffer_size)
            frame.pts, frame.time_base = await self.next_timestamp()
            self._count += 1
            return frame

    return [AudioStreamTrack(), Camera()]
