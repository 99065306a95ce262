"""/health and /metrics: for load balancers, service managers and Prometheus."""

from typing import Annotated

from litestar import MediaType, Response, Router, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter
from msgspec import Struct

from meetkeeper.api import metrics
from meetkeeper.api.routes.documented import refusals
from meetkeeper.api.routes.parameters import AtDesk

NO_STORE = {"cache-control": "no-store"}
OPEN = {"door": "open"}


class Health(Struct, frozen=True):
    """One word about the server."""

    status: str


_NOT_WELL = {503: ResponseSpec(Health, description="Not now, or not here", generate_examples=False)}


def _health(status: str, *, well: bool) -> Response[Health]:
    headers = NO_STORE if well else NO_STORE | {"retry-after": "2"}
    return Response(Health(status), status_code=200 if well else 503, headers=headers)


@get("/health/live", opt=OPEN, summary="Alive?", operation_id="live")
async def live(desk: AtDesk) -> Response[Health]:
    """200 as long as the process answers at all."""
    return _health("stopping" if desk.gate.stop.is_set() else "live", well=True)


@get("/health/ready", opt=OPEN, summary="Ready for requests?", operation_id="ready", responses=_NOT_WELL)
async def ready(desk: AtDesk) -> Response[Health]:
    """200 when requests are served; 503 while starting, stopping or failed."""
    status = desk.engine.status()
    if desk.gate.stop.is_set() or status.stopping:
        return _health("stopping", well=False)
    if status.failed:
        return _health("failed", well=False)
    return _health("ready", well=True) if desk.follower.ready.is_set() else _health("starting", well=False)


@get("/health/active", opt=OPEN, summary="Active?", operation_id="active", responses=_NOT_WELL)
async def active(desk: AtDesk) -> Response[Health]:
    """200 on the active server alone: a load balancer sends everything there."""
    status = desk.engine.status()
    acts = status.role == "active" and not status.stopping and not desk.gate.stop.is_set()
    return _health(status.role, well=acts)


@get("/health/passive", opt=OPEN, summary="Passive?", operation_id="passive", responses=_NOT_WELL)
async def passive(
    desk: AtDesk,
    ready: Annotated[
        str | None, QueryParameter(description="Named: only when it could take over now", max_length=10)
    ] = None,
) -> Response[Health]:
    """200 on a passive server that follows an active one (with `?ready`: and could take over now); else 503."""
    status = desk.engine.status()
    pair = status.pair
    if status.role != "passive" or pair is None:
        return _health(status.role, well=False)
    if not pair.linked or pair.peer_role != "active":
        return _health("follows nobody", well=False)
    if ready is not None:
        return _health(pair.ready, well=pair.ready == "ready")
    return _health("passive", well=True)


@get(
    "/metrics",
    media_type=MediaType.TEXT,
    summary="Figures",
    operation_id="metrics",
    responses=refusals(401, 503),
)
async def figures(desk: AtDesk) -> Response[bytes]:
    """Figures in Prometheus' text format."""
    return Response(await desk.metrics.render(), media_type=metrics.CONTENT_TYPE, headers=NO_STORE)


def router() -> Router:
    """These routes."""
    return Router("/", route_handlers=[live, ready, active, passive, figures], tags=["health"])
