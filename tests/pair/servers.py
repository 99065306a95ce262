"""A real pair for tests: two homes made by the real commands, an agent and a node each, ended whatever happens.

    with laid_down(tmp_path) as pair:
        pair.start()                      # returns when one acts, the other follows, both are in sync
        client = Client(pair)
        client.book()
        pair.active().kill_node()

Every server may live in a network namespace of its own (`Place`); the client then asks from the pair's network. What a
server's own files say (`Server.record`, `Server.node_pid`) is read without asking it.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from meetkeeper.app.commands import build
from meetkeeper.app.configfile import read
from meetkeeper.app.home import Home, NodeConfig, pretty
from meetkeeper.core.configuration import LinkBridge, PairConfig, RoomConfig
from meetkeeper.ha.words import Record
from meetkeeper.registers.sheet import unseal
from meetkeeper.registers.standing import PATH as STANDING
from tests.pair import net
from tests.ports import free_port, free_twins

START_S = 90.0
ASK_S = 4.0
"""Then the other server is asked: who is frozen takes a connection and never answers."""
CONNECT_S = 1.0
ASK_AGAIN_S = 20.0
"""Who has just begun to act may say so long that it is still reading."""
ROOMS = 64
EVERY_S = 0.02
PATIENCE = 3


def until(true: Callable[[], object], within_s: float, what: str = "", say: Callable[[], str] = str) -> float:
    """Wait until it is so; how long that took. `say` adds what is to be known when it never is.

    `within_s` is what a quiet machine may take; one that does much else is given `PATIENCE` times as long.
    """
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < PATIENCE * within_s, f"not within {within_s} s: {what}\n{say()}"
        time.sleep(EVERY_S)
    return time.monotonic() - begun


@dataclass(frozen=True)
class Place:
    """Where a server lives: its address, its three ports, and its network namespace (empty: this one)."""

    host: str
    http: int
    line: int
    netns: str = ""


@dataclass
class Server:
    """One server of a pair: its home, its agent's process, its node's."""

    name: str
    home: Home
    place: Place
    log: Path
    net: "net.Net | None" = None
    environment: dict[str, str] = field(default_factory=dict)
    wrap: tuple[str, ...] = ()
    """Goes before the agent's command: `("faketime", …)`, `("prlimit", "--nofile=64")`."""
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """Where people reach it."""
        return f"http://{self.place.host}:{self.place.http}"

    # --- life ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start its agent, which starts the node. Does not wait."""
        inside = net.command_inside(self.place.netns) if self.place.netns else ()
        command = [
            *inside,
            *self.wrap,
            sys.executable,
            "-m",
            "meetkeeper.app.main",
            "run",
            str(self.home.path),
        ]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=os.environ | self.environment
            )

    def stop(self, within_s: float = 20.0) -> int:
        """SIGTERM to its agent: an orderly end, a switchover first where that is possible. The exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(within_s)

    def kill(self) -> None:
        """The host is gone as far as processes go: SIGKILL to agent and node. Returns when both are."""
        node = self.node_pid()
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        if node is not None:
            with suppress(ProcessLookupError):
                os.kill(node, signal.SIGKILL)
            until(lambda: not alive(node), 5.0, f"{self.name}'s node is gone")
        self.process = None

    def node_pid(self) -> int | None:
        """The living process that holds the home's lock."""
        try:
            pid = int((self.home.path / "local" / "lock").read_text().split()[-1])
        except (OSError, ValueError, IndexError):
            return None
        return pid if alive(pid) else None

    def signal_node(self, number: signal.Signals) -> int:
        """Send a signal to the node; its pid."""
        pid = self.node_pid()
        assert pid is not None, f"{self.name} has no node\n{self.tail()}"
        os.kill(pid, number)
        return pid

    def kill_node(self) -> int:
        """SIGKILL to the node alone: its agent lives, proves the stop and starts it again."""
        return self.signal_node(signal.SIGKILL)

    def freeze(self) -> int:
        """SIGSTOP to the node."""
        return self.signal_node(signal.SIGSTOP)

    def thaw(self) -> int:
        """SIGCONT to the node."""
        return self.signal_node(signal.SIGCONT)

    # --- what can be seen ---------------------------------------------------------------------------------------

    def health(self, kind: str, timeout_s: float = 1.0) -> tuple[int, str]:
        """`/health/<kind>`: the status and its word; (0, "") when nothing answers in time."""
        try:
            status, _, body = request(self, "GET", f"/health/{kind}", timeout_s=timeout_s)
            return status, str(json.loads(body)["status"])
        except (OSError, ValueError, KeyError):
            return 0, ""

    def acts(self, timeout_s: float = 1.0) -> bool:
        """It says that it is the active one."""
        return self.health("active", timeout_s)[0] == 200

    def follows(self) -> bool:
        """It says that it is passive."""
        return self.health("passive")[0] == 200

    def answers(self) -> bool:
        """Its process serves requests."""
        return self.health("live")[0] == 200

    def record(self) -> Record | None:
        """Who may act, as this server last knew it (`local/standing.json`)."""
        try:
            return unseal((self.home.path / STANDING).read_bytes()).record
        except FileNotFoundError:
            return None

    def in_sync(self) -> tuple[str, ...]:
        """Who is in sync, as this server last knew it."""
        record = self.record()
        return () if record is None else record.in_sync

    def node(self) -> NodeConfig:
        """Its node.json."""
        return self.home.node()

    def write_node(self, node: NodeConfig) -> None:
        """Another node.json; counts from the next start."""
        self.home.node_file.write_bytes(msgspec.json.format(msgspec.json.encode(node), indent=2) + b"\n")

    def text(self) -> str:
        """Its whole log."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def tail(self, lines: int = 25) -> str:
        """The end of its log."""
        return f"--- {self.name}:\n" + "\n".join(self.text().splitlines()[-lines:])

    def said(self, words: str, after: int = 0) -> bool:
        """These words stand in its log, after so many characters of it."""
        return words in self.text()[after:]

    def set_aside(self) -> list[Path]:
        """Folders of histories that lost."""
        return sorted((self.home.path / "local" / "set-aside").glob("*"))


class Pair:
    """Two servers. `a` founded the pair, `b` joined it."""

    def __init__(self, a: Server, b: Server, network: "net.Net | None", register: Path | None) -> None:
        self.a, self.b, self.net, self.register = a, b, network, register
        self.both = (a, b)

    def other(self, one: Server) -> Server:
        """The other one."""
        return self.b if one is self.a else self.a

    def start(self, within_s: float = START_S) -> None:
        """Start both and wait until they are a pair in sync; `a` acts."""
        self.a.start()
        until(self.a.answers, within_s, "a answers", self.tails)
        self.b.start()
        self.wait_in_sync(within_s)

    def wait_in_sync(self, within_s: float = START_S, active: Server | None = None) -> Server:
        """Wait until one acts, the other follows, and both are named in sync; the active one."""
        until(lambda: self._is_whole(active), within_s, "active, passive, in sync", self.tails)
        return self.active()

    def _is_whole(self, wanted: Server | None) -> bool:
        found = self.acting()
        if found is None or (wanted is not None and found is not wanted):
            return False
        record = found.record()
        return record is not None and len(record.in_sync) == 2 and self.other(found).follows()

    def acting(self) -> Server | None:
        """The one that says it acts. Fails when both do."""
        found = [one for one in self.both if one.acts()]
        assert len(found) < 2, f"two servers act\n{self.tails()}"
        return found[0] if found else None

    def active(self) -> Server:
        """The one that acts."""
        found = self.acting()
        assert found is not None, f"nobody acts\n{self.tails()}"
        return found

    def passive(self) -> Server:
        """The other one."""
        return self.other(self.active())

    def wait_active(self, one: Server, within_s: float = 15.0) -> float:
        """Wait until this one acts; how long it took."""
        return until(one.acts, within_s, f"{one.name} acts", self.tails)

    def kill(self) -> None:
        """End everything at once."""
        for one in self.both:
            one.kill()

    def tails(self) -> str:
        """The ends of both logs."""
        return f"{self.a.tail()}\n{self.b.tail()}"


@contextmanager
def laid_down(
    folder: Path,
    *,
    network: "net.Net | None" = None,
    register: str | None = "file",
    policy: PairConfig = PairConfig(),  # noqa: B008 - frozen
    rooms: int = ROOMS,
) -> Iterator[Pair]:
    """Two homes in a pair by `init`, `pair` and `init --join`, not started; ended afterwards, whatever happened.

    `register`: "file" (a folder of ours), "" for none, or what `--register` takes.
    """
    places = network.places() if network is not None else _loopback()
    shared = folder / "register" if register == "file" else None
    if shared is not None:
        shared.mkdir(parents=True)
        register = f"file:{shared}"
    servers = []
    for name, place in zip("ab", places, strict=True):
        servers.append(Server(name, Home(folder / name), place, folder / f"{name}.log", network))
    pair = Pair(servers[0], servers[1], network, shared)
    _lay_down(pair, register or "", policy, rooms)
    try:
        yield pair
    finally:
        pair.kill()


def _lay_down(pair: Pair, register: str, policy: PairConfig, rooms: int) -> None:
    a, b = pair.a, pair.b
    meetkeeper("init", a.home.path, "--name", a.name, "--listen", f"{a.place.host}:{a.place.http}")
    config = msgspec.structs.replace(
        read(a.home.config_file.read_bytes()),
        rooms=tuple(RoomConfig(id=f"room{number}") for number in range(rooms)),
        bridges=(LinkBridge(id="link", url="http://bridge.example/{alias}"),),
        pair=policy,
    )
    a.home.config_file.write_bytes(pretty(config))
    meetkeeper(
        *("pair", a.home.path, "--line", f"{a.place.host}:{a.place.line}"),
        *("--with", f"{b.name}={b.place.host}:{b.place.line}"),
        *(("--register", register) if register else ()),
    )
    invitation = a.home.path / "local" / "pair" / f"invitation-{b.name}.json"
    meetkeeper("init", b.home.path, "--join", invitation, "--listen", f"{b.place.host}:{b.place.http}")


def meetkeeper(*words: object) -> None:
    """A command of ours, in this process. Raises what it refuses."""
    with open(os.devnull, "w") as nowhere, _stdout(nowhere):
        build().main([str(word) for word in words], prog_name="meetkeeper", standalone_mode=False)


@contextmanager
def _stdout(stream: Any) -> Iterator[None]:
    before, sys.stdout = sys.stdout, stream
    try:
        yield
    finally:
        sys.stdout = before


def _loopback() -> tuple[Place, Place]:
    return Place("127.0.0.1", *free_ports()), Place("127.0.0.1", *free_ports())


def free_ports() -> tuple[int, int]:
    """A free port for people, and one for the line whose next one is free too: the agent listens there."""
    return free_port(), free_twins()


def alive(pid: int) -> bool:
    """This process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def needs(*programs: str) -> str:
    """The first of these programs that is missing on this machine, or empty."""
    return next((one for one in programs if shutil.which(one) is None), "")


