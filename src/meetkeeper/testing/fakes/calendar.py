"""A room's calendar in memory, faithful to its contract, that can be away, silent, forgetful, stubborn or cut off.

One `FakeCalendar` is the calendar itself; each server looks at it through a `client` of its own. The simulated world,
which has its own time, calls the `..._now` verbs and delays by itself.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from meetkeeper.core.errors import MeetkeeperError, Refused, Unavailable
from meetkeeper.core.identity import normalise_uid
from meetkeeper.core.joinblock import JoinBlock
from meetkeeper.core.recurrence import expand
from meetkeeper.core.words import CalendarItem
from meetkeeper.core.zones import DAY_S, wall_s
from meetkeeper.itemtext.portions import portions
from meetkeeper.itemtext.reading import Problem, read_item
from meetkeeper.ports.calendar import CookieRefused, Page

PAGE_ITEMS = 25
_SLACK_S = DAY_S
"""No zone's wall is further from UTC."""


class _Shown(Struct, frozen=True):
    """What stands under a name, and since which version of the calendar. Exactly one of item and problem is set.

    `span` (seconds since 1970) holds a meeting that does not repeat, generously: nobody need look at it outside.
    """

    version: int
    item: CalendarItem | None = None
    problem: str = ""
    size: int = 0
    span: tuple[float, float] | None = None


