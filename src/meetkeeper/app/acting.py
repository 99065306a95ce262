"""Who acts behind the door: an engine by itself, or one server of a pair. `server` treats both alike."""

import asyncio
import datetime
import hashlib
import hmac
from collections.abc import Callable
from typing import Protocol

import structlog

import meetkeeper
from meetkeeper.agent.fence import FenceProver
from meetkeeper.api.auth import digest_of, new_token
from meetkeeper.api.pairviews import NO_PAIR, PairHooks
from meetkeeper.app.configfile import reveal
from meetkeeper.app.home import Home, NodeConfig, PairNode
from meetkeeper.app.pairparts import PairParts, timing_of
from meetkeeper.app.wiring import build_mailer, build_neighbours
from meetkeeper.core.configuration import PairConfig
from meetkeeper.engine.loop import Engine, new_start_lag
from meetkeeper.engine.node import Node
from meetkeeper.engine.pair import Pair
from meetkeeper.engine.seat import Seat
from meetkeeper.ha.words import Mode, Role
from meetkeeper.host.clock import RealClock
from meetkeeper.ops.operations import Means, Operations, complain
from meetkeeper.replication.authority import days_left
from meetkeeper.store.database import Database

SETTLE_S_MAX = 4.0
"""Requests wait so long for a switchover to end; then they are told where to go."""
log = structlog.get_logger("server")


class Acting(Protocol):
    """Either."""

    @property
    def seat(self) -> Engine | Seat:
        """What the door asks."""
        ...

    @property
    def role(self) -> Role | None:
        """For the agent; None without a pair."""
        ...

    def engine(self) -> Engine | None:
        """The one that acts, if any."""
        ...

    def acts(self) -> bool:
        """See `Gate`."""
        ...

    async def settled(self) -> None:
        """See `Gate`."""
        ...

    def active_url(self) -> str | None:
        """See `Gate`."""
        ...

    def knows(self, digest: str) -> bool:
        """This digest is that of a command line's token."""
        ...

    async def run(self, ready: Callable[[], None]) -> None:
        """Until it ends; `ready` when requests may come. Raises what made it fail."""
        ...

    def stop(self) -> "asyncio.Task[None] | None":
        """Begin to end in good order; what to wait for before the door closes."""
        ...

    def end(self) -> None:
        """The door is closed."""
        ...

    def policy(self) -> None:
        """The configuration may have changed."""
        ...

    @property
    def asked(self) -> PairHooks:
        """What may be asked of the pair."""
        ...


class Lone:
    """An engine by itself."""

    role: Role | None = None
    asked: PairHooks = NO_PAIR

    def __init__(self, node: NodeConfig, database: Database, tzdata: str, token: str) -> None:
        self.start_lag = new_start_lag()
        self.seat = Engine(
            Node(database),
            RealClock(),
            build_neighbours,
            server=node.name,
            release=meetkeeper.__version__,
            tzdata=tzdata,
            start_lag=self.start_lag,
        )
        self._digest = digest_of(token)

    def engine(self) -> Engine | None:
        """It."""
        return self.seat

    def acts(self) -> bool:
        """Always."""
        return True

    async def settled(self) -> None:
        """At once."""

    def active_url(self) -> str | None:
        """Nowhere else."""
        return None

    def knows(self, digest: str) -> bool:
        """The token that was written at the start."""
        return digest == self._digest

    async def run(self, ready: Callable[[], None]) -> None:
        """Act."""
        await self.seat.run(ready)

    def stop(self) -> "asyncio.Task[None] | None":
        """The door closes first, then the engine ends."""
        self.seat.stopping = True
        return None

    def end(self) -> None:
        """So does the reign."""
        self.seat.stop()

    def policy(self) -> None:
        """None applies."""


