"""A room's calendar on Exchange (EWS): what changed, everything, write, remove.

Asked by `engine.poll` and the outbox through `ports.calendar`. SyncFolderItems says which items changed, GetItem gives
them, ten at a time. An item that can't be read is a problem; a pass that does not end well yields no listing. A cookie
is refused whenever there is doubt: it costs a full pass, never a meeting.

What is gone comes last: Exchange may answer an organizer's update with a Delete and a Create, in pages far apart, and
the room accepts the new item some seconds later. A page's cookie is given as long as nothing is held back for that.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from msgspec import Struct

from meetkeeper.calendars.exchange import mapping, soap, writing
from meetkeeper.calendars.exchange.faults import COOKIE_CODES, GONE_CODES, to_error
from meetkeeper.calendars.exchange.mapping import Room, Standing
from meetkeeper.calendars.exchange.server import Ask, EwsServer
from meetkeeper.calendars.exchange.soap import Fault, Node
from meetkeeper.core.configuration import ExchangeCalendar
from meetkeeper.core.errors import MeetkeeperError, Refused, TheirMistake, Unavailable
from meetkeeper.core.identity import normalise_uid
from meetkeeper.core.joinblock import JoinBlock
from meetkeeper.core.words import CalendarItem
from meetkeeper.itemtext.portions import portions
from meetkeeper.itemtext.reading import Problem
from meetkeeper.ports.calendar import CookieRefused, Page

BATCH = 10
"""Items asked for at once: Microsoft's own advice for GetItem."""
BATCHES_AT_ONCE = 4
PAGE_ITEMS = 25
PAGES_MAX = 1_000
ITEMS_MAX = 100_000
"""Most items of one calendar."""
WAITING_S = 900.0
"""So long after its last change an item that the room has not accepted may still be about to be accepted."""


class _Changes(Struct, frozen=True):
    """One answer of SyncFolderItems: ids of new and changed items with their urgency, ids gone, the state after it."""

    changed: dict[str, float]
    gone: frozenset[str]
    state: str
    last: bool


