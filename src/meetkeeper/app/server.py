"""One server from its home folder to its last flush: open the database, act, answer, stop in good order.

Order of a start: lock and recover the database → found it when it is new → open a reign → listen. Order of a stop: no
new requests → what is decided is kept → the disk is let go. A failed disk ends the process with a sentence and code 3.
"""

import asyncio
import gc
import importlib.metadata
import signal
import socket
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path

import structlog

from meetkeeper.api.app import build
from meetkeeper.api.gate import Gate
from meetkeeper.api.serve import BACKLOG, bind
from meetkeeper.api.serve import serve as serve_http
from meetkeeper.app import configfile
from meetkeeper.app.acting import Lone, Paired, is_joining, make
from meetkeeper.app.confighooks import FileHooks
from meetkeeper.app.home import Home, NodeConfig, new_secret
from meetkeeper.app.original import check_is_original
from meetkeeper.app.preview import previewer
from meetkeeper.core.changes import ConfigDeployed, Founded, raw
from meetkeeper.core.configuration import Config
from meetkeeper.core.errors import NotFound, Refused
from meetkeeper.core.plan import Plan
from meetkeeper.host.clock import RealClock
from meetkeeper.host.disk import RealDisk
from meetkeeper.ops.aside import Aside
from meetkeeper.ops.intruder import LOOK_S, Intruder
from meetkeeper.ops.standing import check_may_act
from meetkeeper.store.database import Database
from meetkeeper.web.routes import routes

log = structlog.get_logger("server")

LOOPBACK = ("127.0.0.1", "::1")


def open_database(home: Home, clock: RealClock) -> Database:
    """Take the home's database; a new one is founded on its config.json. Raises `core.errors`."""
    pair = home.node().pair
    database = Database.open(RealDisk(home.path), repairs=pair is not None)
    for remark in database.remarks:
        log.warning("store.mended", text=remark)
    if database.state.config is None and not is_joining(pair) and not database.cut_back:
        found(home, database, clock)
    return database


def found(home: Home, database: Database, clock: RealClock) -> None:
    """The first frame: a lineage of its own, and the configuration that `init` laid down."""
    try:
        config = configfile.read(home.config_file.read_bytes())
    except FileNotFoundError:
        raise NotFound(
            "no-config",
            f"{home.config_file} is missing. Copy it from the other server, or run `meetkeeper init`.",
        ) from None
    epoch = database.promised + 1
    database.open_reign(epoch)
    lineage = new_secret()[:10].replace("-", "a").replace("_", "b").lower()
    database.commit(Plan(clock.now_s(), (Founded(lineage), ConfigDeployed(1, "init", raw(config)))))
    database.flush_now()


def tzdata_version() -> str:
    """Which release of the zone data this server decides by."""
    try:
        return importlib.metadata.version("tzdata")
    except importlib.metadata.PackageNotFoundError:
        return "system"


