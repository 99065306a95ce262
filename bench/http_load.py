"""The load maker of all HTTP rows: wrk with ready-made requests, one thread, keep-alive connections.

A row hands over complete requests; wrk sends them in turn, so every body is another meeting, and numbers each, so that
sending one again changes the meeting. An answer other than 2xx or 3xx, or a timeout, makes the cell fail: errors are
quick, and would look like speed.
"""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from bench.figures import Failed, Figures
from bench.processes import Argv, call, program

SCRIPT: Final = Path(__file__).with_suffix(".lua").resolve()
TIMEOUT_S: Final = 20
GRACE_S: Final = 40.0
SHARE_OF_ERRORS_MAX: Final = 0.001


NUMBER: Final = b"\x03" * 8
"""Where the load maker puts the number of the request."""


def numbered(body: bytes, after: bytes) -> bytes:
    """The body with room for the number right after these words, in place of what stands there."""
    head, words, tail = body.partition(after)
    if not words:
        raise Failed(f"there is no {after!r} in the body")
    return head + words + NUMBER + tail[len(NUMBER) :]


def request(method: str, path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """One HTTP/1.1 request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


class HttpLoad:
    """Requests written down once, sent in every round."""

    def __init__(self, requests: Iterable[bytes], file: Path) -> None:
        self._wrk = program("wrk", "wrk")
        self._file = file
        with file.open("wb") as out:
            for one in requests:
                out.write(one.replace(b"\r", b"\x01").replace(b"\n", b"\x02") + b"\n")

    def run(self, port: int, connections: int, seconds: float) -> Figures:
        argv: Argv = [
            *(self._wrk, "--threads", "1", "--connections", str(connections)),
            *("--duration", f"{max(1, round(seconds))}s", "--timeout", f"{TIMEOUT_S}s", "--latency"),
            *(
                "--script",
                SCRIPT,
                f"http://127.0.0.1:{port}/",
                "--",
                self._file,
                str(time.time_ns() // 1_000_000),
            ),
        ]
        return figures_from(call(argv, seconds + TIMEOUT_S + GRACE_S))


def figures_from(printed: str) -> Figures:
    """What the script's line says; more than a few errors fail the cell."""
    told = [line.split()[1:] for line in printed.splitlines() if line.startswith("BENCH ")]
    if len(told) != 1:
        raise Failed(f"wrk said: {printed[-300:]}")
    requests, duration_us, p50_us, p99_us, connect, read, write, status, timeout = (
        float(word) for word in told[0]
    )
    errors = connect + write + status + timeout
    if not requests or errors > requests * SHARE_OF_ERRORS_MAX:
        raise Failed(
            f"of {requests:.0f} requests: {status:.0f} refused, {timeout:.0f} timed out, {connect:.0f} not connected, "
            f"{write:.0f} not written, {read:.0f} not read"
        )
    return Figures(requests / (duration_us / 1e6), p50_us / 1_000, p99_us / 1_000)