# --- the client ---------------------------------------------------------------------------------------------------


def request(
    server: Server,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Sequence[tuple[str, str]] = (),
    timeout_s: float = ASK_S,
) -> tuple[int, dict[str, str], bytes]:
    """One request on one connection: status, headers (lower case), body. Raises `OSError` when it fails."""
    place = server.place
    where = (place.host, place.http)
    inside = server.net.client() if server.net is not None else net.here()
    with inside:
        connection = socket.create_connection(where, timeout=min(timeout_s, CONNECT_S))
    with connection:
        head = [f"{method} {path} HTTP/1.1", f"Host: {place.host}", "Connection: close"]
        head += [f"{name}: {value}" for name, value in headers]
        head += [f"Content-Length: {len(body)}"] if body is not None else []
        connection.sendall("\r\n".join([*head, "", ""]).encode() + (body or b""))
        return _answer(connection, time.monotonic() + timeout_s)


def _answer(connection: socket.socket, until_s: float) -> tuple[int, dict[str, str], bytes]:
    got = bytearray()
    while True:
        left_s = until_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("no whole answer in time")
        connection.settimeout(left_s)
        part = connection.recv(65_536)
        if not part:
            break
        got += part
    head, mark, rest = bytes(got).partition(b"\r\n\r\n")
    if not mark:
        raise ConnectionError("the connection ended before an answer")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if len(rest) < int(headers.get("content-length", 0)):
        raise ConnectionError("the connection ended within an answer")
    return int(first.split()[1]), headers, rest


