"""A long time of bad weather in which nobody may take over: every core taken, lost packets, a disk that stalls.

Run it as root: `python -m bench.calm --minutes 60 --json FILE`. Two real servers with their agents in network
namespaces, their register is an etcd in a third one, everything at its defaults, two clients book all the time. Every
core is busy all the while, and gusts come one after the other, drawn from one seed: two seconds without a packet, two
seconds in which every third packet is lost, ten seconds in which each flush of one server stalls for 1.5 s. A change of
who acts is a false failover.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.figures import percentile
from tests.faults.scene import INSTALL_HINT, Scene, missing, scene
from tests.pair.disks import tampered
from tests.pair.servers import Load, Watch

GUST_S = 2.0
STALL_US = 1_500_000
STALLS_S = 10.0
BETWEEN_S = 8.0
GUSTS = ("no packets", "every third packet lost", "flushes stall")


class Weather:
    """What is brought upon a pair, drawn from a seed."""

    def __init__(self, made: Scene, seed: int) -> None:
        self._made, self._dice = made, random.Random(seed)
        self.gusts: Counter[str] = Counter()

    def gust(self) -> str:
        """One of them, from its beginning to its end."""
        kind, host = self._dice.choice(GUSTS), self._dice.choice("ab")
        cables = self._made.cables
        if kind == "no packets":
            cables.down(host)
            time.sleep(GUST_S)
            cables.up(host)
        elif kind == "flushes stall":
            server = self._made.pair.a if host == "a" else self._made.pair.b
            node = server.node_pid()
            assert node is not None, server.tail()
            with tampered(node, f"fdatasync:delay_enter={STALL_US}"):
                time.sleep(STALLS_S)
        else:
            cables.rule(host, "in", "meta l4proto tcp numgen random mod 3 == 0 drop")
            time.sleep(GUST_S)
            cables.mend()
        self.gusts[kind] += 1
        return f"{kind} ({host})"


@contextmanager
def every_core_taken(nice: int) -> Iterator[None]:
    """As many spinning processes as there are cores, at this priority."""
    cores = str(os.cpu_count() or 2)
    command = ["nice", "-n", str(nice), "stress-ng", "--quiet", "--cpu", cores]
    stress = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield
        assert stress.poll() is None, "the cores were not taken to the end"
    finally:
        stress.terminate()
        stress.wait(10)


def calm(made: Scene, minutes: float, seed: int, nice: int) -> dict[str, object]:
    """What was seen in so many minutes. Raises AssertionError when anything acknowledged is missing afterwards."""
    active = made.pair.wait_in_sync(120.0)
    weather = Weather(made, seed)
    begun_s = time.monotonic()
    with (
        every_core_taken(nice),
        Watch(made.pair) as watch,
        Load(made.client, threads=2, pause_s=0.5, within_s=60.0),
    ):
        while time.monotonic() - begun_s < minutes * 60:
            told = weather.gust()
            print(
                f"{time.monotonic() - begun_s:7.1f} s {told}; acting: {watch.changes}",
                file=sys.stderr,
                flush=True,
            )
            time.sleep(BETWEEN_S)
    took = sorted(one.took_s for one in made.client.told)
    made.judge()
    return {
        "minutes": minutes,
        "seed": seed,
        "priority_of_the_load": nice,
        "gusts": dict(weather.gusts),
        "false_failovers": sum(name != active.name for _, name in watch.changes),
        "dual_active": watch.dual,
        "acknowledged_and_there": made.client.check(),
        "booking_median_s": round(percentile(took, 0.5), 3),
        "booking_p99_s": round(percentile(took, 0.99), 3),
        "booking_worst_s": round(took[-1], 3),
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--nice", type=int, default=0, help="priority of what takes the cores; 0: like everybody"
    )
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if lacks := missing("etcd", "stress-ng", "strace"):
        sys.exit(f"{lacks} is missing: {INSTALL_HINT}")
    with tempfile.TemporaryDirectory(prefix="calm-") as folder, scene(Path(folder), etcd=True) as made:
        told = calm(made, asked.minutes, asked.seed, asked.nice)
    text = json.dumps(told, indent=2)
    print(text)
    if asked.json:
        asked.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
