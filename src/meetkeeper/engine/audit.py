"""The audit of rooms' calendars: a slow full read beside what they report, one at a time on each server.

Called by `engine.poll` between two polls of a room, when `core.audit` says that its turn has come. What the read brings
goes the way of every page: listing, brake, settle. What had never been reported is counted, told as a note of its frame
(`sync.mended`), and stands as an alarm until an audit finds nothing.
"""

import structlog

from meetkeeper.core import cookie as cookies
from meetkeeper.core.audit import Comparison, is_due
from meetkeeper.core.errors import MeetkeeperError, Unavailable
from meetkeeper.core.events import Audited
from meetkeeper.core.state import RoomNews
from meetkeeper.core.words import RoomId
from meetkeeper.engine.neighbours import RoomCalendar
from meetkeeper.engine.reading import Desk, Look, read
from meetkeeper.ports.calendar import CookieRefused, Page

AGAIN_S = 900.0
"""Pause after an audit that did not come to its end."""

log = structlog.get_logger("calendars")


class Auditor:
    """All rooms' audits."""

    def __init__(self, desk: Desk, begun_s: float) -> None:
        self._desk = desk
        self._begun_s = begun_s
        self._busy: set[str] = set()
        self._not_before_s: dict[RoomId, float] = {}
        self._open: dict[RoomId, Comparison] = {}

    def reported(self, room: RoomId, page: Page) -> None:
        """A poll has read this page: what it names, an audit that was broken off need not call hidden."""
        comparison = self._open.get(room)
        if comparison is not None:
            comparison.reported(_names(page))

    def forget(self, room: RoomId) -> None:
        """The room was read whole without a mark: what was reported and what was not can't be told apart."""
        self._open.pop(room, None)

    def is_due(self, calendar: RoomCalendar, now_s: float) -> bool:
        """The room's turn has come, and no other room of its server is being audited."""
        room, state = calendar.room, self._desk.state
        if calendar.server in self._busy or now_s < self._not_before_s.get(room, 0.0):
            return False
        every_s = state.settings().sync.audit_every_s
        audited_s = state.rooms_news.get(room, RoomNews()).audited_s
        return is_due(room, every_s, audited_s, self._begun_s, now_s)

    async def audit(self, calendar: RoomCalendar, look: Look, now_s: float) -> None:
        """Audit the room now. An audit that fails is told, and tried again after a while; polls go on."""
        room = calendar.room
        self._busy.add(calendar.server)
        self._not_before_s[room] = now_s + AGAIN_S
        try:
            await self._audit(calendar, look)
            del self._not_before_s[room]
        except MeetkeeperError as trouble:
            if isinstance(trouble, Unavailable):
                self._not_before_s[room] = now_s + max(AGAIN_S, trouble.retry_after_s)
            log.warning("audit.failed", room=room, code=trouble.code, text=trouble.message)
        finally:
            self._busy.discard(calendar.server)

    async def _audit(self, calendar: RoomCalendar, look: Look) -> None:
        desk, room = self._desk, calendar.room
        envelope = desk.state.cookies.get(room, "")
        mark = cookies.unseal(room, calendar.name, envelope, desk.state.epoch)
        if mark is None or not mark.text:
            return  # the next poll reads everything anyway
        comparison = self._open.setdefault(room, Comparison())

        def compare(page: Page) -> None:
            look(page)
            comparison.shown(desk.state.items.get(room, {}), page.items, page.listing)

        whole = await read(desk, calendar, "", compare, moves_cookie=False)
        try:
            await read(
                desk, calendar, mark.text, lambda page: comparison.reported(_names(page)), moves_cookie=False
            )
        except CookieRefused:
            comparison.forget()
        if desk.state.cookies.get(room, "") != envelope:
            self.forget(room)
            return  # somebody asked for a resync meanwhile
        cookie = None
        if whole.cookie is not None:
            cookie = cookies.seal(room, calendar.name, whole.cookie, desk.state.epoch)
        found, older = comparison.found(), comparison.older
        self.forget(room)
        handled = desk.handle(Audited(room, found, cookie, older))
        await desk.until_kept(handled.seq)
        log.info("audit.done", room=room, unreported=len(found), older=older)


def _names(page: Page) -> tuple[str, ...]:
    items = tuple(item.href for item in page.items)
    return (*items, *page.gone, *(href for href, _ in page.problems))
