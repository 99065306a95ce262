"""What the door remembers between requests: the tokens, the configuration, and the newest kept frames.

One subscription feeds it. A request then needs no trip to the engine to learn who is asking and which rooms there
are, a revoked token closes within the frame that revoked it, and event streams are served from one short memory.
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress

from msgspec import Struct

from meetkeeper.api.gate import FellBehind, Gate, KeptFrame
from meetkeeper.core.changes import ConfigDeployed, TokenKept, TokenRevoked
from meetkeeper.core.configuration import Config, RoomConfig
from meetkeeper.core.errors import Unavailable
from meetkeeper.core.state import State, TokenRow
from meetkeeper.core.words import RoomId

FRAMES_KEPT_MAX = 1_024
"""Frames remembered for streams that reconnect."""
RETRY_S = 0.2
CATCH_UP_TRIES = 25


class _Seen(Struct, frozen=True):
    """What is read from the state when following begins."""

    config: Config | None
    revision: int
    rooms: Mapping[RoomId, RoomConfig]
    tokens: dict[str, TokenRow]


class Follower:
    """Follows the engine. `config` and `tokens` are current as of the last kept frame."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._frames: deque[KeptFrame] = deque(maxlen=FRAMES_KEPT_MAX)
        self._complete_from = 0
        self._news: asyncio.Future[None] | None = None
        self._config: Config | None = None
        self.revision = 0
        self.rooms: Mapping[RoomId, RoomConfig] = {}
        self.tokens: dict[str, TokenRow] = {}
        self.seq = 0
        self.ready = asyncio.Event()

    @property
    def config(self) -> Config:
        """The configuration in force. Raises `Unavailable` before the first look at the state."""
        if self._config is None:
            raise Unavailable(
                "starting", "The server is still reading its data. Ask again in a moment.", retry_after_s=1
            )
        return self._config

    async def run(self) -> None:
        """Follow until cancelled; a subscription that ended because we were slow begins again."""
        while not self._gate.stop.is_set():
            with suppress(FellBehind):
                async with self._gate.engine.subscribe() as frames:
                    await self.look()
                    async for frame in frames:
                        self._take(frame)
            self._wake()
            await asyncio.sleep(RETRY_S)

    async def look(self) -> None:
        """Read tokens and configuration from the state; frames before now can't be replayed to anybody."""
        seen = await self._gate.engine.read(_look)
        self._config, self.revision, self.rooms, self.tokens = (
            seen.config,
            seen.revision,
            seen.rooms,
            seen.tokens,
        )
        self._frames.clear()
        self.seq = self._gate.engine.status().seq
        self._complete_from = self.seq
        self.ready.set()
        self._wake()

    def _take(self, frame: KeptFrame) -> None:
        for change in frame.plan.changes:
            kind = type(change)
            if kind is TokenKept:
                assert isinstance(change, TokenKept)
                self.tokens[change.digest] = TokenRow(change.digest, change.name, change.scope, change.at_s)
            elif kind is TokenRevoked:
                assert isinstance(change, TokenRevoked)
                self.tokens.pop(change.digest, None)
            elif kind is ConfigDeployed:
                assert isinstance(change, ConfigDeployed)
                self._deploy(change)
        if len(self._frames) == FRAMES_KEPT_MAX:
            self._complete_from = self._frames[0].seq
        self._frames.append(frame)
        self.seq = frame.seq
        if self._news is not None:
            self._wake()

    def _deploy(self, change: ConfigDeployed) -> None:
        state = State()
        state.deploy(change.revision, bytes(change.body))
        self._config, self.revision, self.rooms = state.config, change.revision, state.rooms

    def since(self, seq: int) -> Sequence[KeptFrame] | None:
        """Every frame after `seq`; None when some of them are no longer remembered or `seq` is none of ours."""
        if seq < self._complete_from or seq > self.seq:
            return None
        newer: list[KeptFrame] = []
        for frame in reversed(self._frames):
            if frame.seq <= seq:
                break
            newer.append(frame)
        newer.reverse()
        return newer

    async def catch_up(self) -> None:
        """Wait until everything kept so far is known here, so that the next request sees what this one did."""
        wanted = self._gate.engine.status().seq
        for _ in range(CATCH_UP_TRIES):
            if self.seq >= wanted or self._gate.stop.is_set():
                return
            await self.wait_news(self.seq, RETRY_S)

    async def wait_news(self, after_seq: int, timeout_s: float) -> bool:
        """Wait for a frame after `after_seq`, or for the server's stop; False when nothing came in time."""
        if self.seq > after_seq or self._gate.stop.is_set():
            return True
        if self._news is None:
            self._news = asyncio.get_running_loop().create_future()
        news: asyncio.Future[object] = asyncio.ensure_future(asyncio.shield(self._news))
        stop: asyncio.Future[object] = asyncio.ensure_future(self._gate.stop.wait())
        try:
            done, _ = await asyncio.wait({news, stop}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
            news.cancel()
        return bool(done)

    def _wake(self) -> None:
        news, self._news = self._news, None
        if news is not None and not news.done():
            news.set_result(None)


def _look(state: State) -> _Seen:
    return _Seen(state.config, state.config_revision, state.rooms, dict(state.tokens))
