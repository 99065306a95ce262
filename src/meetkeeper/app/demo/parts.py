"""The neighbours of the demonstration, all on loopback: a CalDAV server, a mail sink, a bridge where one is installed.

The CalDAV server is Radicale as its own process; the mail sink keeps every mail as a file; Janus is started privately
where Debian's package is installed, else the join page alone is the bridge.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from base64 import b64encode
from pathlib import Path
from urllib.error import HTTPError, URLError

from msgspec import Struct

from meetkeeper.api.passwords import hash_password
from meetkeeper.app.home import Home, NodeConfig, init, new_secret
from meetkeeper.bridges.janus.launch import PrivateJanus, Settings, find_janus
from meetkeeper.core.configuration import (
    AccessConfig,
    BridgeConfig,
    CaldavCalendar,
    ClusterConfig,
    Config,
    JanusBridge,
    LinkBridge,
    MailConfig,
    Operator,
    RoomConfig,
    Secret,
    TimeConfig,
    VmrConfig,
)
from meetkeeper.core.errors import Unavailable

ROOMS = (("oslo", "Oslo", 8), ("bergen", "Bergen", 14), ("tromso", "Tromsø", 4))
CALDAV_USER = "rooms"
START_S_MAX = 30.0
STOP_S_MAX = 8.0


class Pace(Struct, frozen=True, kw_only=True):
    """How fast the demonstration lives."""

    poll_s: float = 2.0
    settle_s: float = 1.0
    verify_before_s: int = 60
    warn_before_s: int = 60
    retire_after_s: int = 60
    reconcile_s: float = 5.0


def free_port(wanted: int = 0) -> int:
    """`wanted` when nobody listens there, else any free port of loopback."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise Unavailable("no-port", "This machine has no free port on loopback.")


class Radicale:
    """A Radicale of our own."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and make one calendar per room. Raises `Unavailable` when it does not come up."""
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = self.folder / "radicale.conf"
        settings.write_text(
            f"[server]\nhosts = 127.0.0.1:{self.port}\n[auth]\ntype = none\n[rights]\ntype = authenticated\n"
            f"[storage]\nfilesystem_folder = {self.folder / 'collections'}\n[logging]\nlevel = warning\n"
        )
        log = (self.folder / "radicale.log").open("ab")
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own arguments
            [sys.executable, "-m", "radicale", "--config", str(settings)],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + START_S_MAX
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                tail = (self.folder / "radicale.log").read_text()[-2_000:]
                raise Unavailable("radicale", f"Radicale did not start. Its log ends with:\n{tail}")
            time.sleep(0.05)
        for room, _, _ in ROOMS:
            self._make_calendar(room)

    def calendar_url(self, room: str) -> str:
        """The address of a room's calendar."""
        return f"{self.url}/{CALDAV_USER}/{room}/"

    def request(self, method: str, url: str, body: bytes = b"", content_type: str = "text/calendar") -> int:
        """One request as a calendar client makes it; the status."""
        request = urllib.request.Request(url, data=body or None, method=method)  # noqa: S310 - loopback
        request.add_header("Authorization", "Basic " + b64encode(f"{CALDAV_USER}:any".encode()).decode())
        if body:
            request.add_header("Content-Type", f"{content_type}; charset=utf-8")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - loopback
                return int(answer.status)
        except HTTPError as refused:
            return refused.code

    def stop(self) -> None:
        """Stop it."""
        end(self._process)

    def _answers(self) -> bool:
        try:
            return self.request("OPTIONS", f"{self.url}/") < 500
        except (URLError, OSError):
            return False

    def _make_calendar(self, room: str) -> None:
        body = (
            '<?xml version="1.0"?><C:mkcalendar xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:set><D:prop>'
            f"<D:displayname>{room}</D:displayname></D:prop></D:set></C:mkcalendar>"
        )
        status = self.request("MKCALENDAR", self.calendar_url(room), body.encode(), "application/xml")
        if status not in (201, 405, 409):
            raise Unavailable(
                "radicale", f"Radicale answered {status} when the calendar of {room} was to be made."
            )


