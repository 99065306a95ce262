"""Ratios: above one meetkeeper is ahead, and none is drawn from a missing figure."""

import pytest

from bench.figures import Figures, Loaded
from bench.results import MEETINGS_MIN, RATIOS, Cell, Results, ratios


def _filled(ours: float, theirs: float) -> Results:
    """Every cell a ratio asks for: ours and theirs per second, times and sizes the other way round."""
    results = Results()
    sections = ("commit", "replicated", "http", "agenda", "agenda_json", "free_busy", "free_rooms")
    peers = (
        *("redis_aof_always", "postgresql", "sqlite_group", "file_per_meeting", "raw_append", "sqlite"),
        *("starlette_postgresql", "radicale_put", "redis_wait", "postgresql_sync"),
    )
    for section in sections:
        for clients in (1, 64):
            results.rounds[Cell(section, "meetkeeper", clients)] = [Figures(ours, 1.0, 100.0 / ours)]
            for peer in peers:
                results.rounds[Cell(section, peer, clients)] = [Figures(theirs, 1.0, 100.0 / theirs)]
    results.loads["meetkeeper"] = [Loaded(100.0 / ours, int(1e12 / ours), MEETINGS_MIN)]
    results.singles["failover_host_gone_median_s"] = 100.0 / ours
    for peer in ("patroni", "sentinel"):
        results.singles[f"failover_{peer}_s"] = 100.0 / theirs
    for peer in ("redis_aof", "sqlite_typed", "sqlite_bytes"):
        results.loads[peer] = [Loaded(100.0 / theirs, int(1e12 / theirs), MEETINGS_MIN)]
    return results


@pytest.mark.parametrize("name", RATIOS)
def test_above_one_we_are_ahead(name: str) -> None:
    """Twice as good on our side is a ratio of two, half as good one of a half, whatever is compared."""
    assert ratios(_filled(200.0, 100.0))[name] == pytest.approx(2.0)
    assert ratios(_filled(50.0, 100.0))[name] == pytest.approx(0.5)


def test_a_small_restart_gives_no_ratio() -> None:
    """A ratio named after a million meetings is not drawn from twenty thousand."""
    results = _filled(200.0, 100.0)
    results.loads["meetkeeper"] = [Loaded(0.5, 1_000_000, 20_000)]
    drawn = ratios(results)
    assert drawn["restart_1m_vs_redis_aof"] is drawn["memory_vs_redis"] is None


def test_a_missing_side_leaves_the_ratio_empty() -> None:
    """Nothing measured: every promised ratio is there and empty."""
    drawn = ratios(Results())
    assert set(drawn.values()) == {None}
    assert {
        "commit64_vs_redis_aof_always",
        "commit64_vs_postgresql",
        "commit64_vs_sqlite_group",
        "commit64_vs_raw_append",
        "replicated64_vs_redis_wait",
        "replicated64_vs_postgresql_sync",
        "failover_vs_patroni",
        "failover_vs_sentinel",
        "http64_vs_starlette_postgresql",
        "http64_vs_radicale_put",
        "agenda_vs_sqlite_typed",
        "free_rooms_vs_sqlite",
        "restart_1m_vs_redis_aof",
        "memory_vs_redis",
    } <= set(drawn)