class Paired:
    """One server of a pair. Made while the event loop runs."""

    def __init__(
        self,
        home: Home,
        node: NodeConfig,
        open_database: Callable[[], Database],
        database: Database,
        tzdata: str,
    ) -> None:
        assert node.pair is not None
        self._home, self._node = home, node
        policy = _policy_of(database)
        self.parts = PairParts(home, node.name, node.pair, open_database, tzdata)
        self.pair = Pair(self.parts, self.parts.view(database, policy), database)
        self.parts.pair = self.pair
        self.parts.on_moved = self._moved
        self.start_lag = self.parts.start_lag
        self.seat = Seat(self.pair, self.parts.clock, server=node.name, release=meetkeeper.__version__)
        self.operations = Operations(self.pair, self._beside(home, node.pair))
        self.parts.verdict = self.operations.measurer.said
        self.parts.adds = self.operations.said
        self._still = asyncio.Event()
        self._known: tuple[str, frozenset[str]] = ("", frozenset())
        """Digests of the command lines' tokens, by the secret they come from."""
        self._leaving: asyncio.Task[None] | None = None

    def _beside(self, home: Home, node: PairNode) -> Means:
        """What runs beside the pair needs of files and adapters."""
        fencer = self.parts.fencer
        return Means(
            home=home.path,
            build=build_neighbours,
            mailer=build_mailer,
            reveal=reveal,
            certificates={
                "The certificate of this server": home.path / node.certificate,
                "The pair's authority": home.path / node.authority,
            },
            days_left=_days_left,
            test_fence=fencer.test if isinstance(fencer, FenceProver) else None,
            token=lambda: home.cli_token() or "",
            active_url=self.active_url,
        )

    @property
    def role(self) -> Role | None:
        """By the machine."""
        return self.pair.heart.view.role

    @property
    def asked(self) -> PairHooks:
        """See `ops.switching`."""
        return self.operations.switching

    def engine(self) -> Engine | None:
        """While this server is active."""
        return self.seat.engine

    def acts(self) -> bool:
        """While a reign is kept and not handed over."""
        return self.role is Role.ACTIVE and self.pair.began.is_set()

    async def settled(self) -> None:
        """Wait for the end of a switchover or a claim that is under way here or, as far as is known, there."""
        loop = asyncio.get_running_loop()
        until = loop.time() + SETTLE_S_MAX
        while self._moves() and loop.time() < until and not self.pair.over.is_set():
            still = self._still
            try:
                async with asyncio.timeout(0.05):
                    await still.wait()
            except TimeoutError:
                continue

    def _moves(self) -> bool:
        if self.acts():
            return False
        view = self.pair.heart.view
        if view.role in (Role.YIELDING, Role.CLAIMING, Role.ACTIVE):
            return True
        return view.linked and view.peer_role is not Role.ACTIVE

    def active_url(self) -> str | None:
        """The other server's, while it acts and this one follows: a frozen one may still be linked to its successor."""
        view = self.pair.heart.view
        if view.role is not Role.PASSIVE or not view.linked or view.peer_role is not Role.ACTIVE:
            return None
        return self.pair.heart.peer_facts.url or None

    def _moved(self) -> None:
        still, self._still = self._still, asyncio.Event()
        still.set()
        self.seat.moved()
        self.operations.moved()

    def knows(self, digest: str) -> bool:
        """Both servers' command lines are known on both: their tokens come from the cluster's secret."""
        config, pair = self.seat.state.config, self._node.pair
        if config is None or pair is None:
            return False
        if config.cluster.secret != self._known[0]:
            tokens = [cli_token(config.cluster.secret, name) for name in (self._node.name, pair.peer.name)]
            self._known = config.cluster.secret, frozenset(map(digest_of, tokens))
        return digest in self._known[1]

    async def run(self, ready: Callable[[], None]) -> None:
        """Take part. The door is open from the start: health, and the way to the active."""
        ready()
        beside = asyncio.create_task(self.operations.run(), name="operations")
        beside.add_done_callback(complain)
        try:
            await self.pair.run()
        finally:
            beside.cancel()
            await asyncio.wait({beside})

    def end(self) -> None:
        """So does our part in the pair."""
        self.pair.over.set()

    def stop(self) -> "asyncio.Task[None] | None":
        """Hand over where that is possible and wanted."""
        if self._leaving is None:
            policy = _policy_of(self.pair.database)
            leave = self.pair.leave(
                "it was told to stop",
                hand_over=policy.on_stop == "hand_over",
                back_after_s=policy.back_after_s,
            )
            self._leaving = asyncio.create_task(leave, name="pair.leave")
        return self._leaving

    def policy(self) -> None:
        """Mode and patience are the cluster's; the command line's token needs its secret."""
        policy = _policy_of(self.pair.database)
        self.pair.set_policy(Mode(policy.mode), timing_of(policy))
        config = self.seat.state.config
        if config is not None and self._home.cli_token() != (
            token := cli_token(config.cluster.secret, self._node.name)
        ):
            self._home.write_cli_token(token)


def cli_token(secret: str, server: str) -> str:
    """The command line's token on one server of a pair: whoever can read the configuration can make it."""
    return "mk_" + hmac.new(secret.encode(), f"cli {server}".encode(), hashlib.sha256).hexdigest()


def _policy_of(database: Database) -> PairConfig:
    config = database.state.config
    return PairConfig() if config is None else config.pair


def make(
    home: Home,
    node: NodeConfig,
    open_database: Callable[[], Database],
    database: Database,
    tzdata: str,
) -> Lone | Paired:
    """By node.json."""
    if node.pair is None:
        token = new_token()
        home.write_cli_token(token)
        return Lone(node, database, tzdata, token)
    return Paired(home, node, open_database, database, tzdata)


def _days_left(certificate: bytes) -> float:
    return days_left(certificate, datetime.datetime.now(datetime.UTC))


def is_joining(pair: PairNode | None) -> bool:
    """This home waits for another server's data and founds nothing."""
    return pair is not None and pair.joins
