"""The two servers of the demonstration, each as `meetkeeper run` starts it: an agent, and the node it looks after.

What is known here a neighbour on the same machine could know: the processes, the homes' locks, the health addresses and
the REST API. A signal goes to the node unless it says otherwise: that is what dies in real life.
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from meetkeeper.app.home import Home
from meetkeeper.core.errors import Unavailable

START_S_MAX = 60.0
STOP_S_MAX = 20.0
ASK_S_MAX = 10.0
LOOK_S = 0.05


class Answer(Struct, frozen=True):
    """What a server said. Status 0: nobody answered. `location` is where a 307 leads, `again_s` what a 503 asks for."""

    status: int
    body: dict[str, Any]
    etag: str = ""
    location: str = ""
    again_s: float = 0.0


class Server:
    """One server: its home, where it answers, its agent's process."""

    def __init__(self, home: Home, port: int, line: int) -> None:
        self.home = home
        self.name = home.path.name
        self.port = port
        self.line = f"127.0.0.1:{line}"
        """Where it listens for the other one; its agent listens on the port after it."""
        self.log = home.path.with_suffix(".log")
        self._agent: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where people and programs reach it."""
        return f"http://127.0.0.1:{self.port}"

    # --- its life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the agent, which starts the node. Does not wait."""
        with self.log.open("ab") as log:
            self._agent = subprocess.Popen(  # noqa: S603 - our own interpreter, our own arguments
                [sys.executable, "-m", "meetkeeper.app.main", "run", str(self.home.path)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def ask_to_stop(self) -> None:
        """SIGTERM to the agent. Does not wait."""
        if self._agent is not None:
            self._agent.terminate()

    def stop(self) -> None:
        """Ask agent and node to go, then insist."""
        end(self._agent, STOP_S_MAX)
        self._agent = None

    def kill(self) -> None:
        """SIGKILL to agent and node: as if the host had lost its power. Returns when both are gone."""
        node = self.node_pid()
        if self._agent is not None:
            self._agent.kill()
            self._agent.wait()
            self._agent = None
        if node is not None:
            send_signal(node, signal.SIGKILL)
            wait_until(f"the end of {self.name}'s node", lambda: not is_running(node), STOP_S_MAX)

    @property
    def has_ended(self) -> bool:
        """True when its agent has gone by itself."""
        return self._agent is not None and self._agent.poll() is not None

    def node_pid(self) -> int | None:
        """The living process that holds the home's lock."""
        try:
            pid = int((self.home.path / "local" / "lock").read_text().split()[-1])
        except (OSError, ValueError, IndexError):
            return None
        return pid if is_running(pid) else None

    def signal_node(self, number: signal.Signals) -> int:
        """Send the node a signal; its process id. Raises `Unavailable` when there is none."""
        pid = self.node_pid()
        if pid is None:
            raise Unavailable("demo-node", f"{self.name} has no node. Its log ends with:\n{self.log_tail()}")
        send_signal(pid, number)
        return pid

    def log_tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-3_000:] if self.log.exists() else ""

    # --- what it says ------------------------------------------------------------------------------------------------

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = ASK_S_MAX,
    ) -> Answer:
        """One request to this server alone; it follows nowhere. Connection troubles are status 0."""
        data = None if body is None else json.dumps(body).encode()
        sent = {"Authorization": f"Bearer {self.home.cli_token()}", **(headers or {})}
        if data is not None:
            sent["Content-Type"] = "application/json"
        talk = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            talk.request(method, path, data, sent)
            answer = talk.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            return Answer(0, {})
        finally:
            talk.close()
        head = answer.headers
        again = head.get("Retry-After", "")
        return Answer(
            status=answer.status,
            body=_json(text),
            etag=head.get("ETag", ""),
            location=head.get("Location", ""),
            again_s=float(again) if again.isdigit() else 0.0,
        )

    def acts(self) -> bool:
        """It says that it is the active one."""
        return self.ask("GET", "/health/active", timeout_s=2.0).status == 200

    def pair_status(self) -> dict[str, Any]:
        """How the pair stands, as this server knows it; empty when it does not say."""
        found = self.ask("GET", "/api/v1/cluster", timeout_s=2.0).body.get("pair")
        return found if isinstance(found, dict) else {}


class Servers:
    """The pair. `north` founded it, `south` joined."""

    def __init__(self, north: Server, south: Server) -> None:
        self.north, self.south = north, south
        self.both = (north, south)

    def start(self) -> Server:
        """Start both and wait until one acts and the other holds the same; the active one. Raises `Unavailable`."""
        for server in self.both:
            server.start()
        return self.wait_in_sync()

    def wait_in_sync(self, within_s: float = START_S_MAX) -> Server:
        """Wait until one acts, the other follows, and both hold all that was acknowledged; the active one.

        Raises `Unavailable` when it takes too long or an agent has ended.
        """
        return self._wait("a pair in sync", self._in_sync, within_s)

    def wait_active(self, within_s: float = START_S_MAX) -> Server:
        """Wait until one of them acts; which. Raises `Unavailable`."""
        return self._wait("an active server", self.acting, within_s)

    def acting(self) -> Server | None:
        """The one that acts, if any says so."""
        return next((one for one in self.both if one.acts()), None)

    def other(self, server: Server) -> Server:
        """The other one."""
        return self.south if server is self.north else self.north

    def stop(self) -> None:
        """Ask both to go, then insist."""
        for server in self.both:
            server.ask_to_stop()
        for server in self.both:
            server.stop()

    def _in_sync(self) -> Server | None:
        active = self.acting()
        if active is None or len(active.pair_status().get("in_sync", ())) < 2:
            return None
        return active if self.other(active).pair_status().get("role") == "passive" else None

    def _wait(self, what: str, look: Callable[[], Server | None], within_s: float) -> Server:
        deadline = time.monotonic() + within_s
        while (found := look()) is None:
            gone = next((one for one in self.both if one.has_ended), None)
            if gone is not None or time.monotonic() > deadline:
                why = f"{gone.name} has ended" if gone is not None else f"{within_s:.0f} s are over"
                tails = "\n".join(f"--- {one.name}:\n{one.log_tail()}" for one in self.both)
                raise Unavailable("demo-server", f"No {what}: {why}. The logs end with:\n{tails}")
            time.sleep(LOOK_S)
        return found


def end(process: "subprocess.Popen[bytes] | None", within_s: float = 8.0) -> None:
    """Ask a child to go, then insist."""
    if process is None or process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def is_running(pid: int) -> bool:
    """True while the process exists and is more than its exit code."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return False
    except ProcessLookupError:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(what: str, true: Callable[[], object], within_s: float) -> None:
    """Look until it is true. Raises `Unavailable` when it does not become true in time."""
    deadline = time.monotonic() + within_s
    while not true():
        if time.monotonic() > deadline:
            raise Unavailable("demo-wait", f"Waited {within_s:.0f} s in vain for {what}.")
        time.sleep(LOOK_S)


def send_signal(pid: int, number: signal.Signals) -> None:
    """To a process that may have ended already."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _json(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {"items": found}
