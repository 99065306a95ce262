"""Views of a server in typical situations, and events, for the machine's tests."""

from typing import Any

from msgspec.structs import replace

from meetkeeper.ha import happenings as on
from meetkeeper.ha.view import Change, Kind, View
from meetkeeper.ha.words import (
    ORIGIN,
    Beacon,
    Empty,
    Found,
    Hello,
    Leaving,
    Mode,
    Position,
    Proof,
    Record,
    Role,
    Unreachable,
    Witness,
)

NOW_S = 1_000.0
HERE = Position(5, 40, "40" * 16)
BOTH = ("a", "b")


def record(
    epoch: int = 5, active: str = "b", in_sync: tuple[str, ...] = BOTH, by: str = "", cluster: str = "c"
) -> Record:
    """What the register may hold."""
    return Record(cluster, epoch, active, in_sync, Mode.SYNC, by or active, "test", 0.0)


def passive(**more: Any) -> View:
    """Server a follows b, which has just been heard."""
    known: dict[str, Any] = {
        "me": "a",
        "peer": "b",
        "cluster": "c",
        "epoch": 5,
        "position": HERE,
        "record": record(),
        "version": 3,
        "read_s": NOW_S - 1,
        "asked_s": NOW_S - 1,
        "linked": True,
        "heard_s": NOW_S - 0.2,
        "peer_role": Role.ACTIVE,
        "peer_epoch": 5,
        "peer_position": HERE,
    }
    return View(**(known | more))


def bereft(**more: Any) -> View:
    """Server a has not heard of b for a long time."""
    known: dict[str, Any] = {
        "linked": False,
        "gone_s": NOW_S - 60,
        "heard_s": NOW_S - 60,
        "asked_s": NOW_S - 60,
        "proof_asked_s": NOW_S,
    }
    return passive(**(known | more))


def claiming(**more: Any) -> View:
    """Server a has asked for epoch 6."""
    wanted = record(6, "a", ("a",), by="a")
    known: dict[str, Any] = {
        "role": Role.CLAIMING,
        "epoch": 6,
        "change": Change(Kind.CLAIM, 3, wanted),
        "asked_s": NOW_S,
    }
    return bereft(**(known | more))


def active(**more: Any) -> View:
    """Server a acts, b follows in sync, the lease is live."""
    known: dict[str, Any] = {
        "role": Role.ACTIVE,
        "record": record(5, "a"),
        "peer_role": Role.PASSIVE,
        "requires": True,
        "lease_until_s": NOW_S + 2,
    }
    return passive(**(known | more))


def alone(**more: Any) -> View:
    """Server a acts, b is gone and not in sync any more."""
    known: dict[str, Any] = {
        "record": record(5, "a", ("a",)),
        "requires": False,
        "linked": False,
        "gone_s": NOW_S - 60,
        "lease_until_s": NOW_S - 60,
    }
    return active(**(known | more))


def dropping(**more: Any) -> View:
    """Server a has asked to go on without b and has no answer."""
    change = Change(Kind.DROP, 3, record(5, "a", ("a",), by="a"), unknown=True)
    return active(**({"change": change, "lease_until_s": NOW_S - 1} | more))


def yielding(**more: Any) -> View:
    """Server a hands over to b."""
    return active(**({"role": Role.YIELDING, "yielding_since_s": NOW_S - 0.1} | more))


def ended(**more: Any) -> View:
    """Server a has lost its role."""
    return passive(**({"role": Role.ENDED} | more))


def said(found: Record | None = None, version: int = 4) -> on.RegisterSaid:
    """The register was read; None: it is empty."""
    return on.RegisterSaid(Empty() if found is None else Found(found, version))


AWAY = on.RegisterSaid(Unreachable("it does not answer"))


def proof(epoch: int = 5, witness: Witness = Witness.AGENT, server: str = "b", **more: Any) -> Proof:
    """Somebody says that a server has stopped."""
    return replace(Proof(server, epoch, witness, HERE, record(epoch), "test", 0.0), **more)


def hello(role: Role = Role.ACTIVE, epoch: int = 5, position: Position = HERE, **more: Any) -> on.Linked:
    """Server b is there."""
    words: dict[str, Any] = {
        "protocol": 1,
        "cluster": "c",
        "name": "b",
        "instance": "ib",
        "to": "a",
        "role": role,
        "epoch": epoch,
    }
    return on.Linked(Hello(**(words | {"position": position} | more)))


def beacon(
    role: Role = Role.ACTIVE, epoch: int = 5, position: Position = HERE, **more: Any
) -> on.BeaconHeard:
    """Server b lives."""
    return on.BeaconHeard(Beacon(sent_s=1.0, role=role, epoch=epoch, position=position, **more))


LEAVING = on.PeerLeft(Leaving("reboot", 120.0))
ORIGIN_AGAIN = ORIGIN
