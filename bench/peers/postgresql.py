"""PostgreSQL: durable upserts through its own load maker, and the questions of a day.

A private cluster in a folder of ours, reached over a Unix socket, never as root. Set up in its favour: 1 GiB of shared
buffers, 8 GiB of log before a checkpoint, which keeps checkpoints out of the rounds; `commit_delay` was tried and left
at its default, because it changed nothing. Everything that makes a commit durable is as shipped (fsync, full pages).
"""

import math
import os
import re
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import psycopg
from msgspec import json

from bench.clients import KEYS, ready_bodies
from bench.figures import Failed, Figures, figures_of
from bench.peers.calendar_rows import calendar_rows
from bench.processes import Argv, Child, call, give_to, program, unprivileged_user
from bench.questions import hour, room_and_day
from bench.records import DAY_S, LENGTH_MAX_S, ROOMS, Booking, room_name

START_S: Final = 60.0
USER: Final = "bench"
SETTINGS: Final = {
    "listen_addresses": "",
    "max_connections": "300",
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "synchronous_commit": "on",
}
SHARE_LOGGED: Final = 0.25
"""Of so many transactions pgbench writes down the latency."""
CONNECT_S: Final = 60.0

DECODE: Final = json.Decoder(Booking).decode
Row = tuple[Any, ...]

UPSERT_SCRIPT: Final = f"""\\set id random(1, {KEYS})
INSERT INTO meeting (id, body) VALUES (:id, :body) ON CONFLICT (id) DO UPDATE SET body = EXCLUDED.body;
"""
AGENDA: Final = "SELECT body FROM meeting WHERE room = %s AND start_s >= %s AND start_s < %s ORDER BY start_s"
BUSY: Final = (
    "SELECT start_s, end_s FROM meeting WHERE room = %s AND start_s >= %s AND start_s < %s ORDER BY start_s"
)
TAKEN: Final = "SELECT room FROM meeting WHERE start_s > %s AND start_s < %s AND end_s > %s"


class Server:
    """A private cluster and its postmaster."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.user = unprivileged_user()
        self._child: Child | None = None

    @property
    def connection(self) -> str:
        return f"host={self.folder} user={USER} dbname=postgres"

    def start(self) -> None:
        give_to(self.folder, self.user)
        data = self.folder / "data"
        tool("pgbench")
        initdb: Argv = [
            tool("initdb"),
            "-D",
            data,
            "-U",
            USER,
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        ]
        call(initdb, START_S, user=self.user, cwd=self.folder)
        argv: list[str | Path] = [tool("postgres"), "-D", data, "-k", self.folder]
        for name, value in SETTINGS.items():
            argv += ["-c", f"{name}={value}"]
        self._child = Child(argv, self.folder / "postgres.log", user=self.user)
        self._child.wait_until(self._answers, START_S)

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop(signal.SIGINT)  # the fast way down; SIGTERM would wait for the last client
            self._child = None

    def open(self) -> "psycopg.Connection[Row]":
        return psycopg.connect(self.connection, autocommit=True)

    def _answers(self) -> bool:
        try:
            with self.open() as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True


def tool(name: str) -> Path:
    """One of PostgreSQL's programs, from the newest version installed."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: _version(path.parent.name))
    return program(name, "postgresql", *(str(path) for path in reversed(versions)))


class Commit:
    """Durable upserts with its own C client."""

    name = "PostgreSQL, synchronous_commit=on"
    does = (
        "pgbench, prepared INSERT … ON CONFLICT DO UPDATE of the 1,490 bytes as text under a whole number as key, "
        "two threads, Unix socket; shared_buffers 1 GB, max_wal_size 8 GB, else as shipped"
    )

    def __init__(self) -> None:
        self._server: Server | None = None

    def start(self, folder: Path) -> None:
        self._server = Server(folder)
        self._server.start()
        with self._server.open() as connection:
            connection.execute("CREATE TABLE meeting (id integer PRIMARY KEY, body text NOT NULL)")
        (folder / "upsert.sql").write_text(UPSERT_SCRIPT)

    def run(self, clients: int, seconds: float) -> Figures:
        assert self._server is not None
        folder = self._server.folder
        for log in folder.glob("latency.*"):
            log.unlink()
        argv: Argv = [
            *(tool("pgbench"), "-n", "-h", folder, "-U", USER, "-M", "prepared", "-f", folder / "upsert.sql"),
            *(
                "-c",
                str(clients),
                "-j",
                str(min(clients, os.cpu_count() or 1)),
                "-T",
                str(math.ceil(seconds)),
            ),
            *("-l", f"--log-prefix={folder / 'latency'}", f"--sampling-rate={SHARE_LOGGED}"),
            *("-D", f"body={ready_bodies()[0].decode()}", "postgres"),
        ]
        printed = call(argv, seconds + CONNECT_S, cwd=folder)
        logs = [log.read_text() for log in folder.glob("latency.*")]
        return figures_from(printed, [line for log in logs for line in log.splitlines()])

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()