class Parts:
    """Everything around the server, and its home."""

    def __init__(self, folder: Path, *, port: int, pace: Pace, janus: bool = True) -> None:
        self.folder = folder
        self.home = Home(folder / "home")
        self.password = new_secret()[:12]
        self.port = free_port(port)
        self.mail_port = free_port(2525)
        self.radicale = Radicale(folder / "caldav", free_port(5232))
        self.janus: PrivateJanus | None = None
        self._janus_secrets = (new_secret(), new_secret(), new_secret())
        self._pace = pace
        if janus and find_janus() is not None:
            admin, _, client = self._janus_secrets
            settings = Settings(
                admin_secret=admin,
                admin_key=self._janus_secrets[1],
                client_secret=client,
            )
            (folder / "janus").mkdir(parents=True, exist_ok=True)
            self.janus = PrivateJanus(folder / "janus", settings)
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where the server answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def mail_folder(self) -> Path:
        """Where the mails are."""
        return self.folder / "mail"

    def start_neighbours(self) -> None:
        """Calendars and bridge."""
        self.radicale.start()
        if self.janus is not None:
            self.janus.start()

    def lay_home(self) -> None:
        """A home folder that knows them all."""
        if self.home.node_file.exists():
            return
        node = NodeConfig(name="demo", listen_host="127.0.0.1", listen_port=self.port)
        init(self.home, node, self.config)

    @property
    def config(self) -> Config:
        """The configuration of a new home."""
        pace = self._pace
        rooms = tuple(
            RoomConfig(
                id=room,
                name=name,
                email=f"{room}@rooms.example",
                capacity=capacity,
                calendar=CaldavCalendar(
                    url=self.radicale.calendar_url(room),
                    username=CALDAV_USER,
                    password=Secret(value="any"),
                    poll_s=pace.poll_s,
                    settle_s=pace.settle_s,
                ),
            )
            for room, name, capacity in ROOMS
        )
        return Config(
            cluster=ClusterConfig(
                name="demo",
                secret=new_secret(),
                public_url=self.url,
                sip_domain="meet.example",
                time_zone=local_zone(),
            ),
            rooms=rooms,
            bridges=(self._bridge(),),
            vmr=VmrConfig(retire_after_s=pace.retire_after_s),
            time=TimeConfig(verify_before_s=pace.verify_before_s, warn_before_s=pace.warn_before_s),
            mail=MailConfig(
                host="127.0.0.1",
                port=self.mail_port,
                tls="none",
                sender="meetings@demo.example",
                sender_name="Demo meetings",
            ),
            access=AccessConfig(
                operators=(Operator(name="admin", password_hash=hash_password(self.password)),)
            ),
        )

    def _bridge(self) -> BridgeConfig:
        if self.janus is None:
            return LinkBridge(id="link", url=f"{self.url}/static/elsewhere.html?room={{alias}}")
        admin, key, client = self._janus_secrets
        return JanusBridge(
            id="janus",
            admin_url=self.janus.admin_url,
            admin_secret=Secret(value=admin),
            admin_key=Secret(value=key),
            client_url=self.janus.client_url,
            client_secret=Secret(value=client),
            reconcile_s=self._pace.reconcile_s,
        )

    def start_server(self) -> None:
        """Start the server without an agent, so that a SIGKILL ends it, and wait until it is ready.

        Raises `Unavailable` when it does not come up.
        """
        log = (self.folder / "server.log").open("ab")
        with contextlib.suppress(FileNotFoundError):
            (self.home.path / "local" / "address").unlink()
        self._server = subprocess.Popen(  # noqa: S603 - our own interpreter, our own arguments
            [sys.executable, "-m", "meetkeeper.app.main", "run", "--no-agent", str(self.home.path)],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + START_S_MAX
        while not self.is_ready():
            if time.monotonic() > deadline or self._server.poll() is not None:
                raise Unavailable(
                    "demo-server", f"The server did not start. Its log ends with:\n{self.log_tail()}"
                )
            time.sleep(0.02)

    def is_ready(self) -> bool:
        """True once the server has said where it listens, which it does when it acts."""
        return self.home.address() is not None

    def kill_server(self) -> None:
        """SIGKILL: no farewell, no last flush."""
        if self._server is not None:
            self._server.send_signal(signal.SIGKILL)
            self._server.wait()

    def server_ended(self) -> bool:
        """True when the server process is gone."""
        return self._server is not None and self._server.poll() is not None

    def log_tail(self) -> str:
        """The end of the server's log."""
        return (self.folder / "server.log").read_text(errors="replace")[-4_000:]

    def stop(self) -> None:
        """Stop everything that was started here."""
        end(self._server)
        self.radicale.stop()
        if self.janus is not None:
            self.janus.stop()


def end(process: "subprocess.Popen[bytes] | None") -> None:
    """Ask a child to go, then insist."""
    if process is None or process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(STOP_S_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def local_zone() -> str:
    """This machine's zone, UTC where it has no name."""
    from tzlocal import get_localzone_name

    return get_localzone_name() or "UTC"


def clear(folder: Path) -> None:
    """Remove a folder that a demonstration made."""
    shutil.rmtree(folder, ignore_errors=True)


def is_running(pid: int) -> bool:
    """True while the process exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
