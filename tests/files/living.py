"""Real servers on real homes, real file tools between them, and a client that remembers what was acknowledged."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

import msgspec

from meetkeeper.app.files_commands import init_standby
from meetkeeper.app.home import Home, NodeConfig, init
from meetkeeper.core.configuration import RoomConfig
from tests.files.homes import config
from tests.ports import free_port

START_S_MAX = 40.0
MAIN = (sys.executable, "-m", "meetkeeper.app.main")
ROOMS = 40


def say(*words: str | Path, check: bool = True) -> "subprocess.CompletedProcess[str]":
    """One command on this machine."""
    done = subprocess.run(
        [*MAIN, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def end_group(process: "subprocess.Popen[bytes] | None", number: signal.Signals = signal.SIGKILL) -> None:
    """End a process and everything it started."""
    if process is None:
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
    process.wait(30)


class Server:
    """A home, and what runs on it."""

    def __init__(self, path: Path, name: str, of: str = "") -> None:
        self.home = Home(path / name)
        node = NodeConfig(name=name, listen_port=free_port(), files_standby_of=of)
        rooms = tuple(RoomConfig(id=f"room-{number}") for number in range(ROOMS))
        if of:
            init_standby(self.home, node)
        else:
            init(self.home, node, msgspec.structs.replace(config(), rooms=rooms))
        self.log = path / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *words: str) -> None:
        """Run it (or say something else that runs it), until it says where it listens."""
        (self.home.path / "local" / "address").unlink(missing_ok=True)
        command = [*MAIN, *(words or ("run", str(self.home.path)))]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        deadline = time.monotonic() + START_S_MAX
        while self.home.address() is None:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)

    def kill(self) -> None:
        """As if the power went for these processes."""
        end_group(self.process)

    def stop(self) -> None:
        """As a service manager does."""
        end_group(self.process, signal.SIGTERM)

    def meetings(self) -> dict[str, str]:
        """Every meeting's URI, as the server tells it."""
        client = Client(self)
        found: dict[str, str] = {}
        cursor = ""
        while True:
            page = client.ask("GET", f"/api/v1/meetings?limit=500&from=2080-01-01&until=2099-01-01{cursor}")
            found |= {one["id"]: uri_of(one) for one in page["meetings"]}
            if not page.get("next"):
                client.close()
                return found
            cursor = f"&cursor={page['next']}"


def uri_of(meeting: dict[str, Any]) -> str:
    """What its invitees were told."""
    return json.dumps(meeting["vmr"], sort_keys=True)


class Client:
    """One connection with the command line's token."""

    def __init__(self, server: Server) -> None:
        address = (server.home.address() or "").removeprefix("http://")
        self._connection = http.client.HTTPConnection(address, timeout=10)
        self._headers = {
            "Authorization": f"Bearer {server.home.cli_token()}",
            "Content-Type": "application/json",
        }

    def close(self) -> None:
        """Let go of it."""
        self._connection.close()

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """One request; the answer as JSON."""
        data = None if body is None else json.dumps(body)
        self._connection.request(method, path, body=data, headers=self._headers)
        answer = self._connection.getresponse()
        text = answer.read()
        assert answer.status < 300, text
        return json.loads(text or b"null")


