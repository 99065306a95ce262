"""One mailbox's calendar as EWS gives it: pages of changes, items by their ids, answers that all went well.

Between `server`, which asks, and `client` and `booking`, which know what for. Foreign errors end here.
"""

import asyncio
from collections.abc import Collection, Sequence

from msgspec import Struct

from meetkeeper.bounded import xml
from meetkeeper.calendars.exchange import mapping, soap
from meetkeeper.calendars.exchange.faults import COOKIE_CODES, GONE_CODES, to_error
from meetkeeper.calendars.exchange.mapping import Room
from meetkeeper.calendars.exchange.server import EwsServer
from meetkeeper.calendars.exchange.soap import Fault, Node
from meetkeeper.calendars.exchange.terms import Ask
from meetkeeper.core.errors import MeetkeeperError, TheirMistake, Unavailable
from meetkeeper.ports.calendar import CookieRefused

BATCH = 10
"""Items asked for at once: Microsoft's own advice for GetItem."""


class Changes(Struct, frozen=True):
    """One answer of SyncFolderItems: ids of new and changed items with their urgency, ids gone, the state after it."""

    changed: dict[str, float]
    gone: frozenset[str]
    state: str
    last: bool


class Seen(Struct, frozen=True):
    """What takes place in a span: ids by start, as seconds since 1970, and which of them are occurrences of series."""

    starts: dict[str, float]
    occurrences: frozenset[str]


class Loaded(Struct, frozen=True):
    """Items by id, those that are not there, and those that the server can't give, with the reason."""

    items: dict[str, Node]
    gone: frozenset[str]
    problems: dict[str, str]


