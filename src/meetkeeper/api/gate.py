"""What the door needs of the house behind it: the engine and a few hooks, as Protocols and one record.

Nothing in `api`, `web` or `cli` names the engine's class or an adapter: `app` fills a `Gate` and hands it to
`api.app.build`. Tests fill it with a small engine of their own. What the engine tells about itself are plain records
(`engine.status`), handed on from here to the screens.
"""

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Collection, Container, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from msgspec import Struct

from meetkeeper.api.asides import NOTHING_ASIDE, AsideHooks
from meetkeeper.api.pairviews import NO_PAIR, PairHooks
from meetkeeper.core.commands import Command
from meetkeeper.core.plan import Decision
from meetkeeper.core.preview import Preview as ResyncPreview
from meetkeeper.core.roomsettings import Examined
from meetkeeper.core.state import State
from meetkeeper.core.words import Alias, MeetingId, RoomId
from meetkeeper.engine.loop import FellBehind
from meetkeeper.engine.node import KeptFrame
from meetkeeper.engine.status import (
    BridgeStatus,
    EngineStatus,
    HistoryRow,
    MailStatus,
    RoomStatus,
)
from meetkeeper.ports.bridge import Door

__all__ = [
    "AsideHooks",
    "BridgeStatus",
    "ConfigHooks",
    "ConfigRevision",
    "Door",
    "Engine",
    "EngineStatus",
    "FellBehind",
    "Gate",
    "HistoryRow",
    "KeptFrame",
    "MailPreview",
    "MailStatus",
    "Measured",
    "PairHooks",
    "RoomStatus",
]

T = TypeVar("T")


class Measured(Protocol):
    """A collector as prometheus-client knows it."""

    def collect(self) -> Iterable[object]:
        """Its metric families."""
        ...


class Engine(Protocol):
    """The house, as the door sees it."""

    def now_s(self) -> float:
        """The wall clock decisions are made by."""
        ...

    async def submit(self, command: Command) -> Decision:
        """Decide and keep; returns once the plan is kept. Raises `core.errors`."""
        ...

    async def read(self, look: Callable[[State], T]) -> T:
        """Run `look` on the state at once; answers when everything it may have seen is kept."""
        ...

    def subscribe(self) -> AbstractAsyncContextManager[AsyncIterable[KeptFrame]]:
        """Follow what is kept from here on. Bounded: the iterator raises `FellBehind` when its reader is too slow."""
        ...

    def status(self) -> EngineStatus:
        """The server at a glance."""
        ...

    async def history(self, about: str, limit: int) -> Sequence[HistoryRow]:
        """The newest frames that touched a meeting, a room or an effect."""
        ...

    def poke(self, room: RoomId) -> None:
        """Poll this room now."""
        ...

    async def preview_resync(self, room: RoomId) -> ResyncPreview:
        """What a resync of the room would do; keeps nothing. Raises `core.errors`."""
        ...

    async def examine(self, room: RoomId) -> Examined:
        """What a doctor finds about the room. Raises `core.errors`."""
        ...


class ConfigRevision(Struct, frozen=True):
    """One configuration that was in force. `at_s` is unix seconds."""

    revision: int
    at_s: float
    by: str


class ConfigHooks(Protocol):
    """What may be done with the configuration; `app` provides it, because it knows the files and the adapters."""

    async def check(self, body: bytes) -> Sequence[str]:
        """One sentence for each thing wrong with it; empty when it may be deployed."""
        ...

    async def deploy(self, body: bytes, by: str, base: int | None) -> int:
        """Put it in force, the revision it now has. Raises `TheirMistake` or `Stale`."""
        ...

    async def rollback(self, by: str, to: int | None) -> int:
        """Put an earlier one in force again (None: the one before), the new revision. Raises `NotFound`."""
        ...

    async def revisions(self) -> Sequence[ConfigRevision]:
        """Those that may be rolled back to, newest first."""
        ...


class MailPreview(Struct, frozen=True):
    """A mail as it would be sent."""

    to: str
    subject: str
    text: str
    html: str = ""
    calendar: str = ""


Preview = Callable[[MeetingId, str], Awaitable[MailPreview]]
"""Render the invitation for a meeting and a recipient (empty: the organizer). Raises `NotFound`."""


async def no_door(_: Alias) -> Door | None:
    """The hook of a house without bridges: the page shows the dialling facts."""
    return None


def here_only() -> str | None:
    """The hook of a server without a partner: nobody else is active."""
    return None


def always() -> bool:
    """The hook of a server without a partner: it acts."""
    return True


async def at_once() -> None:
    """The hook of a server without a partner: its role never moves."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """Everything `api.app.build` needs. `stop` is set when the server goes down: streams end, writes are refused."""

    engine: Engine
    config: ConfigHooks
    stop: asyncio.Event
    door: Callable[[Alias], Awaitable[Door | None]] = no_door
    preview: Preview | None = None
    active_url: Callable[[], str | None] = here_only
    """The active server's public address when it is not this one: writes are led there with 307."""
    acts: Callable[[], bool] = always
    """True while this server is the active one: everything but its own health is led elsewhere when it is not."""
    settled: Callable[[], Awaitable[None]] = at_once
    """Returns when the role has stopped moving, or after a moment: who asks during a switchover waits here."""
    local_digests: Container[str] = ()
    """SHA-256 (hex) of further tokens with every right: HOME/local/cli.token."""
    trusted_proxies: Collection[str] = ("127.0.0.1", "::1")
    """Peers whose X-Forwarded-For is believed when tries are counted per address."""
    aside: AsideHooks = NOTHING_ASIDE
    """Records of a history that lost."""
    pair: PairHooks = NO_PAIR
    """What may be asked of the pair."""
    measured: Sequence[Measured] = ()
    """Further collectors for /metrics: the engine's start lag, the store's flush times."""
