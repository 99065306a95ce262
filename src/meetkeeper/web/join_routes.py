"""/join/ALIAS: the invitees' door. Before the window it waits, in the window it asks the PIN and leads on."""

import hmac
import re
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import Struct

from meetkeeper.api import queries, times
from meetkeeper.api.asgi import address_of
from meetkeeper.api.desk import Desk
from meetkeeper.api.gate import Door
from meetkeeper.api.queries import AtDoor
from meetkeeper.api.views import vmr_view
from meetkeeper.core.errors import Unavailable
from meetkeeper.core.words import Alias
from meetkeeper.web.door import NOTHING, Sight, sight_of
from meetkeeper.web.forms import AnyRequest, cookie, read_form, set_cookie
from meetkeeper.web.pages import clock, day_and_clock, origin_of, page, page_headers, render, span, zone_word

JOIN_COOKIE = "meetkeeper_join"
OPEN = {"door": "open"}
EVERYBODY_FACTOR = 20
"""All addresses together may be wrong about one alias this many times as often as one address."""
_ALIAS = re.compile(r"[a-z0-9-]{4,64}")
AtDesk = NamedDependency[Desk]


class DoorNews(Struct, frozen=True):
    """How the door stands, for the waiting page. Instants are unix milliseconds; no word about the meeting itself."""

    state: str
    now: int
    opens: int
    ends_words: str
    ending: bool


@get("/join/{alias:str}", opt=OPEN)
async def show_door(desk: AtDesk, request: AnyRequest, alias: FromPath[str]) -> Response[str]:
    """The door as it stands now."""
    found = await _find(desk, alias)
    if _passed(desk, request, found):
        return _see_other(f"/join/{alias}/room")
    return await _door_page(desk, found)


@get("/join/{alias:str}/state", opt=OPEN)
async def tell_door(desk: AtDesk, alias: FromPath[str]) -> Response[DoorNews]:
    """How the door stands, in a few bytes."""
    found = await _find(desk, alias)
    now_s = desk.engine.now_s()
    sight = sight_of(found, now_s)
    news = DoorNews(
        sight.standing,
        int(now_s * 1_000),
        sight.opens_s * 1_000,
        clock(sight.ends_s, _zone_of(found)) if found is not None else "",
        sight.ending,
    )
    return Response(
        news, headers={"cache-control": "no-store"}, status_code=200 if found is not None else 404
    )


@post("/join/{alias:str}", opt=OPEN, status_code=200)
async def try_pin(desk: AtDesk, request: AnyRequest, alias: FromPath[str]) -> Response[str]:
    """A PIN is tried: right, it leads on; wrong, it is told; too often, it is told when to try again."""
    found = await _find(desk, alias)
    now_s = desk.engine.now_s()
    if found is None or sight_of(found, now_s).standing != "open":
        return await _door_page(desk, found)
    form = await read_form(request)
    address = address_of(request.scope, desk.gate.trusted_proxies)
    wait_s = _too_often(desk, found, address, now_s)
    if wait_s is not None:
        wrong = f"Too many wrong tries. Wait {span(max(1, wait_s))}, then try again."
        answer = await _door_page(desk, found, wrong=wrong, status=429)
        answer.headers["retry-after"] = str(max(1, round(wait_s)))
        return answer
    vmr = found.meeting.vmr
    given = "".join(form.get("pin", "").split())[:64]
    if vmr is None or not hmac.compare_digest(given.encode(), vmr.pin.encode()):
        return await _door_page(
            desk, found, wrong="This PIN is wrong. Look into your invitation.", status=403
        )
    desk.joins.forgive((alias, address))
    desk.joins.give_back((alias,))
    word = desk.sessions.pass_for(_scope(found), found.meeting.end_s)
    answer = _see_other(f"/join/{alias}/room")
    answer.headers["set-cookie"] = set_cookie(
        JOIN_COOKIE,
        word,
        path=f"/join/{alias}",
        secure=found.cluster.public_url.startswith("https:"),
        max_age_s=max(1, int(found.meeting.end_s - now_s)),
    )
    return answer


@get("/join/{alias:str}/room", opt=OPEN)
async def lead_on(desk: AtDesk, request: AnyRequest, alias: FromPath[str]) -> Response[str]:
    """Behind the door, for whoever knew the PIN: the platform's address, the built-in room, or the dialling facts."""
    found = await _find(desk, alias)
    if found is None or not _passed(desk, request, found):
        return _see_other(f"/join/{alias}")
    door = await _lead(desk, found)
    if door.kind == "redirect" and door.url:
        return _see_other(door.url)
    if door.kind == "janus" and door.url:
        return _room_page(desk, found, door)
    return await _door_page(desk, found, facts=True)


def _too_often(desk: Desk, found: AtDoor, address: str, now_s: float) -> float | None:
    burst, alias = found.attempts_per_minute, found.alias
    alone = desk.joins.take((alias, address), burst, now_s)
    together = desk.joins.take((alias,), burst * EVERYBODY_FACTOR, now_s)
    return alone if alone is not None else together


