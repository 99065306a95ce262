"""Cold starts in a child process: from its start until it says that it holds everything.

The child side (`say_ready`) imports next to nothing, so that a peer's clock does not run for our imports.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from bench.figures import Loaded

LOAD_S: Final = 180.0
LINGER_S: Final = 600.0


def load_in_child(
    module: str, arguments: Sequence[str | Path], folder: Path, make_cold: Callable[[], None]
) -> "Loaded":
    """Run `python -m module *arguments ANSWER` until ANSWER appears, read its memory, end it."""
    from bench.figures import Loaded
    from bench.processes import Child, resident_bytes

    answer = folder / "answer.json"
    answer.unlink(missing_ok=True)
    make_cold()
    begin_s = time.perf_counter()
    child = Child([sys.executable, "-m", module, *arguments, answer], folder / "load.log", cwd=Path.cwd())
    try:
        child.wait_until(answer.exists, LOAD_S)
        seconds, memory = time.perf_counter() - begin_s, resident_bytes(child.pid)
    finally:
        child.stop()
    return Loaded(seconds, memory, int(json.loads(answer.read_text())["meetings"]))


def say_ready(answer: Path, held: Sized) -> NoReturn:
    """Tell the parent, and stay as we are until it has read our memory."""
    aside = answer.with_suffix(".part")
    aside.write_text(json.dumps({"meetings": len(held)}))
    aside.rename(answer)
    time.sleep(LINGER_S)
    raise SystemExit("nobody ended us")
