"""Parameters several routes take, each with one name, one bound and one description."""

from typing import Annotated, Any

from litestar import Request
from litestar.di import NamedDependency
from litestar.params import HeaderParameter, PathParameter, QueryParameter

from meetkeeper.api import queries
from meetkeeper.api.desk import Desk

AnyRequest = Request[Any, Any, Any]
AtDesk = NamedDependency[Desk]
From = Annotated[
    str | None, QueryParameter(name="from", description="ISO 8601 date, or date and time", max_length=40)
]
Until = Annotated[str | None, QueryParameter(description="The same, exclusive", max_length=40)]
Limit = Annotated[int, QueryParameter(ge=1, le=queries.LIMIT_MAX, description="Most rows on a page")]
Cursor = Annotated[str | None, QueryParameter(description="`next` of the page before", max_length=200)]
IfMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-Match", description="The ETag of the meeting as you saw it, or `*`", max_length=64
    ),
]
IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        description="Your name for this request: asked again with the same body it is answered alike, for a day",
        max_length=255,
    ),
]
MeetingPath = Annotated[str, PathParameter(description="A meeting's id", max_length=64)]
RoomPath = Annotated[str, PathParameter(description="A room's id", max_length=63)]
