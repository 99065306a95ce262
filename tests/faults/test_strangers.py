"""Wrong partners, forged papers, garbage, registers that lie, other releases and zones: refused, for real.

Whatever comes, the active goes on acknowledging.
"""

import datetime
import json
import os
import shutil
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from meetkeeper.app.home import Home
from meetkeeper.registers.sheet import seal, unseal
from meetkeeper.replication.authority import Issued, issue, make_authority
from tests.faults.scene import HELD_S, TAKEN_OVER_S, Scene, scene, stays
from tests.pair.servers import Client, Place, Server, free_ports, laid_down, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.xdist_group("faults-strangers")]

OTHER = {"PYTHONPATH": str(Path(__file__).parent / "other")}
REFUSED_S = 15.0


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The pair of this module."""
    with scene(tmp_path_factory.mktemp("strangers"), wired=False) as made:
        yield made


@pytest.fixture
def pair(standing: Scene) -> Iterator[Scene]:
    """In sync, `a` acts. `b` is as it was again when the test is over."""
    home = standing.pair.b.home.path
    standing.whole()
    standing.pair.b.stop()
    before = {path: path.read_bytes() for path in (home / "node.json", *(home / "local" / "tls").iterdir())}
    try:
        yield standing
    finally:
        standing.pair.b.kill()
        for path, data in before.items():
            path.write_bytes(data)
        standing.pair.b.environment.clear()
    standing.pair.b.start()
    standing.judge()


def _refused(pair: Scene, words: str) -> None:
    """`b` starts, one of the two says these words, and the active is unharmed."""
    seen = [len(one.text()) for one in pair.pair.both]
    pair.pair.b.start()
    until(
        lambda: any(one.said(words, at) for one, at in zip(pair.pair.both, seen, strict=True)),
        REFUSED_S,
        words,
        pair.pair.tails,
    )
    assert pair.client.book(HELD_S).by == "a"
    assert pair.pair.a.in_sync() == ("a",)
    assert not pair.pair.b.acts()


def test_a_server_of_another_cluster(pair: Scene) -> None:
    """F28: refused, and both say whose address is wrong."""
    node = pair.pair.b.node()
    assert node.pair is not None
    pair.pair.b.write_node(replace(node, pair=replace(node.pair, cluster="0123456789abcdef")))
    _refused(pair, "belongs to the pair 0123456789abcdef")


def test_the_node_file_of_the_other_server(pair: Scene) -> None:
    """F28: a's node.json copied into b's home: its addresses are not to be had there, and one sentence says so."""
    pair.pair.b.write_node(pair.pair.a.node())
    _refused(pair, "can't be listened on")


def test_a_cloned_home(pair: Scene) -> None:
    """F28: a's whole home started a second time, elsewhere: it says that it is a copy, and claims nothing."""
    clone = Home(pair.pair.b.home.path.with_name("copy-of-a"))
    shutil.copytree(pair.pair.a.home.path, clone.path, ignore=shutil.ignore_patterns("lock"))
    node, place = pair.pair.a.node(), _elsewhere(pair.pair.a)
    assert node.pair is not None
    twin = Server("twin", clone, place, clone.path.with_suffix(".log"))
    twin.write_node(
        replace(node, listen_port=place.http, pair=replace(node.pair, listen=f"{place.host}:{place.line}"))
    )
    before = pair.pair.a.record()
    twin.start()
    try:
        until(lambda: twin.said("is a copy of another server's home"), REFUSED_S, "refused", twin.tail)
        stays(lambda: not twin.acts(), 2.0, "the copy does not act", pair.pair)
        assert pair.client.book(HELD_S).by == "a"
        assert pair.pair.a.record() == before
    finally:
        twin.kill()
        shutil.rmtree(clone.path)


@pytest.mark.parametrize("fault", ["expired", "foreign", "wrong name"])
def test_a_certificate_that_does_not_count(pair: Scene, fault: str) -> None:
    """F28: expired, by a foreign authority, or for another name: refused with a sentence about the certificate."""
    folder = pair.pair.a.home.path / "local" / "pair"
    authority = Issued((folder / "ca.key").read_bytes(), (folder / "ca.pem").read_bytes())
    now, days, name = datetime.datetime.now(datetime.UTC), 30, "b"
    if fault == "expired":
        now, days = now - datetime.timedelta(days=40), 30
    if fault == "foreign":
        authority = make_authority(now)
    if fault == "wrong name":
        name = "c"
    issued = issue(authority, name, ("127.0.0.1",), days, now)
    tls = pair.pair.b.home.path / "local" / "tls"
    (tls / "node.pem").write_bytes(issued.certificate)
    (tls / "node.key").write_bytes(issued.key)
    _refused(pair, "certificate")


@pytest.mark.parametrize("port", ["line", "agent"])
def test_garbage_at_the_door(standing: Scene, port: str) -> None:
    """Random bytes, half a handshake, endless silence, strangers over TLS: the line stays, nobody takes over."""
    standing.whole()
    a = standing.pair.a
    where = (a.place.host, a.place.line + (port == "agent"))
    held = [socket.create_connection(where, 2.0) for _ in range(30)]
    try:
        for number in range(100):
            with socket.create_connection(where, 2.0) as one:
                one.sendall(os.urandom(1 + number * 50))
        _strangers_hello(where)
        assert standing.client.book(HELD_S).by == "a"
        assert a.in_sync() == ("a", "b")
    finally:
        for one in held:
            one.close()
    standing.judge()