class Calendar:
    """200 meetings in each of 1,000 rooms, all of it in shared buffers."""

    name = "PostgreSQL"
    does = (
        "psycopg 3 (C), prepared statements, one connection over a Unix socket; agenda: index (room, start), the kept "
        "JSON decoded to typed msgspec objects, or joined; free/busy: covering index; free rooms: covering "
        "time-first index, the taken ones left out of the list of names"
    )

    def __init__(self) -> None:
        self._server: Server | None = None
        self._connection: psycopg.Connection[Row] | None = None
        self._cursor: psycopg.Cursor[Row] | None = None
        self._names = [(room, room_name(room)) for room in range(ROOMS)]

    def start(self, folder: Path) -> None:
        self._server = Server(folder)
        self._server.start()
        self._connection = self._server.open()
        self._connection.execute(
            "CREATE TABLE meeting (id integer PRIMARY KEY, room integer NOT NULL, start_s bigint NOT NULL,"
            " end_s bigint NOT NULL, body bytea NOT NULL)"
        )
        self._cursor = self._connection.cursor(binary=True)
        copy_in = "COPY meeting FROM STDIN (FORMAT BINARY)"
        with self._cursor.copy(copy_in) as copy:
            copy.set_types(["int4", "int4", "int8", "int8", "bytea"])
            for row in calendar_rows():
                copy.write_row(row)
        self._connection.execute("CREATE INDEX of_room ON meeting (room, start_s, end_s)")
        self._connection.execute("CREATE INDEX by_time ON meeting (start_s, end_s, room)")
        self._connection.execute("VACUUM ANALYZE meeting")  # makes index-only scans possible

    def agenda(self, number: int) -> list[Booking]:
        room, day_s = room_and_day(number)
        return [DECODE(body) for (body,) in self._rows(AGENDA, room, day_s, day_s + DAY_S)]

    def agenda_json(self, number: int) -> bytes:
        room, day_s = room_and_day(number)
        return b"[" + b",".join([body for (body,) in self._rows(AGENDA, room, day_s, day_s + DAY_S)]) + b"]"

    def free_busy(self, number: int) -> Sequence[Row]:
        room, day_s = room_and_day(number)
        return self._rows(BUSY, room, day_s, day_s + DAY_S)

    def free_rooms(self, number: int) -> list[str]:
        start_s, end_s = hour(number)
        taken = {room for (room,) in self._rows(TAKEN, start_s - LENGTH_MAX_S, end_s, start_s)}
        return [name for room, name in self._names if room not in taken]

    def stop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._server is not None:
            self._server.stop()

    def _rows(self, sql: str, *values: int) -> Sequence[Row]:
        assert self._cursor is not None
        return self._cursor.execute(sql, values, prepare=True).fetchall()


def _version(name: str) -> float:
    return float(name) if re.fullmatch(r"\d+(\.\d+)?", name) else 0.0


def figures_from(printed: str, logged: Sequence[str]) -> Figures:
    """Throughput as pgbench says it, percentiles from its log: client, number, microseconds, …"""
    rate = re.search(r"^tps = ([\d.]+) \(without initial connection time\)", printed, re.MULTILINE)
    failed = re.search(r"^number of failed transactions: (\d+)", printed, re.MULTILINE)
    if rate is None or (failed is not None and int(failed[1])):
        raise Failed(f"pgbench said: {printed[-300:]}")
    sampled = figures_of([int(line.split()[2]) / 1e6 for line in logged], 1.0)
    return Figures(float(rate[1]), sampled.p50_ms, sampled.p99_ms)