class Booker:
    """Books without a pause until it is stopped or nobody answers; remembers what was acknowledged when."""

    def __init__(self, server: Server, first: int = 0) -> None:
        self.acknowledged: list[tuple[float, str, str]] = []
        """When (monotonic), which meeting, its URI."""
        self._client = Client(server)
        self._next = first
        self._stop = Event()
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """No more."""
        self._stop.set()
        self._thread.join(20)

    def before(self, moment_s: float) -> dict[str, str]:
        """What had been acknowledged by then."""
        return {meeting: uri for at_s, meeting, uri in list(self.acknowledged) if at_s < moment_s}

    def _run(self) -> None:
        with closing(self._client), suppress(OSError, http.client.HTTPException):
            while not self._stop.is_set():
                number, self._next = self._next, self._next + 1
                day, slot = divmod(number // ROOMS, 48)
                begin = f"{2080 + day // 28}-01-{1 + day % 28:02}T{slot // 2:02}:{'30' if slot % 2 else '00'}"
                body = {
                    "rooms": [f"room-{number % ROOMS}"],
                    "subject": f"Meeting {number}",
                    "organizer": "kari@demo.example",
                    "start": f"{begin}:00Z",
                    "end": f"{begin}:20Z",
                }
                made = self._client.ask("POST", "/api/v1/meetings", body)
                self.acknowledged.append((time.monotonic(), made["id"], uri_of(made)))


class Rsync:
    """`rsync -a --delete` in a loop."""

    def __init__(self, source: Home, to: Home, pause_s: float = 0.02) -> None:
        self._source, self._to, self._pause_s = source.path, to.path, pause_s
        self.finished: list[tuple[float, float]] = []
        """Copies that ended well: begun, ended (monotonic)."""
        self._stop = Event()
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """No more, after the one that is under way."""
        self._stop.set()
        self._thread.join(20)

    def whole_since(self, moment_s: float) -> bool:
        """True when a copy that began after this moment has ended."""
        return bool(self.finished) and self.finished[-1][0] > moment_s

    def _run(self) -> None:
        while not self._stop.is_set():
            begun_s = time.monotonic()
            if all(
                subprocess.run(words, check=False).returncode in (0, 24)
                for words in rsync(self._source, self._to)
            ):
                self.finished.append((begun_s, time.monotonic()))
            time.sleep(self._pause_s)


def rsync(source: Path, to: Path, *options: str) -> list[list[str]]:
    """The two commands of one copy."""
    return [
        ["rsync", "-a", "--delete", *options, f"{source}/databases/", f"{to}/databases/"],
        ["rsync", "-a", *options, f"{source}/config/config.json", f"{to}/config/"],
    ]


LSYNCD = """
settings {{ nodaemon = true, inotifyMode = "CloseWrite or Modify", statusFile = "{path}/lsyncd.status" }}
sync {{ default.rsync, source = "{source}/databases/", target = "{to}/databases/", delay = 0, delete = true,
       rsync = {{ archive = true }} }}
sync {{ default.rsync, source = "{source}/config/", target = "{to}/config/", delay = 0, delete = false,
       rsync = {{ archive = true, _extra = {{ "--include=config.json", "--exclude=*" }} }} }}
"""


class Lsyncd:
    """lsyncd with rsync underneath."""

    def __init__(self, source: Home, to: Home, path: Path) -> None:
        self._source, self._to = source.path, to.path
        settings = path / "lsyncd.lua"
        settings.write_text(LSYNCD.format(source=source.path, to=to.path, path=path))
        self._log = (path / "lsyncd.log").open("ab")
        self._process = subprocess.Popen(
            ["lsyncd", "-nodaemon", str(settings)], stdout=self._log, stderr=self._log, start_new_session=True
        )

    def stop(self) -> None:
        """As a service manager does."""
        end_group(self._process, signal.SIGTERM)
        self._log.close()

    def whole_since(self, moment_s: float) -> bool:
        """True when both folders are alike: the source stands still while this is asked."""
        assert self._process.poll() is None, Path(self._log.name).read_text()
        return contents(self._source) == contents(self._to)


def contents(home: Path) -> dict[str, bytes]:
    """Every file below databases/."""
    databases = home / "databases"
    return {
        str(one.relative_to(databases)): one.read_bytes() for one in databases.rglob("*") if one.is_file()
    }


def until(true: Callable[[], bool], said: str, timeout_s: float = 40.0) -> None:
    """Wait for it."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, said
        time.sleep(0.05)


HAS_RSYNC = shutil.which("rsync") is not None
HAS_LSYNCD = shutil.which("lsyncd") is not None
