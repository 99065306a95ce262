"""/api/v1/events: the stream of kept decisions."""

from typing import Annotated

from litestar import Router, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter
from litestar.response import Stream

from meetkeeper.api import streams
from meetkeeper.api.routes.documented import refusals
from meetkeeper.api.routes.parameters import AtDesk

STREAM_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}


_STREAM = ResponseSpec(
    str, description="Server-sent events", media_type="text/event-stream", generate_examples=False
)


@get(
    "/events",
    summary="Follow what is kept",
    operation_id="followEvents",
    media_type="text/event-stream",
    responses=dict(refusals(400, 401, 503)) | {200: _STREAM},
)
async def follow_events(
    desk: AtDesk,
    last_event_id: Annotated[
        str | None,
        HeaderParameter(name="Last-Event-ID", description="The last id you have seen", max_length=40),
    ] = None,
) -> Stream:
    """One event for each kept decision, its number as id. `reset` means: read everything anew."""
    after = streams.last_seen(last_event_id)
    return Stream(streams.events(desk, after), media_type="text/event-stream", headers=STREAM_HEADERS)


def router() -> Router:
    """These routes."""
    return Router("/", route_handlers=[follow_events], tags=["server"])
