"""CalDAV's words ↔ ours, pure: what is asked, what a multistatus says about the calendar, and whose fault a status is.

Rules: a name is the last part of an item's address, in one spelling; an address outside the calendar is never followed;
a precondition is recognised by its element, not by its status (servers answer 403, 409, 410 or 412).
"""

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from html import escape
from urllib.parse import quote, unquote_to_bytes, urljoin, urlsplit

import msgspec
from msgspec import Struct

from meetkeeper.calendars.caldav.dav import CAL, DAV, Multistatus, Response
from meetkeeper.core.errors import MeetkeeperError, NotFound, Refused, TheirMistake, Unavailable

NAME_CHARS_MAX = 1_024
CALENDARS_NAMED_MAX = 10
_SAFE = "-._~!$&'()*+,;=:@"
_XML = '<?xml version="1.0" encoding="utf-8"?>\n'
_NS = 'xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"'

# --- what is asked --------------------------------------------------------------------------------------------------

DISCOVER = (
    f"{_XML}<D:propfind {_NS}><D:prop><D:resourcetype/><D:displayname/><D:supported-report-set/>"
    "<D:current-user-principal/><C:calendar-home-set/><C:supported-calendar-component-set/></D:prop></D:propfind>"
).encode()
LIST_STATES = (
    f"{_XML}<D:propfind {_NS}><D:prop><D:resourcetype/><D:getetag/><D:getlastmodified/><D:getcontentlength/>"
    "</D:prop></D:propfind>"
).encode()


def sync_collection(token: str) -> bytes:
    """What changed since the token; everything for an empty one (RFC 6578 section 3.2). Never with a limit.

    Servers were seen that obey a limit, do not say so, and lose the rest.
    """
    return (
        f"{_XML}<D:sync-collection {_NS}><D:sync-token>{escape(token)}</D:sync-token><D:sync-level>1</D:sync-level>"
        "<D:prop><D:getetag/></D:prop></D:sync-collection>"
    ).encode()


def multiget(hrefs: Iterable[str]) -> bytes:
    """The text of these items (RFC 4791 section 7.9)."""
    named = "".join(f"<D:href>{escape(href)}</D:href>" for href in hrefs)
    return (
        f"{_XML}<C:calendar-multiget {_NS}><D:prop><D:getetag/><C:calendar-data/></D:prop>{named}</C:calendar-multiget>"
    ).encode()


def query_uid(uid: str) -> bytes:
    """Items with a UID that contains this text (RFC 4791 section 7.8.6); whoever asks must compare again."""
    return (
        f"{_XML}<C:calendar-query {_NS}><D:prop><D:getetag/><C:calendar-data/></D:prop><C:filter>"
        '<C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT"><C:prop-filter name="UID">'
        f'<C:text-match collation="i;octet">{escape(uid)}</C:text-match>'
        "</C:prop-filter></C:comp-filter></C:comp-filter></C:filter></C:calendar-query>"
    ).encode()


def query_span(from_s: int, until_s: int) -> bytes:
    """Items with an occurrence in the span, instants in seconds (RFC 4791 section 7.8.1); series come whole."""
    begin, end = (datetime.fromtimestamp(at_s, UTC).strftime("%Y%m%dT%H%M%SZ") for at_s in (from_s, until_s))
    return (
        f"{_XML}<C:calendar-query {_NS}><D:prop><D:getetag/><C:calendar-data/></D:prop><C:filter>"
        '<C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT">'
        f'<C:time-range start="{begin}" end="{end}"/>'
        "</C:comp-filter></C:comp-filter></C:filter></C:calendar-query>"
    ).encode()


# --- addresses ------------------------------------------------------------------------------------------------------


class Calendar(Struct, frozen=True):
    """One collection: `path` in one spelling, ending with a slash; `syncs` when it can say what changed."""

    host: str
    path: str
    title: str = ""
    syncs: bool | None = None

    def name_of(self, href: str) -> str | None:
        """The item's name below the collection; None for the collection itself and for collections in it.

        Raises `TheirMistake` for an address elsewhere.
        """
        path = path_of(href, self.host, self.path)
        if path is None or not f"{path}/".startswith(self.path):
            raise TheirMistake(
                "calendar.foreign-href",
                f"The calendar server answered for {self.path} with an address outside of it; configure the address "
                "the server itself uses, not one that a proxy rewrites.",
            )
        name = path[len(self.path) :]
        return None if not name or "/" in name else name

    def is_itself(self, href: str) -> bool:
        """True for the collection's own address."""
        path = path_of(href, self.host, self.path)
        return path is not None and path.rstrip("/") + "/" == self.path


