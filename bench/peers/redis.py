"""Redis: durable SET with `appendfsync always`, and loading its append-only file with a million meetings.

Set up in its favour: no snapshots and no rewriting of the append-only file beside the load, its own C client, a Unix
socket instead of TCP (measured 5–30 % faster here).
"""

import csv
import signal
import socket
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Final

import redis

from bench.clients import KEYS, ready_bodies
from bench.figures import Failed, Figures, Loaded
from bench.processes import Child, call, program
from bench.records import Records, uid_of

START_S: Final = 30.0
LOAD_S: Final = 180.0
TRIAL_REQUESTS: Final = 40
"""Requests a client sends in the trial that tells how many a timed run needs: redis-benchmark has no clock."""
FILL_AT_ONCE: Final = 2_000


class Server:
    """A private redis-server in a folder of ours."""

    def __init__(self, folder: Path, fsync: str) -> None:
        self.folder = folder
        self.socket = folder / "redis.sock"
        self._fsync = fsync
        self._child: Child | None = None

    def start(self, wait_s: float = START_S) -> Child:
        """Start, and return once it answers, which is after loading."""
        self.folder.mkdir(parents=True, exist_ok=True)
        argv: list[str | Path] = [program("redis-server", "redis-server")]
        for name, value in self._settings().items():
            argv += [f"--{name}", value]
        self._child = Child(argv, self.folder / "redis.log")
        self._child.wait_until(self._answers, wait_s)
        return self._child

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop(signal.SIGTERM)
            self._child = None

    def client(self) -> "redis.Redis":
        return redis.Redis(unix_socket_path=str(self.socket), socket_timeout=LOAD_S)

    def _settings(self) -> dict[str, str]:
        return {
            "port": "0",
            "unixsocket": str(self.socket),
            "dir": str(self.folder),
            "appendonly": "yes",
            "appendfsync": self._fsync,
            "auto-aof-rewrite-percentage": "0",
            "save": "",
            "daemonize": "no",
        }

    def _answers(self) -> bool:
        if not self.socket.exists():
            return False
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.exceptions.ConnectionError:  # not listening yet, or (BusyLoadingError) still loading
            return False


class Commit:
    """What Redis can promise at its strictest, on its own wire with its own load maker."""

    name = "Redis, appendfsync always"
    does = (
        "redis-server with appendfsync always, SET of one 1,490-byte value under 100,000 random keys by "
        "redis-benchmark (C) over a Unix socket; no snapshots, no rewriting of the log"
    )

    def __init__(self) -> None:
        self._server: Server | None = None
        self._load_maker = Path()

    def start(self, folder: Path) -> None:
        self._load_maker = program("redis-benchmark", "redis-tools")
        self._server = Server(folder, "always")
        self._server.start()

    def run(self, clients: int, seconds: float) -> Figures:
        trial = self._benchmark(clients, clients * TRIAL_REQUESTS, seconds)
        return self._benchmark(clients, max(clients * 2, int(trial.per_second * seconds)), seconds)

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()

    def _benchmark(self, clients: int, requests: int, seconds: float) -> Figures:
        assert self._server is not None
        argv: list[str | Path] = [self._load_maker, "-s", self._server.socket, "-c", str(clients)]
        argv += ["-n", str(requests), "-r", str(KEYS), "--csv", "SET", "meeting:__rand_int__"]
        printed = call([*argv, ready_bodies()[0].decode()], seconds * 20 + START_S)
        return figures_from(printed)


class Restart:
    """A server that starts again with all meetings in its append-only file.

    As commands, which is what stands there between two rewritings. A rewritten file (RDB base) was tried too and took
    1.2 to 1.4 times as long.
    """

    does = "1,490-byte values under their UIDs; from exec until PING is answered; memory is used_memory_rss"

    store = "redis"
    name = "Redis, AOF of commands"

    def fill(self, folder: Path, meetings: int) -> None:
        server = Server(folder, "no")  # filled quickly; what is read again later is the same file
        server.start()
        try:
            set_all(server.socket, meetings)
        finally:
            server.stop()

    def load(self, folder: Path, make_cold: Callable[[], None]) -> Loaded:
        server = Server(folder, "always")
        make_cold()
        begin_s = time.perf_counter()
        server.start(LOAD_S)
        try:
            seconds = time.perf_counter() - begin_s
            with server.client() as client:
                held, memory = int(client.dbsize()), client.info("memory")
        finally:
            server.stop()
        return Loaded(seconds, int(memory["used_memory_rss"]), held)


def set_all(path: Path, meetings: int) -> None:
    """SET all meetings, many in one write: preparation, not measured."""
    numbered = Records().many(meetings)
    with socket.socket(socket.AF_UNIX) as wire:
        wire.settimeout(LOAD_S)
        wire.connect(str(path))
        while some := list(islice(numbered, FILL_AT_ONCE)):
            wire.sendall(b"".join(_set_command(uid_of(number).encode(), body) for number, body in some))
            expected = len(b"+OK\r\n") * len(some)
            while expected > 0:
                answer = wire.recv(1 << 16)
                if not answer or b"-" in answer:
                    raise Failed(f"Redis refused to be filled: {answer[:200]!r}")
                expected -= len(answer)


def _set_command(key: bytes, body: bytes) -> bytes:
    return b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(key), key, len(body), body)


def figures_from(printed: str) -> Figures:
    """The last line of `redis-benchmark --csv`: test, rps, then avg, min, p50, p95, p99, max in milliseconds."""
    rows = list(csv.reader(printed.splitlines()))
    fields = rows[-1][-7:] if rows else []
    if len(fields) < 7:
        raise Failed(f"redis-benchmark said: {printed[-300:]}")
    per_second, _, _, p50_ms, _, p99_ms, _ = (float(field) for field in fields)
    return Figures(per_second, p50_ms, p99_ms)
