"""One server from its home folder to its last flush: open the database, act, answer, stop in good order.

Order of a start: lock and recover the database → found it when it is new → open a reign → listen. Order of a stop: no
new requests → what is decided is kept → the disk is let go. A failed disk ends the process with a sentence and code 3.
"""

import asyncio
import gc
import importlib.metadata
import signal
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import structlog
import uvicorn
from prometheus_client import CollectorRegistry

import meetkeeper
from meetkeeper.api.app import build
from meetkeeper.api.auth import digest_of, new_token
from meetkeeper.api.gate import Gate
from meetkeeper.app import configfile
from meetkeeper.app.confighooks import FileHooks
from meetkeeper.app.home import Home, NodeConfig, new_secret
from meetkeeper.app.preview import previewer
from meetkeeper.app.wiring import build_neighbours
from meetkeeper.core.changes import ConfigDeployed, Founded, raw
from meetkeeper.core.configuration import Config
from meetkeeper.core.errors import NotFound
from meetkeeper.core.plan import Plan
from meetkeeper.engine.loop import Engine
from meetkeeper.engine.node import Node
from meetkeeper.host.clock import RealClock
from meetkeeper.host.disk import RealDisk
from meetkeeper.store.database import Database
from meetkeeper.web.app import pages

log = structlog.get_logger("server")

SHUTDOWN_S = 5


class _Uvicorn(uvicorn.Server):
    """Uvicorn inside our own task group: signals are ours."""

    @asynccontextmanager
    async def _no_signals(self) -> AsyncIterator[None]:
        yield

    def install_signal_handlers(self) -> None:
        """Nothing: `run` has installed them."""


def open_database(home: Home, clock: RealClock) -> Database:
    """Take the home's database; a new one is founded on its config.json. Raises `core.errors`."""
    database = Database.open(RealDisk(home.path))
    for remark in database.remarks:
        log.warning("store.mended", text=remark)
    if database.state.config is None:
        found(home, database, clock)
    return database


def found(home: Home, database: Database, clock: RealClock) -> None:
    """The first frame: a lineage of its own, and the configuration that `init` laid down."""
    try:
        config = configfile.read(home.config_file.read_bytes())
    except FileNotFoundError:
        raise NotFound(
            "no-config", f"{home.config_file} is missing. Copy it from the other server, or run `meetkeeper init`."
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

    def __init__(self, home: Home, *, said: Callable[[str], None] | None = None) -> None:
        self.home = home
        self.node_config: NodeConfig = home.node()
        self._said = said
        self._clock = RealClock()
        self._registry = CollectorRegistry()
        database = open_database(home, self._clock)
        self.database = database
        self.engine = Engine(
            Node(database),
            self._clock,
            build_neighbours,
            server=self.node_config.name,
            release=meetkeeper.__version__,
            tzdata=tzdata_version(),
            registry=self._registry,
        )
        self.stop_event = asyncio.Event()
        self.hooks = FileHooks(home, self.engine)
        token = new_token()
        home.write_cli_token(token)
        self.gate = Gate(
            engine=self.engine,
            config=self.hooks,
            stop=self.stop_event,
            door=self.engine.door,
            preview=previewer(self.engine),
            local_digests=frozenset({digest_of(token)}),
            measured=(self.engine.start_lag,),
        )

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self.engine.state.settings()

    async def run(self, ready: Callable[[], None] | None = None) -> None:
        """Serve until `stop` or a signal. Raises what made the server fail."""
        gc.collect()
        gc.freeze()
        http = self._http()
        started = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as tasks:
                acting = tasks.create_task(self.engine.run(started.set), name="engine")
                acting.add_done_callback(lambda _: self._begin_stop())
                await _first(started.wait(), self.stop_event.wait())
                if not self.stop_event.is_set():
                    configfile.write_out(self.home, self.config)
                    serving = tasks.create_task(http.serve(), name="http")
                    watching = tasks.create_task(self.hooks.watch(self.stop_event), name="config")
                    announcing = tasks.create_task(self._announce(http, ready), name="ready")
                    await self.stop_event.wait()
                    http.should_exit = True
                    watching.cancel()
                    announcing.cancel()
                    await serving
                self.engine.stop()
                await acting
        finally:
            self.database.close()

    def stop(self) -> None:
        """Begin to stop in good order."""
        log.info("server.stopping")
        self._begin_stop()

    def _begin_stop(self) -> None:
        self.engine.stopping = True
        self.stop_event.set()

    async def _announce(self, http: uvicorn.Server, ready: Callable[[], None] | None) -> None:
        while not http.started:
            await asyncio.sleep(0.01)
        port = http.servers[0].sockets[0].getsockname()[1]
        scheme = "https" if self.node_config.tls_certificate else "http"
        url = f"{scheme}://{self.node_config.listen_host}:{port}"
        self.home.write_address(url)
        log.info("server.ready", url=url, seq=self.database.kept.seq, epoch=self.engine.state.epoch)
        if ready is not None:
            ready()

    def _http(self) -> uvicorn.Server:
        node = self.node_config
        config = uvicorn.Config(
            build(self.gate, pages),
            host=node.listen_host,
            port=node.listen_port,
            log_config=None,
            access_log=False,
            lifespan="on",
            timeout_graceful_shutdown=SHUTDOWN_S,
            proxy_headers=bool(node.trusted_proxies),
            forwarded_allow_ips=list(node.trusted_proxies),
            ssl_certfile=node.tls_certificate or None,
            ssl_keyfile=node.tls_key or None,
            ssl_version=ssl.PROTOCOL_TLS_SERVER,
            server_header=False,
            h11_max_incomplete_event_size=64 * 1024,
        )
        server = _Uvicorn(config)
        server.capture_signals = server._no_signals  # type: ignore[method-assign,assignment]
        return server


async def _first(*waits: "asyncio.Future[object] | object") -> None:
    tasks = [asyncio.ensure_future(wait) for wait in waits]  # type: ignore[arg-type]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()


async def serve(path: Path) -> None:
    """Run the server of a home until SIGTERM or SIGINT."""
    server = Server(Home(path))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    await server.run()
