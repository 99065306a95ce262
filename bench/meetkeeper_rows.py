"""Child of the cold start row: opens a home the way the server does, and says when it holds everything."""

import gc
import sys
from pathlib import Path

from bench.cold_start import say_ready
from meetkeeper.host.disk import RealDisk
from meetkeeper.store.database import Database


def main() -> None:
    """`python -m bench.meetkeeper_rows HOME ANSWER`"""
    home, answer = map(Path, sys.argv[1:])
    gc.disable()
    database = Database.open(RealDisk(home))
    say_ready(answer, database.state.meetings)


if __name__ == "__main__":
    main()