def path_of(href: str, host: str, base: str = "/") -> str | None:
    """The path of an address on this host in one spelling; None when it is another host's or no address at all."""
    try:
        split = urlsplit(urljoin(base, href.strip()))
        if (split.hostname or host).lower() != host.lower():
            return None
    except ValueError:
        return None
    parts = [unquote_to_bytes(part) for part in (split.path or "/").split("/")]
    if any(part in (b".", b"..") or b"/" in part or b"\0" in part for part in parts):
        return None
    path = "/".join(quote(part, safe=_SAFE) for part in parts)
    return path if path.startswith("/") and len(path) <= 4 * NAME_CHARS_MAX else None


def is_uri(href: str) -> bool:
    """No letters or signs that an address must write with percent signs (RFC 3986 section 2)."""
    return href.isascii() and not any(letter <= " " or letter in '<>"{}|\\^`\x7f' for letter in href)


def name_for(uid: str) -> str:
    """The name under which a meeting of ours is put: its UID where that is a harmless name, else a hash of it."""
    if (
        uid.isascii()
        and 0 < len(uid) <= 100
        and uid[0].isalnum()
        and all(c.isalnum() or c in "-_.@" for c in uid)
    ):
        return f"{uid}.ics"
    return f"mk-{sha256(uid.encode('utf-8', 'surrogatepass')).hexdigest()[:40]}.ics"


# --- progress marks -------------------------------------------------------------------------------------------------


def seal(kind: str, calendar: Calendar, payload: str) -> str:
    """A cookie: which way of asking it belongs to, a checksum over calendar and content, the content."""
    return f"{kind}:{_checksum(calendar, payload)}:{payload}"


def unseal(calendar: Calendar, cookie: str) -> tuple[str, str] | None:
    """(kind, payload), or None when the cookie is damaged, cut off, or another calendar's."""
    kind, _, rest = cookie.partition(":")
    checksum, colon, payload = rest.partition(":")
    if kind not in ("sync", "etags") or not colon or checksum != _checksum(calendar, payload):
        return None
    return kind, payload


def _checksum(calendar: Calendar, payload: str) -> str:
    text = f"{calendar.host}\n{calendar.path}\n{payload}"
    return f"{zlib.crc32(text.encode('utf-8', 'surrogatepass')):08x}"


