"""How long nobody is served: a server's process killed, its host cut off, a planned switchover; many times each.

Run it as root: `python -m bench.failover --runs 20 --json FILE`. Two real servers with their agents live in network
namespaces, their register is an etcd in a third one; everything is at its defaults. Beside them, where installed
and asked for (`--peers`), Patroni and Redis Sentinel by the same clock and the same client: from the blow until the
first write that is acknowledged by the server that took over. A kind's figure is in seconds.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from msgspec import Struct

from bench.figures import Failed, Unavailable
from bench.peers import patroni, sentinel
from tests.faults.scene import INSTALL_HINT, missing, scene
from tests.pair.servers import Client, Load, Pair, Server, request

KINDS = ("killed", "host gone", "switchover")
PEERS = {"patroni": patroni.failovers, "sentinel": sentinel.failovers}
STEADY_S = 1.0
"""So long a pair has been whole before the next blow."""


class Timed(Struct, frozen=True):
    """One kind of blow: every run's seconds, in order."""

    runs_s: tuple[float, ...]

    def told(self) -> dict[str, object]:
        """For JSON."""
        return {
            "runs": len(self.runs_s),
            "median_s": round(statistics.median(self.runs_s), 3),
            "worst_s": round(max(self.runs_s), 3),
            "best_s": round(min(self.runs_s), 3),
            "all_s": [round(one, 3) for one in self.runs_s],
        }


class Meetkeeper:
    """A pair, struck again and again by one client."""

    def __init__(self, pair: Pair, client: Client) -> None:
        self._pair, self._client = pair, client

    def blow(self, kind: str) -> float:
        """Seconds until a booking is acknowledged by the other server; for a switchover the longest wait of any."""
        pair = self._pair
        active = pair.wait_in_sync(120.0)
        time.sleep(STEADY_S)
        if kind == "switchover":
            return self._switch(active)
        other = pair.other(active)
        begun = time.monotonic()
        if kind == "killed":
            active.kill_node()
        else:
            assert pair.net is not None
            pair.net.down(active.name)
        self._client.book(60.0, other)
        took_s = time.monotonic() - begun
        if kind == "host gone":
            assert pair.net is not None
            pair.net.up(active.name)
        return took_s

    def _switch(self, active: Server) -> float:
        before = len(self._client.told)
        with Load(self._client, threads=4, pause_s=0.005):
            time.sleep(0.3)
            token = ("Authorization", f"Bearer {self._client.token()}")
            path = "/api/v1/cluster/switchover"
            said = request(active, "POST", path, b"{}", (token, ("Content-Type", "application/json")), 30.0)
            if said[0] not in (200, 202):
                raise RuntimeError(f"{said[0]}: {said[2].decode(errors='replace')}")
            self._pair.wait_active(self._pair.other(active))
            time.sleep(0.3)
        return max(told.took_s for told in self._client.told[before:])

    def rest(self) -> None:
        """Ten crashes in ten minutes are more than an agent suffers: new agents are started."""
        for one in self._pair.both:
            self._pair.wait_in_sync(120.0)
            one.stop()
            one.start()
        self._pair.wait_in_sync(120.0)


def measure(runs: int, kinds: tuple[str, ...], say: Callable[[str], None]) -> dict[str, Timed]:
    """Every kind, `runs` times, on one pair."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="failover-") as folder, scene(Path(folder), etcd=True) as made:
        pair, client = made.pair, made.client
        struck = Meetkeeper(pair, client)
        for kind in kinds:
            took = []
            for number in range(runs):
                if kind == "killed" and number % 12 == 11:
                    struck.rest()
                took.append(struck.blow(kind))
                say(f"meetkeeper, {kind}: {took[-1]:.3f} s")
            found[kind] = Timed(tuple(took))
        pair.wait_in_sync(120.0)
        say(f"acknowledged and still there: {client.check()}")
    return found


def figures(runs: int, say: Callable[[str], None]) -> Mapping[str, float]:
    """For `make bench`: `failover_…_s` by name. Medians of `runs`; the neighbours once each, at the same time.

    They wait for their timers, 30 s of them, and need no processor meanwhile: so nobody disturbs the other. Raises
    `Unavailable` where this machine can't cut a host off, `Failed` when nobody took over.
    """
    lacks = missing("etcd")
    if lacks:
        raise Unavailable(f"{lacks} is missing: {INSTALL_HINT}")
    told: dict[str, float] = {}
    try:
        timings = measure(runs, KINDS, say)
    except AssertionError as error:  # the scene's own word for what never came
        raise Failed(str(error)) from error
    for kind, timed in timings.items():
        name = kind.replace(" ", "_")
        told[f"failover_{name}_median_s"] = statistics.median(timed.runs_s)
        told[f"failover_{name}_worst_s"] = max(timed.runs_s)
    with ThreadPoolExecutor(len(PEERS)) as threads:
        for name, runs_s in zip(PEERS, threads.map(lambda peer: peer(1, say), PEERS.values()), strict=True):
            if runs_s:
                told[f"failover_{name}_s"] = runs_s[0]
    return told


def _ratio(theirs_s: list[float], ours: Timed) -> float:
    return statistics.median(theirs_s) / statistics.median(ours.runs_s)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--peers", type=int, default=0, help="runs of Patroni and Redis Sentinel; 0: none")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("Network namespaces need root.")

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    kinds = tuple(kind for kind in asked.kinds.split(",") if kind)
    found = measure(asked.runs, kinds, say) if kinds else {}
    told: dict[str, object] = {f"meetkeeper, {kind}": one.told() for kind, one in found.items()}
    if asked.peers:
        for name, failovers in PEERS.items():
            runs_s = failovers(asked.peers, say)
            if runs_s:
                told[f"{name}, killed"] = Timed(tuple(runs_s)).told()
                told |= {
                    f"failover_vs_{name}, {kind}": round(_ratio(runs_s, one), 1)
                    for kind, one in found.items()
                    if kind != "switchover"
                }
    text = json.dumps(told, indent=2)
    print(text)
    if asked.json:
        asked.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
