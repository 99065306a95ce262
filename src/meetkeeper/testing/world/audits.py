"""Audits in the world, by the rules of `engine.audit`: one at a time, and one that breaks off is made up for later."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from meetkeeper.core import cookie as cookies
from meetkeeper.core.audit import Comparison, is_due
from meetkeeper.core.errors import MeetkeeperError
from meetkeeper.core.events import Audited, PageSeen
from meetkeeper.core.state import RoomNews
from meetkeeper.core.words import RoomId
from meetkeeper.ports.calendar import CookieRefused
from meetkeeper.testing.world.calendars import RoomSource
from meetkeeper.testing.world.fibers import Fiber, Pause, UntilKept

if TYPE_CHECKING:
    from meetkeeper.testing.world.server import Server


class Audits:
    """One server's audits of all its rooms."""

    def __init__(self, server: "Server", begun_s: float) -> None:
        self._server = server
        self._begun_s = begun_s
        self._open: dict[RoomId, Comparison] = {}
        self._busy = False

    def reported(self, event: PageSeen) -> None:
        """A poll has read this page."""
        comparison = self._open.get(event.room)
        if comparison is not None:
            comparison.reported(_names(event))

    def forget(self, room: RoomId) -> None:
        """The room is read whole without a mark."""
        self._open.pop(room, None)

    def when_due(self, source: RoomSource, now_s: float) -> Fiber[None]:
        """Audit the room if its turn has come and nobody else's is on."""
        state = self._server.state
        news = state.rooms_news.get(source.room, RoomNews())
        every_s = state.settings().sync.audit_every_s
        if self._busy or not is_due(source.room, every_s, news.audited_s, self._begun_s, now_s):
            return
        self._busy = True
        try:
            yield from self._audit(source)
        except MeetkeeperError:
            pass
        finally:
            self._busy = False

    def _audit(self, source: RoomSource) -> Fiber[None]:
        state, room = self._server.state, source.room
        envelope = state.cookies.get(room, "")
        mark = cookies.unseal(room, source.name, envelope, state.epoch)
        if mark is None or not mark.text:
            return
        yield Pause(source.poll_s / 2)  # people go on working: what they do now is late, not hidden
        comparison = self._open.setdefault(room, Comparison())
        cookie: list[str] = []

        def compare(event: PageSeen) -> None:
            comparison.shown(state.items.get(room, {}), event.items, event.listing)
            cookie.extend(() if event.cookie is None else (event.cookie,))

        yield from self._read(source, "", compare)
        try:
            yield from self._read(source, mark.text, lambda event: comparison.reported(_names(event)))
        except CookieRefused:
            comparison.forget()
        self.forget(room)
        if state.cookies.get(room, "") == envelope:
            self._server.handle(Audited(room, comparison.found(), cookie[-1] if cookie else None))

    def _read(self, source: RoomSource, mark: str, look: Callable[[PageSeen], None]) -> Fiber[None]:
        for event in self._server.pages_of(source, mark):
            yield Pause(source.one_way_s())
            look(event)
            handled = self._server.handle(replace(event, cookie=None))
            yield UntilKept(handled.seq)


def _names(event: PageSeen) -> tuple[str, ...]:
    items = tuple(item.href for item in event.items)
    return (*items, *event.gone, *(href for href, _ in event.problems))