@dataclass(frozen=True)
class Told:
    """A booking that was acknowledged: by whom, when, how long it took, over how many tries."""

    id: str
    key: str
    uri: str
    by: str
    at_s: float
    took_s: float
    tries: int


class NotTold(AssertionError):
    """No answer within the time given; the booking may stand or not."""


class Client:
    """Books, honours 307 and 503, tries again with the same Idempotency-Key, and remembers what was acknowledged."""

    def __init__(self, pair: Pair, *, first_day: int = 0) -> None:
        self._pair = pair
        self._lock = threading.Lock()
        self._number = first_day * 24
        self._ask = pair.a
        self._token = ""
        self.asked: dict[str, str] = {}
        """Subject of every booking ever sent, and its key."""
        self.told: list[Told] = []
        self.refusals: dict[int, int] = {}
        """How often each status other than 2xx was answered."""

    def token(self) -> str:
        """The command line's token of either server."""
        for one in self._pair.both:
            self._token = self._token or one.home.cli_token() or ""
        assert self._token
        return self._token

    def book(self, within_s: float = 30.0, one: Server | None = None) -> Told:
        """Book something new; asks `one` alone if given. Raises `NotTold` when nothing is acknowledged in time."""
        with self._lock:
            self._number += 1
            number = self._number
        return self.send(number, within_s, one)

    def send(self, number: int, within_s: float = 30.0, one: Server | None = None) -> Told:
        """Book the meeting of this number, or ask again for it."""
        subject, key = f"Meeting {number}", f"key-{number}"
        with self._lock:
            self.asked[subject] = key
        body = json.dumps(_meeting(number, subject)).encode()
        headers = (
            ("Authorization", f"Bearer {self.token()}"),
            ("Content-Type", "application/json"),
            ("Idempotency-Key", key),
        )
        begun, tries = time.monotonic(), 0
        while (left_s := begun + within_s - time.monotonic()) > 0:
            tries += 1
            server = one or self._ask
            wait_s, said = self._try(server, body, headers, min(ASK_S, left_s), fixed=one is not None)
            if said is not None:
                told = Told(str(said["id"]), key, _uri(said), server.name, time.time(),
                            time.monotonic() - begun, tries)  # fmt: skip
                with self._lock:
                    self.told.append(told)
                return told
            time.sleep(min(wait_s, max(0.0, left_s)))
        raise NotTold(
            f"booking {number} was not acknowledged in {within_s} s ({self.refusals})\n{self._pair.tails()}"
        )

    def _try(
        self,
        server: Server,
        body: bytes,
        headers: Sequence[tuple[str, str]],
        timeout_s: float,
        *,
        fixed: bool,
    ) -> tuple[float, dict[str, Any] | None]:
        try:
            status, answered, text = request(server, "POST", "/api/v1/meetings", body, headers, timeout_s)
        except OSError:
            self._count(0)
            self._turn(server)
            return 0.05, None
        if status in (200, 201):
            return 0.0, json.loads(text)
        self._count(status)
        if status == 307:
            to = next((one for one in self._pair.both if answered["location"].startswith(one.url)), None)
            self._ask = to or self._pair.other(server)
            return (0.05 if fixed else 0.0), None
        assert status in (503, 507, 425, 429), f"{status}: {text.decode()}\n{self._pair.tails()}"
        self._turn(server)
        return min(0.1, float(answered.get("retry-after", 0.1))), None

    def _turn(self, server: Server) -> None:
        self._ask = self._pair.other(server)

    def _count(self, status: int) -> None:
        with self._lock:
            self.refusals[status] = self.refusals.get(status, 0) + 1

    def get(self, path: str, server: Server | None = None) -> Any:
        """Ask the active (or this server) for something, again while it says so. `OSError` for anything but 200."""
        server = server or self._pair.active()
        headers = (("Authorization", f"Bearer {self.token()}"),)
        until_s = time.monotonic() + ASK_AGAIN_S
        while True:
            status, answered, text = request(server, "GET", path, headers=headers)
            if status == 200:
                return json.loads(text)
            if status != 503 or time.monotonic() > until_s:
                raise OSError(f"{status}: {text[:500].decode(errors='replace')}")
            time.sleep(min(0.1, float(answered.get("retry-after", 0.1))))

    def meetings(self) -> list[dict[str, Any]]:
        """Everything booked that the active shows."""
        found: list[dict[str, Any]] = []
        path = "/api/v1/meetings?limit=500&from=2090-01-01T00:00:00Z&until=2099-01-01T00:00:00Z"
        cursor = ""
        while True:
            page = self.get(path + cursor)
            found += page["meetings"]
            if not page["next"]:
                return found
            cursor = f"&cursor={page['next']}"

    def check(self) -> int:
        """Everything acknowledged is there once, with its URI unchanged; nothing that was not asked for. How many."""
        found = self.meetings()
        by_id = {str(one["id"]): one for one in found}
        lost = [one for one in self.told if one.id not in by_id]
        assert not lost, f"acknowledged and lost: {lost}\n{self._pair.tails()}"
        moved = [one for one in self.told if _uri(by_id[one.id]) != one.uri]
        assert not moved, f"URIs changed: {moved}"
        subjects = [str(one["subject"]) for one in found]
        assert len(set(subjects)) == len(subjects), "a booking stands twice"
        strange = set(subjects) - set(self.asked)
        assert not strange, f"never asked for: {strange}"
        return len(self.told)


