"""A real pair that faults are brought upon: its network, its register, its client, and what has to hold afterwards.

Several tests of one module use one pair, one after the other: `Scene.whole` mends everything and waits until it is a
pair in sync again, so that each begins alike. What holds after every fault is looked at by `Scene.judge`.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from tests.pair.net import ETCD, Net, command_inside, network
from tests.pair.servers import Client, NotTold, Pair, Server, alive, laid_down, needs, request, until

LONG = os.environ.get("MEETKEEPER_FAULTS_LONG") == "1"
"""Every fault as long as the fault table says, not as short as it can be shown."""
TAKEN_OVER_S = 10.0
"""Generous: what a failover takes is measured by `bench/failover.py`."""
HELD_S = 8.0
"""So long a booking may be held until somebody acknowledges it."""
INSTALL_HINT = "apt install iproute2 nftables etcd-server strace faketime; run as root"


def missing(*programs: str) -> str:
    """What this machine lacks for real faults, or empty."""
    return "root" if os.geteuid() != 0 else needs("ip", "nft", "nsenter", *programs)


def forbidden(*commands: tuple[str, ...]) -> str:
    """What no package can give: the first of these that the machine does not let its root do, or empty."""
    for command in commands:
        tried = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
        if tried.returncode != 0:
            return f"{' '.join(command)}: {tried.stderr.strip() or tried.returncode}"
    return ""


NAMESPACES = ("unshare", "--net", "ip", "link", "add", "probe0", "type", "veth", "peer", "name", "probe1")
MOUNTS = ("unshare", "--mount", "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/mnt")
TRACES = ("strace", "-o", "/dev/null", "true")
CLOCKS = ("unshare", "--time", "--boottime", "60", "true")


class Witness:
    """An etcd in the namespace of w, as the pair's register."""

    def __init__(self, net: Net, folder: Path) -> None:
        self._net, self._folder = net, folder
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://{net.address('w')}:{ETCD}"

    def start(self) -> None:
        """Start it, with what it held."""
        command = [
            *command_inside(self._net.name("w")),
            "etcd",
            "--name",
            "w",
            "--data-dir",
            str(self._folder),
        ]
        for kind, url in (("client", self.url), ("peer", "http://127.0.0.1:2380")):
            command += [f"--listen-{kind}-urls", url]
        command += [
            "--advertise-client-urls",
            self.url,
            "--initial-advertise-peer-urls",
            "http://127.0.0.1:2380",
        ]
        command += ["--initial-cluster", "w=http://127.0.0.1:2380", "--logger", "zap", "--log-level", "error"]
        with self._folder.with_suffix(".log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def saved(self, aside: Path) -> None:
        """A copy of its data, as a backup would hold it."""
        self.kill()
        shutil.copytree(self._folder, aside)
        self.start()

    def restored(self, aside: Path) -> None:
        """What it held when the copy was made, and nothing since."""
        self.kill()
        shutil.rmtree(self._folder)
        shutil.copytree(aside, self._folder)
        self.start()


@dataclass
class Scene:
    """Everything of one pair under test."""

    pair: Pair
    client: Client
    net: Net | None = None
    witness: Witness | None = None
    _stopped: list[int] = field(default_factory=list)

    @property
    def cables(self) -> Net:
        """The network, where there is one."""
        assert self.net is not None
        return self.net

    def whole(self) -> "Scene":
        """Everything mended, everybody started, in sync; `a` acts."""
        if self.net is not None:
            self.net.mend()
        if self.witness is not None:
            with suppress(AssertionError):
                self.witness.signal(signal.SIGCONT)
        for one in self.pair.both:
            if one.process is None or one.process.poll() is not None:
                one.kill()
                one.start()
        if self.pair.wait_in_sync() is not self.pair.a:
            self.switch()
        return self

    def switch(self) -> None:
        """The passive becomes active in good order: the active leaves, hands over and is started again."""
        active = self.pair.wait_in_sync()
        assert active.stop() == 0, active.tail()
        active.start()
        self.pair.wait_in_sync(active=self.pair.other(active))

    def frozen(self, one: Server) -> None:
        """SIGSTOP; woken at the end in any case."""
        self._stopped.append(one.freeze())

    def wake(self) -> None:
        """SIGCONT to everything that was stopped."""
        for pid in self._stopped:
            if alive(pid):
                os.kill(pid, signal.SIGCONT)
        self._stopped.clear()

    def judge(self) -> None:
        """I1–I6: a pair in sync again, nothing acknowledged lost, no URI changed, both journals with one end."""
        self.pair.wait_in_sync()
        self.client.book()
        self.client.check()
        until(
            lambda: last_frame(self.pair.a) == last_frame(self.pair.b), 30.0, "one history", self.pair.tails
        )

    def held_s(self, within_s: float = HELD_S) -> float:
        """Book now; how long it was held."""
        return self.client.book(within_s).took_s

    def not_told(self, one: Server, within_s: float) -> None:
        """For so long this server acknowledges nothing that is booked there."""
        try:
            told = self.client.book(within_s, one)
        except NotTold:
            return
        raise AssertionError(f"{one.name} acknowledged {told}\n{self.pair.tails()}")


def last_frame(one: Server) -> bytes:
    """The last line of a server's journal: its hash covers everything before it."""
    files = sorted((one.home.path / "databases" / "journal").glob("*.log"))
    for path in reversed(files):
        lines = path.read_bytes().splitlines()
        if lines:
            return lines[-1]
    return b""


@contextmanager
def scene(
    folder: Path,
    *,
    wired: bool = True,
    etcd: bool = False,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Scene]:
    """A pair in sync. `wired`: in namespaces; `etcd`: with its register in the third one, else a shared folder."""
    with ExitStack() as stack:
        net = stack.enter_context(network()) if wired else None
        witness, register = None, "file"
        if etcd:
            assert net is not None
            witness = Witness(net, folder / "etcd")
            witness.start()
            stack.callback(witness.kill)
            register = f"etcd:{witness.url}"
        pair = stack.enter_context(laid_down(folder, network=net, register=register))
        for one in pair.both:
            one.environment |= environment
        made = Scene(pair, Client(pair), net, witness)
        stack.callback(made.wake)
        pair.start()
        yield made


def tried(one: Server, path: str = "/api/v1/meetings", timeout_s: float = 2.0) -> int:
    """The status that this server gives for a page; 0 for no answer."""
    try:
        token = one.home.cli_token() or ""
        return request(
            one, "GET", path, headers=(("Authorization", f"Bearer {token}"),), timeout_s=timeout_s
        )[0]
    except OSError:
        return 0


def stays(true: object, for_s: float, what: str, pair: Pair) -> None:
    """It is so all the time."""
    assert callable(true)
    begun = time.monotonic()
    while time.monotonic() - begun < for_s:
        assert true(), f"after {time.monotonic() - begun:.1f} s no longer: {what}\n{pair.tails()}"
        time.sleep(0.1)
