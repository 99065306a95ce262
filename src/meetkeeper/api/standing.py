"""One word for how a neighbour does, alike on every screen: `ok`, `failing`, `waiting` (nobody knows yet), `none`."""

from typing import Literal

from meetkeeper.core.configuration import NoCalendar, RoomConfig
from meetkeeper.engine.status import BridgeStatus, MailStatus, RoomStatus

Standing = Literal["ok", "failing", "waiting", "none"]
_UNSEEN = "not yet reached"
_UNWANTED = ("not configured", "not in use")


def calendar_standing(room: RoomConfig, status: RoomStatus | None) -> Standing:
    """A room's calendar."""
    if isinstance(room.calendar, NoCalendar):
        return "none"
    if status is not None and status.error:
        return "failing"
    return "ok" if status is not None and status.last_pass_s else "waiting"


def bridge_standing(status: BridgeStatus) -> Standing:
    """A bridge."""
    if status.ok:
        return "ok"
    return "waiting" if status.text.startswith(_UNSEEN) else "failing"


def mail_standing(status: MailStatus) -> Standing:
    """The mail server."""
    if status.ok:
        return "ok"
    if status.text.startswith(_UNWANTED):
        return "none"
    return "waiting" if status.text.startswith(_UNSEEN) else "failing"
