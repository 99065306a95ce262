"""/api/v1/set-aside: records of a history that lost, and what becomes of them."""

from typing import Annotated

from litestar import Router, get, post
from litestar.params import JSONBody, PathParameter

from meetkeeper.api.asides import AsideDetail, AsideItem, AsideList, AsideReplay
from meetkeeper.api.bodies import DiscardBody, ReplayBody
from meetkeeper.api.fieldwise import Fieldwise
from meetkeeper.api.guards import caller_of
from meetkeeper.api.routes.documented import READS, WRITES, refusals
from meetkeeper.api.routes.parameters import AnyRequest, AtDesk

AsidePath = Annotated[str, PathParameter(description="Its id, from the list", max_length=80)]


@get(
    "/set-aside", summary="List what was set aside", operation_id="listSetAside", responses=refusals(401, 503)
)
async def list_set_aside(desk: AtDesk) -> AsideList:
    """Records that a failback, a lost race or a torn copy took out of the history, and how many wait for a decision."""
    return AsideList(tuple(await desk.gate.aside.items()))


@get(
    "/set-aside/{aside_id:str}",
    summary="Show what was set aside",
    operation_id="readSetAside",
    responses=refusals(*READS),
)
async def read_set_aside(desk: AtDesk, aside_id: AsidePath) -> AsideDetail:
    """Booking by booking: who, where, when, whether it was acknowledged, and how it lies to what is in force."""
    return await desk.gate.aside.show(aside_id)


@post(
    "/set-aside/{aside_id:str}/replay",
    dto=Fieldwise[ReplayBody],
    status_code=200,
    summary="Book again what was set aside",
    operation_id="replaySetAside",
    responses=refusals(*WRITES, 415),
)
async def replay_set_aside(
    desk: AtDesk, request: AnyRequest, aside_id: AsidePath, data: JSONBody[ReplayBody]
) -> AsideReplay:
    """Every missing booking by the ordinary way, with the same URI; what collides is left to a person."""
    return await desk.gate.aside.replay(aside_id, data.meeting, caller_of(request).name)


@post(
    "/set-aside/{aside_id:str}/discard",
    dto=Fieldwise[DiscardBody],
    status_code=200,
    summary="Decide against what was set aside",
    operation_id="discardSetAside",
    responses=refusals(*WRITES, 415),
)
async def discard_set_aside(
    desk: AtDesk, request: AnyRequest, aside_id: AsidePath, data: JSONBody[DiscardBody]
) -> AsideItem:
    """Nobody is to be bothered with the rest (or with one meeting) any more. The records stay for their time."""
    return await desk.gate.aside.discard(aside_id, data.meeting, data.why, caller_of(request).name)


def router() -> Router:
    """These routes."""
    return Router(
        "/",
        route_handlers=[list_set_aside, read_set_aside, replay_set_aside, discard_set_aside],
        tags=["set aside"],
    )
