"""A real server process on a real folder: its configuration's life, its lock, its end by SIGKILL."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from meetkeeper.app.demo.servers import end
from meetkeeper.app.home import pretty
from meetkeeper.core.configuration import ExchangeCalendar, ExchangeServer, RoomConfig, Secret
from tests.app.running import START_S_MAX, Running

pytestmark = pytest.mark.slow
ENDS_S = 40.0
"""Less than the time after which a request to a neighbour is given up."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    """A server that is ended afterwards."""
    running = Running(tmp_path)
    running.start()
    yield running
    end(running.process)


def test_what_was_acknowledged_survives_sigkill(server: Running) -> None:
    """Bookings answered before a SIGKILL are there after the next start, with the same doors."""
    told = {server.book(number) for number in range(5)}
    before = {one: server.ask("GET", f"/api/v1/meetings/{one}")["vmr"] for one in told}
    assert server.process is not None
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    server.start()
    assert {one: server.ask("GET", f"/api/v1/meetings/{one}")["vmr"] for one in told} == before


def test_a_second_server_on_the_same_folder_is_refused(server: Running) -> None:
    """The second one ends with a sentence that names the lock; the first goes on."""
    second = server.spawn()
    assert second.wait(START_S_MAX) == 3
    assert "local/lock" in server.log.read_text()
    server.book(1)


def test_sigterm_ends_it_in_good_order(server: Running) -> None:
    """It ends with code 0, and soon."""
    server.book(1)
    assert server.process is not None
    server.process.terminate()
    assert server.process.wait(10) == 0, server.log.read_text()


def test_a_hand_edit_is_staged_and_never_in_force_by_itself(server: Running) -> None:
    """The edit waits as staged.json, the file shows again what is in force."""
    edited = msgspec.structs.replace(server.config, rooms=(*server.config.rooms, RoomConfig(id="bergen")))
    server.home.config_file.write_bytes(pretty(edited))
    deadline = time.monotonic() + 10
    while not server.home.staged_file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert b"bergen" in server.home.staged_file.read_bytes()
    assert b"bergen" not in server.home.config_file.read_bytes()


def test_a_broken_home_is_explained(tmp_path: Path) -> None:
    """Without a home folder there is one sentence that says how to make one."""
    command = [sys.executable, "-m", "meetkeeper.app.main", "run", str(tmp_path / "nothing")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "meetkeeper init" in done.stderr


def test_a_neighbour_that_hangs_keeps_nobody_from_ending(tmp_path: Path) -> None:
    """Exchange takes a request and never answers; the thread that waits for it is left behind when the server goes."""
    with socket.create_server(("127.0.0.1", 0)) as tarpit:
        tarpit.settimeout(START_S_MAX)
        port = tarpit.getsockname()[1]
        running = Running(tmp_path)
        exchange = ExchangeServer(
            id="mail",
            url=f"http://127.0.0.1:{port}/EWS/Exchange.asmx",
            auth="basic",
            username="svc",
            password=Secret(value="any"),
        )
        room = RoomConfig(id="oslo", email="oslo@rooms.example", calendar=ExchangeCalendar(server="mail"))
        config = msgspec.structs.replace(running.config, calendar_servers=(exchange,), rooms=(room,))
        running.home.config_file.write_bytes(pretty(config))
        running.start()
        try:
            taken, _ = tarpit.accept()
            with taken:
                assert running.process is not None
                running.process.terminate()
                assert running.process.wait(ENDS_S) == 0, running.log.read_text()
        finally:
            end(running.process)
