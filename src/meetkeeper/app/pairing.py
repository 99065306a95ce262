"""How two homes become a pair: the first one is given its part and writes an invitation, the second one accepts it.

The invitation is one file with everything the other server needs: names, addresses, certificates, register. Whoever has
it can be that server: carry it like a password, and remove it when it has been used.
"""

import datetime
import ipaddress
import os
import secrets
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from meetkeeper.app.home import (
    EtcdRegisterNode,
    FileRegisterNode,
    Home,
    NodeConfig,
    PairNode,
    PeerNode,
    write_private,
)
from meetkeeper.core.errors import NotFound, Refused, TheirMistake
from meetkeeper.replication.authority import SERVER_DAYS, Issued, issue, make_authority

AUTHORITY_FOLDER = "local/pair"
RegisterNode = FileRegisterNode | EtcdRegisterNode


class Invitation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the first server hands to the second."""

    cluster: str
    name: str
    """Whom it is for."""
    listen: str
    peer: PeerNode
    """The one who invites."""
    register: RegisterNode | None
    certificate: str
    key: str
    authority: str


def register_of(text: str) -> RegisterNode | None:
    """`file:/folder`, `etcd:https://one:2379,https://two:2379`, or empty: none. Raises `TheirMistake`."""
    kind, _, rest = text.partition(":")
    match kind:
        case "":
            return None
        case "file" if rest.startswith("/"):
            return FileRegisterNode(folder=rest)
        case "etcd" if rest:
            return EtcdRegisterNode(endpoints=tuple(rest.split(",")))
        case _:
            raise TheirMistake(
                "register",
                f"{text!r} is no register. Write file:/a/folder/on/a/third/host or etcd:https://host:2379,…",
            )


def found(
    home: Home,
    *,
    listen: str,
    peer: str,
    peer_address: str,
    register: RegisterNode | None,
    url: str,
    now: datetime.datetime,
) -> Path:
    """Give this home its part in a pair and write the other one's invitation; where that is.

    Raises `Refused` when it is in a pair already.
    """
    node = home.node()
    if node.pair is not None:
        raise Refused("paired", f"{home.path} is in a pair with {node.pair.peer.name} already.")
    cluster = secrets.token_hex(8)
    authority = make_authority(now)
    folder = home.path / AUTHORITY_FOLDER
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(folder / "ca.key", authority.key)
    write_private(folder / "ca.pem", authority.certificate)
    own = issue(authority, node.name, (_host(listen),), SERVER_DAYS, now)
    theirs = issue(authority, peer, (_host(peer_address),), SERVER_DAYS, now)
    _write_tls(home, own, authority.certificate)
    pair = PairNode(
        cluster=cluster,
        instance=secrets.token_hex(8),
        listen=listen,
        peer=PeerNode(name=peer, address=peer_address),
        register=register,
        url=url,
    )
    _write_node(home, replace(node, pair=pair))
    invitation = Invitation(
        cluster=cluster,
        name=peer,
        listen=peer_address,
        peer=PeerNode(name=node.name, address=listen),
        register=register,
        certificate=theirs.certificate.decode(),
        key=theirs.key.decode(),
        authority=authority.certificate.decode(),
    )
    path = folder / f"invitation-{peer}.json"
    write_private(path, msgspec.json.format(msgspec.json.encode(invitation), indent=2) + b"\n")
    return path


def accept(home: Home, path: Path, *, host: str, port: int, url: str) -> Invitation:
    """Make a home that joins by this invitation. Raises `NotFound`, `TheirMistake`, or `Refused` where a home is."""
    try:
        invitation = msgspec.json.decode(path.read_bytes(), type=Invitation)
    except FileNotFoundError:
        raise NotFound(
            "no-invitation", f"{path} is not there. `meetkeeper pair` on the other server writes it."
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise TheirMistake("invitation", f"{path} is no invitation: {wrong}. Write it again.") from wrong
    if home.node_file.exists():
        raise Refused("home-exists", f"{home.path} is a meetkeeper home already. Choose another folder.")
    for folder in ("config", "databases", "local"):
        (home.path / folder).mkdir(parents=True, exist_ok=True, mode=0o700)
    issued = Issued(invitation.key.encode(), invitation.certificate.encode())
    _write_tls(home, issued, invitation.authority.encode())
    pair = PairNode(
        cluster=invitation.cluster,
        instance=secrets.token_hex(8),
        listen=invitation.listen,
        peer=invitation.peer,
        register=invitation.register,
        url=url or reached_at(host, port, invitation.listen, tls=False),
        joins=True,
    )
    _write_node(home, NodeConfig(name=invitation.name, listen_host=host, listen_port=port, pair=pair))
    return invitation


def reached_at(listen_host: str, port: int, line: str, *, tls: bool) -> str:
    """Where the other server leads people while this one acts, unless somebody says it.

    A server that listens everywhere, or on itself alone, is best known by the host of its line (HOST:PORT).
    """
    everywhere = listen_host in ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound
    host = _host(line) if everywhere or is_loopback(listen_host) else listen_host
    name = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{name}:{port}"


def is_loopback(host: str) -> bool:
    """True for an address that only its own host reaches."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def lonely(listen_host: str, line: str) -> bool:
    """True when the other server could be on another host and people there couldn't reach this one."""
    return is_loopback(listen_host) and not is_loopback(_host(line))


def _write_tls(home: Home, issued: Issued, authority: bytes) -> None:
    folder = home.path / "local" / "tls"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(folder / "node.key", issued.key)
    write_private(folder / "node.pem", issued.certificate)
    write_private(folder / "ca.pem", authority)


def _write_node(home: Home, node: NodeConfig) -> None:
    write_private(home.node_file, msgspec.json.format(msgspec.json.encode(node), indent=2) + b"\n")
    os.chmod(home.node_file, 0o600)


def _host(address: str) -> str:
    return address.rpartition(":")[0].strip("[]")
