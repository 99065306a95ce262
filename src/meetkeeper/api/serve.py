"""The HTTP server inside our own process: it starts and ends with us and leaves signals alone."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator

import uvicorn

from meetkeeper.api.app import Front

GRACE_S = 3
"""How long answers under way may take once the server is to stop."""
BACKLOG = 2_048
IDLE_S = 75
"""How long a connection may stay without a request."""


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None] | None) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say so."""
        await super().startup(sockets)
        if self.started and self._ready is not None:
            self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the process."""
        yield


def bind(host: str, port: int) -> socket.socket:
    """A socket that has an address; port 0 takes a free one. Raises `OSError` when the address is taken.

    It does not listen yet: until it does, callers are refused at once and ask elsewhere.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.set_inheritable(False)
    except OSError:
        sock.close()
        raise
    return sock


async def serve(
    front: Front,
    sock: socket.socket,
    *,
    tls: Callable[[], ssl.SSLContext] | None = None,
    ready: Callable[[], None] | None = None,
) -> None:
    """Serve until the gate's `stop` is set and what is under way is answered; cancelled, end at once.

    The application's lifespan is held here: a server that has lost its role goes without waiting for anyone.
    """
    config = uvicorn.Config(
        front,
        access_log=False,
        backlog=BACKLOG,
        date_header=True,
        http="httptools",
        lifespan="off",
        log_config=None,
        loop="none",
        proxy_headers=False,  # `asgi.address_of` reads them where an address matters
        server_header=False,
        ssl_context_factory=None if tls is None else (lambda _config, _default: tls()),
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=IDLE_S,
        ws="none",
    )
    async with front.inner.lifespan():
        await _until_stopped(_Server(config, ready), sock, front.desk.gate.stop)


async def _until_stopped(server: _Server, sock: socket.socket, stop: asyncio.Event) -> None:
    serving = asyncio.create_task(server.serve(sockets=[sock]), name="http")
    stopping = asyncio.create_task(stop.wait(), name="http.stop")
    try:
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        await serving
    finally:
        stopping.cancel()
        serving.cancel()
        await asyncio.wait({serving, stopping})
