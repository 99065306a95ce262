"""Our own bookings in a room's calendar by Graph: created, replaced, removed, and nobody is mailed about it.

The room's copy has no attendees, so there is nobody whom Exchange could mail. An item of somebody else's that bears the
UID is changed in place; one with people in it, organized by the room, is left alone: changing it would mail them.
"""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from meetkeeper.calendars.graph import mapping, wire
from meetkeeper.calendars.graph.answers import Answer
from meetkeeper.calendars.graph.client import Call
from meetkeeper.calendars.graph.mailbox import Mailbox, Whole, literal
from meetkeeper.calendars.graph.marks import text_of
from meetkeeper.calendars.graph.ours import UID_PROPERTY, Draft, draft_of
from meetkeeper.calendars.graph.wire import Broken, Event
from meetkeeper.core.errors import Refused, TheirMistake, Unavailable
from meetkeeper.core.identity import normalise_uid
from meetkeeper.core.joinblock import JoinBlock, html_with_block, with_block
from meetkeeper.itemtext.annotating import safe_block
from meetkeeper.itemtext.lines import Unreadable

_DAY_S = 86_400
UID_CHARS_MAX = 1_000
TRIES = 3
AHEAD_MAX = 50
"""So many changed occurrences of a series are written to, the nearest ones."""
_LATE = 412


