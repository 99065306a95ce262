"""Disks that are full, fail, lie, are slow or lose their power, for real: small file systems, loop devices, strace."""

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import RequireReal
from tests.faults.scene import (
    HELD_S,
    INSTALL_HINT,
    LONG,
    MOUNTS,
    TAKEN_OVER_S,
    TRACES,
    Scene,
    forbidden,
    missing,
    scene,
    stays,
)
from tests.pair.disks import fill, lying_disk, small_disk, tampered, volume
from tests.pair.servers import Client, Load, Watch, laid_down, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.xdist_group("faults-disks")]

REPAIRED_S = 90.0
"""An agent tries again after half a minute at the latest."""
SMALL = {"PYTHONPATH": str(Path(__file__).parent / "small")}


@pytest.fixture
def disks(require_real: RequireReal) -> None:
    """What this module needs."""
    lacks = missing("strace", "mkfs.ext4", "mount")
    require_real(f"real disk faults ({lacks})", not lacks, INSTALL_HINT)
    if refused := forbidden(MOUNTS, TRACES):
        pytest.skip(f"this machine lets nobody mount, or trace a process: {refused}")


@pytest.fixture
def pair(tmp_path: Path, disks: None) -> Iterator[Scene]:
    """Both homes on small disks of their own; judged when the test has passed its own words."""
    with ExitStack() as stack:
        for name in "ab":
            stack.enter_context(small_disk(tmp_path / name, 48))
        made = stack.enter_context(scene(tmp_path, wired=False))
        with Watch(made.pair) as watch:
            yield made
            made.pair.wait_in_sync(REPAIRED_S)
            made.judge()
        assert watch.dual == 0, watch.changes


def test_an_active_whose_disk_is_full_hands_over(pair: Scene) -> None:
    """F5: nothing is acknowledged that is on one disk alone, the other server acts; with room again it comes back."""
    filler = fill(pair.pair.a.home.path)
    told = pair.client.book(TAKEN_OVER_S)
    assert told.by == "b", pair.pair.tails()
    assert pair.pair.a.said("disk.full") or pair.pair.a.said("disk is full")
    filler.unlink()


def test_a_passive_whose_disk_is_full_is_left_out(pair: Scene) -> None:
    """F25: the active goes on without it, and lets it in again once it has room."""
    filler = fill(pair.pair.b.home.path)
    told = pair.client.book(TAKEN_OVER_S)
    assert told.by == "a", pair.pair.tails()
    for _ in range(10):
        assert pair.held_s() < HELD_S
    filler.unlink()


@pytest.mark.parametrize("errno", ["EIO", "ENOSPC"])
def test_a_failed_flush_is_final(pair: Scene, errno: str) -> None:
    """F6: the first fdatasync that fails ends the reign, though every later one would succeed."""
    node = pair.pair.a.node_pid()
    assert node is not None
    with tampered(node, f"fdatasync:error={errno}:when=1"):
        told = pair.client.book(TAKEN_OVER_S)
        assert told.by == "b", pair.pair.tails()
        until(lambda: pair.pair.a.node_pid() != node, 10.0, "that process ends", pair.pair.tails)


def test_a_failed_flush_of_the_passive_leaves_it_out(pair: Scene) -> None:
    """F25: what it could not make durable it never says it has."""
    node = pair.pair.b.node_pid()
    assert node is not None
    with tampered(node, "fdatasync:error=EIO:when=1"):
        told = pair.client.book(TAKEN_OVER_S)
        assert told.by == "a", pair.pair.tails()
        until(lambda: pair.pair.b.node_pid() != node, 10.0, "that process ends", pair.pair.tails)


@pytest.mark.parametrize("host", ["a", "b"])
def test_a_slow_disk_is_no_failure(pair: Scene, host: str) -> None:
    """F7, F31: each flush takes a second and a half: bookings wait, nobody takes over."""
    server = pair.pair.a if host == "a" else pair.pair.b
    node = server.node_pid()
    assert node is not None
    with tampered(node, "fdatasync:delay_enter=1500000"):
        until_s = time.monotonic() + (60.0 if LONG else 5.0)
        while time.monotonic() < until_s:
            assert pair.client.book(HELD_S).by == "a"
    assert pair.pair.a.in_sync() == ("a", "b"), pair.pair.tails()


def test_a_device_that_runs_out_beneath_the_file_system(tmp_path: Path, disks: None) -> None:
    """F6: a real failing fsync, a loop device on a full medium: the active ends, the other acts, nothing is lost."""
    with ExitStack() as stack:
        home = stack.enter_context(lying_disk(tmp_path / "a", 48))
        made = stack.enter_context(scene(tmp_path, wired=False))
        for _ in range(5):
            made.client.book()
        filler = fill(home.with_name("a-medium"))
        with Load(made.client, threads=2, pause_s=0.0):
            made.pair.wait_active(made.pair.b, 30.0)
        made.client.check()
        filler.unlink()
        assert made.pair.b.in_sync() == ("b",)


def test_the_power_of_both_fails_at_once(tmp_path: Path, disks: None) -> None:
    """F2, F3: everything that was not flushed is gone on both, in the same moment: what was acknowledged is there."""
    with ExitStack() as stack:
        volumes = [stack.enter_context(volume(tmp_path / name)) for name in "ab"]
        pair = stack.enter_context(laid_down(tmp_path))
        pair.start()
        client = Client(pair)
        _power_cycle(Scene(pair, client), volumes)
        assert len(client.told) > 20