class Server:
    """Everything of one running server."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.node_config: NodeConfig = home.node()
        check_may_act(home.path, self.node_config.files_standby_of)
        if self.node_config.pair is not None:
            check_is_original(home.path)
        self._clock = RealClock()
        self._database = open_database(home, self._clock)
        opener = partial(open_database, home, self._clock)
        acting = self.acting = make(home, self.node_config, opener, self._database, tzdata_version())
        self.stop_event = asyncio.Event()
        self.hooks = FileHooks(home, acting.seat, acting.policy)
        self.gate = Gate(
            engine=acting.seat,
            config=self.hooks,
            stop=self.stop_event,
            door=acting.seat.door,
            trusted_proxies=(*LOOPBACK, *self.node_config.trusted_proxies),
            preview=previewer(acting.engine),
            local_digests=_Known(acting),
            measured=(acting.start_lag,),
            aside=self._aside(),
            pair=acting.asked,
            acts=acting.acts,
            settled=acting.settled,
            active_url=acting.active_url,
        )

    def _aside(self) -> Aside:
        """Records of histories that lost; what was decided long ago is removed now."""
        aside = Aside(self.home.path, self.acting.seat)
        for name in aside.prune(self._clock.now_s(), self.acting.seat.state):
            log.info("set-aside.removed", name=name)
        return aside

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self.acting.seat.state.settings()

    @property
    def database(self) -> Database:
        """As it is open now: a server of a pair may have opened it anew."""
        return self.acting.pair.database if isinstance(self.acting, Paired) else self._database

    async def run(self, ready: Callable[[], None] | None = None) -> None:
        """Serve until `stop` or a signal. Raises what made the server fail."""
        gc.collect()
        gc.freeze()
        node = self.node_config
        sock = self._bind()
        try:
            async with asyncio.TaskGroup() as tasks:
                acts = asyncio.Event()
                acting = tasks.create_task(self.acting.run(acts.set), name="acting")
                acting.add_done_callback(lambda _: self.stop_event.set())
                await _either(acts, self.stop_event)
                if not self.stop_event.is_set():
                    tasks.create_task(self.hooks.watch(self.stop_event), name="config")
                    if node.pair is None and Intruder.is_needed(self.home.path):
                        tasks.create_task(self._watch_files(), name="files")
                    self._listen(sock)
                    tls = self._tls if node.tls_certificate else None
                    await serve_http(
                        build(self.gate, routes), sock, tls=tls, ready=partial(self._ready, sock, ready)
                    )
                self.acting.end()
        finally:
            sock.close()
            self.database.close()

    async def _watch_files(self) -> None:
        """In `files` mode: end when somebody else writes into databases/. Raises `Refused`."""
        intruder = Intruder(self.home.path)
        while not self.stop_event.is_set():
            try:
                async with asyncio.timeout(LOOK_S):
                    await self.stop_event.wait()
            except TimeoutError:
                what = await asyncio.to_thread(intruder.look)
                if what:
                    raise intruder.end(what, self._clock.now_s()) from None

    def stop(self) -> None:
        """Begin to stop in good order."""
        log.info("server.stopping")
        waiting = self.acting.stop()
        if waiting is None:
            self.stop_event.set()
        else:
            waiting.add_done_callback(lambda _: self.stop_event.set())

    def _bind(self) -> socket.socket:
        try:
            return bind(self.node_config.listen_host, self.node_config.listen_port)
        except OSError as taken:
            self.database.close()
            raise self._taken(taken) from taken

    def _listen(self, sock: socket.socket) -> None:
        """Take connections from now on: two may be bound to an address, one alone listens. Raises `Refused`."""
        try:
            sock.listen(BACKLOG)
        except OSError as taken:
            raise self._taken(taken) from taken

    def _taken(self, error: OSError) -> Refused:
        node = self.node_config
        return Refused(
            "listen",
            f"{node.listen_host}:{node.listen_port} can't be listened on: {error.strerror}. Stop whoever has it, "
            f"or choose another port in {self.home.node_file}.",
        )

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.node_config.tls_certificate, self.node_config.tls_key or None)
        return context

    def _ready(self, sock: socket.socket, ready: Callable[[], None] | None) -> None:
        scheme = "https" if self.node_config.tls_certificate else "http"
        host = self.node_config.listen_host
        named = f"[{host}]" if ":" in host else host
        url = f"{scheme}://{named}:{sock.getsockname()[1]}"
        self.home.write_address(url)
        log.info("server.ready", url=url, seq=self.database.kept.seq, epoch=self.acting.seat.state.epoch)
        if ready is not None:
            ready()


class _Known:
    """Digests of the command line's tokens, as a container: a server that joins learns them later."""

    def __init__(self, acting: Lone | Paired) -> None:
        self._acting = acting

    def __contains__(self, digest: object) -> bool:
        return isinstance(digest, str) and self._acting.knows(digest)


async def _either(one: asyncio.Event, other: asyncio.Event) -> None:
    waits = [asyncio.create_task(one.wait()), asyncio.create_task(other.wait())]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


async def serve(path: Path, on_made: Callable[["Server"], None] = lambda _: None) -> None:
    """Run the server of a home until SIGTERM or SIGINT. `on_made` sees it before it runs."""
    server = Server(Home(path))
    on_made(server)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    await server.run()
