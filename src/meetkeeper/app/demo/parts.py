"""The demonstration's house, all on loopback: a calendar server, a bridge where one is installed, and two servers.

The calendar server is a process of its own (`calendars`); the mail sink keeps every mail as a file; Janus is started
privately where Debian's package is installed, else the join page alone is the bridge. The servers become a pair by the
same code as `meetkeeper pair` and `init --join`, with a register that is a folder beside them.
"""

import datetime
import shutil
from pathlib import Path

from msgspec import Struct

from meetkeeper.api.passwords import hash_password
from meetkeeper.app import configfile, pairing
from meetkeeper.app.demo.calendars import Calendars, Radicale
from meetkeeper.app.demo.exchange import Exchange
from meetkeeper.app.demo.ports import free_port
from meetkeeper.app.demo.servers import Server, Servers
from meetkeeper.app.home import FileRegisterNode, Home, NodeConfig, init, new_secret
from meetkeeper.bridges.janus.launch import PrivateJanus, Settings, find_janus
from meetkeeper.core.configuration import (
    AccessConfig,
    BridgeConfig,
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
from meetkeeper.core.errors import Refused

ROOMS = (("oslo", "Oslo", 8), ("bergen", "Bergen", 14), ("tromso", "Tromsø", 4))
NAMES = ("north", "south")


class Pace(Struct, frozen=True, kw_only=True):
    """How fast the demonstration lives."""

    poll_s: float = 2.0
    settle_s: float = 1.0
    verify_before_s: int = 60
    warn_before_s: int = 60
    retire_after_s: int = 60
    reconcile_s: float = 5.0


class Parts:
    """Everything around the servers, and the servers' homes."""

    def __init__(
        self, folder: Path, *, port: int, pace: Pace, janus: bool = True, exchange: bool = False
    ) -> None:
        self.folder = folder
        self.register = folder / "register"
        self.password = new_secret()[:12]
        north, south = (
            Server(Home(folder / name), free_port(wanted), free_port(twins=True))
            for name, wanted in zip(NAMES, (port, port and port + 1), strict=True)
        )
        self.servers = Servers(north, south)
        self.mail_port = free_port(2525)
        rooms = [room for room, _, _ in ROOMS]
        self.calendars: Calendars = (
            Exchange(folder / "exchange", rooms) if exchange else Radicale(folder / "caldav", rooms)
        )
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
        self.calendars.start()
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
                calendar=self.calendars.of(room, pace.poll_s, pace.settle_s),
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
            calendar_servers=self.calendars.servers(),
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
        self.calendars.stop()
        if self.janus is not None:
            self.janus.stop()


def local_zone() -> str:
    """This machine's zone, UTC where it has no name."""
    from tzlocal import get_localzone_name

    return get_localzone_name() or "UTC"


def clear(folder: Path) -> None:
    """Remove a folder that a demonstration made."""
    shutil.rmtree(folder, ignore_errors=True)
