"""Whether this home may act, in `files` mode: `local/files-standing.json`, never copied to another server.

Place in the journey: a server that is about to run asks `check_may_act`; `init` makes a standby by its node.json,
`stop-proof` makes one of a server that has stopped, `start` and `failback` end it. A home without the file stands as
its node.json says. There is no link between the servers in this mode, so this is what keeps a home from acting because
somebody restarted its machine.
"""

from enum import StrEnum
from pathlib import Path

from msgspec import Struct

from meetkeeper.core.errors import Refused
from meetkeeper.ops.durable import Hands, read_record

FILE = "local/files-standing.json"


class Stance(StrEnum):
    """What a home may do."""

    ACTING = "acting"
    """Run."""
    STANDBY = "standby"
    """Hold a copy of another server's files; run only after `meetkeeper start --proof`."""
    FAILBACK = "failback"
    """In the middle of a failback, which has to be finished first."""


class Standing(Struct, frozen=True):
    """How a home stands and since when. `at_s` is the wall clock's, for people."""

    stance: Stance
    why: str
    at_s: float = 0.0


def read(home: Path, standby_of: str) -> Standing:
    """How this home stands. `standby_of` is what node.json says. Raises `Corrupt` for a damaged file."""
    found = read_record(home / FILE, Standing)
    if isinstance(found, Standing):
        return found
    if standby_of:
        return Standing(Stance.STANDBY, f"it was made as the standby of {standby_of}")
    return Standing(Stance.ACTING, "it is a server by itself")


def write(home: Path, standing: Standing, hands: Hands) -> None:
    """Let the home stand so from here on. Durable before it returns."""
    hands.write_record(home / FILE, standing)


def check_may_act(home: Path, standby_of: str) -> None:
    """Let a server run here. Raises `Refused` (`files.standby`, `files.failback`) with what to do instead."""
    standing = read(home, standby_of)
    if standing.stance is Stance.STANDBY:
        raise Refused(
            "files.standby",
            f"{home} is a standby by files and does not run by itself: {standing.why}. When the active server has "
            f'stopped and the copying too, start it with `meetkeeper start {home} --proof "WHO, WHEN, HOW ENSURED"`.',
        )
    if standing.stance is Stance.FAILBACK:
        raise Refused(
            "files.failback",
            f"A failback into {home} is not finished: {standing.why}. "
            f"Run the same `meetkeeper failback {home} --files` again; it goes on where it was.",
        )
