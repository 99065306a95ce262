"""PostgreSQL with a synchronous standby: each commit on both disks, through its own load maker."""

import signal
import time
from pathlib import Path
from typing import Final

from bench.figures import Failed
from bench.peers.postgresql import START_S, USER, Commit, tool
from bench.processes import Argv, Child, call, give_to

SYNC_S_MAX: Final = 30.0


class Replicated(Commit):
    """As `postgresql.Commit`, and nothing is answered before the standby has flushed it."""

    name = "PostgreSQL, synchronous standby"
    does = (
        "as PostgreSQL above, with a streaming standby over a Unix socket named in synchronous_standby_names, "
        "synchronous_commit=on: flushed on both"
    )

    def __init__(self) -> None:
        super().__init__()
        self._standby: Child | None = None

    def start(self, folder: Path) -> None:
        super().start(folder)
        assert self._server is not None
        standby = self._server.folder / "standby"
        data = standby / "data"
        standby.mkdir()
        give_to(standby, self._server.user)
        basebackup: Argv = [
            tool("pg_basebackup"),
            "-h",
            self._server.folder,
            "-U",
            USER,
            "-D",
            data,
            "-R",
            "-X",
            "stream",
        ]
        call(basebackup, START_S, user=self._server.user, cwd=self._server.folder)
        argv: Argv = [
            *(tool("postgres"), "-D", data, "-k", standby, "-c", "listen_addresses="),
            *("-c", "hot_standby=on", "-c", "shared_buffers=1GB", "-c", "max_connections=300"),
        ]
        self._standby = Child(argv, standby / "postgres.log", user=self._server.user)
        with self._server.open() as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
            end_s = time.monotonic() + SYNC_S_MAX
            asked = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
            while not (connection.execute(asked).fetchone() or (0,))[0]:
                if time.monotonic() > end_s:
                    raise Failed(f"the standby did not come up: {self._standby.last_words()}")
                time.sleep(0.1)

    def stop(self) -> None:
        if self._standby is not None:
            self._standby.stop(signal.SIGINT)
        super().stop()