@pytest.mark.parametrize("host", ["a", "b"])
def test_a_damaged_journal_is_had_from_the_other_server(pair: Scene, host: str) -> None:
    """F9: a bit flips in a frame that had been kept. Its server starts, follows, and has everything again by itself."""
    server = pair.pair.a if host == "a" else pair.pair.b
    for _ in range(6):
        pair.client.book()
    server.kill()
    _flip_a_bit(server.home.path / "databases" / "journal")
    pair.client.book()
    server.start()
    pair.pair.wait_in_sync(REPAIRED_S)
    assert server.said("store.mended"), server.tail()
    until(
        lambda: not (server.home.path / "local/cut-back.json").exists(), 10.0, "it is healed", pair.pair.tails
    )


def _set_back(home: Path, picture: Path) -> None:
    """As a snapshot of a whole disk does: the very same files, with what was in them then."""
    for folder in ("databases", "local"):
        for path in [path for path in (home / folder).rglob("*") if path.is_file()]:
            before = picture / path.relative_to(home)
            if before.exists():
                path.write_bytes(before.read_bytes())
            else:
                path.unlink()


def _flip_a_bit(folder: Path) -> None:
    """In the third frame from the end: those behind it say that it had been kept."""
    path = max(folder.glob("*.log"))
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) > 3, path
    lines[-3] = lines[-3][:20] + bytes([lines[-3][20] ^ 0x04]) + lines[-3][21:]
    path.write_bytes(b"".join(lines))


def test_a_disk_that_was_set_back_is_noticed(pair: Scene) -> None:
    """F22: an older picture of b's whole disk is put in place in less than a lease: it is left out and catches up."""
    home, picture = pair.pair.b.home.path, pair.pair.b.home.path.with_name("b-picture")
    pair.client.book()
    shutil.copytree(home, picture, ignore=lambda *_: {"lock"})
    for _ in range(6):
        pair.client.book()
    pair.pair.b.kill()
    _set_back(home, picture)
    seen = len(pair.pair.a.text())
    pair.pair.b.start()
    until(lambda: pair.pair.a.said("and had held seq", seen), 15.0, "it is noticed", pair.pair.tails)
    pair.pair.wait_in_sync(REPAIRED_S)


def test_a_file_system_that_goes_read_only(tmp_path: Path, disks: None) -> None:
    """F8: ext4 stops all writing on the active's disk; the other one acts, and the disk's owner is told why."""
    with ExitStack() as stack:
        disk = stack.enter_context(volume(tmp_path / "a"))
        pair = stack.enter_context(laid_down(tmp_path))
        pair.start()
        made = Scene(pair, Client(pair))
        for _ in range(5):
            made.client.book()
        disk.go_read_only()
        assert made.client.book(TAKEN_OVER_S).by == "b", pair.tails()
        assert pair.a.said("disk.read_only"), pair.a.tail()
        pair.a.kill()
        disk.repair()
        pair.a.start()
        pair.wait_in_sync(REPAIRED_S)
        made.judge()


def _power_cycle(made: Scene, volumes: list) -> None:  # type: ignore[type-arg]
    for _ in range(20):
        made.client.book()
    for one in volumes:
        one.power_off()
    made.pair.kill()
    for one in volumes:
        one.unmount()
        one.mount()
    for server in made.pair.both:
        server.start()
    made.pair.wait_in_sync(REPAIRED_S)
    made.judge()


def test_a_snapshot_that_is_cut_off_is_gone_on_with(tmp_path: Path, disks: None) -> None:
    """F24: a passive far behind, killed and cut off half way through a snapshot, goes on and offers no half state."""
    with scene(tmp_path, environment=SMALL) as made:
        pair, client, net = made.pair, made.client, made.cables
        _far_behind(made)
        net.on("a", "tc qdisc add dev eth0 root tbf rate 1mbit burst 16kb latency 400ms")
        seen = len(pair.b.text())
        pair.b.start()
        until(lambda: _incoming(made) > 20_000, 30.0, "a part of the snapshot", pair.tails)
        assert not pair.b.said("snapshot.installed", seen)
        pair.b.kill_node()
        until(lambda: pair.b.text().count("snapshot.wanted") >= 2, 30.0, "it asks again", pair.tails)
        assert "have_bytes=0" not in pair.b.text()[seen:].split("snapshot.wanted")[-1].splitlines()[0]
        net.cut("a", "b")
        time.sleep(1.0)
        stays(lambda: not pair.b.acts(), 4.0, "b does not act on half a state", pair)
        net.mend()
        made.judge()
        assert client.told


def _far_behind(made: Scene) -> None:
    made.pair.b.kill()
    with Load(made.client, threads=3, pause_s=0.0):
        written = "checkpoint.written"
        until(lambda: made.pair.a.text().count(written) >= 3, 60.0, "snapshots", made.pair.tails)


def _incoming(made: Scene) -> int:
    files = (made.pair.b.home.path / "local" / "incoming").glob("*.snap")
    return sum(path.stat().st_size for path in files)
