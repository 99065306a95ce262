"""Cables and packets, for real: two servers and an etcd in namespaces of their own, cut apart in every way.

One pair lives through all of it. Who acknowledges is judged by a client; that never two act, by a watch on both.
"""

import signal
import time
from collections.abc import Iterator

import pytest

from tests.conftest import RequireReal
from tests.faults.scene import (
    HELD_S,
    INSTALL_HINT,
    LONG,
    NAMESPACES,
    TAKEN_OVER_S,
    Scene,
    forbidden,
    missing,
    scene,
    stays,
    tried,
)
from tests.pair.net import LINE
from tests.pair.servers import Load, Watch, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.xdist_group("faults-partitions")]


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory, require_real: RequireReal) -> Iterator[Scene]:
    """The pair of this module."""
    lacks = missing("etcd", "tc")
    require_real(f"real partitions ({lacks})", not lacks, INSTALL_HINT)
    if refused := forbidden(NAMESPACES):
        pytest.skip(f"this machine lets nobody make network namespaces: {refused}")
    with scene(tmp_path_factory.mktemp("partitions"), etcd=True) as made:
        yield made


@pytest.fixture
def pair(standing: Scene) -> Iterator[Scene]:
    """In sync, `a` acts; judged when the test has passed its own words."""
    standing.whole()
    with Watch(standing.pair) as watch:
        yield standing
        standing.cables.mend()
        standing.judge()
    assert watch.dual == 0, watch.changes


def test_cut_apart_the_active_stays(pair: Scene) -> None:
    """F10: active ↔ passive, the register reachable to both: the active goes on alone and lets the passive in later."""
    pair.cables.cut("a", "b")
    assert pair.client.book(HELD_S).by == "a"
    until(lambda: pair.pair.a.in_sync() == ("a",), 2.0, "b is out of sync")
    stays(lambda: not pair.pair.b.acts(), 2.0, "b does not act", pair.pair)
    pair.cables.mend()
    pair.pair.wait_in_sync(active=pair.pair.a)


def test_an_active_cut_from_everything_is_followed(pair: Scene) -> None:
    """F12: the passive acts; the old active acknowledged nothing alone, and what it wrote alone is set aside."""
    before = len(pair.pair.a.set_aside())
    pair.cables.cut("a", "b")
    pair.cables.cut("a", "w")
    pair.not_told(pair.pair.a, 1.5)
    took_s = pair.pair.wait_active(pair.pair.b, TAKEN_OVER_S)
    assert took_s < TAKEN_OVER_S
    assert pair.client.book(HELD_S, pair.pair.b).by == "b"
    until(lambda: tried(pair.pair.a) != 200, 5.0, "a answers readers no more")
    pair.cables.mend()
    pair.pair.wait_in_sync(active=pair.pair.b)
    assert len(pair.pair.a.set_aside()) > before, pair.pair.a.tail()


def test_a_passive_cut_from_everything_is_left_out(pair: Scene) -> None:
    """F13: the active goes on alone, and lets it in again when it holds everything."""
    pair.cables.down("b")
    assert pair.client.book(HELD_S).by == "a"
    for _ in range(20):
        assert pair.held_s() < 2.0
    pair.cables.up("b")
    pair.pair.wait_in_sync(active=pair.pair.a)


@pytest.mark.parametrize("cut", ["a", "b", "stopped"])
def test_nobody_needs_the_register_while_both_are_there(pair: Scene, cut: str) -> None:
    """F11: cut from one server, or standing still: callers notice nothing, nobody takes over."""
    if cut == "stopped":
        assert pair.witness is not None
        pair.witness.signal(signal.SIGSTOP)
    else:
        pair.cables.cut(cut, "w")
    until_s = time.monotonic() + (60.0 if LONG else 3.5)
    while time.monotonic() < until_s:
        assert pair.held_s() < 2.0
        assert pair.pair.a.acts()
        time.sleep(0.1)
    if cut == "stopped":
        assert pair.witness is not None
        pair.witness.signal(signal.SIGCONT)


