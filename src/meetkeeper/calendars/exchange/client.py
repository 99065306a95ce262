"""A room's calendar on Exchange (EWS): what changed, everything, write, remove.

Asked by `engine.poll` and the outbox through `ports.calendar`. SyncFolderItems says which items changed, GetItem gives
them, ten at a time. An item that can't be read is a problem; a pass that does not end well yields no listing. A cookie
is refused whenever there is doubt: it costs a full pass, never a meeting.

What is gone comes last: Exchange may answer an organizer's update with a Delete and a Create, in pages far apart, and
the room accepts the new item some seconds later. A page's cookie is given as long as nothing is held back for that.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence

from meetkeeper.calendars.exchange import booking, mapping
from meetkeeper.calendars.exchange.mailbox import BATCH, Mailbox
from meetkeeper.calendars.exchange.mapping import Room, Standing
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
            state = mapping.unseal(self._server.host, self._room.mailbox, cookie)
            if state is None:
                raise CookieRefused
            pages = self._since(state, until)
        async for page in pages:
            yield page
        if self._wake is not None:
            self._server.listen(self._room.mailbox, self._wake)

    async def _everything(self, until: float) -> AsyncIterator[Page]:
        """A complete pass: first all ids, then the items, the soonest first; only its end says that it was complete."""
        listed, state = await self._list(until)
        missing: set[str] = set()
        waiting = False
        names = sorted(listed, key=lambda name: (listed[name], name))
        async for page, waits in self._load(names, until):
            missing.update(page.gone)
            waiting = waiting or waits
            yield Page(items=page.items, problems=page.problems)
        if waiting:  # something may be about to take the place of what is missing here: nothing is swept yet
            yield Page()
            return
        mark = mapping.seal(self._server.host, self._room.mailbox, state)
        yield Page(cookie=mark, listing=frozenset(listed.keys() - missing))

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

    async def _since(self, state: str, until: float) -> AsyncIterator[Page]:
        """What changed since the state: new and changed items page by page, what is gone at the end."""
        gone: set[str] = set()
        shown: set[str] = set()
        waiting = False
        for _ in range(PAGES_MAX):
            found = await self._mailbox.sync(state, self._now_s(), until)
            gone |= found.gone
            names = sorted(found.changed, key=lambda name: (found.changed[name], name))
            async for page, waits in self._load(names, until):
                gone.update(page.gone)
                shown.update(item.href for item in page.items)
                shown.update(name for name, _ in page.problems)
                waiting = waiting or waits
                yield Page(items=page.items, problems=page.problems)
            stuck = found.state == state
            if stuck and not found.last and found.changed:
                raise self._circles()
            mark = mapping.seal(self._server.host, self._room.mailbox, found.state)
            if found.last or stuck:
                gone -= shown
                if gone and waiting:
                    yield Page()
                else:
                    yield Page(gone=tuple(sorted(gone)), cookie=mark)
                return
            if not gone:
                yield Page(cookie=mark)
            state = found.state
        raise self._circles()

    async def _load(
        self, names: Sequence[str], until: float, *, series_of: Collection[str] = ()
    ) -> AsyncIterator[tuple[Page, bool]]:
        """Pages of these items, and whether one of them waits for the room; `gone` are those that are not there."""
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
                yield Page(gone=tuple(sorted(loaded.gone)), problems=tuple(loaded.problems.items())), False

    def _page(self, items: Mapping[str, Node], changed: Mapping[str, Node]) -> tuple[Page, bool]:
        found: list[CalendarItem] = []
        gone: list[str] = []
        problems: list[tuple[str, str]] = []
        waiting = False
        server_now_s = self._now_s() + self._server.ahead_s
        for name, item in items.items():
            match mapping.standing(item):
                case Standing.OTHER:
                    gone.append(name)
                    continue
                case Standing.WAITING:
                    touched_s = mapping.touched_s(item)
                    if touched_s is not None and server_now_s - touched_s < WAITING_S:
                        waiting = True
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
        return Page(items=tuple(found), gone=tuple(gone), problems=tuple(problems)), waiting

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
