"""What other people's load makers print, read right; and failed requests never pass for fast ones."""

import pytest

from bench.figures import Failed, Figures
from bench.http_load import figures_from as from_wrk
from bench.http_load import request


def test_a_request_is_complete() -> None:
    """The head names the length of the body and ends with an empty line."""
    made = request("POST", "/meetings", b"{}", {"Content-Type": "application/json"})
    head, _, body = made.partition(b"\r\n\r\n")
    assert body == b"{}"
    assert head.split(b"\r\n")[0] == b"POST /meetings HTTP/1.1"
    assert b"Content-Length: 2" in head.split(b"\r\n")


def test_wrk_is_read() -> None:
    """Requests by seconds, percentiles from microseconds."""
    assert from_wrk("Running\nBENCH 8000 4000000 1500.0 9000.0 0 0 0 0 0\n") == Figures(2_000.0, 1.5, 9.0)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "BENCH 0 4000000 0 0 0 0 0 0 0",
        "BENCH 8000 4000000 1 1 0 0 0 8000 0",
        "BENCH 8000 4000000 1 1 0 0 0 0 99",
    ],
)
def test_wrk_with_errors_is_no_figure(line: str) -> None:
    """Nothing said, nothing answered, answers that refuse, and time-outs each fail the cell."""
    with pytest.raises(Failed):
        from_wrk(line)


def test_redis_benchmark_is_read() -> None:
    """Only the last seven fields count: the tested command, printed before them, may hold commas."""
    peer = pytest.importorskip("bench.peers.redis", exc_type=ImportError)
    printed = (
        '"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max"\n'
        '"SET meeting:__rand_int__ {""a"":1,""b"":2}","35273.37","1.543","0.520","1.463","2.335","3.167","18.511"\n'
    )
    assert peer.figures_from(printed) == Figures(35_273.37, 1.463, 3.167)
    with pytest.raises(Failed):
        peer.figures_from("Could not connect")


def test_pgbench_is_read() -> None:
    """The rate leaves the connecting out; percentiles come from the log; a failed transaction fails the cell."""
    peer = pytest.importorskip("bench.peers.postgresql", exc_type=ImportError)
    printed = "number of failed transactions: {} (0.000%)\ntps = 12.5 (without initial connection time)\n"
    logged = [f"0 {number} {number * 1_000} 0 1600000000 0" for number in range(1, 101)]
    assert peer.figures_from(printed.format(0), logged) == Figures(12.5, 50.0, 99.0)
    with pytest.raises(Failed):
        peer.figures_from(printed.format(3), logged)