def _strangers_hello(where: tuple[str, int]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for _ in range(5):
        with socket.create_connection(where, 2.0) as raw:
            try:
                with context.wrap_socket(raw) as one:
                    one.sendall(b'{"ask":"stop-proof","epoch":1,"from":"b"}\n')
                    assert not one.recv(10_000)
            except (ssl.SSLError, ConnectionError, TimeoutError):
                continue


@pytest.mark.parametrize("lie", ["deleted", "rolled back", "foreign"])
def test_a_register_that_lies_gives_nobody_a_right(standing: Scene, tmp_path: Path, lie: str) -> None:
    """F29: while both are there nobody needs it; the active gone, the passive says what can't be true and waits."""
    standing.whole()
    a, b, folder = standing.pair.a, standing.pair.b, standing.pair.register
    assert folder is not None
    kept = tmp_path / "kept"
    shutil.copytree(folder, kept)
    files = sorted(folder.glob("reg-*.json"))
    for path in files if lie == "deleted" else files[2:]:
        path.unlink()
    if lie == "foreign":
        _foreign(folder)
    assert standing.client.book(HELD_S).by == "a"
    seen = len(b.text())
    a.kill()
    stays(lambda: not b.acts(), 7.0, "b does not act", standing.pair)
    assert len(b.text()) > seen
    shutil.rmtree(folder)
    shutil.copytree(kept, folder)
    standing.pair.wait_active(b, TAKEN_OVER_S)
    a.start()
    standing.judge()


def _foreign(folder: Path) -> None:
    """Every number now belongs to another cluster, and is sealed as it should be."""
    for path in folder.glob("reg-*.json"):
        found = unseal(path.read_bytes())
        path.write_bytes(seal(replace(found.record, cluster="0123456789abcdef"), found.version))


@pytest.mark.parametrize(("protocol", "works"), [(2, True), (3, False)])
def test_another_release_on_one_side(pair: Scene, protocol: int, works: bool) -> None:
    """F26: another release with this protocol or the next one follows and takes over; two apart are refused."""
    pair.pair.b.environment |= OTHER | {
        "MEETKEEPER_SAID_RELEASE": "9.9.9",
        "MEETKEEPER_SAID_PROTOCOL": str(protocol),
    }
    if not works:
        _refused(pair, "they may differ by")
        return
    pair.pair.b.start()
    pair.pair.wait_in_sync(active=pair.pair.a)
    pair.client.book()
    assert pair.pair.a.said("release=9.9.9")
    until(lambda: "release 9.9.9 here" in _readiness(pair), 20.0, "readiness names it", pair.pair.tails)
    pair.pair.a.kill_node()
    pair.pair.wait_active(pair.pair.b, TAKEN_OVER_S)
    assert pair.client.book(HELD_S).by == "b"


def _readiness(pair: Scene) -> str:
    """Every check of the passive, with what it found."""
    return json.dumps(pair.client.get("/api/v1/cluster/readiness", pair.pair.b))


def test_another_time_zone_on_one_side(pair: Scene) -> None:
    """F32: a server in another zone follows, takes over, and every meeting stands as it stood."""
    pair.pair.b.environment |= {"TZ": "Asia/Tokyo"}
    pair.pair.b.start()
    pair.pair.wait_in_sync(active=pair.pair.a)
    pair.client.book()
    until(lambda: "JST here" in _readiness(pair), 20.0, "readiness names it", pair.pair.tails)
    before = pair.client.meetings()
    pair.pair.a.kill_node()
    pair.pair.wait_active(pair.pair.b, TAKEN_OVER_S)
    assert [one for one in pair.client.meetings() if one["id"] in {old["id"] for old in before}] == before


def test_an_instance_that_is_not_the_known_one_is_told(tmp_path: Path) -> None:
    """F28: two homes that both call themselves b: one of them is the partner, the other is told; `a` is unharmed."""
    with laid_down(tmp_path) as pair:
        pair.start()
        client = Client(pair)
        twin = Server("twin", Home(tmp_path / "twin"), _elsewhere(pair.b), tmp_path / "twin.log")
        shutil.copytree(
            pair.b.home.path, twin.home.path, ignore=shutil.ignore_patterns("lock", "original.json")
        )
        node = pair.b.node()
        assert node.pair is not None
        twin.write_node(
            replace(
                node,
                listen_port=twin.place.http,
                pair=replace(node.pair, instance="f" * 16, listen=f"{twin.place.host}:{twin.place.line}"),
            )
        )
        twin.start()
        try:
            until(lambda: twin.said("peer.other_instance"), REFUSED_S, "told", pair.tails)
            for _ in range(10):
                assert client.book(HELD_S).by == "a"
                time.sleep(0.1)
            assert not twin.acts()
        finally:
            twin.kill()
        Scene(pair, client).judge()


def _elsewhere(one: Server) -> Place:
    return Place(one.place.host, *free_ports())
