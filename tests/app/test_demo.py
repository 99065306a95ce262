"""The demonstration's own parts: its homes, its client, and the lookout that judges whether two servers ever acted."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from meetkeeper.app.demo.actors import event
from meetkeeper.app.demo.booker import Booker, Load
from meetkeeper.app.demo.lookout import GAP_S_MAX, Looks, dual
from meetkeeper.app.demo.parts import Pace, Parts
from meetkeeper.app.demo.servers import Server, Servers
from meetkeeper.app.home import FileRegisterNode, Home
from meetkeeper.app.wiring import build_neighbours
from meetkeeper.core.configuration import LinkBridge
from meetkeeper.core.errors import Refused
from meetkeeper.ports.calendar import CalendarSource
from meetkeeper.web.files import FILES
from tests.ports import free_port

Reply = tuple[int, dict[str, str]]


def test_without_janus_the_join_page_leads_to_a_page_that_says_so(tmp_path: Path) -> None:
    """The address that the demonstration's link bridge opens is a file of ours."""
    parts = Parts(tmp_path, port=0, pace=Pace(), janus=False)
    bridge = parts.config.bridges[0]
    assert isinstance(bridge, LinkBridge)
    name = bridge.url.partition("/static/")[2].partition("?")[0]
    assert name in FILES


def test_the_homes_are_a_pair(tmp_path: Path) -> None:
    """They name each other and one register; the second joins and has no configuration of its own."""
    parts = Parts(tmp_path, port=0, pace=Pace(), janus=False)
    parts.lay_homes()
    north, south = (server.home.node() for server in parts.servers.both)
    assert north.pair is not None
    assert south.pair is not None
    assert (north.pair.peer.name, south.pair.peer.name) == ("south", "north")
    assert north.pair.peer.address == south.pair.listen
    assert south.pair.peer.address == north.pair.listen
    assert north.pair.register == south.pair.register == FileRegisterNode(folder=str(parts.register))
    assert south.pair.joins
    assert not parts.servers.south.home.config_file.exists()
    assert not list((parts.servers.north.home.path / "local" / "pair").glob("invitation*"))


def test_a_folder_that_holds_a_demonstration_is_left_alone(tmp_path: Path) -> None:
    """Its password and its ports are another's."""
    Parts(tmp_path, port=0, pace=Pace(), janus=False).lay_homes()
    with pytest.raises(Refused, match="earlier demonstration"):
        Parts(tmp_path, port=0, pace=Pace(), janus=False).lay_homes()


async def test_rooms_of_the_fake_exchange_take_invitations(tmp_path: Path) -> None:
    """What is brought by HTTP stands in the mailbox as accepted, changes, and goes; read as a server reads it."""
    parts = Parts(tmp_path, port=0, pace=Pace(), janus=False, exchange=True)
    parts.calendars.start()
    try:
        (oslo, *_) = build_neighbours(parts.config).calendars
        at_s = int(time.time()) + 86_400
        parts.calendars.put("oslo", "a.ics", event("a@demo", "As sent", at_s, 600))
        assert await _shown(oslo.source, 1) == ["As sent"]
        parts.calendars.put("oslo", "a.ics", event("a@demo", "Changed", at_s, 600, sequence=1))
        assert await _shown(oslo.source, 1) == ["Changed"]
        parts.calendars.remove("oslo", "a.ics")
        assert await _shown(oslo.source, 0) == []
        await oslo.source.close()
    finally:
        parts.calendars.stop()


async def _shown(source: CalendarSource, number: int) -> list[str]:
    """The subjects of a complete pass, once there are so many: the room takes a moment to accept."""
    async with asyncio.timeout(60):
        while True:
            entries = [item.master async for page in source.changes("") for item in page.items]
            if len(entries) == number:
                return [one.subject for one in entries if one is not None]
            await asyncio.sleep(0.1)


def looks(*times: tuple[float, float], frozen_at: int = -1) -> Looks:
    """(asked, answered) of looks that saw a server act; before the one of this index, one went unanswered."""
    seen = Looks()
    for index, (asked, answered) in enumerate(times):
        if index == frozen_at:
            seen.take(times[index - 1][1], asked, acts=False)
        seen.take(asked, answered, acts=True)
    return seen


