"""The machine under the figures: what it is, how busy it was, and how to make its caches cold."""

import contextlib
import importlib.metadata
import os
import platform
import re
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from bench.figures import Failed, Unavailable, figures_of
from bench.peers.postgresql import tool
from bench.processes import call, program

PACKAGES: Final = ("msgspec", "uvloop", "uvicorn", "httptools", "starlette", "asyncpg", "psycopg", "radicale")
PROBE_FLUSHES: Final = 200
PROBE_BYTES: Final = 2_048
DROP_CACHES: Final = Path("/proc/sys/vm/drop_caches")
TELL_VERSION_S: Final = 10.0


def folder_beside(repository: Path) -> Path:
    """A fresh folder on the repository's disk that unprivileged servers can reach."""
    device = repository.stat().st_dev
    places = [Path("/var/tmp"), Path(tempfile.gettempdir())]
    place = next((one for one in places if one.stat().st_dev == device), repository / "build")
    place.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="side-by-side-", dir=place))
    folder.chmod(0o755)
    return folder


def is_cold_possible() -> bool:
    """True where we may empty the page cache."""
    return os.geteuid() == 0 and os.access(DROP_CACHES, os.W_OK)


def make_cold() -> None:
    """Write everything back and, where allowed, empty the page cache."""
    os.sync()
    if is_cold_possible():
        with contextlib.suppress(OSError):
            DROP_CACHES.write_text("3\n")


def facts(folder: Path) -> dict[str, str]:
    """What a reader needs to place the figures."""
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{_memory_bytes() / 2**30:.0f} GiB",
        "disk": _disk(folder),
        "kernel": f"{platform.system()} {platform.release()}",
        "distribution": platform.freedesktop_os_release().get("PRETTY_NAME", "unknown"),
        "python": platform.python_version(),
        **_versions(),
    }


def flush_ms(folder: Path) -> tuple[float, float]:
    """Median and 99th percentile of append + fdatasync of 2 KB, one thread."""
    data, latencies_s = b"m" * PROBE_BYTES, list[float]()
    path = folder / "probe"
    file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    try:
        for _ in range(PROBE_FLUSHES):
            begin_s = time.perf_counter()
            os.write(file, data)
            os.fdatasync(file)
            latencies_s.append(time.perf_counter() - begin_s)
    finally:
        os.close(file)
        path.unlink()
    figures = figures_of(latencies_s, 1.0)
    return figures.p50_ms, figures.p99_ms


class Busy:
    """How much of the processors others took between two looks."""

    def __init__(self) -> None:
        self._begin = _ticks()
        self.load_before = os.getloadavg()[0]

    def stolen_percent(self) -> float:
        """Share of time the host gave to somebody else."""
        end = _ticks()
        passed = sum(end.values()) - sum(self._begin.values())
        return 100.0 * (end["steal"] - self._begin["steal"]) / max(1, passed)


def _ticks() -> Mapping[str, int]:
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    return dict(zip(names, map(int, fields), strict=False))


def _processor() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _disk(folder: Path) -> str:
    """File system and options of the mount that holds the folder."""
    mounts = [line.split()[:4] for line in Path("/proc/mounts").read_text().splitlines()]
    holding = [mount for mount in mounts if folder.resolve().is_relative_to(mount[1])]
    if not holding:
        return "unknown"
    _, _, kind, options = max(holding, key=lambda mount: len(mount[1]))
    return f"{kind} ({options})"


def _versions() -> dict[str, str]:
    versions = {"SQLite": sqlite3.sqlite_version}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    servers: dict[str, Callable[[], Path]] = {
        "Redis": lambda: program("redis-server", "redis-server"),
        "PostgreSQL": lambda: tool("postgres"),
    }
    for name, find in servers.items():
        with contextlib.suppress(Unavailable, Failed):
            found = re.search(r"\d+\.\d+(\.\d+)?", call([find(), "--version"], TELL_VERSION_S))
            versions[name] = found[0] if found else "unknown"
    return versions


if sys.platform != "linux":
    raise SystemExit("The benchmarks read /proc and drive Linux servers; run them on Linux.")
