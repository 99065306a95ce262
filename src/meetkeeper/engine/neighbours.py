"""Everybody outside, as the engine meets them: ports, and two writers of foreign text. `app.wiring` fills these in.

The engine knows no adapter. When the configuration changes, `Neighbours` are built anew and the old ones closed.
"""

from collections.abc import Callable
from email.message import EmailMessage

from msgspec import Struct

from meetkeeper.core.configuration import Config
from meetkeeper.core.effects import SendMail
from meetkeeper.core.state import Series
from meetkeeper.core.words import Meeting, RoomId
from meetkeeper.ports.bridge import Bridge
from meetkeeper.ports.calendar import CalendarSource
from meetkeeper.ports.mailer import Mailer

Compose = Callable[[Config, SendMail, Meeting | None, Series | None, float], EmailMessage]
"""Writes the mail for an outbox row: (configuration, effect, meeting, series, now in seconds)."""

ItemText = Callable[[Config, Meeting | None, Series | None, float], tuple[str, bytes]]
"""Writes a meeting or series as (UID, iCalendar object) for a room's calendar."""


class RoomCalendar(Struct, frozen=True):
    """One room's source. `name` identifies it in cookies and status lines; `key` changes with its configuration."""

    room: RoomId
    name: str
    source: CalendarSource
    poll_s: float
    server: str = ""
    """Rooms with the same one are audited one at a time; empty: one for all such rooms."""


class NamedBridge(Struct, frozen=True):
    """One configured bridge."""

    id: str
    kind: str
    bridge: Bridge
    concurrency: int
    reconcile_s: float


class Neighbours(Struct, frozen=True):
    """All of them."""

    calendars: tuple[RoomCalendar, ...]
    bridges: tuple[NamedBridge, ...]
    mailer: Mailer | None
    compose: Compose
    item_text: ItemText

    def bridge(self, bridge_id: str) -> NamedBridge | None:
        """The bridge of this id."""
        return next((one for one in self.bridges if one.id == bridge_id), None)

    def calendar(self, room: RoomId) -> RoomCalendar | None:
        """The room's calendar."""
        return next((one for one in self.calendars if one.room == room), None)

    async def close(self) -> None:
        """Let go of every connection."""
        for calendar in self.calendars:
            await calendar.source.close()
        for named in self.bridges:
            await named.bridge.close()
        if self.mailer is not None:
            await self.mailer.close()