class Writer:
    """Writes into one mailbox."""

    def __init__(self, mailbox: Mailbox, now_s: Callable[[], float]) -> None:
        self._mailbox = mailbox
        self._now_s = now_s

    async def write(self, uid: str, calendar_text: bytes, until: float) -> None:
        """`CalendarSource.write`."""
        draft = draft_of(uid, calendar_text)
        standing = await self._find(uid, until)
        if standing is None:
            name = await self._create(draft, until)
            if name is None:
                return
        elif "recurrence" in draft.event or standing.type == "seriesMaster":
            # A changed pattern keeps old exceptions alive; a series is written anew, so that none is left.
            await self._delete(standing, until)
            name = await self._create(draft, until)
            if name is None:
                return
        else:
            name = standing.id
            fields = {key: value for key, value in draft.event.items() if key != "transactionId"}
            await self._send("PATCH", f"/events/{quote(name, safe='')}", fields, until, (200,))
        await self._change_occurrences(name, draft, until)

    async def remove(self, uid: str, until: float) -> None:
        """`CalendarSource.remove`."""
        standing = await self._find(uid, until)
        if standing is not None:
            await self._delete(standing, until)

    async def annotate(self, uid: str, block: JoinBlock | None, until: float) -> bool:
        """`Annotating.annotate`: the body of the room's copy. An online meeting's part of it is put back as it came.

        A series says it in its master, and in each changed occurrence ahead that has a body of its own. Whoever changes
        the item between our reading and our writing is not overwritten: it is read again.
        """
        standing = await self._find(uid, until)
        if standing is None or not await self._annotate_one(standing.id, block, until):
            return False
        if standing.type == "seriesMaster":
            for name in await self._ahead(standing.id, until):
                await self._annotate_one(name, block, until)  # one that has gone meanwhile needs nothing
        return True

    async def _ahead(self, name: str, until: float) -> list[str]:
        """The ids of the series' changed occurrences that have not ended, the nearest first, at most `AHEAD_MAX`."""
        whole = (await self._mailbox.series([name], until, None)).get(name)
        found: list[tuple[int, str]] = []
        for one in whole.exceptions if isinstance(whole, Whole) else ():
            try:
                end_s = mapping.instant_s(one.end)
            except Unreadable:
                continue
            if end_s > self._now_s():
                found.append((end_s, one.id))
        return [one for _, one in sorted(found)[:AHEAD_MAX]]

    async def _annotate_one(self, name: str, block: JoinBlock | None, until: float) -> bool:
        """False when it has gone."""
        here = f"/events/{quote(name, safe='')}"
        for _ in range(TRIES):
            status = await self._annotate(here, block, until)
            if status != _LATE:
                return status == 200
        raise Unavailable(
            "calendar.busy",
            f"An item of {self._mailbox.address} changes all the time; it is tried again.",
        )

    async def _annotate(self, here: str, block: JoinBlock | None, until: float) -> int:
        """200, 404 or 410 when it has gone, 412 when somebody was quicker."""
        url = f"{self._mailbox.client.endpoint}{self._mailbox.path}{here}?$select=id,body,changeKey"
        answer = await self._mailbox.client.ask(Call("GET", url, as_html=True), self._mailbox.address, until)
        if answer.status in (404, 410):
            return answer.status
        if answer.status != 200:
            raise self._mailbox.error(answer)
        event = wire.read_event(answer.body)
        if not isinstance(event, Event) or not _is_etag(event.etag):
            raise TheirMistake(
                "calendar.odd-answer",
                f"{self._mailbox.client.host} gave an item of {self._mailbox.address} without its etag, so it can't be "
                "changed safely; look at what stands between.",
            )
        body = event.body
        before = (body.content if body is not None else None) or ""
        kind = "html" if body is not None and (body.contentType or "").lower() == "html" else "text"
        if kind == "html":
            after = html_with_block(before, None if block is None else safe_block(block))
        else:
            after = with_block(before, block)
        if _lines(after) == _lines(before):
            return 200
        fields = {"body": {"contentType": kind, "content": after}}
        answer = await self._send(
            "PATCH", here, fields, until, (200, 404, 410, _LATE), if_match=event.etag or ""
        )
        return answer.status

    async def _create(self, draft: Draft, until: float) -> str | None:
        """The new item's id; None when the server knows this very request and has carried it out before."""
        answer = await self._send("POST", "/calendar/events", draft.event, until, (200, 201, 409))
        if answer.status == 409:
            if await self._find(draft.uid, until) is not None:
                return None
            fields = {key: value for key, value in draft.event.items() if key != "transactionId"}
            answer = await self._send("POST", "/calendar/events", fields, until, (200, 201))
        made = wire.read_event(answer.body)
        return None if made is None else made.id

    async def _delete(self, standing: Event, until: float) -> None:
        await self._send(
            "DELETE", f"/events/{quote(standing.id, safe='')}", None, until, (200, 202, 204, 404, 410)
        )

    async def _change_occurrences(self, name: str, draft: Draft, until: float) -> None:
        """Single dates of a series that are elsewhere or not at all."""
        if not draft.changes:
            return
        path = f"/events/{quote(name, safe='')}/instances"
        for original_s, fields in sorted(draft.changes.items()):
            span = {
                "startDateTime": text_of(original_s - _DAY_S),
                "endDateTime": text_of(original_s + _DAY_S),
            }
            answer = await self._send(
                "GET", f"{path}?{urlencode(span, quote_via=quote)}", None, until, (200,)
            )
            page = wire.read_page(answer.body)
            for raw in () if page is None else page.value:
                event = wire.read_event(raw)
                if isinstance(event, Event) and _starts_at(event, original_s):
                    here = f"/events/{quote(event.id, safe='')}"
                    if fields is None:
                        await self._send("DELETE", here, None, until, (200, 202, 204, 404, 410))
                    else:
                        await self._send("PATCH", here, fields, until, (200,))
                    break

    async def _find(self, uid: str, until: float) -> Event | None:
        """The item with our property, or with this UID of its own. Raises `Refused` for one that would mail people."""
        wanted = normalise_uid(uid)
        if len(wanted) > UID_CHARS_MAX:
            return None
        ours = f"singleValueExtendedProperties/Any(ep: ep/id eq '{UID_PROPERTY}' and ep/value eq {literal(wanted)})"
        for where in (ours, f"iCalUId eq {literal(wanted)}"):
            found = [
                event
                for event in (await self._mailbox.listing(where, until)).values()
                if not isinstance(event, Broken)
            ]
            if not found:
                continue
            event = min(found, key=lambda one: one.id)
            if event.is_organizer and event.attendees and not event.is_ours:
                raise Refused(
                    "calendar.objects",
                    f"The calendar of {self._mailbox.address} has a meeting with this UID whose people would be "
                    "mailed about a change; decide by hand.",
                )
            return event
        return None

    async def _send(
        self,
        method: str,
        path: str,
        fields: Mapping[str, Any] | None,
        until: float,
        good: tuple[int, ...],
        *,
        if_match: str = "",
    ) -> Answer:
        body = b"" if fields is None else msgspec.json.encode(fields)
        url = f"{self._mailbox.client.endpoint}{self._mailbox.path}{path}"
        call = Call(method, url, body, if_match=if_match)
        answer = await self._mailbox.client.ask(call, self._mailbox.address, until)
        if answer.status not in good:
            raise self._mailbox.error(answer)
        return answer


def _is_etag(text: str | None) -> bool:
    """It may stand in a header."""
    return text is not None and 0 < len(text) <= 1_000 and text.isascii() and text.isprintable()


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").strip()


def _starts_at(event: Event, original_s: int) -> bool:
    """This occurrence is the one that the series put there: on its day where whole days are meant."""
    given_s = mapping.instant_s(event.start)
    if event.is_all_day:
        return given_s // _DAY_S == original_s // _DAY_S
    return given_s == original_s
