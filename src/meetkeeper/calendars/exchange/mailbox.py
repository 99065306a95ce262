"""One mailbox's calendar as EWS gives it: pages of changes, items by their ids, answers that all went well.

Between `server`, which asks, and `client` and `booking`, which know what for. Foreign errors end here.
"""

import asyncio
from collections.abc import Sequence

from msgspec import Struct

from meetkeeper.calendars.exchange import mapping, soap
from meetkeeper.calendars.exchange.faults import COOKIE_CODES, GONE_CODES, to_error
from meetkeeper.calendars.exchange.mapping import Room
from meetkeeper.calendars.exchange.server import Ask, EwsServer
from meetkeeper.calendars.exchange.soap import Fault, Node
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

    async def get(self, names: Sequence[str], until: float, *, masters: bool = True) -> Loaded:
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
        return Loaded(items, frozenset(gone), problems)

    async def _get_batch(self, names: Sequence[str], until: float, *, masters: bool) -> Loaded:
        """One GetItem. An answer spoilt by one odd item is asked for again in halves, to find that item."""
        from meetkeeper.calendars.exchange import asking

        try:
            messages = await self.server.ask(self.room.mailbox, asking.items(names, masters=masters), until)
        except TheirMistake as mistake:
            if mistake.code not in (soap.TOO_LARGE, soap.NOT_XML):
                raise
            if len(names) == 1:
                return Loaded({}, frozenset(), {names[0]: _TOO_ODD})
            middle = len(names) // 2
            halves = [
                await self._get_batch(half, until, masters=masters)
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
        return self._sorted(names, messages)

    def _sorted(self, names: Sequence[str], messages: Sequence[Node]) -> Loaded:
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
            items[said if said in names else name] = item
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
