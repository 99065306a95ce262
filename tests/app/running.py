"""A real server process on a real folder, for tests."""

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from meetkeeper.app.home import Home, NodeConfig, init
from meetkeeper.core.configuration import ClusterConfig, Config, LinkBridge, RoomConfig
from tests.ports import free_port

START_S_MAX = 120.0


class Running:
    """A server on a home folder: the process itself, unless `start_with` says that an agent starts it."""

    def __init__(
        self,
        path: Path,
        start_with: tuple[str, ...] = ("run", "--no-agent"),
        rooms: tuple[RoomConfig, ...] = (RoomConfig(id="oslo"),),
    ) -> None:
        self.start_with = start_with
        self.home = Home(path / "home")
        self.port = free_port()
        self.config = Config(
            cluster=ClusterConfig(secret="s" * 40, public_url=f"http://127.0.0.1:{self.port}"),
            rooms=rooms,
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
            command = [sys.executable, "-m", "meetkeeper.app.main", *self.start_with, str(self.home.path)]
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
