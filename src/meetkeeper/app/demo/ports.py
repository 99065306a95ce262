"""Ports of loopback for the demonstration's processes."""

import secrets
import socket

from meetkeeper.core.errors import Unavailable

PORTS = range(20_000, 32_000)
PORT_TRIES = 200


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
