"""A room's calendar on Exchange (EWS): what changed, everything, write, remove.

Asked by `engine.poll` and the outbox through `ports.calendar`. SyncFolderItems says which items changed, GetItem gives
them, ten at a time. An item that can't be read is a problem; a pass that does not end well yields no listing. A cookie
is refused whenever there is doubt: it costs a full pass, never a meeting.

What is gone comes last: Exchange may answer an organizer's update with a Delete and a Create, in pages far apart, and
the room accepts the new item some seconds later. What is held back for that, the cookie remembers (`marks`).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence

from meetkeeper.calendars.exchange import booking, mapping, marks
from meetkeeper.calendars.exchange.mailbox import BATCH, Mailbox
from meetkeeper.calendars.exchange.mapping import Room, Standing
from meetkeeper.calendars.exchange.marks import Mark
from meetkeeper.calendars.exchange.server import EwsServer
from meetkeeper.calendars.exchange.soap import Node
from meetkeeper.core.configuration import ExchangeCalendar
from meetkeeper.core.errors import MeetkeeperError, Refused, TheirMistake, Unavailable
from meetkeeper.core.joinblock import JoinBlock
from meetkeeper.core.roomsettings import SETTINGS, Finding
from meetkeeper.core.words import CalendarItem
from meetkeeper.itemtext.portions import portions
from meetkeeper.itemtext.reading import Problem
from meetkeeper.ports.calendar import CookieRefused, Page

BATCHES_AT_ONCE = 4
PAGE_ITEMS = 25
PAGES_MAX = 1_000
ITEMS_MAX = 100_000
"""Most items of one calendar."""
FEW = 4
"""So many items without changed occurrences are read sooner than handed to a thread."""
CLOCK_S = 60.0
EXAMINED_MAX = 100
"""So many meetings a doctor looks at, the nearest ones."""
WAITING_S = 900.0
"""So long after its last change an item that the room has not accepted may still be about to be accepted."""


class ExchangeSource:
    """One room's mailbox. Rooms on one server share its `EwsServer`."""

    def __init__(
        self,
        config: ExchangeCalendar,
        mailbox: str,
        *,
        server: EwsServer,
        own_email: str = "",
        room_emails: frozenset[str] = frozenset(),
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """No I/O. `own_email` is this room's address, `room_emails` those of all rooms, in lower case."""
        self._config = config
        self._server = server
        self._room = Room(mailbox.lower(), own_email, room_emails)
        self._mailbox = Mailbox(server, self._room)
        self._where = self._mailbox.where
        self._now_s = now_s
        self._wake: Callable[[], None] | None = None
        self._closed = False
        server.join()

    def listen(self, wake: Callable[[], None]) -> None:
        """`Hinting`: it begins after the next pass that ends well."""
        self._wake = wake

    # --- reading ---------------------------------------------------------------------------------------------------

    async def changes(self, cookie: str) -> AsyncIterator[Page]:
        """Pages of what changed since `cookie`; a complete pass for "". Raises what `ports.calendar` says."""
        until = self._deadline()
        if not cookie:
            pages = self._everything(until)
        else:
            text = mapping.unseal(self._server.host, self._room.mailbox, cookie)
            mark = None if text is None else marks.unpack(text)
            if mark is None:
                raise CookieRefused
            pages = self._since(mark, until)
        async for page in pages:
            yield page
        if self._wake is not None:
            self._server.listen(self._room.mailbox, self._wake)

    async def _everything(self, until: float) -> AsyncIterator[Page]:
        """A complete pass: first all ids, then the items, the soonest first; only its end says that it was complete."""
        listed, state = await self._list(until)
        missing: set[str] = set()
        awaited: dict[str, float] = {}
        names = sorted(listed, key=lambda name: (listed[name], name))
        async for page, waits in self._load(names, until):
            missing.update(page.gone)
            awaited.update(waits)
            yield Page(items=page.items, problems=page.problems)
        mark = Mark(state, awaited, unswept=bool(awaited))
        if not awaited:
            yield Page(cookie=self._seal(mark), listing=frozenset(listed.keys() - missing))
        elif (
            mark.is_small
        ):  # something may be about to take the place of what is missing here: the mark sees to it
            yield Page(cookie=self._seal(mark), unswept=True)
        else:
            yield Page()

    async def soon(self, from_s: int, until_s: int) -> AsyncIterator[Page]:
        """`NearestFirst`: what a CalendarView of the span shows, by start; of occurrences the series, whole.

        What can't be read is left to the complete pass to say.
        """
        until = self._deadline()
        seen = await self._mailbox.view(from_s, until_s, self._now_s(), until)
        names = sorted(seen.starts, key=lambda name: (seen.starts[name], name))
        async for page, _ in self._load(names, until, series_of=seen.occurrences):
            yield Page(items=page.items)

    async def _list(self, until: float) -> tuple[dict[str, float], str]:
        """Every item's id with its urgency, and the state after all of them."""
        listed: dict[str, float] = {}
        state = ""
        for _ in range(PAGES_MAX):
            try:
                found = await self._mailbox.sync(state, self._now_s(), until)
            except CookieRefused:
                raise self._lost() from None
            listed.update(found.changed)
            for name in found.gone:
                listed.pop(name, None)
            if len(listed) > ITEMS_MAX:
                raise self._too_many()
            if found.last:
                return listed, found.state
            if found.state == state:
                break
            state = found.state
        raise self._circles()

    async def _since(self, mark: Mark, until: float) -> AsyncIterator[Page]:
        """What changed since the mark: new and changed items page by page, what is gone at the end."""
        gone, awaited, state = set(mark.gone), dict(mark.awaited), mark.state
        shown: set[str] = set()
        for _ in range(PAGES_MAX):
            found = await self._mailbox.sync(state, self._now_s(), until)
            gone |= found.gone
            for name in (*found.gone, *found.changed):
                awaited.pop(name, None)
            names = sorted(found.changed, key=lambda name: (found.changed[name], name))
            async for page, waits in self._load(names, until):
                gone.update(page.gone)
                shown.update(item.href for item in page.items)
                shown.update(name for name, _ in page.problems)
                awaited.update(waits)
                yield Page(items=page.items, problems=page.problems)
            stuck = found.state == state
            if stuck and not found.last and found.changed:
                raise self._circles()
            if found.last or stuck:
                left = tuple(sorted(gone - shown))
                yield await self._end(Mark(found.state, awaited, left, mark.unswept), until)
                return
            if not (gone or awaited or mark.unswept):
                yield Page(cookie=self._seal(Mark(found.state)))
            state = found.state
        raise self._circles()

    async def _end(self, mark: Mark, until: float) -> Page:
        """What is gone, unless the room has yet to answer something that may take its place."""
        now_s = self._now_s() + self._server.ahead_s
        awaited = {name: until_s for name, until_s in mark.awaited.items() if until_s > now_s}
        late = tuple((name, _NOT_ACCEPTED) for name in sorted(mark.awaited.keys() - awaited.keys()))
        if awaited:
            mark = Mark(mark.state, awaited, mark.gone, mark.unswept)
            return Page(problems=late, cookie=self._seal(mark) if mark.is_small else None)
        listing = None
        if mark.unswept:  # ids alone: their items have been read
            listed, _ = await self._list(until)
            listing = frozenset(listed)
        return Page(gone=mark.gone, problems=late, cookie=self._seal(Mark(mark.state)), listing=listing)

    def _seal(self, mark: Mark) -> str:
        return mapping.seal(self._server.host, self._room.mailbox, marks.pack(mark))

    async def _load(
        self, names: Sequence[str], until: float, *, series_of: Collection[str] = ()
    ) -> AsyncIterator[tuple[Page, dict[str, float]]]:
        """Pages of these items, and which of them wait for the room until when; `gone` are those that are not there."""
        at_once = BATCH * min(BATCHES_AT_ONCE, self._server.config.concurrency)
        for at in range(0, len(names), at_once):
            loaded = await self._mailbox.get(names[at : at + at_once], until, series_of=series_of)
            moved = [name for item in loaded.items.values() for name in mapping.moved_in(item)]
            changed: dict[str, Node] = {}
            for start in range(0, len(moved), at_once):
                some = await self._mailbox.get(moved[start : start + at_once], until, masters=False)
                changed.update(some.items)
            weights = ((name, mapping.weight_of(item)) for name, item in loaded.items.items())
            for some_names in portions(weights, PAGE_ITEMS):
                some_items = {name: loaded.items[name] for name in some_names}
                if len(some_items) <= FEW and not changed:
                    yield self._page(some_items, changed)
                else:
                    yield await asyncio.to_thread(self._page, some_items, changed)
            if loaded.gone or loaded.problems:
                yield Page(gone=tuple(sorted(loaded.gone)), problems=tuple(loaded.problems.items())), {}

    def _page(self, items: Mapping[str, Node], changed: Mapping[str, Node]) -> tuple[Page, dict[str, float]]:
        found: list[CalendarItem] = []
        gone: list[str] = []
        problems: list[tuple[str, str]] = []
        awaited: dict[str, float] = {}
        server_now_s = self._now_s() + self._server.ahead_s
        for name, item in items.items():
            match mapping.standing(item):
                case Standing.OTHER:
                    gone.append(name)
                    continue
                case Standing.WAITING:
                    touched_s = mapping.touched_s(item)
                    if touched_s is not None and server_now_s - touched_s < WAITING_S:
                        awaited[name] = touched_s + WAITING_S
                    else:
                        problems.append((name, _NOT_ACCEPTED))
                    continue
                case Standing.TAKEN | Standing.DECLINED:
                    pass
            read = mapping.read(name, item, changed, self._room)
            if isinstance(read, Problem):
                problems.append((read.href, read.sentence))
            else:
                found.append(read)
        return Page(items=tuple(found), gone=tuple(gone), problems=tuple(problems)), awaited

    # --- writing ---------------------------------------------------------------------------------------------------

    async def write(self, uid: str, calendar_text: bytes) -> None:
        """Create the item of this UID, or replace the one that has it. Nobody is mailed. Raises `Refused`."""
        self._check_may_write()
        await booking.write(self._mailbox, uid, calendar_text, self._deadline())

    async def remove(self, uid: str) -> None:
        """Remove the item of this UID; one that is not there is removed already. Nobody is mailed."""
        self._check_may_write()
        await booking.remove(self._mailbox, uid, self._deadline())

    async def annotate(self, uid: str, block: JoinBlock | None) -> bool:
        """`Annotating.annotate`: the body of the room's copy, and of the changed occurrences that lie ahead."""
        return await booking.annotate(self._mailbox, uid, block, self._deadline(), now_s=self._now_s())

    def _check_may_write(self) -> None:
        if not self._config.write:
            raise Refused(
                "calendar.read-only",
                f"{self._where} is not to be written; allow it (write) in the configuration.",
            )

    # --- reaching --------------------------------------------------------------------------------------------------

    async def probe(self) -> str:
        """Reach the mailbox's calendar and log in; a sentence about what answered."""
        from meetkeeper.calendars.exchange import asking

        (message,) = await self._mailbox.ask_well(asking.folder(self._room.mailbox), self._deadline())
        folder = message.find("CalendarFolder")
        if folder is None:
            raise self._mailbox.odd("no calendar folder")
        name = folder.say("DisplayName")[:100] or "Calendar"
        count = folder.say("TotalCount")
        many = f"{count} items" if count.isascii() and count.isdigit() else "items"
        return f"Exchange at {self._server.host} answers for {self._room.mailbox}: {name} with {many}."

    async def doctor(self) -> tuple[Finding, ...]:
        """`Doctor`: login and folder, the server's clock, and whether the room answers its invitations."""
        began = time.monotonic()
        sentence = await self.probe()
        took_ms = int((time.monotonic() - began) * 1_000)
        found = [Finding(code="login", level="good", text=f"{sentence[:-1]}, in {took_ms} ms.")]
        ahead_s = self._server.ahead_s
        if abs(ahead_s) > CLOCK_S:
            found.append(
                Finding(
                    code="clock",
                    level="amber",
                    text=f"The server's clock is {ahead_s:+.0f} s off ours.",
                    symptom="Fresh invitations may be taken for old ones.",
                    mend="Set both clocks by NTP.",
                )
            )
        deaf = self._server.deaf(self._room.mailbox)
        if deaf:
            found.append(
                Finding(
                    code="exchange.notify",
                    level="amber",
                    text=deaf,
                    symptom="Changes are seen when the room is polled, not at once.",
                    mend="Let connections to EWS hang for half an hour (proxies too), or switch notify off.",
                )
            )
        until = self._deadline()
        listed, _ = await self._list(until)
        names = sorted(listed, key=lambda name: (listed[name], name))[:EXAMINED_MAX]
        waiting = 0
        async for page, _ in self._load(names, until):
            waiting += sum(sentence == _NOT_ACCEPTED for _, sentence in page.problems)
        if waiting:
            setting = next(one for one in SETTINGS if one.name == "AutomateProcessing")
            found.append(
                Finding(
                    code=setting.name,
                    level=setting.level,
                    text=f"{waiting} of {len(names)} meetings have long waited for the room's answer.",
                    symptom=setting.symptom,
                    mend=f"Set-CalendarProcessing {self._room.mailbox} -AutomateProcessing {setting.advice}",
                )
            )
        return tuple(found)

    async def close(self) -> None:
        """Let go of the server; the last room closes its sessions."""
        if not self._closed:
            self._closed = True
            await self._server.leave()

    def _lost(self) -> MeetkeeperError:
        return Unavailable(
            "calendar.broken-off",
            f"{self._where} forgot its own list in the middle of it; it is asked again.",
        )

    def _too_many(self) -> MeetkeeperError:
        return TheirMistake(
            "calendar.too-many",
            f"{self._where} holds more than {ITEMS_MAX} items; remove old ones from the calendar.",
        )

    def _circles(self) -> MeetkeeperError:
        return TheirMistake(
            "calendar.circles", f"{self._where} is answered in parts without end; look at the server."
        )

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._server.limits.pass_s


_NOT_ACCEPTED = (
    "The room has not accepted it; it is tentative. "
    "Set the room's AutomateProcessing to AutoAccept, or answer it."
)
