"""Who is measured against whom, how often and how long; the ratios the product is held to."""

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from bench import meetkeeper_side, replicated
from bench.figures import Contender, Reader, Restarter
from bench.peers import (
    file_per_meeting,
    postgresql,
    postgresql_sync,
    radicale,
    raw_append,
    redis,
    redis_wait,
    sqlite,
    starlette_postgresql,
)

SECTIONS: Final = ("commit", "replicated", "http", "reads", "failover", "restart", "resync", "start")
OURS: Final = "meetkeeper"
FIRST_CLIENTS: Final = 64
"""The number of clients the ratios are taken at."""


class Plan(Struct, frozen=True):
    """How much is measured. All of it fits into `deadline_s`; what does not is left out and named."""

    rounds: int = 2
    rounds_first: int = 4
    """Rounds at `FIRST_CLIENTS`."""
    clients: tuple[int, ...] = (1, 16, 64, 256)
    commit_s: float = 2.0
    http_s: float = 3.0
    read_s: float = 1.0
    failovers: int = 3
    """Of each kind; `python -m bench.failover` does twenty."""
    restart_rounds: int = 2
    restart_meetings: int = 1_000_000
    rooms: int = 1_000
    meetings_starting: int = 1_000
    deadline_s: float = 840.0
    quick: bool = False


FULL: Final = Plan()
QUICK: Final = Plan(
    rounds=1,
    rounds_first=1,
    clients=(1, 64),
    commit_s=0.5,
    http_s=1.0,
    read_s=0.3,
    failovers=1,
    restart_rounds=1,
    restart_meetings=20_000,
    rooms=30,
    meetings_starting=100,
    quick=True,
)

COMMIT: Final[Mapping[str, Callable[[], Contender]]] = {
    OURS: meetkeeper_side.InProcess,
    "meetkeeper_http": lambda: meetkeeper_side.OverHttp(with_vmr=True),
    "meetkeeper_engine": meetkeeper_side.WholeEngine,
    "raw_append": raw_append.RawAppend,
    "redis_aof_always": redis.Commit,
    "sqlite_group": sqlite.GroupCommit,
    "postgresql": postgresql.Commit,
    "file_per_meeting": file_per_meeting.FilePerMeeting,
}
REPLICATED: Final[Mapping[str, Callable[[], Contender]]] = {
    OURS: replicated.Replicated,
    "redis_wait": redis_wait.Commit,
    "postgresql_sync": postgresql_sync.Replicated,
}
HTTP: Final[Mapping[str, Callable[[], Contender]]] = {
    OURS: lambda: meetkeeper_side.OverHttp(with_vmr=True),
    "meetkeeper_rooms": lambda: meetkeeper_side.OverHttp(with_vmr=False),
    "starlette_postgresql": starlette_postgresql.Commit,
    "radicale_put": radicale.Put,
}
READS: Final[Mapping[str, Callable[[], Reader]]] = {
    OURS: meetkeeper_side.Calendar,
    "sqlite": sqlite.Calendar,
    "postgresql": postgresql.Calendar,
}
RESTART: Final[Mapping[str, Callable[[], Restarter]]] = {
    OURS: meetkeeper_side.Restart,
    "meetkeeper_store": meetkeeper_side.StoreRestart,
    "redis_aof": redis.Restart,
    "sqlite_bytes": lambda: sqlite.Restart(typed=False),
    "sqlite_typed": lambda: sqlite.Restart(typed=True),
}
