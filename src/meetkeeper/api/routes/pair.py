"""/api/v1/cluster/…: the pair. Every server answers these itself; what the active alone can do is led there."""

from litestar import Router, get, post
from litestar.params import JSONBody

from meetkeeper.api.bodies import DrillBody, FailoverBody, MaintenanceBody, RegisterResetBody, SwitchoverBody
from meetkeeper.api.fieldwise import Fieldwise
from meetkeeper.api.guards import caller_of
from meetkeeper.api.pairviews import (
    ActView,
    DrillList,
    DrillReport,
    MaintenanceView,
    PairHistory,
    ReadinessView,
    SaidView,
)
from meetkeeper.api.routes.documented import READS, WRITES, refusals
from meetkeeper.api.routes.parameters import AnyRequest, AtDesk

HERE = {"writes": False}
"""These are about this very server: the guard does not lead them to the active one."""


@get(
    "/cluster/readiness",
    summary="Could the passive take over now?",
    operation_id="readReadiness",
    responses=refusals(*READS),
)
async def read_readiness(desk: AtDesk) -> ReadinessView:
    """The passive server's verdict about itself, what it measured, and how long taking over would take."""
    return await desk.gate.pair.readiness()


@get(
    "/cluster/history",
    summary="Who acted when, and why",
    operation_id="readPairHistory",
    responses=refusals(*READS),
)
async def read_pair_history(desk: AtDesk) -> PairHistory:
    """Every move of a role with the row of the table that made it, and how long past changes took."""
    return await desk.gate.pair.history()


@post(
    "/cluster/switchover",
    opt=HERE,
    dto=Fieldwise[SwitchoverBody],
    status_code=200,
    summary="Hand over to the passive server",
    operation_id="switchOver",
    responses=refusals(*WRITES, 415),
)
async def switch_over(desk: AtDesk, request: AnyRequest, data: JSONBody[SwitchoverBody]) -> ActView:
    """Answered when it has begun; with `dry_run` nothing begins: the answer is the plan. 409 names what blocks it."""
    return await desk.gate.pair.switchover(dry_run=data.dry_run, why=data.reason, by=caller_of(request).name)


@post(
    "/cluster/failover",
    opt=HERE,
    dto=Fieldwise[FailoverBody],
    status_code=200,
    summary="Make this server the active one",
    operation_id="failOver",
    responses=refusals(*WRITES, 415),
)
async def fail_over(desk: AtDesk, request: AnyRequest, data: JSONBody[FailoverBody]) -> ActView:
    """For a person who knows that the other server has stopped (`proof`), or accepts what would be lost."""
    return await desk.gate.pair.failover(
        dry_run=data.dry_run,
        stopped="" if data.proof is None else data.proof.stopped,
        accept_loss=data.accept_loss,
        by=caller_of(request).name,
    )


@get(
    "/cluster/maintenance",
    summary="Is there a maintenance window?",
    operation_id="readMaintenance",
    responses=refusals(*READS),
)
async def read_maintenance(desk: AtDesk) -> MaintenanceView:
    """The window in which no failover begins by itself."""
    return await desk.gate.pair.in_maintenance()


@post(
    "/cluster/maintenance",
    opt=HERE,
    dto=Fieldwise[MaintenanceBody],
    status_code=200,
    summary="Open or close a maintenance window",
    operation_id="setMaintenance",
    responses=refusals(*WRITES, 415),
)
async def set_maintenance(
    desk: AtDesk, request: AnyRequest, data: JSONBody[MaintenanceBody]
) -> MaintenanceView:
    """For so many minutes no failover begins by itself, on either server; it ends by itself. 0 ends it now."""
    return await desk.gate.pair.maintenance(minutes=data.minutes, why=data.reason, by=caller_of(request).name)


@post(
    "/cluster/register/reset",
    opt=HERE,
    dto=Fieldwise[RegisterResetBody],
    status_code=200,
    summary="Write the register anew",
    operation_id="resetRegister",
    responses=refusals(*WRITES, 415),
)
async def reset_register(desk: AtDesk, request: AnyRequest, data: JSONBody[RegisterResetBody]) -> SaidView:
    """For a register that was lost or rolled back: what the active server knows is put into it."""
    return SaidView(text=await desk.gate.pair.reset_register(why=data.reason, by=caller_of(request).name))


@get("/cluster/drills", summary="Past drills", operation_id="listDrills", responses=refusals(*READS))
async def list_drills(desk: AtDesk) -> DrillList:
    """Reports of the drills that were run from this server, newest first; a running one comes first."""
    return DrillList(drills=tuple(await desk.gate.pair.drills()))


@post(
    "/cluster/drill",
    opt=HERE,
    dto=Fieldwise[DrillBody],
    status_code=202,
    summary="Switch over there and back",
    operation_id="runDrill",
    responses=refusals(*WRITES, 415),
)
async def run_drill(desk: AtDesk, request: AnyRequest, data: JSONBody[DrillBody]) -> DrillReport:
    """A real switchover there and back at a quiet time. Goes on with one that was interrupted."""
    return await desk.gate.pair.drill(by=data.reason or caller_of(request).name)


def router() -> Router:
    """These routes."""
    return Router(
        "/",
        route_handlers=[
            read_readiness,
            read_pair_history,
            switch_over,
            fail_over,
            read_maintenance,
            set_maintenance,
            reset_register,
            list_drills,
            run_drill,
        ],
        tags=["pair"],
    )