def test_two_that_act_at_once_are_seen() -> None:
    """A look of one within a stretch of the other is an instant at which both acted."""
    one = looks((0.00, 0.01), (0.10, 0.11), (0.20, 0.21))
    assert dual((one, looks((0.05, 0.06)))) == 1
    assert dual((looks((0.05, 0.06)), one)) == 1


def test_one_after_the_other_is_no_contradiction() -> None:
    """Looks that only touch a stretch, or lie before or after it, prove nothing."""
    one = looks((0.00, 0.01), (0.10, 0.11))
    assert dual((one, looks((0.11, 0.12), (0.20, 0.21)))) == 0
    assert dual((one, looks((0.09, 0.13)))) == 0


def test_nothing_is_known_of_a_server_that_did_not_answer() -> None:
    """A stretch ends where a look went unanswered, and where the lookout itself was held up."""
    frozen = looks((0.00, 0.01), (0.20, 0.21), frozen_at=1)
    held_up = looks((0.00, 0.01), (0.02 + GAP_S_MAX, 0.03 + GAP_S_MAX))
    assert dual((frozen, looks((0.10, 0.11)))) == 0
    assert dual((held_up, looks((0.10, 0.11)))) == 0


def test_the_first_sign_after_a_blow_is_found() -> None:
    """Looks that were asked for before it do not count, although they are answered after it."""
    seen = looks((1.0, 1.3), (1.2, 1.4), (1.5, 1.6))
    assert seen.first_after(0.5) == 1.3
    assert seen.first_after(1.1) == 1.4
    assert seen.first_after(1.2) == 1.6
    assert seen.first_after(1.5) is None


def test_the_longest_wait_is_the_one_that_touches_the_blow(tmp_path: Path) -> None:
    """Other waits of the same client are not this blow's."""
    load = Load(_servers(tmp_path, 1, 2), first=0)
    load.times = [0.0, 5.0, 5.1, 5.9, 6.0, 9.0]
    assert load.longest_wait(5.2, 5.95) == pytest.approx(0.8)
    assert load.longest_wait(5.2, 6.5) == pytest.approx(3.0)
    assert load.goes_on(5.5, bookings=3)
    assert not load.goes_on(5.95, bookings=3)


def test_a_client_is_led_and_waits(tmp_path: Path) -> None:
    """307 leads it to the other server, 503 makes it ask again, and silence sends a keyed write to the other one."""
    south_says: list[Reply] = [(503, {"Retry-After": "1"}), (201, {})]
    with _answering(south_says) as south:
        north_says: list[Reply] = [(307, {"Location": f"http://127.0.0.1:{south}/api/v1/meetings"})]
        north_says.append((307, {"Location": f"http://127.0.0.1:{south}/api/v1/meetings"}))
        with _answering(north_says) as north:
            booker = Booker(_servers(tmp_path, north, south))
            assert booker.book("oslo", "One", 4_000_000_000, 60).status == 201
            assert booker.led == 2
            assert not north_says
            assert not south_says
    with _answering([(201, {})]) as south:
        booker = Booker(_servers(tmp_path, free_port(), south))
        assert booker.book("oslo", "Two", 4_000_000_000, 60).status == 201


def test_a_write_without_a_key_is_not_sent_twice(tmp_path: Path) -> None:
    """Nobody answered: it may have been done."""
    with _answering([(200, {})]) as south:
        booker = Booker(_servers(tmp_path, free_port(), south))
        assert booker.ask("PATCH", "/meetings/one", {}).status == 0


def _servers(folder: Path, north: int, south: int) -> Servers:
    """Two addresses; nothing is started."""
    return Servers(Server(Home(folder / "north"), north, 1), Server(Home(folder / "south"), south, 1))


@contextmanager
def _answering(replies: list[Reply]) -> Iterator[int]:
    """A server on loopback that gives these replies, one for each request; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, headers = replies.pop(0)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": "2"}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"{}")

        def do_PATCH(self) -> None:
            self.do_POST()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
