"""/api/v1/rooms and /api/v1/freebusy: which rooms there are, what goes on in them, and how their calendars do."""

from typing import Annotated

from litestar import Router, get, post
from litestar.params import JSONBody, QueryParameter

from meetkeeper.api import queries, times
from meetkeeper.api.bodies import BrakeBody
from meetkeeper.api.desk import Desk
from meetkeeper.api.fieldwise import Fieldwise
from meetkeeper.api.lookviews import ExaminedView, ResyncView, examined_view, resync_view
from meetkeeper.api.problems import FieldError, Invalid
from meetkeeper.api.roomviews import (
    Agenda,
    BusySpan,
    FreeBusy,
    RoomBusy,
    RoomList,
    RoomView,
    room_view,
)
from meetkeeper.api.routes.documented import READS, WRITES, refusals
from meetkeeper.api.routes.parameters import AtDesk, From, RoomPath, Until
from meetkeeper.api.spans import read_span, room_of
from meetkeeper.api.validation import did_you_mean, nearest
from meetkeeper.api.views import meeting_view
from meetkeeper.core.commands import ReleaseBrake, Resync
from meetkeeper.core.errors import NotFound
from meetkeeper.core.state import State
from meetkeeper.core.words import RoomId

SPAN_S_MAX = 366 * 86_400
"""Longest span a free/busy question covers."""


@get("/rooms", summary="List rooms", operation_id="listRooms", responses=refusals(401, 503))
async def list_rooms(desk: AtDesk) -> RoomList:
    """Every room with its calendar's state, the meeting in it now and the next one."""
    now_s = desk.engine.now_s()
    statuses = {status.room: status for status in desk.engine.status().rooms}
    follower = desk.follower

    def look(state: State) -> RoomList:
        cluster = state.settings().cluster
        return RoomList(
            rooms=tuple(
                room_view(state, room, statuses.get(RoomId(room.id)), cluster, now_s)
                for room in follower.rooms.values()
            )
        )

    return await desk.engine.read(look)


@get("/rooms/{room:str}", summary="Read a room", operation_id="readRoom", responses=refusals(*READS))
async def read_room(desk: AtDesk, room: RoomPath) -> RoomView:
    """One room."""
    return await _view(desk, _known(desk, room))


@get(
    "/rooms/{room:str}/agenda",
    summary="Read a room's agenda",
    operation_id="readAgenda",
    responses=refusals(*READS),
)
async def read_agenda(desk: AtDesk, room: RoomPath, from_: From = None, until: Until = None) -> Agenda:
    """The room's meetings in the span, cancelled ones left out; without a span today in the room's own zone."""
    room_id = _known(desk, room)
    cluster = desk.follower.config.cluster
    zone = times.display_zone(desk.follower.rooms[room_id].time_zone, cluster.time_zone)
    today = times.day_span_s(desk.engine.now_s(), zone)
    if from_ is None and until is None:
        from_s, until_s = today
    else:
        from_s, until_s = read_span(desk, from_, until, zone=zone.key)
    wanted = queries.Wanted(from_s=from_s, until_s=until_s, room=room_id, limit=queries.LIMIT_MAX)
    page = await desk.engine.read(lambda state: queries.page(state, wanted))
    return Agenda(
        room=room_id,
        time_zone=zone.key,
        from_=times.iso(from_s, zone),
        until=None if until_s >= queries.FOREVER_S else times.iso(until_s, zone),
        meetings=tuple(meeting_view(one.meeting, one.step, one.series, cluster) for one in page.found),
        complete=page.next is None,
    )


@post(
    "/rooms/{room:str}/resync",
    status_code=202,
    summary="Read a room's calendar anew",
    operation_id="resyncRoom",
    responses=refusals(*WRITES),
)
async def resync_room(desk: AtDesk, room: RoomPath) -> RoomView:
    """Forgets the room's sync cookie and polls at once: everything is compared, no URI changes, no mail is repeated."""
    room_id = _known(desk, room)
    await desk.engine.submit(Resync(room_id))
    desk.engine.poke(room_id)
    return await _view(desk, room_id)


