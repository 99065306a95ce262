"""/api/v1/meetings: book, list, read, change, cancel, extend, tell again."""

from typing import Annotated, Any

from litestar import Response, Router, delete, get, patch, post
from litestar.datastructures import ResponseHeader
from litestar.params import JSONBody, QueryParameter

from meetkeeper.api import queries
from meetkeeper.api.bodies import ExtendBody, MeetingBody, MeetingPatch
from meetkeeper.api.booking import as_field_error, book
from meetkeeper.api.commands import meeting_id_of, revision_of, to_amend, to_extension
from meetkeeper.api.desk import Desk
from meetkeeper.api.fieldwise import Fieldwise
from meetkeeper.api.guards import caller_of
from meetkeeper.api.queries import Found, Wanted
from meetkeeper.api.routes.documented import READS, WRITES, refusals
from meetkeeper.api.routes.parameters import (
    AnyRequest,
    AtDesk,
    Cursor,
    From,
    IdempotencyKey,
    IfMatch,
    Limit,
    MeetingPath,
    Until,
)
from meetkeeper.api.spans import read_span, room_of
from meetkeeper.api.views import MeetingPage, MeetingView, etag, meeting_view
from meetkeeper.core.commands import Amend, Cancel, Resend
from meetkeeper.core.errors import NotFound, Stale, TheirMistake
from meetkeeper.core.words import MeetingId, Step

TRIES_MAX = 3
"""How often `extend` reads again when somebody else changed the meeting meanwhile."""


ETAG = ResponseHeader(
    name="ETag", description="The meeting's revision, for If-Match", documentation_only=True
)
LOCATION = ResponseHeader(name="Location", description="Where the meeting is", documentation_only=True)


@post(
    "/",
    dto=Fieldwise[MeetingBody],
    summary="Book a meeting",
    operation_id="bookMeeting",
    responses=refusals(*WRITES, 415, 422),
    response_headers=[LOCATION, ETAG],
)
async def book_meeting(
    desk: AtDesk,
    request: AnyRequest,
    data: JSONBody[MeetingBody],
    idempotency_key: IdempotencyKey = None,
) -> Response[MeetingView]:
    """Books the rooms, derives the meeting's VMR and has everybody told. Answered once it is on disk."""
    booked = await book(desk.gate, desk.follower, caller_of(request), await request.body(), idempotency_key)
    headers = {"location": booked.location, "etag": booked.etag, "cache-control": "no-store"}
    if booked.repeated:
        headers["idempotency-replayed"] = "true"
    body: Any = booked.body  # encoded already: it left the plan as the answer it is
    return Response(body, status_code=201, headers=headers, media_type="application/json")


