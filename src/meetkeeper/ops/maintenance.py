"""The maintenance window: so long no failover begins by itself, on either server; it ends by itself.

A person says it to one server. It stands in that server's `local/maintenance.json` and in everything it says to the
other one, which follows the newer word and keeps it too: whichever server starts again, or links again, knows it.
What travels is how long is left, not until when: the servers' clocks may differ.
"""

from pathlib import Path

import msgspec
from msgspec import Struct

from meetkeeper.ha.words import Facts
from meetkeeper.ops.durable import Hands

FILE = "local/maintenance.json"
LEFT_S_MAX = 86_400.0
"""Longer than this no window lasts, whatever a file or the other server says."""


class Window(Struct, frozen=True, kw_only=True):
    """`until_s` and `set_s` are of the wall clock; `until_s` 0: closed."""

    until_s: float = 0.0
    set_s: float = 0.0
    why: str = ""
    by: str = ""

    def left_s(self, now_s: float) -> float:
        """How long it still lasts."""
        return min(LEFT_S_MAX, max(0.0, self.until_s - now_s))


class Maintenance:
    """This server's word. Reads its file once, writes it at each change."""

    def __init__(self, home: Path) -> None:
        self._path = home / FILE
        self.window = _read(self._path)

    def put(self, minutes: float, why: str, by: str, now_s: float) -> None:
        """A person has said so. Raises `OSError` when it can't be kept."""
        until_s = now_s + min(minutes * 60, LEFT_S_MAX) if minutes > 0 else 0.0
        self._keep(Window(until_s=until_s, set_s=max(now_s, self.window.set_s + 0.001), why=why, by=by))

    def hear(self, facts: Facts, now_s: float) -> bool:
        """What the other server says; True when it is news. Raises `OSError` when it can't be kept."""
        if facts.maintenance_set_s <= self.window.set_s:
            return False
        left_s = min(LEFT_S_MAX, facts.maintenance_left_s)
        self._keep(
            Window(
                until_s=now_s + left_s if left_s > 0 else 0.0,
                set_s=facts.maintenance_set_s,
                why=facts.maintenance_why,
                by=facts.maintenance_by,
            )
        )
        return True

    def said(self, facts: Facts, now_s: float) -> Facts:
        """The same, as this server says it."""
        if not self.window.set_s:
            return facts
        return msgspec.structs.replace(
            facts,
            maintenance_left_s=self.window.left_s(now_s),
            maintenance_set_s=self.window.set_s,
            maintenance_why=self.window.why,
            maintenance_by=self.window.by,
        )

    def _keep(self, window: Window) -> None:
        Hands().write(self._path, msgspec.json.encode(window))
        self.window = window


def _read(path: Path) -> Window:
    """None that can be read is none: policy, not safety."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Window)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return Window()
