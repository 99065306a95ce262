"""A small network of its own for a real pair: namespaces for a, b and a witness w, on a bridge in a fourth one.

Nothing is added to the machine's own network: the bridge, its addresses and the client's lie inside. Needs root, `ip`
and `nft`. Made by `network()`, removed whatever happens.
"""

import ctypes
import itertools
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.pair.servers import Place

_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count()
HOSTS = {"a": 1, "b": 2, "w": 3, "client": 100}
HTTP, LINE, AGENT, ETCD = 8080, 7500, 7501, 2379


def here() -> AbstractContextManager[None]:
    """The network this process is in."""
    return nullcontext()


def command_inside(netns: str) -> tuple[str, ...]:
    """Goes before a command that is to run in this namespace."""
    return ("nsenter", f"--net=/run/netns/{netns}")


@contextmanager
def inside(netns: str) -> Iterator[None]:
    """Sockets made by this thread meanwhile belong to this namespace."""
    before = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY)
    try:
        into = os.open(f"/run/netns/{netns}", os.O_RDONLY)
        try:
            _set(into)
        finally:
            os.close(into)
        try:
            yield
        finally:
            _set(before)
    finally:
        os.close(before)


def _set(handle: int) -> None:
    if _libc.setns(handle, _NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Net:
    """a, b, w and the client's side, on one bridge. Hosts are named by one letter; all cuts are of whole hosts."""

    def __init__(self) -> None:
        self._id = f"mk{os.getpid() % 100_000}x{next(_numbers)}"

    def name(self, host: str) -> str:
        """The namespace of this host."""
        return f"{self._id}{'l' if host == 'client' else host}"

    def address(self, host: str) -> str:
        """Its address."""
        return f"10.99.0.{HOSTS[host]}"

    def places(self) -> "tuple[Place, Place]":
        """Where the two servers live."""
        from tests.pair.servers import Place

        one, other = (Place(self.address(host), HTTP, LINE, self.name(host)) for host in "ab")
        return one, other

    def client(self) -> AbstractContextManager[None]:
        """Within it, sockets are made on the pair's network."""
        return inside(self.name("client"))

    def make(self) -> None:
        """Everything up."""
        lan = self.name("client")
        _run(f"ip netns add {lan}")
        self.on("client", "ip link add lan type bridge forward_delay 0")
        self.on("client", f"ip addr add {self.address('client')}/24 dev lan")
        self.on("client", "ip link set lo up")
        self.on("client", "ip link set lan up")
        for host in "abw":
            _run(f"ip netns add {self.name(host)}")
            self.on("client", f"ip link add to-{host} type veth peer name eth0 netns {self.name(host)}")
            self.on("client", f"ip link set to-{host} master lan up")
            self.on(host, f"ip addr add {self.address(host)}/24 dev eth0")
            self.on(host, "ip link set lo up")
            self.on(host, "ip link set eth0 up")
            self.on(host, "nft add table inet cut")
            self.on(host, "nft add chain inet cut in { type filter hook input priority 0 ; }")
            self.on(host, "nft add chain inet cut out { type filter hook output priority 0 ; }")

    def remove(self) -> None:
        """Everything gone; what lives inside has to be ended before."""
        for host in ("a", "b", "w", "client"):
            with suppress(subprocess.CalledProcessError):
                _run(f"ip netns del {self.name(host)}")

    def on(self, host: str, command: str) -> str:
        """Run a command there; what it printed."""
        return _run(" ".join((*command_inside(self.name(host)), command)))

    # --- faults -----------------------------------------------------------------------------------------------------

    def down(self, host: str) -> None:
        """The host's cable is out: nobody reaches it."""
        self.on("client", f"ip link set to-{host} down")

    def up(self, host: str) -> None:
        """And in again."""
        self.on("client", f"ip link set to-{host} up")

    def deaf(self, host: str, to: str) -> None:
        """`host` hears nothing of `to` any more; what it says arrives."""
        self.rule(host, "in", f"ip saddr {self.address(to)} drop")

    def cut(self, one: str, other: str) -> None:
        """The two hear nothing of each other, silently."""
        self.deaf(one, other)
        self.deaf(other, one)

    def rule(self, host: str, chain: str, rule: str) -> None:
        """A rule of nft: chain "in" or "out"."""
        self.on(host, f"nft add rule inet cut {chain} {rule}")

    def mend(self) -> None:
        """No cuts, no rules, no slow links."""
        for host in "abw":
            self.on(host, "nft flush table inet cut")
            self.up(host)
            with suppress(subprocess.CalledProcessError):
                self.on(host, "tc qdisc del dev eth0 root")


@contextmanager
def network() -> Iterator[Net]:
    """One, removed afterwards."""
    made = Net()
    try:
        made.make()
        yield made
    finally:
        made.remove()


def _run(command: str) -> str:
    done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
    return done.stdout
