"""Clocks that jump or differ, processors that are busy, descriptors that run out: for real, and nobody takes over."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from glob import glob
from pathlib import Path

import pytest

from tests.conftest import RequireReal
from tests.faults.scene import CLOCKS, HELD_S, LONG, TAKEN_OVER_S, Scene, forbidden, scene
from tests.pair.servers import Client, Load, Server, Watch, alive, laid_down, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.xdist_group("faults-clocks")]

FAKETIME = next(iter(glob("/usr/lib/*/faketime/libfaketimeMT.so.1")), "")
HOUR_S = 3600
JUMPS = {
    "an hour on": f"+{HOUR_S}",
    "two hours back": f"-{2 * HOUR_S}",
    "back to 1970": "1970-01-02 00:00:00",
}


@pytest.fixture(scope="module")
def clocks(tmp_path_factory: pytest.TempPathFactory, require_real: RequireReal) -> Iterator[Scene]:
    """A pair whose wall clocks are read from a file each; the steady ones are real."""
    require_real("libfaketime", bool(FAKETIME), "apt install faketime")
    folder = tmp_path_factory.mktemp("clocks")
    with ExitStack() as stack:
        pair = stack.enter_context(laid_down(folder))
        for one in pair.both:
            _clock(one).write_text("+0\n")
            one.environment |= {
                "LD_PRELOAD": FAKETIME,
                "FAKETIME_TIMESTAMP_FILE": str(_clock(one)),
                "FAKETIME_NO_CACHE": "1",
                "DONT_FAKE_MONOTONIC": "1",
            }
        pair.start()
        yield Scene(pair, Client(pair))


def _clock(one: Server) -> Path:
    return one.home.path.with_name(f"clock-{one.name}")


@pytest.mark.parametrize("jump", JUMPS)
@pytest.mark.parametrize("who", ["active", "passive"])
def test_a_wall_clock_that_jumps_moves_no_role(clocks: Scene, who: str, jump: str) -> None:
    """F18: whoever's clock it is, and back again: the role stays, bookings are acknowledged, none is lost."""
    pair = clocks.pair
    active = pair.wait_in_sync()
    one = active if who == "active" else pair.other(active)
    seen = one.text().count("pair.paused")
    with Watch(pair) as watch:
        for text in (JUMPS[jump], "+0"):
            _clock(one).write_text(f"{text}\n")
            seen += 1
            until(lambda n=seen: one.text().count("pair.paused") >= n, 5.0, "it is noticed", pair.tails)  # type: ignore[misc]
            for _ in range(5):
                assert clocks.client.book(HELD_S).by == active.name
                time.sleep(0.1)
    assert pair.wait_in_sync() is active
    assert watch.dual == 0
    clocks.judge()


def test_clocks_since_boot_may_differ_by_a_day(tmp_path: Path, require_real: RequireReal) -> None:
    """F19: time namespaces a day apart: leases are counted on one clock each, and a failover is as quick as ever."""
    able = os.geteuid() == 0 and shutil.which("unshare") is not None and Path("/proc/self/ns/time").exists()
    require_real("time namespaces", able, "run as root on Linux 5.6 or newer")
    if refused := forbidden(CLOCKS):
        pytest.skip(f"this machine lets nobody make time namespaces: {refused}")
    with laid_down(tmp_path) as pair:
        pair.b.wrap = ("unshare", "--time", "--boottime", "86400", "--monotonic", "86400")
        pair.start()
        client = Client(pair)
        with Watch(pair) as watch:
            _busy(client, 3.0)
            assert pair.active() is pair.a
            pair.a.kill()
            pair.wait_active(pair.b, TAKEN_OVER_S)
            pair.a.start()
            Scene(pair, client).judge()
        assert watch.dual == 0


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A pair for what follows."""
    with scene(tmp_path_factory.mktemp("pressure"), wired=False) as made:
        yield made


def test_busy_processors_are_no_failure(standing: Scene, require_real: RequireReal) -> None:
    """F31: every core is taken: slower, and nobody takes over."""
    require_real("stress-ng", shutil.which("stress-ng") is not None, "apt install stress-ng")
    for_s = 3600 if LONG else 8
    cores = os.cpu_count() or 2
    stress = subprocess.Popen(
        ["stress-ng", "--quiet", "--cpu", str(cores), "--timeout", f"{for_s}s"], stdout=subprocess.DEVNULL
    )
    try:
        _no_failover(standing, float(for_s))
    finally:
        stress.terminate()
        stress.wait(10)


@pytest.mark.parametrize("who", ["active", "passive"])
def test_descriptors_that_run_out_are_no_failure(standing: Scene, who: str) -> None:
    """F31: no further descriptor for a while: what is connected goes on, nobody takes over, and it recovers."""
    active = standing.pair.wait_in_sync()
    one = active if who == "active" else standing.pair.other(active)
    node = one.node_pid()
    assert node is not None
    used = len(os.listdir(f"/proc/{node}/fd"))
    subprocess.run(["prlimit", f"--pid={node}", f"--nofile={used}:"], check=True)
    try:
        time.sleep(5.0)
        assert alive(node), one.tail()
        assert not standing.pair.other(active).acts()
    finally:
        subprocess.run(["prlimit", f"--pid={node}", "--nofile=1024:"], check=True)
    until(one.answers, 10.0, "it answers again", standing.pair.tails)
    assert standing.client.book(HELD_S).by == active.name
    standing.judge()


def _no_failover(standing: Scene, for_s: float) -> None:
    active = standing.pair.wait_in_sync()
    with Watch(standing.pair) as watch, Load(standing.client, threads=2, pause_s=0.05):
        time.sleep(for_s)
    assert {name for _, name in watch.changes} <= {active.name}, standing.pair.tails()
    assert active.acts(5.0)
    standing.judge()


def _busy(client: Client, for_s: float) -> None:
    with Load(client, threads=2):
        time.sleep(for_s)
