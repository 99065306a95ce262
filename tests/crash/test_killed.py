"""A real process, really killed: whatever it had said was kept is there."""

import random
import subprocess
import sys
from pathlib import Path

from meetkeeper.host.disk import RealDisk
from meetkeeper.store.check import check
from meetkeeper.store.database import Database, Limits

KILLS = 3
PROGRAM = """
import os, sys
from pathlib import Path
from meetkeeper.core.changes import CookieKept
from meetkeeper.core.plan import Plan
from meetkeeper.core.words import RoomId
from meetkeeper.host.disk import RealDisk
from meetkeeper.store.committer import Committer
from meetkeeper.store.database import Database, Limits

database = Database.open(RealDisk(Path(sys.argv[1])), Limits(segment_bytes_max=20_000))
database.open_reign(database.promised + 1)
committer = Committer(database, lambda kept: os.write(1, b"%d\\n" % kept.seq), print)
committer.start()
for number in range(10_000_000):
    position = database.commit(Plan(float(number), (CookieKept(RoomId("red"), str(database.position.seq + 1)),)))
    committer.wake()
    if number % 100 == 99:
        database.finish_checkpoint(database.begin_checkpoint()) if number % 500 == 499 else None
    while position.seq - database.kept.seq > 50:
        pass
"""


def test_a_killed_server_has_kept_what_it_said(tmp_path: Path) -> None:
    """After kill -9 at any moment every frame that was told as kept is found, in the state of its turn."""
    dice, said = random.Random(4711), 0
    for _ in range(KILLS):
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path)], stdout=subprocess.PIPE
        ) as server:
            assert server.stdout is not None
            for _ in range(dice.randrange(1, 120)):
                said = int(server.stdout.readline())
            server.kill()
            rest = server.stdout.read().split(b"\n")
            said = max([said, *(int(line) for line in rest[:-1])])
        disk = RealDisk(tmp_path)
        database = Database.open(disk, Limits(segment_bytes_max=20_000))
        assert database.position.seq >= said
        assert database.state.cookies == {"red": str(database.position.seq)}
        database.close()
        assert [one for one in check(disk) if one.severity != "note"] == []
