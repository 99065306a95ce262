"""The usual web application: Starlette on uvicorn (httptools, uvloop), asyncpg, PostgreSQL.

Set up in its favour: connections kept for good, without the resetting query asyncpg's pool sends at every release;
no access log; the whole record decoded and checked by msgspec rather than by something slower.
"""

import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import asyncpg  # type: ignore[import-untyped]
from msgspec import ValidationError, json
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bench.figures import Figures
from bench.http_load import HttpLoad, numbered, request
from bench.peers.postgresql import USER, Server
from bench.processes import Child, free_port, listens
from bench.records import Booking, Records

START_S: Final = 60.0
CONNECTIONS: Final = 32
WORKERS: Final = 1
MEETINGS: Final = 20_000
FOLDER_VARIABLE: Final = "BENCH_POSTGRESQL"

UPSERT: Final = (
    "INSERT INTO meeting (uid, body) VALUES ($1, $2) ON CONFLICT (uid) DO UPDATE SET body = EXCLUDED.body"
)


class Commit:
    """POST of one meeting, 201 after the commit."""

    name = "Starlette + asyncpg + PostgreSQL"
    does = (
        "uvicorn with httptools and uvloop; POST of the meeting, msgspec decode to a typed record, prepared upsert of "
        f"the bytes under the UID over {CONNECTIONS} kept connections, synchronous_commit=on, 201 after the commit"
    )

    def __init__(self) -> None:
        self._database: Server | None = None
        self._application: Child | None = None
        self._load: HttpLoad | None = None
        self._port = 0

    def start(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._load = HttpLoad(_requests(), folder / "requests")
        self._database = Server(folder / "postgresql")
        self._database.start()
        with self._database.open() as connection:
            connection.execute("CREATE TABLE meeting (uid text PRIMARY KEY, body bytea NOT NULL)")
        self._port = free_port()
        argv = [
            *(sys.executable, "-m", "uvicorn", "bench.peers.starlette_postgresql:application", "--factory"),
            *("--host", "127.0.0.1", "--port", str(self._port), "--workers", str(WORKERS)),
            *("--http", "httptools", "--loop", "uvloop", "--no-access-log", "--log-level", "warning"),
        ]
        environment = {FOLDER_VARIABLE: str(self._database.folder)}
        self._application = Child(argv, folder / "uvicorn.log", environment=environment, cwd=Path.cwd())
        self._application.wait_until(lambda: listens(self._port), START_S)

    def run(self, clients: int, seconds: float) -> Figures:
        assert self._load is not None
        return self._load.run(self._port, clients, seconds)

    def stop(self) -> None:
        if self._application is not None:
            self._application.stop()
        if self._database is not None:
            self._database.stop()


def application() -> Starlette:
    """What uvicorn serves."""
    decode = json.Decoder(Booking).decode
    pool: asyncpg.Pool

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        nonlocal pool
        pool = await asyncpg.create_pool(
            host=os.environ[FOLDER_VARIABLE],
            user=USER,
            database="postgres",
            min_size=CONNECTIONS,
            max_size=CONNECTIONS,
            reset=_as_it_is,
        )
        async with pool:
            yield

    async def keep(asked: Request) -> Response:
        body = await asked.body()
        try:
            booking = decode(body)
        except ValidationError as error:
            return Response(str(error), 422)
        await pool.execute(UPSERT, booking.uid, body)
        return Response(b'{"uid":"%b"}' % booking.uid.encode(), 201, media_type="application/json")

    return Starlette(routes=[Route("/meetings", keep, methods=["POST"])], lifespan=lifespan)


async def _as_it_is(connection: object) -> None:
    """Nothing to put back: our requests leave no settings behind."""


def _requests() -> Iterator[bytes]:
    for _, body in Records().many(MEETINGS):
        told = numbered(body, b'"description":"')
        yield request("POST", "/meetings", told, {"Content-Type": "application/json"})
