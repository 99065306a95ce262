"""Processes that die, stop and come back, for real: two servers on loopback, a file register, nothing simulated."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.scene import HELD_S, LONG, TAKEN_OVER_S, Scene, scene, stays, tried
from tests.pair.servers import Client, Load, Pair, Server, Watch, laid_down, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.xdist_group("faults-processes")]

KILLS = 100 if LONG else 10


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The pair of this module."""
    with scene(tmp_path_factory.mktemp("processes"), wired=False) as made:
        yield made


@pytest.fixture
def pair(standing: Scene) -> Iterator[Scene]:
    """In sync, `a` acts; judged when the test has passed its own words."""
    standing.whole()
    with Watch(standing.pair) as watch:
        yield standing
        standing.wake()
        standing.judge()
    assert watch.dual == 0, watch.changes


def test_a_paused_active_is_followed_and_stays_silent_when_it_wakes(pair: Scene) -> None:
    """F20: stopped beyond its lease and woken: the other one acts, the woken one never does."""
    a, b = pair.pair.a, pair.pair.b
    before = len(pair.client.told)
    with Load(pair.client, threads=2):
        until(lambda: len(pair.client.told) > before + 20, 10.0, "load")
        pair.frozen(a)
        took_s = pair.pair.wait_active(b, TAKEN_OVER_S)
        assert took_s < TAKEN_OVER_S
        pair.client.book(HELD_S, b)
        pair.wake()
        stays(lambda: tried(a, "/health/active") != 200 and b.acts(), 3.0, "only b acts", pair.pair)
    pair.pair.wait_in_sync(active=b)


def test_a_pause_shorter_than_the_lease_changes_nothing(pair: Scene) -> None:
    """F20: two seconds stopped: the role stays, a booking waits."""
    pair.frozen(pair.pair.a)
    time.sleep(2.0)
    pair.wake()
    assert pair.client.book(HELD_S).by == "a"


def test_a_paused_passive_is_left_out_and_let_in_again(pair: Scene) -> None:
    """F20: the active goes on alone within its lease; the passive catches up."""
    pair.frozen(pair.pair.b)
    assert pair.client.book(HELD_S).by == "a"
    pair.wake()
    pair.pair.wait_in_sync(active=pair.pair.a)


def test_a_passive_that_missed_nothing_is_let_in_at_once(pair: Scene) -> None:
    """Nobody books while it is away: it lacks nothing, says so once, and that is enough."""
    for _ in range(2):
        assert pair.pair.b.stop() == 0
        pair.pair.b.start()
        pair.pair.wait_in_sync(15.0, active=pair.pair.a)


def test_both_are_killed_and_started_at_once(pair: Scene) -> None:
    """F3, F21: exactly one acts, whoever that is, with everything acknowledged."""
    for _ in range(5):
        pair.client.book()
    pair.pair.kill()
    for one in pair.pair.both:
        one.start()
    pair.pair.wait_in_sync()


def test_an_agent_that_is_killed_takes_its_node_with_it(pair: Scene) -> None:
    """F1: nobody is left on that host who could prove anything: the lease decides."""
    assert pair.pair.a.process is not None
    pair.pair.a.process.kill()
    pair.pair.a.process.wait()
    pair.pair.wait_active(pair.pair.b, TAKEN_OVER_S)
    assert pair.client.book(HELD_S, pair.pair.b).by == "b"
    pair.pair.a.start()


def test_killed_again_and_again_under_load(tmp_path: Path) -> None:
    """F1: SIGKILL to whoever acts, over and over: all acknowledged bookings are there, once, with their URIs."""
    with laid_down(tmp_path) as pair:
        pair.start()
        client = Client(pair)
        with Watch(pair) as watch, Load(client, threads=3):
            for number in range(KILLS):
                active = pair.wait_in_sync(60.0)
                time.sleep(0.1 * (number % 3))
                active.kill_node()
                until(lambda: pair.acting() is not None, TAKEN_OVER_S, "somebody acts", pair.tails)
                if number % 9 == 8:
                    _rest(pair)
        Scene(pair, client).judge()
        assert watch.dual == 0
        assert len(client.told) > KILLS


def _rest(pair: Pair) -> None:
    """Ten crashes in ten minutes are more than an agent suffers: new ones are started."""
    for one in pair.both:
        pair.wait_in_sync(60.0)
        one.stop()
        one.start()


def test_a_server_that_missed_something_never_acts_alone(tmp_path: Path) -> None:
    """F22: it was away while others booked; started alone, with or without the register, it acknowledges nothing."""
    with laid_down(tmp_path) as pair:
        pair.start()
        client = Client(pair)
        client.book()
        pair.b.kill()
        told = client.book()
        pair.a.kill()
        pair.b.start()
        until(pair.b.answers, 30.0, "b answers", pair.tails)
        stays(lambda: not pair.b.acts(), 6.0, "b does not act", pair)
        pair.b.kill()
        assert pair.register is not None
        aside = pair.register.rename(tmp_path / "away")
        pair.b.start()
        until(pair.b.answers, 30.0, "b answers", pair.tails)
        stays(lambda: not pair.b.acts(), 4.0, "b does not act without the register", pair)
        aside.rename(pair.register)
        pair.a.start()
        Scene(pair, client).judge()
        assert told.id in {one["id"] for one in client.meetings()}


def test_without_a_register_a_killed_node_is_followed_on_its_agents_word(tmp_path: Path) -> None:
    """F21 without a third place: the proof is enough; a dead host is not, and then nobody acts."""
    with laid_down(tmp_path, register="") as pair:
        pair.start(60.0)
        client = Client(pair)
        client.book()
        first = pair.active()
        second = pair.other(first)
        first.kill_node()
        pair.wait_active(second, TAKEN_OVER_S)
        client.book()
        pair.wait_in_sync(active=second)
        _host_gone(second)
        stays(lambda: not first.acts(), 6.0, "nobody acts without a proof", pair)
        second.start()
        Scene(pair, client).judge()


def _host_gone(one: Server) -> None:
    """Agent and node at once, so that nobody gives a proof."""
    pid = one.node_pid()
    assert pid is not None
    assert one.process is not None
    one.process.send_signal(signal.SIGSTOP)
    one.kill()
