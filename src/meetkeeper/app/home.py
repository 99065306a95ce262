"""A server's home folder: what `init` lays down, and what belongs to this server alone (`node.json`, `local/`).

HOME/node.json            this server only: its name, where it listens
HOME/config/config.json   the cluster's configuration, as deployed
HOME/databases/           what survives: journal and snapshots
HOME/local/               never copied to another server: lock, promises, the command line's token
"""

import os
import secrets
import socket
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct, field

from meetkeeper.core.configuration import Config, Port
from meetkeeper.core.errors import NotFound, Refused, TheirMistake

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
CLI_TOKEN = "local/cli.token"  # noqa: S105 — a file's name
ADDRESS = "local/address"


class PeerNode(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The other server, as this one knows it."""

    name: Annotated[str, Meta(pattern=NAME)]
    address: str
    """HOST:PORT of its line between servers."""
    agent: str = ""
    """HOST:PORT of its agent; empty: the port after `address`."""


class FileRegisterNode(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="file"
):
    """A folder on a third host's share, mounted here (NFS: `actimeo=0` or `noac`; SMB: `cache=none`)."""

    folder: str
    deadline_s: float = 2.0


class EtcdRegisterNode(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="etcd"
):
    """An etcd cluster, by its JSON gateway."""

    endpoints: tuple[str, ...]
    key: str = "/meetkeeper/register"
    user: str = ""
    password_file: str = ""
    authority: str = ""
    certificate: str = ""
    certificate_key: str = ""
    deadline_s: float = 2.0


class FenceNode(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A command that ends the other host: 0 means that it is off and stays off until a person starts it.

    Used where there is no register and the mode is `strict`; in the other modes the active may have gone on alone since
    the cut, and only a register or a person can say that nobody may take over.
    """

    command: tuple[str, ...]
    test: tuple[str, ...] = ()
    """A command that says with 0 that fencing would work, without doing it."""
    timeout_s: float = 30.0


class PairNode(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """This server's part in a pair. Policy (`mode`, `failover_after_s`) is the cluster's: config.json, `pair`."""

    cluster: str
    """Drawn when the pair was founded; a server of another cluster is refused."""
    instance: str
    """Drawn by `init` for this home alone."""
    listen: str
    """HOST:PORT of the line between servers; the agent listens on the port after it, or on `agent_listen`."""
    peer: PeerNode
    agent_listen: str = ""
    certificate: str = "local/tls/node.pem"
    key: str = "local/tls/node.key"
    authority: str = "local/tls/ca.pem"
    register: FileRegisterNode | EtcdRegisterNode | None = None
    """None: no automatic failover on a partition, but on a proof that the other has stopped."""
    fence: FenceNode | None = None
    url: str = ""
    """Where people and programs reach this server: the other one leads them here while this one is active."""
    joins: bool = False
    """True for a server that came to a pair somebody else founded: it never founds one."""


class NodeConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """node.json: what differs between the servers of a cluster."""

    name: Annotated[str, Meta(pattern=NAME)]
    listen_host: str = "127.0.0.1"
    listen_port: Port = 8080
    tls_certificate: str = ""
    """PEM file with the server's certificate chain; empty: plain HTTP, for loopback or behind a proxy."""
    tls_key: str = ""
    log_format: Annotated[str, Meta(pattern=r"^(text|json)$")] = "text"
    trusted_proxies: tuple[str, ...] = field(default=())
    """Addresses whose X-Forwarded-For is believed."""
    pair: PairNode | None = None
    """None: a server by itself."""
    files_standby_of: str = ""
    """The server whose files are copied here: this one does not run before `meetkeeper start --proof`."""


class Home:
    """One home folder by its path. Makes nothing until told to."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()

    @property
    def node_file(self) -> Path:
        """node.json."""
        return self.path / "node.json"

    @property
    def config_file(self) -> Path:
        """The configuration as deployed."""
        return self.path / "config" / "config.json"

    @property
    def staged_file(self) -> Path:
        """A configuration that waits to be checked and deployed."""
        return self.path / "config" / "staged.json"

    @property
    def schema_file(self) -> Path:
        """The JSON Schema beside it."""
        return self.path / "config" / "config.schema.json"

    def node(self) -> NodeConfig:
        """Read node.json. Raises `NotFound` without a home, `TheirMistake` for a file that can't be used."""
        try:
            text = self.node_file.read_bytes()
        except FileNotFoundError:
            raise NotFound(
                "no-home", f"{self.path} is no meetkeeper home. Make one with `meetkeeper init {self.path}`."
            ) from None
        try:
            return msgspec.json.decode(text, type=NodeConfig)
        except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
            raise TheirMistake(
                "node.json", f"{self.node_file} can't be used: {wrong}. Correct it."
            ) from wrong

    def write_cli_token(self, token: str) -> None:
        """The key for this machine's command line: readable by this server's user alone, new at every start."""
        write_private(self.path / CLI_TOKEN, token.encode())

    def cli_token(self) -> str | None:
        """The command line's key while a server runs here."""
        try:
            return (self.path / CLI_TOKEN).read_text().strip() or None
        except (FileNotFoundError, PermissionError):
            return None

    def write_address(self, url: str) -> None:
        """Where the running server answers, for the command line."""
        write_private(self.path / ADDRESS, url.encode())

    def address(self) -> str | None:
        """Where the server that ran here last answered."""
        try:
            return (self.path / ADDRESS).read_text().strip() or None
        except (FileNotFoundError, PermissionError):
            return None


def write_private(path: Path, data: bytes) -> None:
    """Replace a file in one step; nobody but its owner reads it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        os.write(handle, data)
        os.fsync(handle)
    finally:
        os.close(handle)
    os.replace(aside, path)


def new_secret() -> str:
    """A cluster's secret: 32 random bytes as text."""
    return secrets.token_urlsafe(32)


def init(home: Home, node: NodeConfig, config: Config) -> None:
    """Lay down a new home. Raises `Refused` where one exists."""
    if home.node_file.exists():
        raise Refused(
            "home-exists", f"{home.path} is a meetkeeper home already. Run it, or choose another folder."
        )
    home.path.mkdir(parents=True, exist_ok=True, mode=0o700)
    for folder in ("config", "databases", "local"):
        (home.path / folder).mkdir(exist_ok=True, mode=0o700)
    write_private(home.config_file, pretty(config))
    write_private(home.node_file, msgspec.json.format(msgspec.json.encode(node), indent=2) + b"\n")


def pretty(config: Config) -> bytes:
    """A configuration as people read it."""
    return msgspec.json.format(msgspec.json.encode(config), indent=2) + b"\n"


def this_host() -> str:
    """This machine's short name."""
    return socket.gethostname().split(".")[0] or "server"
