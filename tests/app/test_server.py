"""A real server process on a real folder: its configuration's life, its lock, its end by SIGKILL."""

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from meetkeeper.app.demo_parts import end, free_port
from meetkeeper.app.home import Home, NodeConfig, init, pretty
from meetkeeper.core.configuration import ClusterConfig, Config, LinkBridge, RoomConfig

pytestmark = pytest.mark.slow
START_S_MAX = 40.0


class Running:
    """A server on a home folder."""

    def __init__(self, path: Path) -> None:
        self.home = Home(path / "home")
        self.port = free_port()
        self.config = Config(
            cluster=ClusterConfig(secret="s" * 40, public_url=f"http://127.0.0.1:{self.port}"),
            rooms=(RoomConfig(id="oslo"),),
            bridges=(LinkBridge(id="link", url="http://bridge.example/{alias}"),),
        )
        init(self.home, NodeConfig(name="test", listen_port=self.port), self.config)
        self.log = path / "server.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it says where it listens."""
        (self.home.path / "local" / "address").unlink(missing_ok=True)
        self.process = self.spawn()
        deadline = time.monotonic() + START_S_MAX
        while self.home.address() is None:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)

    def spawn(self) -> "subprocess.Popen[bytes]":
        """Another process on the same folder."""
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "meetkeeper.app.main", "run", str(self.home.path)]
            return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """One request with the command line's token."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.home.address()}{path}", data=data, method=method)
        request.add_header("Authorization", f"Bearer {self.home.cli_token()}")
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"null")

    def book(self, number: int) -> str:
        """Book a meeting far ahead; its id."""
        body = {
            "rooms": ["oslo"],
            "subject": f"Meeting {number}",
            "organizer": "kari@demo.example",
            "start": f"2090-01-01T{number:02}:00:00Z",
            "end": f"2090-01-01T{number:02}:30:00Z",
        }
        return str(self.ask("POST", "/api/v1/meetings", body)["id"])


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