def pack_states(states: Mapping[str, str]) -> str:
    """The state of every item as compact text, for servers that can't say what changed."""
    return json.dumps(states, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def unpack_states(payload: str) -> dict[str, str] | None:
    """What `pack_states` packed; None for anything else."""
    try:
        return msgspec.json.decode(payload.encode("utf-8", "surrogatepass"), type=dict[str, str])
    except msgspec.DecodeError:
        return None


def state_of(response: Response) -> str:
    """A short hash that changes when the item does; "" when the server says nothing to tell versions apart.

    Time and length are in it because an etag may be a counter that begins again when an item is made anew.
    """
    facts = [response.text(f"{DAV}{name}") for name in ("getetag", "getlastmodified", "getcontentlength")]
    return sha256("\n".join(facts).encode("utf-8", "surrogatepass")).hexdigest()[:12] if any(facts) else ""


# --- what a multistatus says ----------------------------------------------------------------------------------------


class Members(Struct, frozen=True):
    """Items by name with the address the server gave, names gone, and whether the answer was cut (507)."""

    changed: Mapping[str, str]
    gone: tuple[str, ...]
    cut: bool


def check_stands(answer: Multistatus, calendar: Calendar) -> None:
    """Raise what an error about the calendar itself means, inside an answer that is a success outside."""
    for response in answer.responses:
        if response.status in (401, 403, 404, 410, 503) and calendar.is_itself(response.href):
            raise to_error(response.status, f"{calendar.host}{calendar.path}")


def members_of(answer: Multistatus, calendar: Calendar) -> Members:
    """What a sync-collection answer says (RFC 6578 sections 3.5, 3.6)."""
    changed: dict[str, str] = {}
    gone: list[str] = []
    cut = False
    for response in answer.responses:
        if response.status == 507:
            cut = True
            continue
        name = calendar.name_of(response.href)
        if name is None:
            continue
        if response.status in (404, 410):
            gone.append(name)
        else:
            changed[name] = response.href
    return Members(changed, tuple(name for name in gone if name not in changed), cut)


def states_in(answer: Multistatus, calendar: Calendar) -> dict[str, tuple[str, str]]:
    """Name → (address as given, state) from a listing. Raises `TheirMistake` when the calendar itself is missing.

    An answer that does not name the calendar that was asked about is no listing, and never an empty one.
    """
    states: dict[str, tuple[str, str]] = {}
    whole = False
    for response in answer.responses:
        name = calendar.name_of(response.href)
        if name is None:
            whole = whole or (response.status == 200 and calendar.is_itself(response.href))
        elif response.status not in (404, 410) and not is_collection(response):
            states[name] = (response.href, state_of(response))
    if not whole:
        raise TheirMistake(
            "calendar.no-listing",
            f"The calendar server did not list {calendar.path} as asked; look at its log.",
        )
    return states


def is_collection(response: Response) -> bool:
    """True for a folder."""
    kind = response.found.get(f"{DAV}resourcetype")
    return kind is not None and kind.child(f"{DAV}collection") is not None


def is_calendar(response: Response) -> bool:
    """True for a calendar that takes meetings."""
    kind = response.found.get(f"{DAV}resourcetype")
    if kind is None or kind.child(f"{CAL}calendar") is None:
        return False
    parts = response.found.get(f"{CAL}supported-calendar-component-set")
    return parts is None or not parts.inside or any(part.name.upper() == "VEVENT" for part in parts.inside)


def calendar_of(response: Response, host: str) -> Calendar:
    """The calendar a discovery answer describes. Raises `TheirMistake` for an address elsewhere."""
    path = path_of(response.href, host)
    if path is None:
        raise TheirMistake(
            "calendar.foreign-href",
            "The calendar server names a calendar at another host; configure that calendar's own address.",
        )
    reports = response.found.get(f"{DAV}supported-report-set")
    syncs = None
    if reports is not None and reports.inside:
        named = {
            node.tag for one in reports.inside for report in one.all(f"{DAV}report") for node in report.inside
        }
        syncs = f"{DAV}sync-collection" in named
    return Calendar(host, path.rstrip("/") + "/", response.text(f"{DAV}displayname")[:200], syncs)


def address_in(response: Response, tag: str, host: str) -> str | None:
    """The path in a property that holds an address (`current-user-principal`, `calendar-home-set`)."""
    node = response.found.get(tag)
    href = "" if node is None else node.href()
    return path_of(href, host, response.href) if href else None


# --- whose fault it is ----------------------------------------------------------------------------------------------


def to_error(
    status: int, where: str, said: Sequence[str] = (), retry_after_s: float | None = None
) -> MeetkeeperError:
    """What an unwelcome status means to us. `where` is host and path, `said` the preconditions named."""
    shown = f"{where} answered {status}" + (f" ({', '.join(said)})" if said else "")
    if status == 401:
        return Refused(
            "calendar.login",
            f"{shown}: it does not accept the login. Correct user name and password of the calendar.",
        )
    if status == 403 and not set(said) - {"need-privileges"}:
        return Refused(
            "calendar.forbidden", f"{shown}: the user may not do this. Give the user rights on the calendar."
        )
    if status in (404, 410):
        return NotFound("calendar.not-found", f"{shown}: there is nothing. Correct the calendar's address.")
    if status in (403, 405, 409, 412, 413, 415, 422):
        return Refused(
            "calendar.objects", f"{shown}: it objects. Look at the item in the calendar and decide by hand."
        )
    if status in (408, 423, 425, 429) or status >= 500:
        wait_s = 30.0 if retry_after_s is None else retry_after_s
        return Unavailable(
            "calendar.busy", f"{shown}: it can't serve us now; it is asked again.", retry_after_s=wait_s
        )
    return TheirMistake(
        "calendar.odd-answer", f"{shown}, which makes no sense here. Check the calendar's address."
    )