class Mailbox:
    """One room's mailbox on a server that others share."""

    def __init__(self, server: EwsServer, room: Room) -> None:
        self.server = server
        self.room = room
        self.where = f"{server.host} for {room.mailbox}"

    async def sync(self, state: str, now_s: float, until: float) -> Changes:
        """One page of SyncFolderItems. Raises `CookieRefused` when the server does not know the state."""
        from meetkeeper.calendars.exchange import asking

        try:
            messages = await self.server.ask(
                self.room.mailbox, asking.changes(self.room.mailbox, state), until
            )
            if len(messages) != 1:
                raise self.odd("no page of changes")
            message = soap.check(messages[0])
        except Fault as fault:
            self.server.heed(fault)
            if state and fault.code in COOKIE_CODES:
                raise CookieRefused from None
            raise to_error(fault, self.where) from None
        new, last = message.say("SyncState"), message.say("IncludesLastItemInRange").lower()
        changes = message.child("Changes")
        if not new or changes is None or last not in ("true", "false", "1", "0"):
            raise self.odd("a page of changes without its state or its end")
        changed: dict[str, float] = {}
        gone: set[str] = set()
        for change in changes.inside:
            if change.name == "Delete":
                gone.add(mapping.name_of(change))
            elif change.name in ("Create", "Update") and change.inside:
                item = change.inside[0]
                if item.name == "CalendarItem":
                    changed[mapping.name_of(item)] = mapping.urgency(item, now_s)
        if "" in changed:
            raise self.odd("an item without an id")
        return Changes(changed, frozenset(gone - {""}), new, last in ("true", "1"))

    async def view(self, from_s: int, until_s: int, now_s: float, until: float) -> Seen:
        """What takes place in the span. A series that the server does not expand there is named by its own id."""
        from meetkeeper.calendars.exchange import asking

        (message,) = await self.ask_well(asking.view(self.room.mailbox, from_s, until_s), until)
        found = message.at("RootFolder", "Items")
        if found is None:
            raise self.odd("no items in a view")
        items = {mapping.name_of(item): item for item in found.all("CalendarItem")}
        items.pop("", None)
        kinds = {name: item.say("CalendarItemType") for name, item in items.items()}
        return Seen(
            {name: mapping.urgency(item, now_s) for name, item in items.items()},
            frozenset(name for name, kind in kinds.items() if kind in ("Occurrence", "Exception")),
        )

    async def get(
        self,
        names: Sequence[str],
        until: float,
        *,
        masters: bool = True,
        series_of: Collection[str] = (),
    ) -> Loaded:
        """These items, some batches at a time; of occurrences in `series_of` the whole series, by its own id."""
        batches = [names[at : at + BATCH] for at in range(0, len(names), BATCH)]
        tasks = [self._get_batch(batch, until, masters=masters, series_of=series_of) for batch in batches]
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
        return Loaded(items, frozenset(gone), problems)

    async def _get_batch(
        self, names: Sequence[str], until: float, *, masters: bool, series_of: Collection[str]
    ) -> Loaded:
        """One GetItem. An answer spoilt by one odd item is asked for again in halves, to find that item."""
        from meetkeeper.calendars.exchange import asking

        try:
            make = asking.items(names, masters=masters, series_of=series_of)
            messages = await self.server.ask(self.room.mailbox, make, until)
        except TheirMistake as mistake:
            if mistake.code not in (xml.TOO_LARGE, xml.NOT_XML):
                raise
            if len(names) == 1:
                return Loaded({}, frozenset(), {names[0]: _TOO_ODD})
            middle = len(names) // 2
            halves = [
                await self._get_batch(half, until, masters=masters, series_of=series_of)
                for half in (names[:middle], names[middle:])
            ]
            items = {name: item for half in halves for name, item in half.items.items()}
            problems = {name: why for half in halves for name, why in half.problems.items()}
            if len(problems) == len(names):
                raise
            return Loaded(items, halves[0].gone | halves[1].gone, problems)
        except Fault as fault:
            raise to_error(fault, self.where) from None
        if len(messages) != len(names):
            raise self.odd(f"{len(messages)} answers to {len(names)} questions")
        return self._sorted(names, messages, series_of)

    def _sorted(self, names: Sequence[str], messages: Sequence[Node], series_of: Collection[str]) -> Loaded:
        """Answers by id. What concerns one item alone is that item's problem; what concerns all is raised."""
        items: dict[str, Node] = {}
        gone: set[str] = set()
        problems: dict[str, str] = {}
        denied: list[Fault] = []
        for name, message in zip(names, messages, strict=True):
            try:
                found = soap.check(message).child("Items")
            except Fault as fault:
                self.server.heed(fault)
                error = to_error(fault, self.where)
                if fault.code in GONE_CODES:
                    gone.add(name)
                elif isinstance(error, Unavailable):
                    raise error from None
                else:
                    denied += [fault] if fault.code == "ErrorAccessDenied" else []
                    problems[name] = f"The server can't give it ({fault.code}). Look at it in Outlook."
                continue
            if found is None or len(found.inside) != 1:
                raise self.odd("an answer that is no item")
            item = found.inside[0]
            said = mapping.name_of(item)
            items[said if said in names or (said and name in series_of) else name] = item
        if denied and len(denied) == len(names):
            raise to_error(denied[0], self.where)
        return Loaded(items, frozenset(gone), problems)

    async def ask_well(self, make: Ask, until: float) -> tuple[Node, ...]:
        """Response messages that all went well. Raises our errors."""
        try:
            messages = await self.server.ask(self.room.mailbox, make, until)
            if not messages:
                raise self.odd("no answer")
            return tuple(soap.check(message) for message in messages)
        except Fault as fault:
            self.server.heed(fault)
            raise to_error(fault, self.where) from None

    def odd(self, what: str) -> MeetkeeperError:
        return TheirMistake(
            "calendar.odd-answer",
            f"{self.where} gave {what}, which makes no sense. Look at the server's log.",
        )


_TOO_ODD = (
    "The server can't send it whole: it is too large or holds characters that XML forbids. Open and save it."
)