async def _find(desk: Desk, alias: str) -> AtDoor | None:
    """What stands behind the alias; None for every alias that is none of ours."""
    if not _ALIAS.fullmatch(alias):
        return None
    now_s = desk.engine.now_s()
    return await desk.engine.read(lambda state: queries.at_door(state, Alias(alias), now_s))


def _scope(found: AtDoor) -> str:
    """What a pass is for: this meeting under this PIN."""
    vmr = found.meeting.vmr
    return f"{found.meeting.id}|{'' if vmr is None else vmr.pin}|{found.meeting.end_s}"


def _passed(desk: Desk, request: AnyRequest, found: AtDoor | None) -> bool:
    now_s = desk.engine.now_s()
    if found is None or sight_of(found, now_s).standing != "open":
        return False
    return desk.sessions.check_pass(_scope(found), cookie(request, JOIN_COOKIE), now_s)


async def _lead(desk: Desk, found: AtDoor) -> Door:
    vmr = found.meeting.vmr
    try:
        door = None if vmr is None else await desk.gate.door(vmr.alias)
    except Unavailable:
        door = None
    return door or Door("none")


def _zone_of(found: AtDoor) -> ZoneInfo:
    return times.display_zone(found.meeting.time_zone, found.cluster.time_zone)


async def _door_page(
    desk: Desk, found: AtDoor | None, *, wrong: str = "", status: int = 200, facts: bool = False
) -> Response[str]:
    now_s = desk.engine.now_s()
    sight = sight_of(found, now_s)
    if found is None:
        return page("join.html", status=404, **_unknown())
    leads_to = ""
    if sight.standing == "open":
        leads_to = origin_of((await _lead(desk, found)).url)
    values = _known(found, sight, now_s) | {"wrong": wrong}
    if facts:
        values |= _facts(found)
    return page("join.html", status=status, leads_to=leads_to, **values)


def _unknown() -> dict[str, Any]:
    return {
        "state": NOTHING.standing,
        "title": "No meeting here",
        "alias": "",
        "watch": "",
        "now_ms": 0,
        "opens_ms": 0,
        "ends_ms": 0,
        "ending": False,
    }


def _known(found: AtDoor, sight: Sight, now_s: float) -> dict[str, Any]:
    zone = _zone_of(found)
    alias = "" if found.meeting.vmr is None else found.meeting.vmr.alias
    same_day = (
        datetime.fromtimestamp(now_s, zone).date() == datetime.fromtimestamp(sight.starts_s, zone).date()
    )
    titles = {
        "waiting": "Waiting",
        "opening": "Opening",
        "open": "Join",
        "over": "Over",
        "cancelled": "Cancelled",
    }
    return {
        "state": sight.standing,
        "title": titles.get(sight.standing, "Meeting"),
        "alias": alias,
        "watch": f"/join/{alias}/state",
        "now_ms": int(now_s * 1_000),
        "opens_ms": sight.opens_s * 1_000,
        "ends_ms": sight.ends_s * 1_000,
        "ending": sight.ending,
        "starts": ("today, " + clock(sight.starts_s, zone))
        if same_day
        else day_and_clock(sight.starts_s, zone),
        "starts_iso": times.iso(sight.starts_s, zone),
        "ends": clock(sight.ends_s, zone),
        "ends_iso": times.iso(sight.ends_s, zone),
        "early": span(found.open_before_s) if found.open_before_s else "",
        "countdown": "in " + span(sight.opens_s - now_s),
        "zone": zone_word(zone.key),
        "wrong": "",
    }


def _facts(found: AtDoor) -> dict[str, Any]:
    assert found.meeting.vmr is not None
    view = vmr_view(found.meeting.vmr, found.cluster)
    subject = found.meeting.subject or "Meeting"
    return {
        "state": "facts",
        "title": subject,
        "subject": subject,
        "sip_uri": view.sip_uri,
        "numeric_id": view.numeric_id,
        "pin": view.pin,
    }


def _room_page(desk: Desk, found: AtDoor, door: Door) -> Response[str]:
    assert found.meeting.vmr is not None
    now_s = desk.engine.now_s()
    values = _known(found, sight_of(found, now_s), now_s) | _facts(found)
    origin = origin_of(door.url)
    return Response(
        render("room.html", door=door, **values),
        media_type="text/html",
        headers=page_headers(connect=origin),
    )


def _see_other(where: str) -> Response[str]:
    headers = {"location": where, "cache-control": "no-store", "referrer-policy": "no-referrer"}
    return Response("", status_code=303, headers=headers, media_type="text/html")


def router() -> Router:
    """These routes."""
    handlers = [show_door, tell_door, try_pin, lead_on]
    return Router("/", route_handlers=handlers, include_in_schema=False)