def test_with_two_things_gone_nothing_is_acknowledged(pair: Scene) -> None:
    """F14: active ↔ passive cut and the register down: held on both; when the register is back, one acts."""
    assert pair.witness is not None
    pair.witness.signal(signal.SIGSTOP)
    pair.cables.cut("a", "b")
    pair.not_told(pair.pair.a, 4.0)
    pair.not_told(pair.pair.b, 2.0)
    assert not pair.pair.b.acts()
    until(lambda: tried(pair.pair.a) != 200, 3.0, "a answers readers no more")
    pair.witness.signal(signal.SIGCONT)
    assert pair.held_s() < HELD_S


@pytest.mark.parametrize(("host", "to"), [("a", "b"), ("b", "a"), ("a", "w"), ("b", "w")])
def test_one_way_silence_gives_one_active(pair: Scene, host: str, to: str) -> None:
    """F15: one direction of one pair is dropped: bookings go on, at most one failover, never two acting."""
    with Watch(pair.pair) as watch:
        pair.cables.deaf(host, to)
        until_s = time.monotonic() + (60.0 if LONG else 6.0)
        while time.monotonic() < until_s:
            assert pair.held_s() < HELD_S
            time.sleep(0.1)
    assert len(watch.changes) <= 2, watch.changes


def test_a_slow_link_is_no_failure(pair: Scene) -> None:
    """F16: 256 kbit/s under load: nobody takes over, everything is acknowledged."""
    pair.cables.on("a", "tc qdisc add dev eth0 root tbf rate 256kbit burst 16kb latency 800ms")
    _no_failover(pair, 60.0 if LONG else 6.0)


def test_a_lossy_link_is_no_failure(pair: Scene) -> None:
    """F16: one packet in ten is lost in both directions: nobody takes over."""
    for host, other in ("ab", "ba"):
        lost = "numgen random mod 100 < 10 drop"
        pair.cables.rule(host, "in", f"ip saddr {pair.cables.address(other)} meta l4proto tcp {lost}")
    _no_failover(pair, 60.0 if LONG else 6.0)


def test_two_seconds_without_a_packet_are_no_failure(pair: Scene) -> None:
    """Shorter than the lease: the active stays, a booking waits."""
    for host in "ab":
        pair.cables.down(host)
        time.sleep(2.0)
        pair.cables.up(host)
        assert pair.client.book(HELD_S).by == "a"
    pair.pair.wait_in_sync(active=pair.pair.a)


def test_resets_do_not_move_the_role(pair: Scene) -> None:
    """F17: every packet of the line is answered with a reset for two seconds: the line returns, the role stays."""
    pair.cables.rule("a", "in", f"tcp dport {LINE} reject with tcp reset")
    pair.cables.rule("b", "in", f"tcp sport {LINE} reject with tcp reset")
    time.sleep(2.0)
    pair.cables.mend()
    assert pair.client.book(HELD_S).by == "a"
    pair.pair.wait_in_sync(active=pair.pair.a)


def test_a_dead_connection_is_replaced(pair: Scene) -> None:
    """F17: one established flow goes silent for ever, new ones work: the line is dialled anew, the role stays."""
    ports = _ports_of_line(pair)
    assert ports
    for port in ports:
        pair.cables.rule(
            "a", "in", f"ip saddr {pair.cables.address('b')} tcp dport {LINE} tcp sport {port} drop"
        )
    assert pair.held_s() < HELD_S
    pair.pair.wait_in_sync(active=pair.pair.a)
    assert not set(ports) & set(_ports_of_line(pair))


@pytest.mark.parametrize("host", ["a", "b"])
def test_a_flapping_cable_moves_the_role_once_at_most(pair: Scene, host: str) -> None:
    """F34: two seconds down, two up, again and again."""
    with Watch(pair.pair) as watch:
        for _ in range(75 if LONG else 2):
            pair.cables.down(host)
            time.sleep(2.0)
            pair.cables.up(host)
            time.sleep(2.0)
    assert len(watch.changes) <= 2, watch.changes
    assert pair.held_s() < HELD_S


def _no_failover(pair: Scene, for_s: float) -> None:
    with Load(pair.client, threads=2, pause_s=0.1):
        stays(lambda: not pair.pair.b.acts(), for_s, "b does not act", pair.pair)
    assert pair.pair.a.acts()


def _ports_of_line(pair: Scene) -> list[int]:
    rows = pair.cables.on("a", "ss -Htn state established").splitlines()
    found = [row.split() for row in rows]
    mine = f"{pair.cables.address('a')}:{LINE}"
    return [int(row[3].rpartition(":")[2]) for row in found if row[2] == mine]