class FakeCalendar:
    """The calendar. Its switches are plain attributes; turn them at any time.

    `trouble` every verb raises this; `hangs` no verb ever answers; `slow_s` seconds before an answer; `cut_after` so
    many pages arrive, then the connection breaks; `refuse_cookies` none is known any more; `silent_full` an unknown
    cookie is answered with everything, as if it were news, and nobody is told, nor what is gone; `repeats` every page
    comes twice; `objects` a reason to refuse what is written; `unsaid` writing is done and no answer comes; `hides`
    what people do meanwhile is shown by a complete pass alone: no cookie ever tells of it, as after a server's restore.
    """

    def __init__(self, *, own_email: str = "", room_emails: frozenset[str] = frozenset()) -> None:
        self.trouble: MeetkeeperError | None = None
        self.hangs = False
        self.slow_s = 0.0
        self.cut_after: int | None = None
        self.refuse_cookies = False
        self.silent_full = False
        self.repeats = False
        self.objects = ""
        self.unsaid = False
        self.hides = False
        self.page_items = PAGE_ITEMS
        self.passes = 0
        self._read = partial(read_item, own_email=own_email, room_emails=room_emails)
        self.blocks: dict[str, str | None] = {}
        """What was written back into an item's body, by name."""
        self._shown: dict[str, _Shown] = {}
        self._gone: dict[str, int] = {}
        self._version = 0
        self._oldest = 0
        self._life = 1

    def client(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> "FakeSource":
        """What one server uses. `sleep` waits in the caller's time."""
        return FakeSource(self, sleep)

    # --- other people's hands --------------------------------------------------------------------------------------

    def put(self, name: str, text: bytes) -> None:
        """Somebody saves an iCalendar object under this name; what can't be read is shown as a problem."""
        read = self._read(name, text)
        if read is None:
            self.delete(name)
        elif isinstance(read, Problem):
            self.spoil(name, read.sentence)
        else:
            self._change(name, read, "", len(text))

    def show(self, item: CalendarItem) -> None:
        """Somebody saves this item under its own `href`."""
        self._change(item.href, item, "")

    def spoil(self, name: str, sentence: str = "It can't be read.") -> None:
        """What stands under this name can't be read."""
        self._change(name, None, sentence)

    def delete(self, name: str) -> None:
        """Somebody removes what stands under this name, if anything does."""
        if self._shown.pop(name, None) is not None and not self.hides:
            self._version += 1
            self._gone[name] = self._version

    def forget_history(self) -> None:
        """Every cookie given so far is too old."""
        self._oldest = self._version + 1
        self._version += 1

    def restore(self, names: dict[str, CalendarItem]) -> None:
        """The calendar comes back from a backup: another life, to which old cookies mean nothing."""
        self._life += 1
        self._shown.clear()
        self._gone.clear()
        self._version = self._oldest = 0
        for item in names.values():
            self.show(item)

    @property
    def items(self) -> dict[str, CalendarItem]:
        """What can be read, by name."""
        return {name: shown.item for name, shown in self._shown.items() if shown.item is not None}

    # --- the verbs, in nobody's time -------------------------------------------------------------------------------

    def pages_now(self, cookie: str) -> Iterator[Page]:
        """`CalendarSource.changes`. Raises what the switches say, in the middle if they say so."""
        self._reach()
        self.passes += 1
        since, full = self._since(cookie)
        pages = list(self._pages(since, full=full))
        if self.repeats:
            pages = [page for one in pages for page in (one, one)]
        for number, page in enumerate(pages):
            if self.cut_after is not None and number >= self.cut_after:
                raise Unavailable("calendar.away", "The calendar's connection broke; it is asked again.")
            yield page

    def soon_now(self, from_s: int, until_s: int) -> Iterator[Page]:
        """`NearestFirst.soon`: items with a meeting in the span, by start; floating times are read in UTC."""
        self._reach()
        starts = {
            shown.item.href: found[0].start_s
            for shown in self._shown.values()
            if shown.item is not None
            and (shown.span is None or (shown.span[0] < until_s and from_s < shown.span[1]))
            and (found := expand(shown.item, "UTC", from_s, until_s).occurrences)
        }
        names = sorted(starts, key=lambda name: (starts[name], name))
        for some in portions(((name, self._shown[name].size) for name in names), self.page_items):
            items = (self._shown[name].item for name in some)
            yield Page(items=tuple(item for item in items if item is not None))

    def write_now(self, uid: str, calendar_text: bytes) -> None:
        """`CalendarSource.write`."""
        self._reach()
        if self.objects:
            raise Refused("calendar.objects", f"The calendar objects ({self.objects}); decide by hand.")
        self.put(self._name_of(uid) or f"{normalise_uid(uid)}.ics", calendar_text)
        self._answer()

    def remove_now(self, uid: str) -> None:
        """`CalendarSource.remove`."""
        self._reach()
        name = self._name_of(uid)
        if name is not None:
            self.delete(name)
        self._answer()

    def annotate_now(self, uid: str, block: JoinBlock | None) -> bool:
        """`Annotating.annotate`: the item is shown again, as new, with the same words."""
        self._reach()
        if self.objects:
            raise Refused("calendar.objects", f"The calendar objects ({self.objects}); decide by hand.")
        name = self._name_of(uid)
        if name is not None:
            item = self.items[name]
            self.blocks[name] = None if block is None else block.text
            refs = () if block is None else (block.ref,)
            shown = replace(item, etag=f"annotated-{self._version}", blocks=refs)
            self._change(name, shown, "", self._shown[name].size)
        self._answer()
        return name is not None

    def probe_now(self) -> str:
        """`CalendarSource.probe`."""
        self._reach()
        return f"A calendar in memory with {len(self._shown)} items answers."

    # --- inside ----------------------------------------------------------------------------------------------------

    def _change(self, name: str, item: CalendarItem | None, problem: str, size: int = 0) -> None:
        if not self.hides:
            self._version += 1
            self._gone.pop(name, None)
        version = 0 if self.hides else self._version
        self._shown[name] = _Shown(version, item, problem, size, _span_of(item))

    def _since(self, cookie: str) -> tuple[int, bool]:
        """The version a cookie stands for, and whether the pass is a complete one."""
        if not cookie:
            return -1, True
        kind, _, rest = cookie.partition(":")
        life, _, version = rest.partition(":")
        known = kind == "fake" and life == str(self._life) and version.isascii() and version.isdigit()
        known = (
            known and self._oldest <= int(version[:18]) <= self._version and version == str(int(version[:18]))
        )
        if known and not self.refuse_cookies:
            return int(version), False
        if self.silent_full:
            return -1, False
        raise CookieRefused

    def _pages(self, since: int, *, full: bool) -> Iterator[Page]:
        changed = sorted(name for name, shown in self._shown.items() if shown.version > since)
        for names in portions(((name, self._shown[name].size) for name in changed), self.page_items):
            items = [item for name in names if (item := self._shown[name].item) is not None]
            problems = [(name, self._shown[name].problem) for name in names if self._shown[name].item is None]
            yield Page(items=tuple(items), problems=tuple(problems))
        left = [name for name, version in self._gone.items() if since >= 0 and version > since]
        gone = () if full else tuple(sorted(left))
        listing = frozenset(self._shown) if full else None
        yield Page(gone=gone, cookie=f"fake:{self._life}:{self._version}", listing=listing)

    def _name_of(self, uid: str) -> str | None:
        wanted = normalise_uid(uid)
        return next((name for name, item in sorted(self.items.items()) if item.uid == wanted), None)

    def _reach(self) -> None:
        if self.trouble is not None:
            raise self.trouble

    def _answer(self) -> None:
        if self.unsaid:
            raise Unavailable("calendar.slow", "The calendar took too long; it is asked again.")


def _span_of(item: CalendarItem | None) -> tuple[float, float] | None:
    if item is None or item.repeats or item.master is None:
        return None
    start_s = wall_s(item.master.start)
    return start_s - _SLACK_S, start_s + item.master.duration_s + _SLACK_S


class FakeSource:
    """One server's way to a `FakeCalendar`: the port, in the caller's time."""

    def __init__(self, calendar: FakeCalendar, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._calendar = calendar
        self._sleep = sleep

    async def changes(self, cookie: str) -> AsyncIterator[Page]:
        """`CalendarSource.changes`."""
        await self._delay()
        for page in self._calendar.pages_now(cookie):
            yield page
            await self._delay()

    async def soon(self, from_s: int, until_s: int) -> AsyncIterator[Page]:
        """`NearestFirst.soon`."""
        await self._delay()
        for page in self._calendar.soon_now(from_s, until_s):
            yield page
            await self._delay()

    async def write(self, uid: str, calendar_text: bytes) -> None:
        """`CalendarSource.write`."""
        await self._delay()
        self._calendar.write_now(uid, calendar_text)

    async def remove(self, uid: str) -> None:
        """`CalendarSource.remove`."""
        await self._delay()
        self._calendar.remove_now(uid)

    async def annotate(self, uid: str, block: JoinBlock | None) -> bool:
        """`Annotating.annotate`."""
        await self._delay()
        return self._calendar.annotate_now(uid, block)

    async def probe(self) -> str:
        """`CalendarSource.probe`."""
        await self._delay()
        return self._calendar.probe_now()

    async def close(self) -> None:
        """Nothing is held."""

    async def _delay(self) -> None:
        if self._calendar.hangs:
            await asyncio.Event().wait()
        if self._calendar.slow_s:
            await self._sleep(self._calendar.slow_s)
