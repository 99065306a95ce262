"""The lookout: asks both servers' `/health/active` a hundred times a second and judges whether two ever acted at once.

What a look is worth: an answer 200 that was asked for at s and came at r says that the server acted at some instant
between s and r. A stretch is a row of such answers, one right after the other: from its first answer to its last
question the server acted all the time. Two servers acted at once when a look of one lies within a stretch of the other.
A frozen server answers nothing, which ends its stretch.
"""

import socket
import threading
import time
from bisect import bisect_right
from collections.abc import Iterable

from msgspec import Struct

from meetkeeper.app.demo.servers import Server, Servers

EVERY_S = 0.01
ANSWER_S_MAX = 0.5
GAP_S_MAX = 0.25
"""Looks farther apart than this belong to two stretches: the lookout itself was held up."""
ANSWER_BYTES_MAX = 65_536


class Stretch(Struct):
    """From the first answer to the last question, by the steady clock."""

    begin: float
    end: float


class Looks:
    """What was seen of one server."""

    def __init__(self) -> None:
        self.looks: list[tuple[float, float]] = []
        """(asked, answered) of every look that was answered 200."""
        self.stretches: list[Stretch] = []
        self._last = float("-inf")

    def take(self, asked: float, answered: float, *, acts: bool) -> None:
        """One look. `asked` is later than the last one's answer."""
        if not acts:
            self._last = float("-inf")
            return
        if asked - self._last > GAP_S_MAX:
            self.stretches.append(Stretch(answered, answered))
        else:
            self.stretches[-1].end = asked
        self.looks.append((asked, answered))
        self._last = answered

    def covers(self, begin: float, end: float) -> bool:
        """True when the server acted all the time between these instants."""
        at = bisect_right(self.stretches, begin, key=lambda one: one.begin) - 1
        return at >= 0 and end <= self.stretches[at].end

    def first_after(self, at: float) -> float | None:
        """When the first answer came to a look that was asked for after this instant; None: not yet."""
        index = bisect_right(self.looks, at, key=lambda one: one[0])
        return self.looks[index][1] if index < len(self.looks) else None


class Lookout:
    """Looks from `start` to `stop`, with a thread for each server."""

    def __init__(self, servers: Servers) -> None:
        self.seen = {one.name: Looks() for one in servers.both}
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._look, args=(one,), name=f"lookout-{one.name}", daemon=True)
            for one in servers.both
        ]

    def start(self) -> None:
        """Begin."""
        for one in self._threads:
            one.start()

    def stop(self) -> None:
        """End after the looks under way. May be called again, or before the start."""
        self._over.set()
        for one in self._threads:
            if one.is_alive():
                one.join()

    def acts_since(self, server: Server, at: float) -> float | None:
        """When this server was first seen to act after this instant of the steady clock; None: not yet."""
        return self.seen[server.name].first_after(at)

    def dual(self) -> int:
        """How many looks saw a server act while the other one did."""
        return dual(self.seen.values())

    def _look(self, server: Server) -> None:
        seen, talk = self.seen[server.name], None
        request = f"GET /health/active HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode()
        asked = time.monotonic()
        while not self._over.wait(max(0.0, asked + EVERY_S - time.monotonic())):
            asked = time.monotonic()
            try:
                if talk is None:
                    talk = socket.create_connection(("127.0.0.1", server.port), timeout=ANSWER_S_MAX)
                talk.sendall(request)
                status = _status(talk)
            except OSError:
                status = 0
            if status == 0 and talk is not None:
                talk.close()
                talk = None
            seen.take(asked, time.monotonic(), acts=status == 200)
        if talk is not None:
            talk.close()


def dual(seen: Iterable[Looks]) -> int:
    """Looks at one server that lie within a stretch of the other, both ways."""
    one, other = seen
    return sum(other.covers(*look) for look in one.looks) + sum(one.covers(*look) for look in other.looks)


def _status(talk: socket.socket) -> int:
    """Read one whole answer; its status, 0 when the connection ended. Raises `OSError` when it takes too long."""
    got = bytearray()
    while b"\r\n\r\n" not in got and len(got) < ANSWER_BYTES_MAX:
        part = talk.recv(4_096)
        if not part:
            return 0
        got += part
    head, _, body = bytes(got).partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").lower().split("\r\n")
    length = next((int(line[15:]) for line in lines if line.startswith("content-length:")), 0)
    missing = length - len(body)
    while missing > 0:
        part = talk.recv(missing)
        if not part:
            return 0
        missing -= len(part)
    return int(first.split()[1])