class _Loaded(Struct, frozen=True):
    """Items by id, those that are not there, and those that the server can't give, with the reason."""

    items: dict[str, Node]
    gone: frozenset[str]
    problems: dict[str, str]


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
        self._where = f"{server.host} for {mailbox}"
        self._now_s = now_s
        self._closed = False
        server.join()

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

    async def _everything(self, until: float) -> AsyncIterator[Page]:
        """A complete pass: first all ids, then the items, the soonest first; only its end says that it was complete."""
        listed: dict[str, float] = {}
        state = ""
        for _ in range(PAGES_MAX):
            try:
                found = await self._sync(state, until)
            except CookieRefused:
                raise self._lost() from None
            listed.update(found.changed)
            for name in found.gone:
                listed.pop(name, None)
            if len(listed) > ITEMS_MAX:
                raise self._too_many()
            if found.last:
                break
            if found.state == state:
                raise self._circles()
            state = found.state
        else:
            raise self._circles()
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
        mark = mapping.seal(self._server.host, self._room.mailbox, found.state)
        yield Page(cookie=mark, listing=frozenset(listed.keys() - missing))

    async def _since(self, state: str, until: float) -> AsyncIterator[Page]:
        """What changed since the state: new and changed items page by page, what is gone at the end."""
        gone: set[str] = set()
        shown: set[str] = set()
        waiting = False
        for _ in range(PAGES_MAX):
            found = await self._sync(state, until)
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

    async def _sync(self, state: str, until: float) -> _Changes:
        """One page of SyncFolderItems. Raises `CookieRefused` when the server does not know the state."""
        from meetkeeper.calendars.exchange import asking

        try:
            messages = await self._server.ask(
                self._room.mailbox, asking.changes(self._room.mailbox, state), until
            )
            if len(messages) != 1:
                raise self._odd("no page of changes")
            message = soap.check(messages[0])
        except Fault as fault:
            self._server.heed(fault)
            if state and fault.code in COOKIE_CODES:
                raise CookieRefused from None
            raise to_error(fault, self._where) from None
        new, last = message.say("SyncState"), message.say("IncludesLastItemInRange").lower()
        changes = message.child("Changes")
        if not new or changes is None or last not in ("true", "false", "1", "0"):
            raise self._odd("a page of changes without its state or its end")
        changed: dict[str, float] = {}
        gone: set[str] = set()
        now_s = self._now_s()
        for change in changes.inside:
            if change.name == "Delete":
                gone.add(mapping.name_of(change))
            elif change.name in ("Create", "Update") and change.inside:
                item = change.inside[0]
                if item.name == "CalendarItem":
                    changed[mapping.name_of(item)] = mapping.urgency(item, now_s)
        if "" in changed:
            raise self._odd("an item without an id")
        return _Changes(changed, frozenset(gone - {""}), new, last in ("true", "1"))

    async def _load(self, names: Sequence[str], until: float) -> AsyncIterator[tuple[Page, bool]]:
        """Pages of these items, and whether one of them waits for the room; `gone` are those that are not there."""
        at_once = BATCH * min(BATCHES_AT_ONCE, self._server.config.concurrency)
        for at in range(0, len(names), at_once):
            loaded = await self._get(names[at : at + at_once], until)
            moved = [name for item in loaded.items.values() for name in mapping.moved_in(item)]
            changed: dict[str, Node] = {}
            for start in range(0, len(moved), at_once):
                some = await self._get(moved[start : start + at_once], until, masters=False)
                changed.update(some.items)
            weights = ((name, mapping.weight_of(item)) for name, item in loaded.items.items())
            for some_names in portions(weights, PAGE_ITEMS):
                some_items = {name: loaded.items[name] for name in some_names}
                yield await asyncio.to_thread(self._page, some_items, changed)
            if loaded.gone or loaded.problems:
                yield Page(gone=tuple(sorted(loaded.gone)), problems=tuple(loaded.problems.items())), False

    async def _get(self, names: Sequence[str], until: float, *, masters: bool = True) -> _Loaded:
        """These items, some batches at a time."""
        batches = [names[at : at + BATCH] for at in range(0, len(names), BATCH)]
        tasks = [self._get_batch(batch, until, masters=masters) for batch in batches]
        found = await asyncio.gather(*tasks, return_exceptions=True)
        items: dict[str, Node] = {}
        gone: set[str] = set()
        problems: dict[str, str] = {}
        for one in found:
            if isinstance(one, BaseException):
                raise one
            items.update(one.items)
            gone |= one.gone
            problems.update(one.problems)
        return _Loaded(items, frozenset(gone), problems)

    async def _get_batch(self, names: Sequence[str], until: float, *, masters: bool) -> _Loaded:
        """One GetItem. An answer spoilt by one odd item is asked for again in halves, to find that item."""
        from meetkeeper.calendars.exchange import asking

        try:
            messages = await self._server.ask(self._room.mailbox, asking.items(names, masters=masters), until)
        except TheirMistake as mistake:
            if mistake.code not in (soap.TOO_LARGE, soap.NOT_XML):
                raise
            if len(names) == 1:
                return _Loaded({}, frozenset(), {names[0]: _TOO_ODD})
            middle = len(names) // 2
            halves = [
                await self._get_batch(half, until, masters=masters)
                for half in (names[:middle], names[middle:])
            ]
            items = {name: item for half in halves for name, item in half.items.items()}
            problems = {name: why for half in halves for name, why in half.problems.items()}
            if len(problems) == len(names):
                raise
            return _Loaded(items, halves[0].gone | halves[1].gone, problems)
        except Fault as fault:
            raise to_error(fault, self._where) from None
        if len(messages) != len(names):
            raise self._odd(f"{len(messages)} answers to {len(names)} questions")
        return self._sorted(names, messages)

    def _sorted(self, names: Sequence[str], messages: Sequence[Node]) -> _Loaded:
        """Answers by id. What concerns one item alone is that item's problem; what concerns all is raised."""
        items: dict[str, Node] = {}
        gone: set[str] = set()
        problems: dict[str, str] = {}
        denied: list[Fault] = []
        for name, message in zip(names, messages, strict=True):
            try:
                found = soap.check(message).child("Items")
            except Fault as fault:
                self._server.heed(fault)
                error = to_error(fault, self._where)
                if fault.code in GONE_CODES:
                    gone.add(name)
                elif isinstance(error, Unavailable):
                    raise error from None
                else:
                    denied += [fault] if fault.code == "ErrorAccessDenied" else []
                    problems[name] = f"The server can't give it ({fault.code}). Look at it in Outlook."
                continue
            if found is None or len(found.inside) != 1:
                raise self._odd("an answer that is no item")
            item = found.inside[0]
            said = mapping.name_of(item)
            items[said if said in names else name] = item
        if denied and len(denied) == len(names):
            raise to_error(denied[0], self._where)
        return _Loaded(items, frozenset(gone), problems)

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
        from meetkeeper.calendars.exchange import asking

        self._check_may_write()
        until = self._deadline()
        made = writing.draft(uid, calendar_text)
        found = await self._with_uid(uid, until)
        if found is not None:
            if mapping.open_own(found) == (mapping.shown_in(found), calendar_text):
                return
            if made.repeats or found.child("Recurrence") is not None:  # a pattern is not changed into another
                await self._ask_well(asking.delete(mapping.name_of(found)), until)
                found = None
        pending = mapping.seal_own(calendar_text, "")
        if found is None:
            ask = asking.create(self._room.mailbox, made, pending)
        else:
            ask = asking.update(mapping.name_of(found), made, pending)
        (message,) = await self._ask_well(ask, until)
        stored = message.find("CalendarItem")
        name = "" if stored is None else mapping.name_of(stored)
        if not name:
            raise self._odd("no id of what was written")
        loaded = await self._get([name], until)
        if name in loaded.items:  # what the server made of it: a later difference is somebody else's change
            own = mapping.seal_own(calendar_text, mapping.shown_in(loaded.items[name]))
            await self._ask_well(asking.update(name, None, own), until)

    async def remove(self, uid: str) -> None:
        """Remove the item of this UID; one that is not there is removed already. Nobody is mailed."""
        from meetkeeper.calendars.exchange import asking

        self._check_may_write()
        until = self._deadline()
        found = await self._with_uid(uid, until)
        if found is None:
            return
        try:
            messages = await self._server.ask(
                self._room.mailbox, asking.delete(mapping.name_of(found)), until
            )
            for message in messages:
                soap.check(message)
        except Fault as fault:
            self._server.heed(fault)
            if fault.code not in GONE_CODES:
                raise to_error(fault, self._where) from None

    async def annotate(self, uid: str, block: JoinBlock | None) -> bool:
        """`Annotating.annotate`: the body of the room's copy; changed occurrences keep the bodies they have."""
        from meetkeeper.calendars.exchange.annotating import annotate

        until = self._deadline()
        found = await self._with_uid(uid, until)
        if found is None:
            return False

        async def ask(make: Ask) -> tuple[Node, ...]:
            return tuple(soap.check(one) for one in await self._server.ask(self._room.mailbox, make, until))

        try:
            return await annotate(ask, mapping.name_of(found), block, self._where)
        except Fault as fault:
            self._server.heed(fault)
            raise to_error(fault, self._where) from None

    async def _with_uid(self, uid: str, until: float) -> Node | None:
        """The item with this UID. The server's match is checked again."""
        from meetkeeper.calendars.exchange import asking

        (message,) = await self._ask_well(asking.with_uid(self._room.mailbox, uid), until)
        found = message.find("Items")
        if found is None:
            raise self._odd("no list of items")
        names = [name for item in found.inside if (name := mapping.name_of(item))]
        loaded = await self._get(names[: 2 * BATCH], until)
        wanted = normalise_uid(uid)
        for name in names:
            item = loaded.items.get(name)
            if item is not None and mapping.uid_in(item, self._room) == wanted:
                return item
        return None

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

        (message,) = await self._ask_well(asking.folder(self._room.mailbox), self._deadline())
        folder = message.find("CalendarFolder")
        if folder is None:
            raise self._odd("no calendar folder")
        name = folder.say("DisplayName")[:100] or "Calendar"
        count = folder.say("TotalCount")
        many = f"{count} items" if count.isascii() and count.isdigit() else "items"
        return f"Exchange at {self._server.host} answers for {self._room.mailbox}: {name} with {many}."

    async def close(self) -> None:
        """Let go of the server; the last room closes its sessions."""
        if not self._closed:
            self._closed = True
            await self._server.leave()

    async def _ask_well(self, make: Ask, until: float) -> tuple[Node, ...]:
        """Response messages that all went well. Raises our errors."""
        try:
            messages = await self._server.ask(self._room.mailbox, make, until)
            if not messages:
                raise self._odd("no answer")
            return tuple(soap.check(message) for message in messages)
        except Fault as fault:
            self._server.heed(fault)
            raise to_error(fault, self._where) from None

    def _odd(self, what: str) -> MeetkeeperError:
        return TheirMistake(
            "calendar.odd-answer",
            f"{self._where} gave {what}, which makes no sense. Look at the server's log.",
        )

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
_TOO_ODD = (
    "The server can't send it whole: it is too large or holds characters that XML forbids. Open and save it."
)
