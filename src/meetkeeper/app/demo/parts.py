"""The demonstration's house, all on loopback: a CalDAV server, a bridge where one is installed, and two servers.

The CalDAV server is Radicale as its own process; the mail sink keeps every mail as a file; Janus is started privately
where Debian's package is installed, else the join page alone is the bridge. The servers become a pair by the same code
as `meetkeeper pair` and `init --join`, with a register that is a folder beside them.
"""

import datetime
import secrets
import shutil
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
from meetkeeper.app import configfile, pairing
from meetkeeper.app.demo.servers import Server, Servers, end
from meetkeeper.app.home import FileRegisterNode, Home, NodeConfig, init, new_secret
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
from meetkeeper.core.errors import Refused, Unavailable

__all__ = ["ROOMS", "Pace", "Parts", "Radicale", "clear", "end", "free_port"]

ROOMS = (("oslo", "Oslo", 8), ("bergen", "Bergen", 14), ("tromso", "Tromsø", 4))
CALDAV_USER = "rooms"
START_S_MAX = 30.0
PORTS = range(20_000, 32_000)
PORT_TRIES = 200
NAMES = ("north", "south")


class Pace(Struct, frozen=True, kw_only=True):
    """How fast the demonstration lives."""

    poll_s: float = 2.0
    settle_s: float = 1.0
    verify_before_s: int = 60
    warn_before_s: int = 60
    retire_after_s: int = 60
    reconcile_s: float = 5.0


def free_port(wanted: int = 0, *, twins: bool = False) -> int:
    """`wanted` when nobody listens there, else any free port of loopback; with `twins` the next one is free too.

    Below those that the system gives to outgoing connections: a server that is down for a moment finds its port again.
    """
    some = (PORTS.start + secrets.randbelow(len(PORTS)) for _ in range(PORT_TRIES))
    for port in (wanted, *some):
        if port and _is_free(port) and (not twins or _is_free(port + 1)):
            return port
    raise Unavailable("no-port", "This machine has no free port on loopback.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


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
    """Everything around the servers, and the servers' homes."""

    def __init__(self, folder: Path, *, port: int, pace: Pace, janus: bool = True) -> None:
        self.folder = folder
        self.register = folder / "register"
        self.password = new_secret()[:12]
        north, south = (
            Server(Home(folder / name), free_port(wanted), free_port(twins=True))
            for name, wanted in zip(NAMES, (port, port and port + 1), strict=True)
        )
        self.servers = Servers(north, south)
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

    @property
    def url(self) -> str:
        """The address people are given: the first server's. While the other one acts, it leads there (307)."""
        return self.servers.north.url

    @property
    def mail_folder(self) -> Path:
        """Where the mails are."""
        return self.folder / "mail"

    def start_neighbours(self) -> None:
        """Calendars and bridge."""
        self.radicale.start()
        if self.janus is not None:
            self.janus.start()

    def lay_homes(self) -> None:
        """Two homes in a pair: the first knows everything, the second learns it. Raises `Refused` for old ones."""
        north, south = self.servers.both
        if north.home.node_file.exists():
            raise Refused(
                "demo-folder",
                f"{self.folder} holds an earlier demonstration. Remove it, or choose another folder.",
            )
        self.register.mkdir(parents=True, exist_ok=True)
        init(north.home, NodeConfig(name=north.name, listen_port=north.port), self.config)
        north.home.schema_file.write_bytes(configfile.schema())
        invitation = pairing.found(
            north.home,
            listen=north.line,
            peer=south.name,
            peer_address=south.line,
            register=FileRegisterNode(folder=str(self.register)),
            url=north.url,
            now=datetime.datetime.now(datetime.UTC),
        )
        pairing.accept(south.home, invitation, host="127.0.0.1", port=south.port, url=south.url)
        invitation.unlink()

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

    def stop(self) -> None:
        """Stop everything that was started here."""
        self.servers.stop()
        self.radicale.stop()
        if self.janus is not None:
            self.janus.stop()


def local_zone() -> str:
    """This machine's zone, UTC where it has no name."""
    from tzlocal import get_localzone_name

    return get_localzone_name() or "UTC"


def clear(folder: Path) -> None:
    """Remove a folder that a demonstration made."""
    shutil.rmtree(folder, ignore_errors=True)
