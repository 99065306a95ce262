"""/notices/ROOM: where a calendar service says that a room's calendar has changed (Graph change notifications).

Open to anybody who knows the room's word. All that a notice does is to have the room's calendar looked at now; whoever
forges one gains a look. Answered at once, because the service gives up on slow listeners.

A passive server answers just so and lets the notice fall: the service follows no redirect, tries again for hours what
was not answered with 2xx, and drops who fails often (learn.microsoft.com "Receive change notifications through
webhooks"). Nothing is lost by it. The active server polls on; one that takes over looks at every room first of all.
"""

from typing import Annotated

from litestar import MediaType, Response, Router, post
from litestar.params import FromPath, QueryParameter

from meetkeeper.api.routes.health import OPEN
from meetkeeper.api.routes.parameters import AnyRequest, AtDesk
from meetkeeper.core.notices import is_meant
from meetkeeper.core.words import RoomId

TOKEN_CHARS_MAX = 4_096


@post("/notices/{room:str}", opt=OPEN, status_code=202)
async def take_notice(
    desk: AtDesk,
    request: AnyRequest,
    room: FromPath[str],
    token: Annotated[str | None, QueryParameter(name="validationToken")] = None,
) -> Response[str]:
    """The service's question whether we are there is answered with its token; a notice wakes the room's poller.

    On a passive server nobody polls, so nobody is woken.
    """
    if token is not None:
        plain = {"x-content-type-options": "nosniff", "cache-control": "no-store"}
        return Response(token[:TOKEN_CHARS_MAX], status_code=200, media_type=MediaType.TEXT, headers=plain)
    room_id = RoomId(room)
    known = room_id in desk.follower.rooms
    if not known or not is_meant(await request.body(), desk.follower.config.cluster.secret, room_id):
        return Response("", status_code=403, media_type=MediaType.TEXT)
    desk.engine.poke(room_id)
    return Response("", status_code=202, media_type=MediaType.TEXT)


def router() -> Router:
    """The routes of this file, which no person needs to read of."""
    return Router("/", route_handlers=[take_notice], include_in_schema=False)
