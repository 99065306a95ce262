"""Patroni at its defaults (ttl 30, loop_wait 10, retry_timeout 10): two servers and an etcd; the leader's host gone.

Patroni starts a PostgreSQL that died again by itself, so both are killed: what a lost host looks like to the others.
The figure ends with the first row that the other server takes. Runs as root: PostgreSQL itself as `postgres`.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from bench.processes import free_port

FAILOVER_S_MAX = 180.0
START_S_MAX = 120.0
AS_POSTGRES = ("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups")


class Member:
    """One Patroni with its PostgreSQL."""

    def __init__(self, name: str, folder: Path, etcd: int, binaries: Path) -> None:
        self.name, self.rest, self.port = name, free_port(), free_port()
        user = {"username": "postgres", "password": "bench"}
        settings = {
            "scope": "bench",
            "name": name,
            "restapi": {"listen": f"127.0.0.1:{self.rest}", "connect_address": f"127.0.0.1:{self.rest}"},
            "etcd3": {"host": f"127.0.0.1:{etcd}"},
            "bootstrap": {
                "dcs": {"ttl": 30, "loop_wait": 10, "retry_timeout": 10},
                "initdb": ["data-checksums", {"encoding": "UTF8"}],
            },
            "postgresql": {
                "listen": f"127.0.0.1:{self.port}",
                "connect_address": f"127.0.0.1:{self.port}",
                "data_dir": str(folder / name),
                "pgpass": str(folder / f"{name}.pgpass"),
                "bin_dir": str(binaries),
                "authentication": {"superuser": user, "replication": {"username": "copy", "password": "bench"}},
                "pg_hba": ["local all all trust", "host all all 127.0.0.1/32 trust",
                           "host replication copy 127.0.0.1/32 trust"],
                "parameters": {"unix_socket_directories": str(folder)},
            },
        }  # fmt: skip
        self._settings = folder / f"{name}.yml"
        self._settings.write_text(json.dumps(settings))
        self._log = folder / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it in a session of its own."""
        with self._log.open("wb") as log:
            command = [*AS_POSTGRES, "patroni", str(self._settings)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def kill(self) -> None:
        """Patroni and all of its PostgreSQL, at once."""
        if self.process is None:
            return
        data = str(self._settings.with_suffix(""))
        for entry in Path("/proc").iterdir():
            with suppress(OSError, ValueError):
                if entry.name.isdigit() and data in (entry / "cmdline").read_text().replace("\0", " "):
                    os.kill(int(entry.name), signal.SIGKILL)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None

    def is_(self, what: str) -> bool:
        """By its REST API: primary, replica."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.rest}/{what}", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def writes(self, words: str) -> bool:
        """It takes this statement."""
        address = f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres connect_timeout=1"
        done = subprocess.run(["psql", "-qX", address, "-c", words], capture_output=True, check=False)
        return done.returncode == 0


def failovers(runs: int, say: Callable[[str], None]) -> list[float]:
    """Seconds of each; empty where Patroni or its parts are not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    missing = [one for one in ("patroni", "etcd", "psql", "setpriv") if shutil.which(one) is None]
    if missing or not found:
        say(f"patroni: not installed ({', '.join(missing) or 'postgresql'})")
        return []
    took = []
    for _ in range(runs):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="patroni-")))
            took.append(_once(folder, found[-1], stack))
        say(f"patroni, killed: {took[-1]:.3f} s")
    return took


def _once(folder: Path, binaries: Path, stack: ExitStack) -> float:
    shutil.chown(folder, "postgres")
    client, peer = free_port(), free_port()
    urls = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
    command = ["etcd", "--data-dir", str(folder / "etcd"), "--name", "one", "--log-level", "error"]
    command += ["--logger", "zap", "--initial-cluster", f"one={urls[1]}"]
    command += ["--listen-client-urls", urls[0], "--advertise-client-urls", urls[0]]
    command += ["--listen-peer-urls", urls[1], "--initial-advertise-peer-urls", urls[1]]
    etcd = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    stack.callback(etcd.wait)
    stack.callback(etcd.kill)
    one, other = (Member(name, folder, client, binaries) for name in ("one", "other"))
    for member, role in ((one, "primary"), (other, "replica")):
        member.start()
        stack.callback(member.kill)
        _wait(lambda member=member, role=role: member.is_(role), START_S_MAX)  # type: ignore[misc]
    _wait(lambda: one.writes("create table if not exists t (x int)"), START_S_MAX)
    time.sleep(12.0)
    begun = time.monotonic()
    one.kill()
    _wait(lambda: other.writes("insert into t values (1)"), FAILOVER_S_MAX)
    return time.monotonic() - begun


def _wait(true: Callable[[], bool], within_s: float) -> None:
    until_s = time.monotonic() + within_s
    while not true():
        if time.monotonic() > until_s:
            raise RuntimeError(f"not within {within_s} s")
        time.sleep(0.02)
