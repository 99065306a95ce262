"""/api/v1/cluster, /outbox, /risks, /explain, /mail: how the server stands and what it has done."""

from collections.abc import Mapping
from typing import Annotated

from litestar import Router, get, post
from litestar.params import JSONBody, PathParameter, QueryParameter

from meetkeeper.api import queries
from meetkeeper.api.bodies import ReleaseBody
from meetkeeper.api.commands import meeting_id_of
from meetkeeper.api.fieldwise import Fieldwise
from meetkeeper.api.metrics import tally
from meetkeeper.api.risks import RiskList, risks
from meetkeeper.api.routes.documented import READS, WRITES, refusals
from meetkeeper.api.routes.parameters import AtDesk, Limit, MeetingPath
from meetkeeper.api.serverviews import (
    ClusterView,
    History,
    MailText,
    OutboxItem,
    OutboxList,
    cluster_view,
    history_item,
    outbox_item,
)
from meetkeeper.core.commands import Release
from meetkeeper.core.errors import NotFound, Refused
from meetkeeper.core.state import State, Status
from meetkeeper.core.words import EffectKey


@get("/cluster", summary="How the server stands", operation_id="readCluster", responses=refusals(401, 503))
async def read_cluster(desk: AtDesk) -> ClusterView:
    """Role, epoch, last kept frame, calendars, bridges, mail, and what is counted where."""

    def look(state: State) -> tuple[int, Mapping[str, int], Mapping[str, int]]:
        counted = tally(state)
        outbox = {status.value: count for status, count in counted.outbox.items()}
        return state.config_revision, outbox, {step.value: count for step, count in counted.meetings.items()}

    revision, outbox, meetings = await desk.engine.read(look)
    return cluster_view(
        desk.engine.status(),
        now_s=desk.engine.now_s(),
        revision=revision,
        outbox=dict(outbox),
        meetings=dict(meetings),
    )


@get("/risks", summary="What may go wrong", operation_id="listRisks", responses=refusals(401, 503))
async def list_risks(desk: AtDesk) -> RiskList:
    """Meetings without a VMR soon, parked effects, unreachable neighbours, held items; what bites first comes first."""
    status, now_s = desk.engine.status(), desk.engine.now_s()
    return RiskList(risks=await desk.engine.read(lambda state: risks(state, status, now_s)))


@get("/outbox", summary="List the outbox", operation_id="listOutbox", responses=refusals(400, 401, 503))
async def list_outbox(
    desk: AtDesk,
    status: Annotated[Status | None, QueryParameter(description="Without it all that are not done")] = None,
    limit: Limit = 100,
) -> OutboxList:
    """What is still to be done outside: mails, VMRs, calendar items. Parked ones come first."""
    rows, total = await desk.engine.read(lambda state: queries.outbox(state, status, limit))
    return OutboxList(effects=tuple(map(outbox_item, rows)), total=total)


@post(
    "/outbox/release",
    dto=Fieldwise[ReleaseBody],
    status_code=200,
    summary="Release a parked effect",
    operation_id="releaseEffect",
    responses=refusals(*WRITES, 415),
)
async def release_effect(desk: AtDesk, data: JSONBody[ReleaseBody]) -> OutboxItem:
    """Tries it again, or takes it as done."""
    key = EffectKey(data.key)
    await desk.engine.submit(Release(key, data.how))
    row = await desk.engine.read(lambda state: state.outbox.get(key) or state.done.get(key))
    if row is None:
        raise NotFound(
            "unknown-effect", f"There is no effect {key[:80]!r} any more. GET /api/v1/outbox lists them."
        )
    return outbox_item(row)


@get(
    "/explain/{about:path}",
    summary="What happened and why",
    operation_id="explain",
    responses=refusals(*READS),
)
async def explain(
    desk: AtDesk,
    about: Annotated[
        str, PathParameter(description="A meeting's id, a room's id or an effect's key", max_length=400)
    ],
    limit: Limit = 50,
) -> History:
    """The newest decisions that touched a meeting, a room, an alias or an effect, each with its why."""
    name = about.strip("/")
    if len(name) < 3:
        raise NotFound("unknown", f"{name!r} is too short to name anything. Send a meeting's or room's id.")
    rows = await desk.engine.history(name, limit)
    if not rows:
        raise NotFound(
            "unknown", f"Nothing in the journal names {name[:80]!r}. GET /api/v1/meetings lists meetings."
        )
    return History(about=name, rows=tuple(map(history_item, rows)))


@get(
    "/meetings/{meeting_id:str}/mail",
    summary="Preview a meeting's mail",
    operation_id="previewMail",
    responses=refusals(*READS, 501),
)
async def preview_mail(
    desk: AtDesk,
    meeting_id: MeetingPath,
    to: Annotated[
        str, QueryParameter(description="The recipient; empty: the organizer", max_length=254)
    ] = "",
) -> MailText:
    """The invitation as it would be sent to one recipient."""
    if desk.gate.preview is None:
        raise Refused("not-implemented", "This server was started without mail; there is nothing to preview.")
    wanted = meeting_id_of(meeting_id)
    await desk.engine.read(lambda state: queries.need(state, wanted))
    mail = await desk.gate.preview(wanted, to)
    return MailText(to=mail.to, subject=mail.subject, text=mail.text, html=mail.html, calendar=mail.calendar)


def router() -> Router:
    """These routes."""
    return Router(
        "/",
        route_handlers=[read_cluster, list_risks, list_outbox, release_effect, explain, preview_mail],
        tags=["server"],
    )
