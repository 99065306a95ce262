"""The cookies of a Graph calendar, pure: the window they belong to and the address at which to ask what changed since.

A cookie is an address that will carry our token. It is sealed for one endpoint and one mailbox, and `lies_within` looks
at every address, a cookie's or a server's, before anybody sends anything there: scheme, host, port and path prefix.
A window is frozen into its cookie (learn.microsoft.com "event: delta"), so it is made anew every night.
"""

import re
import zlib
from datetime import UTC, date, datetime, timedelta
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from msgspec import Struct

from meetkeeper.core.zones import DAY_S, find_zone

LINK_CHARS_MAX = 16_000
BEHIND_S = DAY_S
"""How far the window reaches into the past: whatever still runs is in it."""
MARGIN_DAYS = 30
"""How far it reaches beyond the horizon of series."""
NIGHT_FROM_H, NIGHT_HOURS = 1, 4
"""Windows are made anew between 01:00 and 05:00 on the room's clock, each mailbox at a minute of its own."""

_COOKIE = re.compile(r"graph:([0-9a-f]{8}):(\d{1,11}):(\d{1,11}):(\d{1,11}):(.+)", re.DOTALL)
_LINK = re.compile(r"[!#-\[\]_a-z{|}~]+", re.IGNORECASE)
"""Printable ASCII without space, quote, back slash, caret and grave: what no two programs read in two ways."""


class Window(Struct, frozen=True, gc=False):
    """The span that is watched, and when it was made; instants in seconds."""

    from_s: int
    until_s: int
    made_s: int


class Place(Struct, frozen=True):
    """One mailbox at one endpoint: `https://graph.microsoft.com/v1.0` without a slash at its end."""

    endpoint: str
    mailbox: str


def window_at(now_s: float, horizon_days: int) -> Window:
    """The window made now; its edges are whole hours."""
    hour_s = int(now_s) // 3600 * 3600
    return Window(hour_s - BEHIND_S, hour_s + (horizon_days + MARGIN_DAYS) * DAY_S, int(now_s))


def text_of(instant_s: int) -> str:
    """`2026-11-22T10:00:00Z`."""
    return datetime.fromtimestamp(instant_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def day_of(instant_s: int) -> date:
    """The day of an instant, in UTC."""
    return datetime.fromtimestamp(instant_s, UTC).date()


def is_stale(window: Window, place: Place, zone: str, now_s: float) -> bool:
    """A night has begun since the window was made, or the clock says that it is from the future."""
    if window.made_s > now_s + DAY_S or now_s - window.made_s > 2 * DAY_S:
        return True
    minute = zlib.crc32(place.mailbox.encode()) % (NIGHT_HOURS * 60)
    clock = find_zone(zone) or ZoneInfo("UTC")
    made = datetime.fromtimestamp(window.made_s, clock)
    due = made.replace(hour=NIGHT_FROM_H, minute=0, second=0, microsecond=0) + timedelta(minutes=minute)
    if due <= made:
        due += timedelta(days=1)
    return datetime.fromtimestamp(now_s, clock) >= due


def seal(place: Place, window: Window, link: str) -> str:
    """The cookie."""
    rest = f"{window.from_s}:{window.until_s}:{window.made_s}:{link}"
    return f"graph:{_checksum(place, rest)}:{rest}"


def unseal(place: Place, cookie: str) -> tuple[Window, str] | None:
    """(window, address); None for a cookie that is damaged, another mailbox's, or leads away from the endpoint."""
    match = _COOKIE.fullmatch(cookie)
    if match is None:
        return None
    checksum, from_s, until_s, made_s, link = match.groups()
    if checksum != _checksum(place, f"{from_s}:{until_s}:{made_s}:{link}"):
        return None
    if not lies_within(place.endpoint, link):
        return None
    return Window(int(from_s), int(until_s), int(made_s)), link


def lies_within(endpoint: str, link: str) -> bool:
    """True when the address is below the endpoint: same scheme, host and port, and a path that begins with its path."""
    if not 0 < len(link) <= LINK_CHARS_MAX or _LINK.fullmatch(link) is None:
        return False
    try:
        ours, theirs = urlsplit(endpoint), urlsplit(link)
        same = _origin(ours.scheme, ours.hostname, ours.port) == _origin(
            theirs.scheme, theirs.hostname, theirs.port
        )
    except ValueError:
        return False
    path = theirs.path.lower()
    steps = path.replace("%2e", ".").replace("%2f", "/").replace("%5c", "/").split("/")
    below = path.startswith(ours.path.rstrip("/").lower() + "/") and not {".", ".."} & set(steps)
    return same and below and "@" not in theirs.netloc and not theirs.fragment


def _origin(scheme: str, host: str | None, port: int | None) -> tuple[str, str, int]:
    return scheme.lower(), (host or "").lower(), port or (443 if scheme.lower() == "https" else 80)


def _checksum(place: Place, rest: str) -> str:
    text = f"{place.endpoint}\n{place.mailbox}\n{rest}"
    return f"{zlib.crc32(text.encode('utf-8', 'surrogatepass')):08x}"
