"""Child of the cold start row: fills one contender's store and closes it (`python -m bench.fill NAME FOLDER MEETINGS`).

Preparation, not measured; a process for each, so that they can be prepared side by side.
"""

import signal
import sys
from pathlib import Path
from typing import NoReturn

from bench.figures import Unavailable
from bench.plan import RESTART

EXIT_UNAVAILABLE = 3


def main() -> int:
    """0 when the store is there."""
    signal.signal(signal.SIGTERM, _end)
    name, folder, meetings = sys.argv[1:]
    try:
        RESTART[name]().fill(Path(folder), int(meetings))
    except Unavailable as why:
        print(why)
        return EXIT_UNAVAILABLE
    return 0


def _end(signum: int, _: object) -> NoReturn:
    raise SystemExit(128 + signum)


if __name__ == "__main__":
    sys.exit(main())
