"""Everything measured in one run, and the ratios drawn from it. Arithmetic only."""

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct, field

from bench.figures import Figures, Loaded, median, median_figures

QUESTIONS: Final = ("agenda", "agenda_json", "free_busy", "free_rooms")
"""What the read rows ask; names of methods of `figures.Reader` and sections of the cells."""


class Cell(Struct, frozen=True):
    """Which figure: part of the run, contender, and number of clients (1 for one reader)."""

    section: str
    contender: str
    clients: int


class Contestant(Struct, frozen=True):
    """How a contender introduces itself in the report."""

    name: str
    does: str


class Results(Struct):
    """Filled while measuring."""

    rounds: dict[Cell, list[Figures]] = field(default_factory=dict)
    loads: dict[str, list[Loaded]] = field(default_factory=dict)
    singles: dict[str, float] = field(default_factory=dict)
    """Figures by name that are measured once, unit last."""
    contestants: dict[tuple[str, str], Contestant] = field(default_factory=dict)
    """By (section, contender)."""
    missing: dict[tuple[str, str], str] = field(default_factory=dict)
    """By (section, contender): why there is no figure."""
    left_out: list[str] = field(default_factory=list)
    """What the deadline cut."""

    def cell(self, section: str, contender: str, clients: int = 1) -> Figures | None:
        """Medians over the rounds."""
        rounds = self.rounds.get(Cell(section, contender, clients))
        return median_figures(rounds) if rounds else None

    def loaded(self, contender: str) -> Loaded | None:
        """Medians over the cold starts."""
        loads = self.loads.get(contender)
        if not loads:
            return None
        return Loaded(
            median([load.seconds for load in loads]),
            round(median([load.resident_bytes for load in loads])),
            loads[0].meetings,
        )


MEETINGS_MIN: Final = 1_000_000
"""With fewer, the cold start is the interpreter's and the memory is its libraries': no ratio is drawn."""

Of = Callable[[Results], float | None]


def _per_second(section: str, contender: str, clients: int = 1) -> Of:
    def of(results: Results) -> float | None:
        cell = results.cell(section, contender, clients)
        return None if cell is None else cell.per_second

    return of


def _p99_ms(section: str, contender: str, clients: int) -> Of:
    def of(results: Results) -> float | None:
        cell = results.cell(section, contender, clients)
        return None if cell is None else cell.p99_ms

    return of


def _load_s(contender: str) -> Of:
    def of(results: Results) -> float | None:
        loaded = results.loaded(contender)
        return None if loaded is None or loaded.meetings < MEETINGS_MIN else loaded.seconds

    return of


def _bytes_per_meeting(contender: str) -> Of:
    def of(results: Results) -> float | None:
        loaded = results.loaded(contender)
        return (
            None
            if loaded is None or loaded.meetings < MEETINGS_MIN
            else loaded.resident_bytes / loaded.meetings
        )

    return of


def _single(name: str) -> Of:
    return lambda results: results.singles.get(name)


def _commit(contender: str) -> Of:
    return _per_second("commit", contender, 64)


def _replicated(contender: str) -> Of:
    return _per_second("replicated", contender, 64)


def _http(contender: str) -> Of:
    return _per_second("http", contender, 64)


RATIOS: Final[Mapping[str, tuple[Of, Of]]] = {
    "commit64_vs_redis_aof_always": (_commit("meetkeeper"), _commit("redis_aof_always")),
    "commit64_vs_postgresql": (_commit("meetkeeper"), _commit("postgresql")),
    "commit64_vs_sqlite_group": (_commit("meetkeeper"), _commit("sqlite_group")),
    "commit64_vs_file_per_meeting": (_commit("meetkeeper"), _commit("file_per_meeting")),
    "commit64_vs_raw_append": (_commit("meetkeeper"), _commit("raw_append")),
    "commit64_p99_vs_redis_aof_always": (
        _p99_ms("commit", "redis_aof_always", 64),
        _p99_ms("commit", "meetkeeper", 64),
    ),
    "replicated64_vs_redis_wait": (_replicated("meetkeeper"), _replicated("redis_wait")),
    "replicated64_vs_postgresql_sync": (_replicated("meetkeeper"), _replicated("postgresql_sync")),
    "failover_vs_patroni": (_single("failover_patroni_s"), _single("failover_host_gone_median_s")),
    "failover_vs_sentinel": (_single("failover_sentinel_s"), _single("failover_host_gone_median_s")),
    "http64_vs_starlette_postgresql": (_http("meetkeeper"), _http("starlette_postgresql")),
    "http64_vs_radicale_put": (_http("meetkeeper"), _http("radicale_put")),
    "agenda_vs_sqlite_typed": (_per_second("agenda", "meetkeeper"), _per_second("agenda", "sqlite")),
    "agenda_vs_postgresql": (_per_second("agenda", "meetkeeper"), _per_second("agenda", "postgresql")),
    "agenda_json_vs_sqlite": (_per_second("agenda_json", "meetkeeper"), _per_second("agenda_json", "sqlite")),
    "free_busy_vs_sqlite": (_per_second("free_busy", "meetkeeper"), _per_second("free_busy", "sqlite")),
    "free_rooms_vs_sqlite": (_per_second("free_rooms", "meetkeeper"), _per_second("free_rooms", "sqlite")),
    "free_rooms_vs_postgresql": (
        _per_second("free_rooms", "meetkeeper"),
        _per_second("free_rooms", "postgresql"),
    ),
    "restart_1m_vs_redis_aof": (_load_s("redis_aof"), _load_s("meetkeeper")),
    "restart_1m_vs_sqlite_typed": (_load_s("sqlite_typed"), _load_s("meetkeeper")),
    "memory_vs_redis": (_bytes_per_meeting("redis_aof"), _bytes_per_meeting("meetkeeper")),
}
"""(above, below) the line: for rates ours is above, for times and memory theirs, so that above 1 we are ahead."""


def ratios(results: Results) -> dict[str, float | None]:
    """Every ratio; None where one side has no figure."""
    drawn: dict[str, float | None] = {}
    for name, (above, below) in RATIOS.items():
        over, under = above(results), below(results)
        drawn[name] = None if over is None or not under else over / under
    return drawn
