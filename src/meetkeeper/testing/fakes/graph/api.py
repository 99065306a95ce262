"""What Graph answers: collections, single events, rounds of changes, batches, writing. `server` is the wire.

Stateful where Exchange Online is: the window and the place in a round lie in opaque links, of which only the last few
generations are known; what changes outside of a window is reported as removed; a deleted occurrence is not reported.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from meetkeeper.core.errors import MeetkeeperError
from meetkeeper.itemtext.lines import Unreadable
from meetkeeper.testing.fakes.graph.view import (
    EVER_S,
    TRANSACTION,
    View,
    entry_from,
    event_id,
    extended,
    find_item,
    html_from,
    original_s_of,
    properties_from,
)
from meetkeeper.testing.fakes.mailbox import Answer, Mailbox, Site, Stored

Json = dict[str, Any]
BATCH_MAX = 20
ROUNDS_KEPT_MAX = 200

_FAR = re.compile(r"(type eq 'seriesMaster' or )?start/dateTime ge '([^']+)'")
_BY_UID = re.compile(r"iCalUId eq '((?:[^']|'')*)'")
_BY_PROPERTY = re.compile(
    r"singleValueExtendedProperties/Any\(ep: ep/id eq '([^']+)' and ep/value eq '((?:[^']|'')*)'\)"
)


class Reply(Struct, frozen=True):
    """An answer: status, JSON body (None: without), further headers."""

    status: int
    body: Json | None = None
    headers: tuple[tuple[str, str], ...] = ()


class Asked(Struct, frozen=True):
    """A request below the endpoint."""

    method: str
    path: str
    query: dict[str, str]
    prefer: str = ""
    body: bytes = b""
    if_match: str = ""


class _Round(Struct):
    """What a round of changes still has to give."""

    values: list[Json]
    token: str


def asked_of(method: str, target: str, prefer: str, body: bytes, if_match: str = "") -> Asked:
    """A request line and what came with it."""
    split = urlsplit(target)
    query = {name: values[0] for name, values in parse_qs(split.query, keep_blank_values=True).items()}
    return Asked(method, split.path, query, prefer, body, if_match)


def error(status: int, code: str, *headers: tuple[str, str]) -> Reply:
    """An error as Graph words it."""
    return Reply(status, {"error": {"code": code, "message": f"{code}."}}, headers)


class Api:
    """The endpoint. Switches are plain attributes; turn them at any time.

    `page_max` most entries of a page; `generations_live` how many of the newest links are known; `repeats` entries come
    twice in a round, the older version last; `masters_in_rounds` masters come with their stubs; `lost_status` and
    `lost_code` how an unknown link is refused; `occurrences_alone` a series that loses a date is told by the removed
    occurrence's own id and nothing else; `knows_exceptions` the cloud has exceptionOccurrences; `html_only`
    bodies come as HTML.
    """

    def __init__(self, site: Site, now_s: Callable[[], float]) -> None:
        self.site = site
        self.base = ""
        self.zone = "UTC"
        self.page_max = 50
        self.generations_live = 3
        self.repeats = False
        self.masters_in_rounds = True
        self.lost_status, self.lost_code = 410, "SyncStateNotFound"
        self.occurrences_alone = False
        self.knows_exceptions = True
        self.html_only = False
        self._now_s = now_s
        self._modified: dict[tuple[str, str, int], int] = {}
        self._generations: dict[tuple[str, str], int] = {}
        self._rounds: dict[str, _Round] = {}
        self._stubs: dict[str, set[str]] = {}
        self._counter = 0

    def answer(self, asked: Asked) -> Reply:
        """The answer to a request whose token was good."""
        match [unquote(part) for part in asked.path.strip("/").split("/")]:
            case ["$batch"] if asked.method == "POST":
                return self._batch(asked)
            case ["users", address, *rest]:
                mailbox = self.site.find(address)
                if mailbox is None:
                    return error(404, "ErrorInvalidUser")
                if mailbox.denied:
                    return error(403, "ErrorAccessDenied")
                return self._mailbox(mailbox, rest, asked)
            case ["places", "microsoft.graph.room"] if asked.method == "GET":
                rooms = sorted(self.site.mailboxes.values(), key=lambda one: one.address)
                return Reply(
                    200, {"value": [{"displayName": one.name, "emailAddress": one.address} for one in rooms]}
                )
            case _:
                return error(400, "BadRequest")

    def _mailbox(self, mailbox: Mailbox, rest: list[str], asked: Asked) -> Reply:
        match asked.method, rest:
            case "GET", ["calendar"]:
                return Reply(200, {"id": "c", "name": "Calendar", "owner": {"address": mailbox.address}})
            case "GET", ["calendarView", "delta"]:
                return self._delta(mailbox, asked)
            case "GET", ["calendarView"]:
                return self._view(mailbox, asked)
            case "GET", ["calendar", "events"]:
                return self._list(mailbox, asked)
            case "POST", ["calendar", "events"]:
                return self._create(mailbox, asked)
            case "GET", ["events", name]:
                return self._get(mailbox, name, asked)
            case "GET", ["events", name, "instances"]:
                return self._instances(mailbox, name, asked)
            case "PATCH", ["events", name]:
                return self._patch(mailbox, name, asked)
            case "DELETE", ["events", name]:
                return self._delete(mailbox, name)
            case _:
                return error(400, "BadRequest")

    # --- rounds of changes -----------------------------------------------------------------------------------------

    def _delta(self, mailbox: Mailbox, asked: Asked) -> Reply:
        if "$skiptoken" in asked.query:
            return self._page(mailbox, asked)
        if "$deltatoken" in asked.query:
            opened = self._open_token(mailbox, asked.query["$deltatoken"])
            if opened is None:
                location = f"{self.base}/users/{mailbox.address}/calendarView/delta?$deltatoken="
                return error(self.lost_status, self.lost_code, ("Location", location))
            window, since = opened
        else:
            try:
                window = tuple(_instant_s(asked.query[name]) for name in ("startDateTime", "endDateTime"))
            except (KeyError, ValueError):
                return error(400, "ErrorInvalidParameter")
            since = -1
        values = self._changes(mailbox, window, since)
        if self.repeats:
            values = [*values, *reversed([_older(one) for one in values])]
        self._counter += 1
        name = f"{mailbox.address}-{self._counter}"
        self._rounds[name] = _Round(values, self._token(mailbox, window))
        if len(self._rounds) > ROUNDS_KEPT_MAX:
            del self._rounds[next(iter(self._rounds))]
        return self._page(mailbox, replace(asked, query={"$skiptoken": f"{name}.0"}))

    def _page(self, mailbox: Mailbox, asked: Asked) -> Reply:
        name, _, offset = asked.query["$skiptoken"].rpartition(".")
        one = self._rounds.get(name)
        if one is None or not offset.isdigit() or not name.startswith(f"{mailbox.address}-"):
            return error(self.lost_status, self.lost_code)
        at, size = int(offset), self._page_size(asked)
        body: Json = {"value": one.values[at : at + size]}
        here = f"{self.base}/users/{quote(mailbox.address)}/calendarView/delta"
        if at + size < len(one.values):
            body["@odata.nextLink"] = f"{here}?$skiptoken={quote(name)}.{at + size}"
        else:
            body["@odata.deltaLink"] = f"{here}?$deltatoken={one.token}"
        return Reply(200, body)

    def _page_size(self, asked: Asked) -> int:
        match = re.search(r"odata\.maxpagesize=(\d+)", asked.prefer)
        return max(1, min(self.page_max, int(match[1]) if match else 10))

    def _changes(self, mailbox: Mailbox, window: tuple[int, ...], since: int) -> list[Json]:
        view, values = View(mailbox, self.zone), []
        from_s, until_s = window
        if since < 0:
            for stored in mailbox.items.values():
                if view.in_window(stored, from_s, until_s):
                    values += self._shown(view, stored, from_s, until_s)
            return values
        for change in mailbox.changes(since):
            stored_or_none = mailbox.items.get(change.id)
            if stored_or_none is None:
                gone = mailbox.deleted(change.id)
                name = event_id(gone) if gone is not None else "AAk" + change.id.rstrip("=")
                values.append({"id": name, "@removed": {"reason": "deleted"}})
            elif view.in_window(stored_or_none, from_s, until_s):
                values += self._shown(view, stored_or_none, from_s, until_s)
            else:
                values.append({"id": event_id(stored_or_none), "@removed": {"reason": "deleted"}})
        return values

    def _shown(self, view: View, stored: Stored, from_s: int, until_s: int) -> list[Json]:
        """An item in a window: itself, or a stub for each occurrence and a whole event for each exception."""
        modified_s = self._touched(view.mailbox, stored)
        event = self._dressed(view.event(stored, modified_s))
        if event["type"] == "singleInstance":
            return [event]
        values = [event] if self.masters_in_rounds else []
        for one in view.occurrences(stored, from_s, until_s):
            values.append(self._dressed(view.occurrence(stored, one, modified_s, stub=True)))
        names = {value["id"] for value in values} - {event["id"]}
        lost = self._stubs.get(event["id"], set()) - names
        self._stubs[event["id"]] = names
        if lost and self.occurrences_alone:
            return [{"id": name, "@removed": {"reason": "deleted"}} for name in sorted(lost)]
        return values

    def _token(self, mailbox: Mailbox, window: tuple[int, ...]) -> str:
        key = (mailbox.address, str(window))
        generation = self._generations[key] = self._generations.get(key, 0) + 1
        text = f"{mailbox.address}|{mailbox.life}|{generation}|{mailbox.version}|{window[0]}|{window[1]}"
        return urlsafe_b64encode(f"{_sum(text)}|{text}".encode()).decode().rstrip("=")

    def _open_token(self, mailbox: Mailbox, token: str) -> tuple[tuple[int, ...], int] | None:
        """(window, version) of a link that is still known."""
        try:
            text = urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
            checksum, _, rest = text.partition("|")
            address, life, generation, version, from_s, until_s = rest.split("|")
        except ValueError:
            return None
        window = (int(from_s), int(until_s)) if checksum == _sum(rest) else (0, 0)
        newest = self._generations.get((address, str(window)), 0)
        known = checksum == _sum(rest) and address == mailbox.address and int(life) == mailbox.life
        known = known and newest - self.generations_live < int(generation) <= newest
        if not known or int(version) > mailbox.version:
            return None
        return window, int(version)

    def forget(self) -> None:
        """Every link that was given so far is unknown."""
        for key in self._generations:
            self._generations[key] += self.generations_live
        self._rounds.clear()

    # --- collections and single events -----------------------------------------------------------------------------

    def _list(self, mailbox: Mailbox, asked: Asked) -> Reply:
        view = View(mailbox, self.zone)
        where = asked.query.get("$filter", "")
        chosen: list[Stored] = []
        if far := _FAR.fullmatch(where):
            from_s = _instant_s(far[2])
            chosen = [
                one
                for one in mailbox.items.values()
                if (far[1] and one.master.rrule) or _start_s(view, one) >= from_s
            ]
        elif by_uid := _BY_UID.fullmatch(where):
            wanted = by_uid[1].replace("''", "'")
            chosen = [one for one in mailbox.items.values() if one.uid == wanted]
        elif by_property := _BY_PROPERTY.fullmatch(where):
            pair = (by_property[1], by_property[2].replace("''", "'"))
            chosen = [one for one in mailbox.items.values() if pair in one.properties]
        elif where:
            return error(400, "ErrorInvalidUrlQueryFilter")
        else:
            chosen = list(mailbox.items.values())
        at, size = int(asked.query.get("$skip", "0")), self._page_size(asked)
        events = [
            self._dressed(view.event(one, self._touched(mailbox, one))) for one in chosen[at : at + size]
        ]
        body: Json = {"value": [_selected(event, asked) for event in events]}
        if at + size < len(chosen):
            more = "&".join(f"{name}={quote(text)}" for name, text in asked.query.items() if name != "$skip")
            body["@odata.nextLink"] = f"{self.base}{asked.path}?{more}&$skip={at + size}"
        return Reply(200, body)

    def _view(self, mailbox: Mailbox, asked: Asked) -> Reply:
        view = View(mailbox, self.zone)
        try:
            from_s, until_s = (_instant_s(asked.query[one]) for one in ("startDateTime", "endDateTime"))
        except (KeyError, ValueError):
            return error(400, "ErrorInvalidParameter")
        values: list[Json] = []
        for stored in mailbox.items.values():
            modified_s = self._touched(mailbox, stored)
            for one in view.occurrences(stored, from_s, until_s):
                if stored.master.rrule:
                    values.append(self._dressed(view.occurrence(stored, one, modified_s, stub=False)))
                else:
                    values.append(self._dressed(view.event(stored, modified_s)))
        return self._portion(values, asked, self._page_size(asked))

    def _portion(self, values: list[Json], asked: Asked, size: int) -> Reply:
        """One page of a collection, by offset."""
        at = int(asked.query.get("$skip", "0"))
        body: Json = {"value": values[at : at + size]}
        if at + size < len(values):
            more = "&".join(f"{key}={quote(text)}" for key, text in asked.query.items() if key != "$skip")
            body["@odata.nextLink"] = f"{self.base}{quote(asked.path)}?{more}&$skip={at + size}"
        return Reply(200, body)

    def _get(self, mailbox: Mailbox, name: str, asked: Asked) -> Reply:
        stored = find_item(mailbox, name)
        if stored is None:
            return error(404, "ErrorItemNotFound")
        select, expand = asked.query.get("$select", ""), asked.query.get("$expand", "")
        if not self.knows_exceptions and "exceptionOccurrences" in select + expand:
            return error(400, "RequestBroker--ParseUri")
        view, modified_s = View(mailbox, self.zone), self._touched(mailbox, stored)
        original_s = original_s_of(name)
        if original_s is None:
            event = view.event(stored, modified_s)
        else:
            found = [one for one in view.occurrences(stored, *EVER_S) if one.original_start_s == original_s]
            if not found:
                return error(404, "ErrorItemNotFound")
            event = view.occurrence(stored, found[0], modified_s, stub=False)
        event = self._dressed(event)
        if "exceptionOccurrences" in expand and event["type"] == "seriesMaster":
            event["exceptionOccurrences"] = [
                self._dressed(one) for one in view.exceptions(stored, modified_s)
            ]
        if "cancelledOccurrences" in select:
            event["cancelledOccurrences"] = view.cancelled(stored)
        if "singleValueExtendedProperties" in expand:
            event["singleValueExtendedProperties"] = list(extended(stored))
        return Reply(200, _selected(event, asked))

    def _instances(self, mailbox: Mailbox, name: str, asked: Asked) -> Reply:
        stored = find_item(mailbox, name)
        if stored is None:
            return error(404, "ErrorItemNotFound")
        view, modified_s = View(mailbox, self.zone), self._touched(mailbox, stored)
        try:
            span = [_instant_s(asked.query[one]) for one in ("startDateTime", "endDateTime")]
        except (KeyError, ValueError):
            return error(400, "ErrorInvalidParameter")
        found = view.occurrences(stored, span[0], span[1])
        values = [self._dressed(view.occurrence(stored, one, modified_s, stub=False)) for one in found]
        return self._portion(values, asked, int(asked.query.get("$top", "10")))

    def _touched(self, mailbox: Mailbox, stored: Stored) -> int:
        """When it was last changed: when this version was first looked at."""
        return self._modified.setdefault((mailbox.address, stored.id, stored.version), int(self._now_s()))

    def _dressed(self, event: Json) -> Json:
        body = event.get("body")
        if self.html_only and body and body["contentType"] == "text":
            text = body["content"].replace("&", "&amp;").replace("<", "&lt;").replace("\n", "<br>\n")
            event = {**event, "body": {"contentType": "html", "content": f"<html><body>{text}</body></html>"}}
        return event

    # --- writing ---------------------------------------------------------------------------------------------------

    def _create(self, mailbox: Mailbox, asked: Asked) -> Reply:
        try:
            fields = msgspec.json.decode(asked.body, type=dict[str, Any])
            transaction = fields.get("transactionId")
            known = ((TRANSACTION, transaction) in one.properties for one in mailbox.items.values())
            if transaction and any(known):
                return error(409, "ErrorDuplicateTransactionId")
            entry = entry_from(fields, None)
            properties = properties_from(fields, ())
        except (MeetkeeperError, Unreadable, ValueError, KeyError, TypeError, msgspec.DecodeError):
            return error(400, "ErrorInvalidRequest")
        uid = (
            "040000008200E00074C5B7101A82E00800000000"
            + sha256(f"{len(mailbox.items)}{entry}".encode()).hexdigest()
        )
        stored = mailbox.put(uid.upper(), entry, answer=Answer.ORGANIZER, properties=properties)
        self._mail(mailbox, stored, "invited")
        view = View(mailbox, self.zone)
        return Reply(201, view.event(stored, self._touched(mailbox, stored)))

    def _patch(self, mailbox: Mailbox, name: str, asked: Asked) -> Reply:
        stored = find_item(mailbox, name)
        if stored is None or stored.id not in mailbox.items:
            return error(404, "ErrorItemNotFound")
        original_s = original_s_of(name)
        view = View(mailbox, self.zone)
        if asked.if_match not in ("", "*", view.event(stored, self._touched(mailbox, stored))["@odata.etag"]):
            return error(412, "ErrorIrresolvableConflict")
        try:
            fields = msgspec.json.decode(asked.body, type=dict[str, Any])
            if original_s is None:
                master = entry_from(fields, stored.master)
                more = {
                    "properties": properties_from(fields, stored.properties),
                    "body_html": html_from(fields, stored.body_html),
                }
                stored = mailbox.put(stored.uid, master, stored.overrides, item_id=stored.id, **more)
            else:
                wall = _wall(original_s, stored)
                before = next((one for one in stored.overrides if one.recurrence_id == wall), None)
                plain = before or replace(stored.master, start=wall, rrule="", exdates=(), rdates=())
                entry = replace(entry_from(fields, plain), recurrence_id=wall)
                others = tuple(one for one in stored.overrides if one.recurrence_id != wall)
                html = html_from(fields, dict(stored.bodies).get(wall, ""))
                bodies = dict(stored.bodies) | ({wall: html} if html else {})
                stored = mailbox.put(
                    stored.uid,
                    stored.master,
                    (*others, entry),
                    item_id=stored.id,
                    bodies=tuple(sorted(bodies.items())),
                )
        except (MeetkeeperError, Unreadable, ValueError, KeyError, TypeError, msgspec.DecodeError):
            return error(400, "ErrorInvalidRequest")
        self._mail(mailbox, stored, "updated")
        return Reply(200, view.event(stored, self._touched(mailbox, stored)))

    def _delete(self, mailbox: Mailbox, name: str) -> Reply:
        stored = find_item(mailbox, name)
        if stored is None or stored.id not in mailbox.items:
            return error(404, "ErrorItemNotFound")
        original_s = original_s_of(name)
        if original_s is None:
            mailbox.remove(stored.id)
        else:
            wall = _wall(original_s, stored)
            master = replace(stored.master, exdates=tuple(sorted({*stored.master.exdates, wall})))
            others = tuple(one for one in stored.overrides if one.recurrence_id != wall)
            mailbox.put(stored.uid, master, others, item_id=stored.id)
        self._mail(mailbox, stored, "cancelled")
        return Reply(204)

    def _mail(self, mailbox: Mailbox, stored: Stored, what: str) -> None:
        """Exchange mails the people of a meeting whose organizer's copy is written."""
        organizer = stored.master.organizer
        own = organizer is None or organizer.email == mailbox.address
        if stored.master.attendees and own:
            mailbox.mails.append(f"{what}: {stored.uid}")

    # --- batches ---------------------------------------------------------------------------------------------------

    def _batch(self, asked: Asked) -> Reply:
        try:
            requests = msgspec.json.decode(asked.body, type=dict[str, Any])["requests"]
        except (KeyError, msgspec.DecodeError):
            return error(400, "BadRequest")
        if not 0 < len(requests) <= BATCH_MAX:
            return error(400, "BadRequest")
        failed: set[str] = set()
        responses: list[Json] = []
        for one in requests:
            if failed & set(one.get("dependsOn", ())):
                reply = error(424, "FailedDependency")
            else:
                prefer = one.get("headers", {}).get("Prefer", "")
                reply = self.answer(asked_of(one["method"], one["url"], prefer, b""))
            if reply.status >= 400:
                failed.add(one["id"])
            part = {
                "id": one["id"],
                "status": reply.status,
                "headers": dict(reply.headers),
                "body": reply.body,
            }
            responses.append(part)
        return Reply(200, {"responses": responses[::-1]})


