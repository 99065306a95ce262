"""From a template to an answer: escaping, the headers that keep a page to itself, times as people read them."""

from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar import Response

from meetkeeper.api import times
from meetkeeper.web.files import address

NO_STORE = "no-store"
_environment = Environment(
    loader=PackageLoader("meetkeeper.web", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.globals["file"] = address
_environment.globals["clock"] = lambda at_s, zone: clock(at_s, times.display_zone(zone))


def render(template: str, **values: Any) -> str:
    """The filled template."""
    return _environment.get_template(template).render(values)


def page(
    template: str, *, status: int = 200, connect: str = "", leads_to: str = "", **values: Any
) -> Response[str]:
    """A whole page. `connect` and `leads_to` are further origins it may talk to and its forms may end up at."""
    return Response(
        render(template, **values),
        status_code=status,
        media_type="text/html",
        headers=page_headers(connect=connect, leads_to=leads_to),
    )


def back_to(where: str) -> Response[str]:
    """After an act: to a page of ours that says what was done."""
    return Response("", status_code=303, headers={"location": where}, media_type="text/html")


def page_headers(*, connect: str = "", leads_to: str = "") -> dict[str, str]:
    """What a browser may do with a page of ours: load from us alone, show it in no frame, keep no copy."""
    policy = [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self' data:",
        f"connect-src 'self' {connect}".strip(),
        f"form-action 'self' {leads_to}".strip(),
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
    return {
        "content-security-policy": "; ".join(policy),
        "cache-control": NO_STORE,
        "referrer-policy": "no-referrer",
        "x-frame-options": "DENY",
        "permissions-policy": "camera=(self), microphone=(self), geolocation=(), payment=()",
    }


def origin_of(url: str) -> str:
    """Scheme, host and port of an address; empty when it has none (or one no policy could hold)."""
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc}" if parts.scheme and parts.netloc else ""
    return "" if any(char in origin for char in " ;,'\"\n\r") else origin


def clock(at_s: float, zone: ZoneInfo) -> str:
    """10:30."""
    return datetime.fromtimestamp(at_s, zone).strftime("%H:%M")


def day_and_clock(at_s: float, zone: ZoneInfo) -> str:
    """Wed 3 March 2027, 10:30."""
    moment = datetime.fromtimestamp(at_s, zone)
    return f"{moment:%a} {moment.day} {moment:%B %Y, %H:%M}"


def zone_word(name: str) -> str:
    """A zone's name as people know it."""
    return "UTC" if name in ("Etc/UTC", "Etc/UCT", "UCT", "Universal", "Zulu") else name


def span(seconds: float) -> str:
    """45 s, 12 min, 3 h 20 min, 2 days: how long, as one says it."""
    seconds = max(0, round(seconds))
    if seconds < 60:
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    days = hours // 24
    return f"{days} days" if days > 1 else "1 day"
