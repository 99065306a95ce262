"""Redis Sentinel at its defaults: a master, a replica, three sentinels; the master killed, its process alone.

Debian's `sentinel.conf` says `down-after-milliseconds 30000`, and so do we. The figure ends with the first write that
the former replica takes.
"""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from bench.processes import free_port

DOWN_AFTER_MS = 30_000
FAILOVER_S_MAX = 120.0
SETTLE_S_MAX = 60.0


class Redis:
    """One redis-server, or one sentinel."""

    def __init__(self, folder: Path, settings: str, *, sentinel: bool = False) -> None:
        folder.mkdir()
        self.port = free_port()
        path = folder / "redis.conf"
        path.write_text(f"port {self.port}\nbind 127.0.0.1\ndir {folder}\nprotected-mode no\n{settings}\n")
        self._command = ["redis-sentinel" if sentinel else "redis-server", str(path)]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        nowhere = subprocess.DEVNULL
        self.process = subprocess.Popen(self._command, stdout=nowhere, stderr=nowhere)

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def ask(self, *words: str) -> str:
        """One command; its answer, or an empty text."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 0.5) as line:
                line.sendall((" ".join(words) + "\r\n").encode())
                return line.recv(65_536).decode(errors="replace")
        except OSError:
            return ""


def failovers(runs: int, say: Callable[[str], None]) -> list[float]:
    """Seconds of each; empty where Redis is not installed."""
    if shutil.which("redis-sentinel") is None:
        say("redis sentinel: not installed")
        return []
    found = []
    for _ in range(runs):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sentinel-")))
            found.append(_once(folder, stack))
        say(f"redis sentinel, killed: {found[-1]:.3f} s")
    return found


def _once(folder: Path, stack: ExitStack) -> float:
    master = Redis(folder / "master", "appendonly yes\nappendfsync always")
    replica = Redis(
        folder / "replica", f"appendonly yes\nappendfsync always\nreplicaof 127.0.0.1 {master.port}"
    )
    watch = f"sentinel monitor one 127.0.0.1 {master.port} 2\nsentinel down-after-milliseconds one {DOWN_AFTER_MS}"
    sentinels = [Redis(folder / f"sentinel{number}", watch, sentinel=True) for number in range(3)]
    for one in (master, replica, *sentinels):
        one.start()
        stack.callback(one.kill)
    until_s = time.monotonic() + SETTLE_S_MAX
    while not all("+OK" in one.ask("SENTINEL", "CKQUORUM", "one") or "OK 3" in one.ask("SENTINEL", "CKQUORUM", "one")
                  for one in sentinels) or "slaves=1" not in sentinels[0].ask("INFO", "sentinel"):  # fmt: skip
        if time.monotonic() > until_s:
            raise RuntimeError("the sentinels did not find each other")
        time.sleep(0.1)
    time.sleep(2.0)
    begun = time.monotonic()
    master.kill()
    while "+OK" not in replica.ask("SET", "a", "b"):
        if time.monotonic() - begun > FAILOVER_S_MAX:
            raise RuntimeError("nobody took over")
        time.sleep(0.02)
    return time.monotonic() - begun
