"""Redis with a replica: SET, then WAIT 1, both with `appendfsync always`.

redis-benchmark cannot send two commands a request, so the load maker is ours: one epoll loop over plain Unix sockets,
ready-made bytes, answers counted and not parsed. It takes a few microseconds a request.
"""

import random
import selectors
import socket
import time
from pathlib import Path
from typing import Final

from bench.clients import KEYS, ready_bodies
from bench.figures import Failed, Figures, figures_of
from bench.peers.redis import Server
from bench.processes import free_port

SYNC_S_MAX: Final = 30.0
ANSWER: Final = b"+OK\r\n:1\r\n"


class Master(Server):
    """A server that a replica can reach over TCP."""

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(folder, "always")
        self.port = port

    def _settings(self) -> dict[str, str]:
        more = {"port": str(self.port), "bind": "127.0.0.1", "repl-diskless-sync-delay": "0"}
        return super()._settings() | more


class Replica(Server):
    """A replica of it."""

    def __init__(self, folder: Path, of: int) -> None:
        super().__init__(folder, "always")
        self._of = of

    def _settings(self) -> dict[str, str]:
        return super()._settings() | {"replicaof": f"127.0.0.1 {self._of}"}


class Commit:
    """What Redis can promise about two disks."""

    name = "Redis, SET and WAIT 1"
    does = (
        "redis-server and a replica over loopback TCP, appendfsync always on both; SET of one 1,490-byte value under "
        "100,000 random keys, then WAIT 1 0, in one write, by an epoll loop of ours over Unix sockets"
    )

    def __init__(self) -> None:
        self._servers: list[Server] = []

    def start(self, folder: Path) -> None:
        port = free_port()
        master, replica = Master(folder / "master", port), Replica(folder / "replica", port)
        self._servers = [replica, master]
        master.start()
        replica.start()
        end_s = time.monotonic() + SYNC_S_MAX
        with master.client() as client:
            while client.wait(1, 1_000) < 1:
                if time.monotonic() > end_s:
                    raise Failed("the replica did not come up")

    def run(self, clients: int, seconds: float) -> Figures:
        return _closed_loop(str(self._servers[1].socket), clients, seconds)

    def stop(self) -> None:
        for server in self._servers:
            server.stop()


def _closed_loop(path: str, clients: int, seconds: float) -> Figures:
    dice, body = random.Random(1), ready_bodies()[0]
    head, wait = b"*3\r\n$3\r\nSET\r\n", b"*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$1\r\n0\r\n"
    tail = b"\r\n$%d\r\n%b\r\n%b" % (len(body), body, wait)
    latencies_s: list[float] = []
    selector = selectors.EpollSelector()
    lines = [_connected(path) for _ in range(clients)]
    by_number = {line.fileno(): line for line in lines}
    held, sent_s = dict.fromkeys(lines, b""), dict.fromkeys(lines, 0.0)

    def send(line: socket.socket) -> None:
        key = b"meeting:%012d" % dice.randrange(KEYS)
        sent_s[line] = time.perf_counter()
        line.sendall(b"%b$%d\r\n%b%b" % (head, len(key), key, tail))

    begin_s = time.perf_counter()
    end_s = begin_s + seconds
    try:
        for line in lines:
            selector.register(line, selectors.EVENT_READ)
            send(line)
        open_lines = clients
        while open_lines:
            for key, _ in selector.select(SYNC_S_MAX):
                line = by_number[key.fd]
                held[line] += line.recv(4_096)
                if len(held[line]) < len(ANSWER):
                    continue
                if held[line] != ANSWER:
                    raise Failed(f"Redis answered {held[line][:100]!r}")
                now_s, held[line] = time.perf_counter(), b""
                latencies_s.append(now_s - sent_s[line])
                if now_s < end_s:
                    send(line)
                else:
                    open_lines -= 1
    finally:
        selector.close()
        for line in lines:
            line.close()
    return figures_of(latencies_s, time.perf_counter() - begin_s)


def _connected(path: str) -> socket.socket:
    line = socket.socket(socket.AF_UNIX)
    line.settimeout(SYNC_S_MAX)
    line.connect(path)
    return line
