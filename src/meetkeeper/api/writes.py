"""When a write may pass: not while the server goes down, and only on the active one."""

from meetkeeper.api.gate import Gate
from meetkeeper.core.errors import MeetkeeperError, Unavailable

LOCAL = (
    "/health/",
    "/metrics",
    "/api/v1/cluster",
    "/api/v1/openapi.json",
    "/api/v1/docs",
    "/static/",
    "/notices/",
)
"""What every server answers for itself, active or not."""


def is_local(path: str) -> bool:
    """True for what is about this very server."""
    return path.startswith(LOCAL)


class Elsewhere(MeetkeeperError):
    """Another server is the active one; `location` is where the same request belongs (307)."""

    def __init__(self, location: str) -> None:
        super().__init__("elsewhere", f"Another server is active now. Send the same request to {location}.")
        self.location = location


def check_writable(gate: Gate, target: str) -> None:
    """Let a write to `target` (path and query) pass.

    Raises `Unavailable` (`stopping`) once the server has begun to go down, `Elsewhere` when another one is active.
    """
    if gate.stop.is_set():
        raise Unavailable(
            "stopping",
            "The server is going down and takes nothing new. Ask again in a moment.",
            retry_after_s=5,
        )
    active = gate.active_url()
    if active is not None:
        raise Elsewhere(active.rstrip("/") + target)
