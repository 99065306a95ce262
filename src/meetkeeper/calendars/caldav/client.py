"""A room's calendar on a CalDAV server (RFC 4791, RFC 6578): what changed, everything, write, remove.

Asked by `engine.poll` and the outbox through `ports.calendar`. What changed is asked by token where the server can say,
else by comparing the state of every item with the cookie's. An item that can't be read is a problem; a pass that does
not end well yields no listing. A cookie is refused whenever there is doubt: it costs a full pass, never a meeting.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial

from msgspec import Struct

from meetkeeper.bounded import xml
from meetkeeper.calendars.caldav import mapping
from meetkeeper.calendars.caldav.dav import (
    CAL,
    DAV,
    Multistatus,
    Response,
    conditions,
    read_multistatus,
)
from meetkeeper.calendars.caldav.mapping import Calendar
from meetkeeper.calendars.caldav.server import Answer, CaldavServer, Call
from meetkeeper.core.configuration import CaldavCalendar
from meetkeeper.core.errors import MeetkeeperError, NotFound, Refused, TheirMistake
from meetkeeper.core.identity import normalise_uid
from meetkeeper.core.joinblock import JoinBlock
from meetkeeper.core.roomsettings import Finding
from meetkeeper.core.words import CalendarItem
from meetkeeper.itemtext.annotating import annotated, would_mail
from meetkeeper.itemtext.lines import Unreadable
from meetkeeper.itemtext.portions import portions
from meetkeeper.itemtext.reading import Problem, read_item
from meetkeeper.ports.calendar import CookieRefused, Page

BATCH = 25
"""Items asked for at once."""
PAGES_MAX = 1_000
ITEMS_MAX = 100_000
"""Most items of one calendar."""
UID_QUERY_CHARS_MAX = 500


class _Text(Struct, frozen=True):
    """An item as the server gave it. `data` is None when it gave none, and then `status` says why."""

    name: str
    etag: str
    data: bytes | None
    status: int = 200


class CaldavSource:
    """One room's collection. Rooms on one server share its `CaldavServer`."""

    def __init__(
        self,
        config: CaldavCalendar,
        password: str = "",
        *,
        server: CaldavServer | None = None,
        own_email: str = "",
        room_emails: frozenset[str] = frozenset(),
    ) -> None:
        """No I/O. `own_email` is this room's address, `room_emails` those of all rooms, in lower case."""
        self._config = config
        self._server = server or CaldavServer(config.url)
        self._login = self._server.join(config.username, password)
        self._read = partial(read_item, own_email=own_email, room_emails=room_emails)
        self._own_email = own_email
        self._calendar: Calendar | None = None
        self._closed = False

    # --- reading ---------------------------------------------------------------------------------------------------

    async def changes(self, cookie: str) -> AsyncIterator[Page]:
        """Pages of what changed since `cookie`; a complete pass for "". Raises what `ports.calendar` says."""
        until = self._deadline()
        calendar = await self._find(until)
        opened = (
            mapping.unseal(calendar, cookie)
            if cookie
            else ("sync" if calendar.syncs is not False else "etags", "")
        )
        if opened is None:
            raise CookieRefused
        kind, payload = opened
        if kind == "sync":
            pages = self._by_token(calendar, payload, until)
        else:
            pages = self._by_states(calendar, payload, until)
        async for page in pages:
            yield page

    async def _by_token(self, calendar: Calendar, token: str, until: float) -> AsyncIterator[Page]:
        """What the server says changed since the token (RFC 6578); everything for ""."""
        full = not token
        listing: set[str] = set()
        for _ in range(PAGES_MAX):
            answer = await self._sync(calendar, token, until)
            if answer is None or not answer.sync_token:
                if not full:
                    raise CookieRefused
                async for page in self._by_states(calendar, "", until):
                    yield page
                return
            members = mapping.members_of(answer, calendar)
            gone = set(members.gone)
            async for page in self._load(calendar, members.changed, until):
                gone.update(page.gone)
                yield Page(items=page.items, problems=page.problems)
            listing = (listing | members.changed.keys()) - gone
            if len(listing) > ITEMS_MAX:
                raise _too_many(calendar)
            mark = mapping.seal("sync", calendar, answer.sync_token)
            if not members.cut:
                complete = frozenset(listing) if full else None
                yield Page(gone=() if full else tuple(sorted(gone)), cookie=mark, listing=complete)
                return
            if answer.sync_token == token:
                raise _circles(calendar)
            yield Page(gone=() if full else tuple(sorted(gone)), cookie=None if full else mark)
            token = answer.sync_token
        raise _circles(calendar)

    async def _by_states(self, calendar: Calendar, payload: str, until: float) -> AsyncIterator[Page]:
        """What differs between the states of all items and those in the cookie (RFC 4918 section 9.1)."""
        before = mapping.unpack_states(payload) if payload else {}
        if before is None:
            raise CookieRefused
        call = Call("PROPFIND", calendar.path, mapping.LIST_STATES, (("Depth", "1"),))
        answer = self._multistatus(await self._ask(call, until), calendar)
        states = mapping.states_in(answer, calendar)
        if len(states) > ITEMS_MAX:
            raise _too_many(calendar)
        changed = {
            name: href for name, (href, state) in states.items() if not state or before.get(name) != state
        }
        missing: set[str] = set()
        async for page in self._load(calendar, changed, until):
            missing.update(page.gone)
            yield Page(items=page.items, problems=page.problems)
        now = {name: state for name, (_, state) in states.items() if name not in missing}
        gone = tuple(sorted((before.keys() | missing) - now.keys()))
        yield Page(
            gone=gone if payload else (),
            cookie=mapping.seal("etags", calendar, mapping.pack_states(now)),
            listing=None if payload else frozenset(now),
        )

    async def soon(self, from_s: int, until_s: int) -> AsyncIterator[Page]:
        """Items with a meeting in the span (RFC 4791 section 9.9); nothing where the server does not take the question.

        Raises as `changes` does when the calendar itself can't be reached.
        """
        until = self._deadline()
        calendar = await self._find(until)
        call = Call("REPORT", calendar.path, mapping.query_span(from_s, until_s), (("Depth", "1"),))
        answer = await self._ask(call, until)
        if answer.status != 207:
            return
        found = (_text_in(one, calendar) for one in self._multistatus(answer, calendar).responses)
        texts = [text for text in found if text is not None and text.data is not None]
        if len(texts) > ITEMS_MAX:
            raise _too_many(calendar)
        for portion in portions(((text, len(text.data or b"")) for text in texts), BATCH):
            page = await asyncio.to_thread(self._page, portion)
            yield Page(items=page.items)

    async def _sync(self, calendar: Calendar, token: str, until: float) -> Multistatus | None:
        """The answer to sync-collection; None when the server has no such thing."""
        call = Call("REPORT", calendar.path, mapping.sync_collection(token), (("Depth", "0"),))
        answer = await self._ask(call, until)
        if answer.status == 207:
            return self._multistatus(answer, calendar)
        said = conditions(answer.xml)
        if "valid-sync-token" in said:
            if token:
                raise CookieRefused
            return None
        if calendar.syncs is None and answer.status in (400, 403, 405, 415, 422, 501):
            return None
        if "supported-report" in said or answer.status in (405, 415, 501):
            return None
        raise self._error(answer)

    async def _load(self, calendar: Calendar, wanted: Mapping[str, str], until: float) -> AsyncIterator[Page]:
        """The items under these names, in pages; `gone` are those that are not there or hold no meeting."""
        names = sorted(wanted)
        if len(names) > ITEMS_MAX:
            raise _too_many(calendar)
        for at in range(0, len(names), BATCH):
            batch = {name: wanted[name] for name in names[at : at + BATCH]}
            texts = await self._texts(calendar, batch, until)
            for portion in portions(((text, len(text.data or b"")) for text in texts), BATCH):
                yield await asyncio.to_thread(self._page, portion)

    async def _texts(self, calendar: Calendar, wanted: Mapping[str, str], until: float) -> list[_Text]:
        """The items' texts. An answer spoilt by one odd item is asked for again in halves, to find that item."""
        try:
            given = await self._multiget(calendar, wanted, until)
        except TheirMistake as mistake:
            if mistake.code not in (xml.TOO_LARGE, xml.NOT_XML):
                raise
            if len(wanted) == 1:
                return [_Text(name, "", None, -1) for name in wanted]
            names = list(wanted)
            halves = (names[: len(names) // 2], names[len(names) // 2 :])
            texts = [
                text
                for half in halves
                for text in await self._texts(calendar, {name: wanted[name] for name in half}, until)
            ]
            if all(text.status == -1 for text in texts):
                raise
            return texts
        left_out = {name: href for name, href in wanted.items() if name not in given}
        if left_out and len(wanted) > 1:
            for name, href in left_out.items():
                given.update(await self._multiget(calendar, {name: href}, until))
        return [given.get(name, _Text(name, "", None, 0)) for name in wanted]

    async def _multiget(
        self, calendar: Calendar, wanted: Mapping[str, str], until: float
    ) -> dict[str, _Text]:
        # An item is asked for by the name its server gave it, unless that is no URI (RFC 3986): SOGo names items in
        # plain letters, and cuts such a name off at the first one that is not ASCII.
        hrefs = [href if mapping.is_uri(href) else calendar.path + name for name, href in wanted.items()]
        call = Call("REPORT", calendar.path, mapping.multiget(hrefs), (("Depth", "0"),))
        answer = self._multistatus(await self._ask(call, until), calendar)
        texts = (_text_in(response, calendar) for response in answer.responses)
        return {text.name: text for text in texts if text is not None and text.name in wanted}

    def _page(self, texts: Sequence[_Text]) -> Page:
        items: list[CalendarItem] = []
        gone: list[str] = []
        problems: list[tuple[str, str]] = []
        for text in texts:
            if text.data is None:
                if text.status in (404, 410):
                    gone.append(text.name)
                else:
                    problems.append((text.name, _why_not(text.status)))
                continue
            read = self._read(text.name, text.data, etag=text.etag)
            if read is None:
                gone.append(text.name)
            elif isinstance(read, Problem):
                problems.append((read.href, read.sentence))
            else:
                items.append(read)
        return Page(items=tuple(items), gone=tuple(gone), problems=tuple(problems))

    # --- writing ---------------------------------------------------------------------------------------------------

    async def write(self, uid: str, calendar_text: bytes) -> None:
        """Create the item of this UID, or replace the one that has it, wherever it stands. Raises `Refused`."""
        if not self._config.write:
            raise Refused(
                "calendar.read-only",
                f"{self._config.url} is not to be written; allow it (write) in the configuration.",
            )
        until = self._deadline()
        calendar = await self._find(until)
        for attempt in (1, 2):
            href, etag = await self._place_of(calendar, uid, until)
            condition = ("If-Match", etag) if etag else ("If-None-Match", "*")
            headers = (
                ("Content-Type", "text/calendar; charset=utf-8"),
                *((condition,) if etag or not href else ()),
            )
            path = href or calendar.path + mapping.name_for(uid)
            answer = await self._ask(Call("PUT", path, calendar_text, headers), until)
            if answer.status in (200, 201, 202, 204):
                return
            if answer.status != 412 or attempt == 2:
                raise self._error(answer)

    async def remove(self, uid: str) -> None:
        """Remove the item of this UID; one that is not there is removed already."""
        self._check_may_write()
        until = self._deadline()
        calendar = await self._find(until)
        href, _ = await self._place_of(calendar, uid, until)
        if not href:
            return
        answer = await self._ask(Call("DELETE", href), until)
        if answer.status not in (200, 202, 204, 404, 410):
            raise self._error(answer)

    async def annotate(self, uid: str, block: JoinBlock | None) -> bool:
        """`Annotating.annotate`: the item is put back with If-Match, so that nobody's change in between is lost."""
        until = self._deadline()
        calendar = await self._find(until)
        for attempt in (1, 2):
            href, text = await self._item_of(calendar, uid, until)
            if text is None or text.data is None:
                return False
            if would_mail(text.data, self._own_email):
                raise Refused(
                    "calendar.would-mail",
                    f"{self._server.host}{href} is organized by the room: its people would be mailed about a change. "
                    "Set the room's write_back to none, or decide by hand.",
                )
            new = self._annotated(text, block)
            if new == text.data:
                return True
            if not text.etag:
                raise Refused(
                    "calendar.no-etag",
                    f"{self._server.host} gives no etag, so a change can't be put back safely. Set write_back to none.",
                )
            headers = (("Content-Type", "text/calendar; charset=utf-8"), ("If-Match", text.etag))
            answer = await self._ask(Call("PUT", href, new, headers), until)
            if answer.status in (200, 201, 202, 204):
                return True
            if answer.status != 412 or attempt == 2:
                raise self._error(answer)
        return False

    def _annotated(self, text: _Text, block: JoinBlock | None) -> bytes:
        try:
            return annotated(text.data or b"", block)
        except Unreadable as unreadable:
            raise Refused("calendar.unreadable", f"{text.name} can't be written to. {unreadable}") from None

    def _check_may_write(self) -> None:
        if not self._config.write:
            raise Refused(
                "calendar.read-only",
                f"{self._config.url} is not to be written; allow it (write) in the configuration.",
            )

    async def _place_of(self, calendar: Calendar, uid: str, until: float) -> tuple[str, str]:
        """(path, etag) of the item with this UID; ("", "") when there is none."""
        href, text = await self._item_of(calendar, uid, until)
        return (href, "") if text is None else (href, text.etag)

    async def _item_of(self, calendar: Calendar, uid: str, until: float) -> tuple[str, _Text | None]:
        """Path and text of the item with this UID; none when there is none. The server's match is checked again."""
        call = Call("REPORT", calendar.path, mapping.query_uid(uid[:UID_QUERY_CHARS_MAX]), (("Depth", "1"),))
        answer = self._multistatus(await self._ask(call, until), calendar)
        for response in answer.responses:
            text = _text_in(response, calendar)
            if text is None or text.data is None:
                continue
            item = self._read(text.name, text.data)
            if isinstance(item, CalendarItem) and item.uid == normalise_uid(uid):
                return mapping.path_of(response.href, calendar.host, calendar.path) or "", text
        return "", None

    # --- reaching --------------------------------------------------------------------------------------------------

    async def probe(self) -> str:
        """Reach the calendar and log in; a sentence about what answered."""
        self._calendar = None
        until = self._deadline()
        call = Call("PROPFIND", self._path(), mapping.DISCOVER, (("Depth", "0"),))
        answer = await self._ask(call, until)
        calendar = await self._find(until, answer)
        tells = "tells what changed" if calendar.syncs else "is compared item by item"
        software = answer.software or "A CalDAV server"
        return (
            f"{software} at {self._server.host} answers for {calendar.title or calendar.path}, which {tells}."
        )

    async def close(self) -> None:
        """Let go of the server; the last room closes its connections."""
        if not self._closed:
            self._closed = True
            await self._server.leave()

    async def _find(self, until: float, answer: Answer | None = None) -> Calendar:
        """The calendar at the configured address, or the only one of the principal or home that stands there."""
        if self._calendar is None:
            self._calendar = await self._discover(until, answer)
        return self._calendar

    async def _discover(self, until: float, answer: Answer | None) -> Calendar:
        host = self._server.host
        here = await self._facts(self._path(), until, answer)
        if mapping.is_calendar(here):
            return mapping.calendar_of(here, host)
        home = mapping.address_in(here, f"{CAL}calendar-home-set", host)
        principal = mapping.address_in(here, f"{DAV}current-user-principal", host)
        if home is None and principal is not None:
            there = await self._facts(principal, until)
            home = mapping.address_in(there, f"{CAL}calendar-home-set", host)
        if home is None:
            raise Refused(
                "calendar.none-there",
                f"{self._config.url} is no calendar and leads to none. Configure the address of the room's calendar.",
            )
        call = Call("PROPFIND", home, mapping.DISCOVER, (("Depth", "1"),))
        listed = self._multistatus(await self._ask(call, until))
        found = [mapping.calendar_of(one, host) for one in listed.responses if mapping.is_calendar(one)]
        if len(found) == 1:
            return found[0]
        names = ", ".join(sorted(calendar.path for calendar in found)[: mapping.CALENDARS_NAMED_MAX])
        raise Refused(
            "calendar.which",
            f"{self._config.url} leads to {len(found)} calendars{': ' + names if names else ''}. "
            "Configure the address of the room's one.",
        )

    async def _facts(self, path: str, until: float, answer: Answer | None = None) -> Response:
        """What the server says about one address."""
        if answer is None:
            answer = await self._ask(Call("PROPFIND", path, mapping.DISCOVER, (("Depth", "0"),)), until)
        responses = self._multistatus(answer).responses
        for response in responses:
            at = mapping.path_of(response.href, self._server.host, answer.path)
            if at is not None and at.rstrip("/") == answer.path.rstrip("/"):
                if response.status != 200:
                    raise mapping.to_error(response.status, f"{self._server.host}{answer.path}")
                return response
        raise TheirMistake(
            "calendar.foreign-href",
            f"{self._server.host} answered about another address than {answer.path}; configure the one it uses itself.",
        )

    async def doctor(self) -> tuple[Finding, ...]:
        """What the way to the calendar is like: who answers and how fast, and whether it can say what changed."""
        clock = asyncio.get_running_loop().time
        begin_s = clock()
        try:
            said = await self.probe()
            calendar = await self._find(self._deadline())
        except MeetkeeperError as trouble:
            mend = f"Correct the calendar's address, user name or password in the configuration: {self._config.url}"
            return (
                Finding(
                    code=trouble.code,
                    level="red",
                    text=trouble.message,
                    symptom="The room's meetings are not followed.",
                    mend=mend,
                ),
            )
        took_ms = int((clock() - begin_s) * 1_000)
        found = [
            Finding(code="reached", level="good", text=f"{said.removesuffix('.')}, within {took_ms} ms.")
        ]
        if calendar.syncs is False:
            found.append(
                Finding(
                    code="no-sync",
                    level="note",
                    text="The server has no sync-collection (RFC 6578).",
                    symptom="Every poll lists the state of all items, which costs time in large calendars.",
                    mend="Keep old items out of the calendar, or poll less often (poll_s).",
                )
            )
        return tuple(found)

    def _path(self) -> str:
        path = mapping.path_of(self._config.url, self._server.host)
        if path is None:
            raise Refused("calendar.address", f"{self._config.url} is not an address; correct it.")
        return path.rstrip("/") + "/"

    async def _ask(self, call: Call, until: float) -> Answer:
        return await self._server.ask(call, self._login, until)

    def _multistatus(self, answer: Answer, calendar: Calendar | None = None) -> Multistatus:
        """The responses; what is wrong with the answer, or with the calendar inside it, is raised."""
        if answer.status != 207:
            raise self._error(answer)
        multistatus = read_multistatus(answer.xml)
        if calendar is not None:
            try:
                mapping.check_stands(multistatus, calendar)
            except NotFound:
                self._calendar = None
                raise
        return multistatus

    def _error(self, answer: Answer) -> MeetkeeperError:
        if answer.status in (404, 410):
            self._calendar = None  # moved or removed: look for it again next time
        where = f"{self._server.host}{answer.path}"
        return mapping.to_error(answer.status, where, conditions(answer.xml), answer.retry_after_s)

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._server.limits.pass_s


def _text_in(response: Response, calendar: Calendar) -> _Text | None:
    name = calendar.name_of(response.href)
    if name is None:
        return None
    data = response.found.get(f"{CAL}calendar-data")
    etag = response.text(f"{DAV}getetag")
    if data is None:
        return _Text(name, etag, None, response.status)
    return _Text(name, etag, data.text.encode("utf-8", "surrogatepass"))


def _why_not(status: int) -> str:
    if status == -1:
        return "The server can't send it whole: it is too large or holds characters that XML forbids. Open and save it."
    if status in (0, 200):
        return "The server lists it but does not give it. Look at the server's log."
    return f"The server lists it but answers {status} for it. Look at the server's log and at its rights."


def _too_many(calendar: Calendar) -> TheirMistake:
    return TheirMistake(
        "calendar.too-many",
        f"{calendar.path} holds more than {ITEMS_MAX} items; remove old ones from the calendar.",
    )


def _circles(calendar: Calendar) -> TheirMistake:
    return TheirMistake(
        "calendar.circles", f"{calendar.path} is answered in parts without end; look at the calendar server."
    )