def parallel_parts(body: bytes) -> list[str]:
    """The mailboxes that a batch asks side by side, one name for each part that waits for no other."""
    try:
        requests = msgspec.json.decode(body, type=dict[str, Any])["requests"]
        parts = (unquote(one["url"]).split("/") for one in requests if not one.get("dependsOn"))
        return [part[2] for part in parts if len(part) > 2]
    except (KeyError, TypeError, msgspec.DecodeError):
        return []


def _older(event: Json) -> Json:
    """The same entry as it was an hour before."""
    if "lastModifiedDateTime" not in event:
        return event
    at = datetime.fromisoformat(event["lastModifiedDateTime"].removesuffix("Z")).replace(tzinfo=UTC)
    before = datetime.fromtimestamp(at.timestamp() - 3_600, UTC)
    return {**event, "subject": "as it was", "lastModifiedDateTime": f"{before:%Y-%m-%dT%H:%M:%S}Z"}


def _selected(event: Json, asked: Asked) -> Json:
    names = asked.query.get("$select")
    if not names:
        return event
    extra = ("id", "@odata.etag", "exceptionOccurrences", "singleValueExtendedProperties")
    return {name: event[name] for name in (*extra, *names.split(",")) if name in event}


def _instant_s(text: str) -> int:
    return int(datetime.fromisoformat(text.removesuffix("Z")[:19]).replace(tzinfo=UTC).timestamp())


def _start_s(view: View, stored: Stored) -> int:
    found = view.occurrences(stored, *EVER_S)
    return found[0].start_s if found else 0


def _wall(original_s: int, stored: Stored) -> datetime:
    from zoneinfo import ZoneInfo

    zone = ZoneInfo(stored.master.zone) if stored.master.zone else UTC
    return datetime.fromtimestamp(original_s, zone).replace(tzinfo=None)


def _sum(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:12]
