"""SQLite: durable upserts with group commit, the questions of a day, and a cold start by reading every row.

Set up in its favour: write-ahead log, 8 KiB pages (two and more records a page; measured up to 1.4 times faster than
4 KiB here), exclusive locking (no shared-memory index), checkpoints only every 20,000 pages, whole numbers as keys.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from msgspec import json

from bench.clients import AsyncCommit, run_async
from bench.cold_start import load_in_child
from bench.figures import Figures, Loaded
from bench.group import Batch, GroupCommitter
from bench.peers.calendar_rows import calendar_rows
from bench.questions import hour, room_and_day
from bench.records import (
    DAY_S,
    LENGTH_MAX_S,
    ROOMS,
    Booking,
    Records,
    room_name,
    uid_of,
)

PAGE_BYTES: Final = 8_192
CHECKPOINT_PAGES: Final = 20_000
ALL: Final = "all.sqlite"
CACHE_KIB: Final = 262_144

Row = tuple[Any, ...]

DECODE: Final = json.Decoder(Booking).decode

UPSERT: Final = "INSERT INTO meeting VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body"
CALENDAR: Final = """
CREATE TABLE meeting (id INTEGER PRIMARY KEY, room INTEGER NOT NULL, start_s INTEGER NOT NULL,
                      end_s INTEGER NOT NULL, body BLOB NOT NULL);
"""
INDEXES: Final = """
CREATE INDEX of_room ON meeting (room, start_s, end_s);
CREATE INDEX by_time ON meeting (start_s, end_s, room);
ANALYZE;
"""
AGENDA: Final = "SELECT body FROM meeting WHERE room = ? AND start_s >= ? AND start_s < ? ORDER BY start_s"
BUSY: Final = (
    "SELECT start_s, end_s FROM meeting WHERE room = ? AND start_s >= ? AND start_s < ? ORDER BY start_s"
)
TAKEN: Final = "SELECT room FROM meeting WHERE start_s > ? AND start_s < ? AND end_s > ?"


def connect(path: Path, *, exclusive: bool = False) -> sqlite3.Connection:
    """Open with the settings above; commits are durable (WAL, synchronous=FULL)."""
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    database.execute(f"PRAGMA page_size={PAGE_BYTES}")
    if exclusive:
        database.execute("PRAGMA locking_mode=EXCLUSIVE")
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
    database.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
    return database


class GroupCommit:
    """The database in the process, with the committer a careful program would write."""

    name = "SQLite, WAL FULL, group commit"
    does = (
        "ready-made bytes upserted by one committer thread, all that is queued in one transaction; WAL, "
        "synchronous=FULL, 8 KiB pages, exclusive locking, a checkpoint every 20,000 pages"
    )

    def __init__(self) -> None:
        self._database: sqlite3.Connection | None = None
        self._committer: GroupCommitter | None = None

    def start(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._database = connect(folder / "meetings.sqlite", exclusive=True)
        self._database.execute("CREATE TABLE meeting (id INTEGER PRIMARY KEY, body BLOB NOT NULL)")

    def run(self, clients: int, seconds: float) -> Figures:
        return run_async(self._open, self._close, clients, seconds)

    def stop(self) -> None:
        if self._database is not None:
            self._database.close()

    async def _open(self) -> AsyncCommit:
        self._committer = GroupCommitter(self._write)
        return self._committer.commit

    async def _close(self) -> None:
        if self._committer is not None:
            await self._committer.close()

    def _write(self, batch: Batch) -> None:
        assert self._database is not None
        self._database.execute("BEGIN IMMEDIATE")
        self._database.executemany(UPSERT, batch)
        self._database.execute("COMMIT")


class Calendar:
    """200 meetings in each of 1,000 rooms, in a warm file."""

    name = "SQLite"
    does = (
        "in the process, file warm; agenda: index (room, start), the kept JSON decoded to typed msgspec objects, or "
        "joined; free/busy: covering index; free rooms: covering time-first index, the taken ones left out of the list "
        "of names"
    )

    def __init__(self) -> None:
        self._database: sqlite3.Connection | None = None
        self._names = [(room, room_name(room)) for room in range(ROOMS)]

    def start(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._database = connect(folder / "calendar.sqlite")
        self._database.executescript(CALENDAR)
        self._database.execute("BEGIN")
        self._database.executemany("INSERT INTO meeting VALUES (?, ?, ?, ?, ?)", calendar_rows())
        self._database.execute("COMMIT")
        self._database.executescript(INDEXES)
        self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def agenda(self, number: int) -> list[Booking]:
        room, day_s = room_and_day(number)
        return [DECODE(body) for (body,) in self._rows(AGENDA, room, day_s, day_s + DAY_S)]

    def agenda_json(self, number: int) -> bytes:
        room, day_s = room_and_day(number)
        return b"[" + b",".join([body for (body,) in self._rows(AGENDA, room, day_s, day_s + DAY_S)]) + b"]"

    def free_busy(self, number: int) -> list[Row]:
        room, day_s = room_and_day(number)
        return self._rows(BUSY, room, day_s, day_s + DAY_S)

    def free_rooms(self, number: int) -> list[str]:
        start_s, end_s = hour(number)
        taken = {room for (room,) in self._rows(TAKEN, start_s - LENGTH_MAX_S, end_s, start_s)}
        return [name for room, name in self._names if room not in taken]

    def stop(self) -> None:
        if self._database is not None:
            self._database.close()

    def _rows(self, sql: str, *values: int) -> list[Row]:
        assert self._database is not None
        return self._database.execute(sql, values).fetchall()


class Restart:
    """A fresh process that reads every row: into typed objects, or kept as bytes."""

    does = "fresh Python process, SELECT of all rows into a dict by UID; memory is its resident set"

    store = "sqlite"

    def __init__(self, *, typed: bool) -> None:
        self.name = "SQLite, to typed objects" if typed else "SQLite, rows kept as bytes"
        self._form = "typed" if typed else "bytes"

    def fill(self, folder: Path, meetings: int) -> None:
        folder.mkdir(parents=True)
        database = connect(folder / ALL)
        database.execute("PRAGMA synchronous=OFF")
        database.execute(
            "CREATE TABLE meeting (id INTEGER PRIMARY KEY, uid TEXT NOT NULL, body BLOB NOT NULL)"
        )
        database.execute("BEGIN")
        rows = ((number, uid_of(number), body) for number, body in Records().many(meetings))
        database.executemany("INSERT INTO meeting VALUES (?, ?, ?)", rows)
        database.execute("COMMIT")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()

    def load(self, folder: Path, make_cold: Callable[[], None]) -> Loaded:
        return load_in_child("bench.peers.sqlite_rows", [folder / ALL, self._form], folder, make_cold)
