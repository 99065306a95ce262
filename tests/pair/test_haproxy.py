"""A load balancer in front of a real pair, by the shipped example: everything reaches the active server."""

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from meetkeeper.app.commands import build
from tests.conftest import RequireReal
from tests.house.source import ROOT
from tests.pair.servers import Client, Pair, Place, Server, laid_down, request, until
from tests.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pair")]
MOMENT_S = 4.0
"""After a switchover or a kill somebody else may answer for so long: "ask again", or the way to the active."""


@contextmanager
def balanced(pair: Pair, folder: Path) -> Iterator[Server]:
    """HAProxy with the shipped file, its three addresses put in; a "server" to send requests to."""
    port = free_port()
    text = (ROOT / "examples" / "haproxy" / "haproxy.cfg").read_text()
    for old, new in (
        ("127.0.0.1:8000", f"127.0.0.1:{port}"),
        ("192.0.2.11:8080", f"{pair.a.place.host}:{pair.a.place.http}"),
        ("192.0.2.12:8080", f"{pair.b.place.host}:{pair.b.place.http}"),
    ):
        assert old in text
        text = text.replace(old, new)
    config = folder / "haproxy.cfg"
    config.write_text(text)
    with (folder / "haproxy.log").open("wb") as log:
        process = subprocess.Popen(["haproxy", "-db", "-f", str(config)], stdout=log, stderr=log)
    door = Server("haproxy", pair.a.home, Place("127.0.0.1", port, 0), folder / "haproxy.log")
    try:
        until(lambda: door.health("active")[0] == 200, 15.0, "HAProxy leads to the active", door.text)
        yield door
    finally:
        process.terminate()
        process.wait(10)


class Asking(threading.Thread):
    """Asks through the door all the time who answers; remembers when it was not an active server."""

    def __init__(self, door: Server, token: str) -> None:
        super().__init__(daemon=True)
        self.over = threading.Event()
        self.by: dict[str, int] = {}
        """How many answers came from each active server."""
        self.else_s: list[float] = []
        self._door, self._token = door, token

    def run(self) -> None:
        """Until `over`."""
        while not self.over.wait(0.02):
            begun_s = time.monotonic()
            name = self._ask()
            if name:
                self.by[name] = self.by.get(name, 0) + 1
            else:
                self.else_s.append(begun_s)

    def _ask(self) -> str:
        """The active server's name; empty for any other answer."""
        headers = (("Authorization", f"Bearer {self._token}"),)
        try:
            status, _, body = request(self._door, "GET", "/api/v1/cluster", headers=headers, timeout_s=15.0)
        except OSError:
            return ""
        seen = json.loads(body) if status == 200 else {"role": ""}
        return str(seen["server"]) if seen["role"] == "active" else ""


def test_everything_reaches_the_active_server(tmp_path: Path, require_real: RequireReal) -> None:
    """Around a switchover and a kill every request is answered by who is active, but for a moment after each."""
    require_real("haproxy", shutil.which("haproxy") is not None, "apt install haproxy")
    with laid_down(tmp_path) as pair:
        pair.start()
        client = Client(pair)
        client.book()
        until(lambda: pair.b.home.cli_token() is not None, 5.0, "b's command line may ask", pair.tails)
        with balanced(pair, tmp_path) as door:
            asking = Asking(door, client.token())
            asking.start()
            moments = []
            for number in range(2, 12):
                client.send(number, one=door)
            until(lambda: asking.by.get("a", 0) > 20, 10.0, "a is asked")
            moments.append(time.monotonic())
            done = CliRunner().invoke(build(), ["--home", str(pair.b.home.path), "switchover"])
            assert done.exit_code == 0, done.output + done.stderr
            for number in range(12, 22):
                client.send(number, one=door)
            pair.wait_in_sync(active=pair.b)
            until(lambda: asking.by.get("b", 0) > 20, 10.0, "b is asked")
            asked = asking.by["a"]
            moments.append(time.monotonic())
            pair.b.kill_node()
            for number in range(22, 32):
                client.send(number, one=door)
            until(lambda: asking.by["a"] > asked + 20, 10.0, "a is asked again")
            asking.over.set()
            asking.join(20)
            late = [at_s for at_s in asking.else_s if not any(0 <= at_s - one <= MOMENT_S for one in moments)]
            assert not late, f"{len(late)} of {sum(asking.by.values())}\n{door.tail()}"
        assert client.check() == 31
