"""Two real servers: what one keeps the other holds, who acts is found from either, and what a mode promises is kept."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from meetkeeper.core.configuration import PairConfig
from meetkeeper.host.disk import RealDisk
from meetkeeper.store.tail import last_position
from tests.pair.servers import Client, Load, NotTold, Pair, Watch, laid_down, request, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180), pytest.mark.xdist_group("pair")]


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A pair in sync."""
    with laid_down(tmp_path_factory.mktemp("pair")) as pair:
        pair.start()
        yield pair


@pytest.fixture(scope="module")
def client(standing: Pair) -> Client:
    """Whoever books there."""
    return Client(standing)


def test_what_is_booked_stands_in_both_journals(standing: Pair, client: Client) -> None:
    """The same position and chain hash on both disks, and the same configuration file."""
    for _ in range(5):
        client.book()
    a, b = (RealDisk(one.home.path) for one in standing.both)
    until(lambda: last_position(a) == last_position(b), 5.0, "equal journals", standing.tails)
    assert last_position(a).seq > 5
    files = [one.home.config_file for one in standing.both]
    until(
        lambda: files[1].exists() and files[0].read_bytes() == files[1].read_bytes(),
        5.0,
        "equal configuration",
    )


def test_the_passive_leads_to_the_active(standing: Pair) -> None:
    """Everything but its own health: 307 with the same path and query."""
    passive, active = standing.passive(), standing.active()
    for method, path in (
        ("GET", "/api/v1/meetings?limit=3"),
        ("POST", "/api/v1/meetings"),
        ("GET", "/"),
        ("GET", "/join/x"),
    ):
        status, headers, _ = request(passive, method, path, b"{}" if method == "POST" else None)
        assert (status, headers["location"]) == (307, active.url + path)
    assert passive.health("passive") == (200, "passive")
    assert passive.health("active")[0] == 503


def test_a_deployed_configuration_travels(standing: Pair, client: Client) -> None:
    """Nothing is ever configured on the passive: its file shows what the active deployed."""
    active, passive = standing.active(), standing.passive()
    config = json.loads(active.home.config_file.read_bytes())
    config["time"] = {"warn_before_s": 77}
    headers = (
        ("Authorization", f"Bearer {client.token()}"),
        ("Content-Type", "application/json"),
        ("If-Match", "*"),
    )
    status, _, text = request(active, "PUT", "/api/v1/config", json.dumps(config).encode(), headers)
    assert status in (200, 201, 204), text
    shown = passive.home.config_file  # made by its server when it first learns what is in force
    until(lambda: shown.exists() and b'"warn_before_s": 77' in shown.read_bytes(), 5.0, "the file follows")
    assert not passive.home.staged_file.exists()


def test_told_to_stop_it_hands_over_and_nobody_notices(standing: Pair, client: Client) -> None:
    """SIGTERM under load: every booking is acknowledged in the end, never two act, the door and key stay."""
    old, new = standing.active(), standing.passive()
    with Watch(standing) as watch, Load(client, threads=4):
        until(lambda: len(client.told) > 30, 20.0, "load")
        assert old.stop() == 0
        standing.wait_active(new, 5.0)
        until(lambda: client.told[-1].by == new.name, 10.0, "bookings go on")
    assert watch.dual == 0
    client.check()
    assert max(one.took_s for one in client.told) < 5.0
    old.start()
    standing.wait_in_sync(active=new)


def test_killed_it_is_followed_without_a_register(tmp_path: Path) -> None:
    """An agent's proof is enough; the killed one comes back and holds the same."""
    with laid_down(tmp_path, register="") as pair:
        pair.start()
        client = Client(pair)
        client.book()
        pair.a.kill_node()
        pair.wait_active(pair.b, 10.0)
        client.book()
        pair.wait_in_sync(active=pair.b)
        client.check()
        # With both in sync again the way back is open: told to stop, b hands over.
        assert pair.b.stop() == 0
        pair.wait_active(pair.a, 5.0)
        client.check()


def test_strict_acknowledges_nothing_alone(tmp_path: Path) -> None:
    """Without the other disk a booking waits; with it, it is acknowledged."""
    with laid_down(tmp_path, policy=PairConfig(mode="strict")) as pair:
        pair.start()
        client = Client(pair)
        client.book()
        pair.b.kill()
        with pytest.raises(NotTold):
            client.book(6.0, pair.a)
        pair.b.start()
        pair.wait_in_sync()
        client.book()
        client.check()


def test_async_says_what_may_be_lost(tmp_path: Path) -> None:
    """A frozen passive holds nobody up, and what it lacks is a number."""
    with laid_down(tmp_path, policy=PairConfig(mode="async")) as pair:
        pair.start()
        client = Client(pair)
        client.book()
        pair.b.freeze()
        try:
            told = [client.book(8.0, pair.a) for _ in range(5)]
            assert {one.by for one in told} == {"a"}
            status = client.get("/api/v1/cluster", pair.a)["pair"]
            assert status["loss"] >= 5
            assert status["durability"] == "local"
        finally:
            pair.b.signal_node(signal.SIGCONT)
        pair.wait_in_sync()
        until(lambda: client.get("/api/v1/cluster", pair.a)["pair"]["loss"] == 0, 10.0, "nothing may be lost")
