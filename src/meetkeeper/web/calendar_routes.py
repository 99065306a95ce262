"""One room's calendar on a page of its own: how it stands, what a resync would do and then does, what a doctor finds.

Looking costs the calendar's server a full read, so it is asked for with a button and never by an address alone.
"""

from typing import Any

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from meetkeeper.api import times
from meetkeeper.api.desk import Desk
from meetkeeper.api.guards import caller_of
from meetkeeper.api.lookviews import examined_view, resync_view
from meetkeeper.api.problems import status_of
from meetkeeper.api.sessions import COOKIE
from meetkeeper.api.standing import calendar_standing
from meetkeeper.core.commands import ReleaseBrake, Resync
from meetkeeper.core.errors import MeetkeeperError, NotFound
from meetkeeper.core.words import RoomId
from meetkeeper.web.board import subject_of
from meetkeeper.web.forms import AnyRequest, cookie, posted
from meetkeeper.web.pages import back_to, clock, day_and_clock, page, span

LINES_MAX = 100
"""Meetings named on the page; all are counted."""
SESSION = {"door": "session"}
AtDesk = NamedDependency[Desk]
TOLD = {"resync": "The calendar is being read from the beginning.", "brake": "The brake is released."}
LEVELS = {"red": "bad", "amber": "warn", "note": "info", "good": "good"}


def _known(desk: Desk, room: str) -> RoomId:
    room_id = RoomId(room)
    if room_id not in desk.follower.rooms:
        raise NotFound("room.unknown", f"There is no room “{room[:64]}” in the configuration in force.")
    return room_id


@get("/rooms/{room:str}", opt=SESSION)
async def show_calendar(desk: AtDesk, request: AnyRequest, room: FromPath[str]) -> Response[str]:
    """How the room's calendar stands, and what may be done about it."""
    return _calendar_page(desk, request, _known(desk, room))


@post("/rooms/{room:str}/preview", opt=SESSION, status_code=200)
async def preview_resync(desk: AtDesk, request: AnyRequest, room: FromPath[str]) -> Response[str]:
    """What a resync would do; nothing is done."""
    await posted(desk, request)
    room_id = _known(desk, room)
    try:
        found = await desk.engine.preview_resync(room_id)
    except MeetkeeperError as error:
        return _calendar_page(desk, request, room_id, status=status_of(error), wrong=error.message)
    cluster = desk.follower.config.cluster
    zone = times.display_zone(desk.follower.rooms[room_id].time_zone, cluster.time_zone)
    lines = [
        (line.what, day_and_clock(line.meeting.start_s, zone), subject_of(line.meeting))
        for line in found.lines[:LINES_MAX]
    ]
    return _calendar_page(desk, request, room_id, preview=resync_view(room_id, found, cluster), lines=lines)


@post("/rooms/{room:str}/doctor", opt=SESSION, status_code=200)
async def examine_room(desk: AtDesk, request: AnyRequest, room: FromPath[str]) -> Response[str]:
    """What is wrong with the room's settings, its items or the way there."""
    await posted(desk, request)
    room_id = _known(desk, room)
    try:
        found = await desk.engine.examine(room_id)
    except MeetkeeperError as error:
        return _calendar_page(desk, request, room_id, status=status_of(error), wrong=error.message)
    return _calendar_page(desk, request, room_id, examined=examined_view(room_id, found))


@post("/rooms/{room:str}/resync", opt=SESSION, status_code=303)
async def resync_room(desk: AtDesk, request: AnyRequest, room: FromPath[str]) -> Response[str]:
    """Read a calendar anew."""
    await posted(desk, request)
    room_id = _known(desk, room)
    await desk.engine.submit(Resync(room_id))
    desk.engine.poke(room_id)
    return back_to(f"/rooms/{room_id}?told=resync")


@post("/rooms/{room:str}/brake", opt=SESSION, status_code=303)
async def release_brake(desk: AtDesk, request: AnyRequest, room: FromPath[str]) -> Response[str]:
    """Decide about vanished items."""
    form = await posted(desk, request)
    await desk.engine.submit(ReleaseBrake(RoomId(room), "gone" if form.get("how") == "gone" else "kept"))
    return back_to("/?told=brake")


def _calendar_page(
    desk: Desk, request: AnyRequest, room_id: RoomId, *, status: int = 200, **said: Any
) -> Response[str]:
    """The page. `said` may hold `wrong`, `preview` with its `lines`, or `examined`."""
    room, cluster = desk.follower.rooms[room_id], desk.follower.config.cluster
    zone = times.display_zone(room.time_zone, cluster.time_zone)
    now_s = desk.engine.now_s()
    one = next((one for one in desk.engine.status().rooms if one.room == room_id), None)
    values: dict[str, Any] = {"wrong": "", "preview": None, "lines": (), "examined": None} | said
    return page(
        "calendar.html",
        status=status,
        operator=caller_of(request).name,
        proof=desk.sessions.proof(cookie(request, COOKIE)),
        told=TOLD.get(request.query_params.get("told", ""), ""),
        id=room_id,
        name=room.name or room_id,
        standing=calendar_standing(room, one),
        one=one,
        last_pass=f"{span(now_s - one.last_pass_s)} ago" if one and one.last_pass_s else "never",
        audited=day_and_clock(one.audited_s, zone) if one and one.audited_s else "not yet",
        now=clock(now_s, zone),
        levels=LEVELS,
        **values,
    )


def router() -> Router:
    """These routes."""
    handlers = [show_calendar, preview_resync, examine_room, resync_room, release_brake]
    return Router("/", route_handlers=handlers, include_in_schema=False)
