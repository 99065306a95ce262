"""Which alarms are to be told now: raised, told again, cleared by themselves. Pure; `ops.notices` carries them out.

An alarm is told when it has stood for `HOLD_S`; again after `again_s` at the earliest, however often it came and went
meanwhile; and "all clear" is told for each alarm that was told.
"""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

HOLD_S = 3.0
"""What mends itself sooner is nobody's business: catching up after a restart takes a moment."""
Kind = Literal["alarm", "clear", "role"]


class Notice(Struct, frozen=True, kw_only=True):
    """What is told: to people by mail, to programs as JSON, to scripts by their environment. `at` is ISO 8601, UTC."""

    kind: Kind
    name: str
    """The alarm's name; for a role the role: active or passive."""
    text: str
    server: str
    peer: str
    role: str
    epoch: int
    at: str
    was: str = ""
    """For a role: the one before."""


class _Standing(Struct):
    since_s: float
    text: str
    told: bool = False


class Alarms:
    """What stands, and what was told of it."""

    def __init__(self) -> None:
        self._standing: dict[str, _Standing] = {}
        self._told_s: dict[str, float] = {}

    def look(
        self, present: Mapping[str, str], now_s: float, again_s: float
    ) -> list[tuple[Literal["alarm", "clear"], str, str]]:
        """What is to be told now, by name and text. `present` is everything that is wrong; `now_s` a steady clock."""
        tell: list[tuple[Literal["alarm", "clear"], str, str]] = []
        for name, standing in list(self._standing.items()):
            if name not in present:
                del self._standing[name]
                if standing.told:
                    tell.append(("clear", name, standing.text))
        for name, text in present.items():
            standing = self._standing.setdefault(name, _Standing(now_s, text))
            standing.text = text
            last_s = self._told_s.get(name)
            if now_s >= standing.since_s + HOLD_S and (last_s is None or now_s >= last_s + again_s):
                standing.told = True
                self._told_s[name] = now_s
                tell.append(("alarm", name, text))
        return tell