@get("/", summary="List meetings", operation_id="listMeetings", responses=refusals(*READS))
async def list_meetings(
    desk: AtDesk,
    *,
    from_: From = None,
    until: Until = None,
    room: Annotated[str | None, QueryParameter(description="A room's id", max_length=63)] = None,
    step: Annotated[
        Step | None, QueryParameter(name="state", description="Without it all but cancelled ones")
    ] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> MeetingPage:
    """Meetings that share an instant with the span (default: from now on), by start."""
    cluster = desk.follower.config.cluster
    from_s, until_s = read_span(desk, from_, until)
    wanted = Wanted(
        from_s=from_s,
        until_s=until_s,
        room=None if room is None else room_of(desk, room),
        step=step,
        after=queries.place_of(cursor),
        limit=limit,
    )
    page = await desk.engine.read(lambda all_: queries.page(all_, wanted))
    shown = tuple(meeting_view(one.meeting, one.step, one.series, cluster) for one in page.found)
    return MeetingPage(meetings=shown, next=queries.cursor_of(page.next))


@get(
    "/{meeting_id:str}",
    summary="Read a meeting",
    operation_id="readMeeting",
    responses=refusals(*READS),
    response_headers=[ETAG],
)
async def read_meeting(desk: AtDesk, meeting_id: MeetingPath) -> Response[MeetingView]:
    """One meeting, however it stands; its ETag goes into If-Match."""
    return _answer(desk, await _need(desk, meeting_id_of(meeting_id)))


@patch(
    "/{meeting_id:str}",
    dto=Fieldwise[MeetingPatch],
    summary="Change a meeting",
    operation_id="changeMeeting",
    responses=refusals(*WRITES, 412, 415, 428),
    response_headers=[ETAG],
)
async def change_meeting(
    desk: AtDesk, meeting_id: MeetingPath, data: JSONBody[MeetingPatch], if_match: IfMatch = None
) -> Response[MeetingView]:
    """Changes what is sent and nothing else. A new start without an end keeps the duration."""
    revision = revision_of(if_match)
    found = await _need(desk, meeting_id_of(meeting_id))
    follower = desk.follower
    await _amend(desk, to_amend(data, found.meeting, revision, follower.config, follower.rooms))
    return _answer(desk, await _need(desk, found.meeting.id))


@delete(
    "/{meeting_id:str}",
    status_code=200,
    summary="Cancel a meeting",
    operation_id="cancelMeeting",
    responses=refusals(*WRITES, 412, 428),
    response_headers=[ETAG],
)
async def cancel_meeting(
    desk: AtDesk,
    meeting_id: MeetingPath,
    if_match: IfMatch = None,
    *,
    series: Annotated[bool, QueryParameter(description="Cancel every occurrence of its series")] = False,
) -> Response[MeetingView]:
    """Frees the rooms at once, takes the VMR down and has everybody told. A cancelled one stays cancelled."""
    revision = revision_of(if_match)
    wanted = meeting_id_of(meeting_id)
    await desk.engine.submit(Cancel(id=wanted, revision=revision, whole_series=series))
    return _answer(desk, await _need(desk, wanted))


@post(
    "/{meeting_id:str}/extend",
    dto=Fieldwise[ExtendBody],
    status_code=200,
    summary="Let a meeting last longer",
    operation_id="extendMeeting",
    responses=refusals(*WRITES, 412, 415),
    response_headers=[ETAG],
)
async def extend_meeting(
    desk: AtDesk, meeting_id: MeetingPath, data: JSONBody[ExtendBody], if_match: IfMatch = None
) -> Response[MeetingView]:
    """Moves the end further out if the rooms are free then; a running meeting simply goes on."""
    wanted = meeting_id_of(meeting_id)
    asked = None if if_match is None else revision_of(if_match)
    for tries_left in reversed(range(TRIES_MAX)):
        found = await _need(desk, wanted)
        revision = found.meeting.revision if asked is None else asked
        try:
            await _amend(desk, to_extension(data, found.meeting, revision))
            break
        except Stale:
            if asked is not None or not tries_left:
                raise
    return _answer(desk, await _need(desk, wanted))


@post(
    "/{meeting_id:str}/resend",
    status_code=202,
    summary="Tell everybody again",
    operation_id="resendMeeting",
    responses=refusals(*WRITES),
)
async def resend_meeting(desk: AtDesk, meeting_id: MeetingPath) -> Response[MeetingView]:
    """Sends the present invitation again to everybody concerned, under the Message-IDs of the first time."""
    wanted = meeting_id_of(meeting_id)
    await desk.engine.submit(Resend(wanted))
    return _answer(desk, await _need(desk, wanted), status=202)


async def _need(desk: Desk, meeting_id: MeetingId) -> Found:
    return await desk.engine.read(lambda state: queries.need(state, meeting_id))


async def _amend(desk: Desk, command: Amend) -> None:
    try:
        await desk.engine.submit(command)
    except (TheirMistake, NotFound) as error:
        raise as_field_error(error) from None


def _answer(desk: Desk, found: Found, status: int = 200) -> Response[MeetingView]:
    view = meeting_view(found.meeting, found.step, found.series, desk.follower.config.cluster)
    headers = {"etag": etag(found.meeting.revision), "cache-control": "no-store"}
    return Response(view, status_code=status, headers=headers)


def router() -> Router:
    """These routes."""
    return Router(
        "/meetings",
        route_handlers=[
            book_meeting,
            list_meetings,
            read_meeting,
            change_meeting,
            cancel_meeting,
            extend_meeting,
            resend_meeting,
        ],
        tags=["meetings"],
    )