class Load:
    """Clients that book all the time, each in a thread; what goes wrong in one is raised at the end."""

    def __init__(
        self, client: Client, threads: int = 2, pause_s: float = 0.02, within_s: float = 40.0
    ) -> None:
        self._client, self._pause_s, self._within_s = client, pause_s, within_s
        self._over = threading.Event()
        self._wrong: list[BaseException] = []
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def __enter__(self) -> "Load":
        for one in self._threads:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for one in self._threads:
            one.join(self._within_s + ASK_S)
        if self._wrong:
            raise self._wrong[0]

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                self._client.book(self._within_s)
                self._over.wait(self._pause_s)
        except (AssertionError, OSError) as wrong:
            self._wrong.append(wrong)


class Watch:
    """Looks at both servers' `/health/active` all the time: `dual` counts looks in which both acted."""

    def __init__(self, pair: Pair, every_s: float = 0.1) -> None:
        self._pair, self._every_s = pair, every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.dual = 0
        self.changes: list[tuple[float, str]] = []
        """When who began to act: seconds since the watch began."""

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(5.0)

    def _run(self) -> None:
        begun = time.monotonic()
        while not self._over.wait(self._every_s):
            acting = [one.name for one in self._pair.both if one.acts(0.3)]
            # The two were asked one after the other: only who still acts when the second has answered counts.
            if len(acting) == 2 and self._pair.a.acts(0.3):
                self.dual += 1
            elif len(acting) == 1 and (not self.changes or self.changes[-1][1] != acting[0]):
                self.changes.append((time.monotonic() - begun, acting[0]))


def _meeting(number: int, subject: str) -> dict[str, object]:
    """Number n has a room and an hour of its own."""
    slot, room = divmod(number, ROOMS)
    day, hour = divmod(slot, 24)
    month, day = divmod(day, 28)
    date = f"{2090 + month // 12}-{month % 12 + 1:02}-{day + 1:02}"
    return {
        "rooms": [f"room{room}"],
        "subject": subject,
        "organizer": "kari@demo.example",
        "start": f"{date}T{hour:02}:00:00Z",
        "end": f"{date}T{hour:02}:30:00Z",
    }


def _uri(meeting: dict[str, Any]) -> str:
    vmr = meeting["vmr"] or {}
    return f"{vmr.get('alias')} {vmr.get('join_url')} {vmr.get('sip_uri')}"