@get(
    "/rooms/{room:str}/resync",
    summary="See what a resync would do",
    operation_id="previewResync",
    responses=refusals(*READS),
)
async def preview_resync(desk: AtDesk, room: RoomPath) -> ResyncView:
    """Reads the room's calendar whole and lets the core decide on a copy: nothing is kept, called or mailed."""
    room_id = _known(desk, room)
    found = await desk.engine.preview_resync(room_id)
    return resync_view(room_id, found, desk.follower.config.cluster)


@get(
    "/rooms/{room:str}/doctor",
    summary="Examine a room",
    operation_id="examineRoom",
    responses=refusals(*READS),
)
async def examine_room(desk: AtDesk, room: RoomPath) -> ExaminedView:
    """What is wrong with the room's settings, its calendar or the way there: symptom and remedy of each."""
    room_id = _known(desk, room)
    return examined_view(room_id, await desk.engine.examine(room_id))


@post(
    "/rooms/{room:str}/brake",
    dto=Fieldwise[BrakeBody],
    status_code=200,
    summary="Release a room's brake",
    operation_id="releaseBrake",
    responses=refusals(*WRITES, 415),
)
async def release_brake(desk: AtDesk, room: RoomPath, data: JSONBody[BrakeBody]) -> RoomView:
    """Decides about the vanished items the brake holds: they are gone, or kept until seen again."""
    room_id = _known(desk, room)
    await desk.engine.submit(ReleaseBrake(room_id, data.how))
    return await _view(desk, room_id)


@get("/freebusy", summary="Who is free", operation_id="readFreeBusy", responses=refusals(400, 401, 503))
async def read_free_busy(
    desk: AtDesk,
    from_: From = None,
    until: Until = None,
    rooms: Annotated[
        list[str] | None, QueryParameter(description="Rooms to tell busy spans of", max_items=200)
    ] = None,
    capacity: Annotated[int, QueryParameter(ge=0, le=100_000, description="Seats a free room needs")] = 0,
) -> FreeBusy:
    """Which rooms are free for the whole span, and when the named ones are busy in it."""
    now_s = int(desk.engine.now_s())
    from_s, until_s = read_span(desk, from_, until, default_until_s=now_s + 3_600)
    if until_s - from_s > SPAN_S_MAX:
        raise Invalid([FieldError("until", "lies more than a year after `from`; ask for less at once.")])
    zone = times.display_zone(desk.follower.config.cluster.time_zone)
    asked = [room_of(desk, room, "rooms") for one in rooms or () for room in one.split(",") if room]
    configured = desk.follower.rooms

    def look(state: State) -> FreeBusy:
        busy = {room: queries.busy(state, room, from_s, until_s) for room in asked}
        free = [room for room in state.free_rooms(from_s, until_s) if room in configured]
        return FreeBusy(
            from_=times.iso(from_s, zone),
            until=times.iso(until_s, zone),
            free=tuple(
                room
                for room in sorted(free)
                if configured[room].capacity >= capacity and (not asked or room in busy)
            ),
            rooms=tuple(
                RoomBusy(
                    room=room,
                    busy=tuple(
                        BusySpan(
                            start=times.iso(span.start_s, zone),
                            end=times.iso(span.end_s, zone),
                            meeting=span.meeting,
                        )
                        for span in spans
                    ),
                )
                for room, spans in busy.items()
            ),
        )

    return await desk.engine.read(look)


async def _view(desk: Desk, room: RoomId) -> RoomView:
    now_s = desk.engine.now_s()
    status = next((one for one in desk.engine.status().rooms if one.room == room), None)
    configured = desk.follower.rooms[room]
    return await desk.engine.read(
        lambda state: room_view(state, configured, status, state.settings().cluster, now_s)
    )


def _known(desk: Desk, room: str) -> RoomId:
    """A room in an address. Raises `NotFound` with the nearest names."""
    known = desk.follower.rooms
    if room not in known:
        near = nearest(room, known)
        hint = did_you_mean(near) or " GET /api/v1/rooms lists the rooms."
        raise NotFound(
            "unknown-room", f"There is no room {room[:63]!r}.{hint}", detail={"nearest": list(near)}
        )
    return RoomId(room)


def router() -> Router:
    """These routes."""
    handlers = [
        list_rooms,
        read_room,
        read_agenda,
        preview_resync,
        resync_room,
        examine_room,
        release_brake,
        read_free_busy,
    ]
    return Router("/", route_handlers=handlers, tags=["rooms"])
