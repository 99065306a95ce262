"""A worker of the file register that does as a test says: `fileworker` with orders, files in a folder of the test.

`die`: the next change is made, and the process dies before it says so. `hold`: the next change gets stuck in its last
step, in a process that survives this one, until `go` is there; when it is through, it writes `done`. As long as
`linkless` is there the share knows no links, as long as `blind` is there its listing lags two numbers behind.
"""

import errno
import json
import os
import sys
import time
from pathlib import Path

from meetkeeper.registers import fileworker

GIVE_UP_S = 60.0
LINK, LISTDIR = os.link, os.listdir


def program(orders: Path) -> Path:
    """A program for `Worker` that looks for its orders here."""
    root = Path(__file__).parents[2]
    path = orders / "program.py"
    path.write_text(
        f"import sys\nsys.path[:0] = [{str(root)!r}, {str(root / 'src')!r}]\n"
        "from pathlib import Path\nfrom tests.registers.deputy import main\n"
        f"main(Path({str(orders)!r}), sys.argv[1])\n"
    )
    return path


def main(orders: Path, folder: str) -> None:
    """As `fileworker.main`, with the orders looked at before each change."""
    for line in sys.stdin.buffer:
        os.link = _no_link if (orders / "linkless").exists() else LINK  # type: ignore[assignment]
        os.listdir = _old_listing if (orders / "blind").exists() else LISTDIR  # type: ignore[assignment]
        question = json.loads(line)
        changes = question["do"] == "change"
        if changes and _taken(orders / "hold"):
            _hold(orders, folder, question)
        answer = fileworker.handle(folder, question)
        if changes and _taken(orders / "die"):
            os._exit(1)
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
        sys.stdout.buffer.flush()


def _no_link(made: str, target: str) -> None:
    raise PermissionError(errno.EPERM, "no links here", target)


def _old_listing(folder: str) -> list[str]:
    return sorted(LISTDIR(folder))[:-2]


def _taken(order: Path) -> bool:
    """True once for each time it was written."""
    try:
        order.unlink()
    except FileNotFoundError:
        return False
    return True


def _hold(orders: Path, folder: str, question: dict[str, str | int]) -> None:
    if os.fork():
        time.sleep(GIVE_UP_S)
        os._exit(1)
    os.setsid()
    os.close(0)
    os.close(1)

    def stuck(made: str, target: str) -> None:
        until = time.monotonic() + GIVE_UP_S
        while not (orders / "go").exists():
            if time.monotonic() > until:
                os._exit(1)
            time.sleep(0.005)
        LINK(made, target)

    os.link = stuck  # type: ignore[assignment]
    # Under a name that the next change does not clear away: the step is with the share already.
    fileworker.change(folder, int(question["expected"]), str(question["data"]), ".stuck-")
    (orders / "done").write_text("")
    os._exit(0)
