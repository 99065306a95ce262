"""What a server of a pair is made of, by its node.json: line, register, agent's prover, database, engine."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import assert_never

import structlog

import meetkeeper
from meetkeeper.agent.client import AgentProver
from meetkeeper.agent.fence import FenceProver
from meetkeeper.agent.words import NO_PROOF_GIVEN, Certificates, agent_address, host_and_port
from meetkeeper.app.home import EtcdRegisterNode, FileRegisterNode, Home, PairNode, write_private
from meetkeeper.app.wiring import build_neighbours
from meetkeeper.core.configuration import PairConfig
from meetkeeper.engine.loop import Engine, new_start_lag
from meetkeeper.engine.node import Node
from meetkeeper.engine.pair import Memory, Pair
from meetkeeper.engine.partner import Partner
from meetkeeper.ha.view import View
from meetkeeper.ha.words import Facts, Found, Mode, Outcome, Record, Timing
from meetkeeper.host.clock import RealClock
from meetkeeper.host.disk import RealDisk
from meetkeeper.ports.clock import Clock
from meetkeeper.ports.disk import Disk
from meetkeeper.ports.peer import PeerLink, StopProver
from meetkeeper.ports.register import Register
from meetkeeper.registers.etcd import EtcdRegister
from meetkeeper.registers.etcdgateway import Access
from meetkeeper.registers.file import FileRegister
from meetkeeper.registers.standing import StandingRegister
from meetkeeper.replication.link import Line, TlsLink
from meetkeeper.store.database import Database

log = structlog.get_logger("pair")
KNOWN_PEER = "local/peer.instance"


class PairParts:
    """`engine.pair.Parts`. Makes nothing that listens; the line is started by the pair."""

    def __init__(
        self, home: Home, name: str, node: PairNode, open_database: Callable[[], Database], tzdata: str
    ) -> None:
        self.home, self.node, self.name = home, node, name
        self.clock: Clock = RealClock()
        self.disk: Disk = RealDisk(home.path)
        self.instance = node.instance
        self.start_lag = new_start_lag()
        self.pair: Pair | None = None
        self.on_moved: Callable[[], None] = _nothing
        self.verdict: Callable[[], tuple[str, tuple[str, ...]]] = _unknown
        self.adds: Callable[[Facts], Facts] = _as_is
        """What `ops` adds to what this server says about itself."""
        self._open_database = open_database
        self._tzdata = tzdata
        # A fence leaves no trace with our agent: where one is in use, the other server may have taken over by it.
        self._consents = os.environ.get(NO_PROOF_GIVEN) == "1" and node.fence is None
        standing = StandingRegister(
            self.disk, self._grant, me=name, founds=not node.joins, consents=self._consents
        )
        self.memory: Memory = standing
        self._standing = standing
        self.register: Register = _register(node, name) or standing
        files = Certificates(
            certificate=home.path / node.certificate,
            key=home.path / node.key,
            authority=home.path / node.authority,
        )
        self.prover: StopProver = AgentProver(
            me=name,
            peer=node.peer.name,
            address=agent_address(node.peer.address, node.peer.agent),
            certificates=files,
            now_s=self.clock.now_s,
        )
        self.fencer: StopProver | None = _fencer(node, self.clock)
        self.link: PeerLink = _link(name, node, files, self._known_peer)

    def view(self, database: Database, policy: PairConfig) -> View:
        """What this server knows when it starts."""
        node = self.node
        reading = self._standing.read_now()
        return View(
            me=self.name,
            peer=node.peer.name,
            cluster=node.cluster,
            mode=Mode(policy.mode),
            timing=timing_of(policy),
            arbitrates=self.register.arbitrates,
            founds=not node.joins,
            consents=self._consents,
            record=reading.record if isinstance(reading, Found) else None,
            version=reading.version if isinstance(reading, Found) and not self.register.arbitrates else 0,
        )

    async def _grant(self, expected: int, record: Record) -> Outcome:
        assert self.pair is not None
        return await self.pair.grant(expected, record)

    def _known_peer(self) -> str:
        try:
            return (self.home.path / KNOWN_PEER).read_text().strip()
        except FileNotFoundError:
            return ""

    def met(self, instance: str) -> None:
        """See `Parts`. A file that can't be written is told: then a stranger under its name is not known as one."""
        if instance == self._known_peer():
            return
        try:
            write_private(self.home.path / KNOWN_PEER, instance.encode() + b"\n")
        except OSError as error:
            log.warning("peer.not-remembered", path=KNOWN_PEER, why=error.strerror)

    def open_database(self) -> Database:
        """See `Parts`."""
        return self._open_database()

    def make_engine(self, database: Database, epoch: int, partner: Partner) -> Engine:
        """See `Parts`."""
        return Engine(
            Node(database),
            self.clock,
            build_neighbours,
            server=self.name,
            release=meetkeeper.__version__,
            tzdata=self._tzdata,
            partner=partner,
            epoch=epoch,
            start_lag=self.start_lag,
        )

    def facts(self) -> Facts:
        """See `Parts`."""
        ready, reasons = self.verdict()
        state = None if self.pair is None else self.pair.database.state
        said = Facts(
            release=meetkeeper.__version__,
            tzdata=self._tzdata,
            time_zone=time.tzname[0],
            wall_s=self.clock.now_s(),
            config_revision=0 if state is None else state.config_revision,
            ready=ready,
            reasons=reasons,
            url=self.node.url,
        )
        return self.adds(said)

    def moved(self) -> None:
        """See `Parts`."""
        self.on_moved()


def timing_of(policy: PairConfig) -> Timing:
    """Policy's seconds; safety's are fixed."""
    return Timing(failover_after_s=policy.failover_after_s, alert_after_s=policy.alert_after_s)


def _nothing() -> None:
    pass


def _as_is(facts: Facts) -> Facts:
    return facts


def _unknown() -> tuple[str, tuple[str, ...]]:
    return "unknown", ()


def _register(node: PairNode, name: str) -> Register | None:
    """None: there is no third place."""
    match node.register:
        case None:
            return None
        case FileRegisterNode() as file:
            return FileRegister(file.folder, me=name, deadline_s=file.deadline_s)
        case EtcdRegisterNode() as etcd:
            password = Path(etcd.password_file).read_text().strip() if etcd.password_file else ""
            access = Access(
                user=etcd.user,
                password=password,
                authority=etcd.authority,
                certificate=etcd.certificate,
                certificate_key=etcd.certificate_key,
            )
            return EtcdRegister(etcd.endpoints, key=etcd.key, deadline_s=etcd.deadline_s, access=access)
        case _ as never:
            assert_never(never)


def _fencer(node: PairNode, clock: Clock) -> FenceProver | None:
    fence = node.fence
    if fence is None:
        return None
    return FenceProver(
        fence.command, fence.timeout_s, server=node.peer.name, now_s=clock.now_s, test_command=fence.test
    )


def _link(name: str, node: PairNode, files: Certificates, known: Callable[[], str]) -> TlsLink:
    host, port = host_and_port(node.listen)
    peer_host, peer_port = host_and_port(node.peer.address)
    line = Line(
        me=name,
        peer=node.peer.name,
        listen_host=host,
        listen_port=port,
        peer_host=peer_host,
        peer_port=peer_port,
        certificate=files.certificate,
        key=files.key,
        authority=files.authority,
    )
    return TlsLink(line, known)
