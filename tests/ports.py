"""Ports of loopback for servers that tests start: no two tests that run beside each other are given the same.

A port that is free now may be somebody's in a second: the system gives high ones to outgoing connections, and another
worker of the same run may draw it before we listen. So they come from below those, each worker has a part of its own,
and none is given twice.
"""

import itertools
import os
import random
import socket
from collections.abc import Iterator

PORTS = range(12_000, 32_000)


def _own_part() -> Iterator[int]:
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    own = PORTS[number * len(PORTS) // workers : (number + 1) * len(PORTS) // workers]
    # Somewhere within, so that two runs on one machine seldom meet.
    first = random.randrange(len(own))
    return itertools.cycle([*own[first:], *own[:first]])


_next = _own_part()


def free_port() -> int:
    """A port that nobody has."""
    return next(port for port in _next if _is_free(port))


def free_twins() -> int:
    """A port whose next one is free too: an agent listens there."""
    while True:
        port, after = free_port(), free_port()
        if after == port + 1:
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
