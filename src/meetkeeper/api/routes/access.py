"""/api/v1/tokens and /api/v1/config: who may use the server, and how it is configured."""

from typing import Annotated

from litestar import Response, Router, delete, get, post, put
from litestar.params import HeaderParameter, JSONBody, PathParameter
from msgspec import Raw

from meetkeeper.api import queries
from meetkeeper.api.auth import digest_of, new_token
from meetkeeper.api.bodies import RollbackBody, TokenBody
from meetkeeper.api.commands import revision_of
from meetkeeper.api.desk import Desk
from meetkeeper.api.fieldwise import Fieldwise
from meetkeeper.api.guards import caller_of
from meetkeeper.api.masking import differences, masked, unmasked
from meetkeeper.api.routes.documented import WRITES, refusals
from meetkeeper.api.routes.parameters import AnyRequest, AtDesk
from meetkeeper.api.serverviews import (
    ConfigFindings,
    ConfigView,
    Deployed,
    IssuedToken,
    RevisionList,
    RevisionView,
    TokenList,
    token_view,
)
from meetkeeper.api.times import iso_utc
from meetkeeper.api.views import etag
from meetkeeper.core.commands import IssueToken, RevokeToken

ConfigMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-Match", description="The ETag of the configuration as you saw it, or `*`", max_length=64
    ),
]


@get("/tokens", summary="List tokens", operation_id="listTokens", responses=refusals(401, 503))
async def list_tokens(desk: AtDesk) -> TokenList:
    """Names and scopes; the tokens themselves are kept nowhere."""
    return TokenList(tokens=tuple(map(token_view, await desk.engine.read(queries.tokens))))


@post(
    "/tokens",
    dto=Fieldwise[TokenBody],
    summary="Issue a token",
    operation_id="issueToken",
    responses=refusals(*WRITES, 415),
)
async def issue_token(desk: AtDesk, data: JSONBody[TokenBody]) -> Response[IssuedToken]:
    """Makes a token and shows it this once."""
    token = new_token()
    await desk.engine.submit(IssueToken(digest_of(token), data.name, data.scope))
    issued = IssuedToken(name=data.name, scope=data.scope, token=token)
    return Response(issued, status_code=201, headers={"cache-control": "no-store"})


@delete(
    "/tokens/{name:str}",
    status_code=204,
    summary="Revoke a token",
    operation_id="revokeToken",
    responses=refusals(*WRITES),
)
async def revoke_token(
    desk: AtDesk, name: Annotated[str, PathParameter(description="The token's name", max_length=63)]
) -> None:
    """Whoever presents it is refused from now on."""
    await desk.engine.submit(RevokeToken(name))
    await desk.follower.catch_up()


@get("/config", summary="Read the configuration", operation_id="readConfig", responses=refusals(401, 503))
async def read_config(desk: AtDesk) -> Response[ConfigView]:
    """The configuration in force, secrets masked; its ETag goes into If-Match."""
    revision, body = await desk.engine.read(lambda state: (state.config_revision, state.config_body))
    view = ConfigView(revision=revision, config=Raw(masked(body)))
    return Response(view, headers={"etag": etag(revision), "cache-control": "no-store"})


@post(
    "/config/check",
    status_code=200,
    summary="Check a configuration",
    operation_id="checkConfig",
    responses=refusals(*WRITES),
    opt={"writes": False},
)
async def check_config(desk: AtDesk, request: AnyRequest) -> ConfigFindings:
    """Says what is wrong with the configuration sent and what it would change; deploys nothing."""
    present = await _present(desk)
    body = unmasked(await request.body(), present)
    problems = tuple(await desk.gate.config.check(body))
    return ConfigFindings(ok=not problems, problems=problems, changes=tuple(differences(present, body)))


@put(
    "/config",
    summary="Deploy a configuration",
    operation_id="deployConfig",
    responses=refusals(*WRITES, 412, 428),
)
async def deploy_config(desk: AtDesk, request: AnyRequest, if_match: ConfigMatch = None) -> Deployed:
    """Checks the configuration sent and puts it in force; masked secrets stay as they are."""
    base = revision_of(if_match)
    body = unmasked(await request.body(), await _present(desk))
    revision = await desk.gate.config.deploy(body, caller_of(request).name, base)
    await desk.follower.catch_up()
    return Deployed(revision=revision)


@get(
    "/config/revisions",
    summary="List configurations",
    operation_id="listRevisions",
    responses=refusals(401, 503),
)
async def list_revisions(desk: AtDesk) -> RevisionList:
    """Those that may be rolled back to."""
    rows = await desk.gate.config.revisions()
    return RevisionList(
        revisions=tuple(RevisionView(revision=row.revision, at=iso_utc(row.at_s), by=row.by) for row in rows)
    )


@post(
    "/config/rollback",
    dto=Fieldwise[RollbackBody],
    status_code=200,
    summary="Roll the configuration back",
    operation_id="rollbackConfig",
    responses=refusals(*WRITES, 415),
)
async def rollback_config(desk: AtDesk, request: AnyRequest, data: JSONBody[RollbackBody]) -> Deployed:
    """Puts an earlier configuration in force again, as a new revision."""
    revision = await desk.gate.config.rollback(caller_of(request).name, data.revision)
    await desk.follower.catch_up()
    return Deployed(revision=revision)


async def _present(desk: Desk) -> bytes:
    return await desk.engine.read(lambda state: state.config_body)


def tokens() -> Router:
    """The routes about tokens."""
    return Router("/", route_handlers=[list_tokens, issue_token, revoke_token], tags=["tokens"])


def config() -> Router:
    """The routes about the configuration."""
    handlers = [read_config, check_config, deploy_config, list_revisions, rollback_config]
    return Router("/", route_handlers=handlers, tags=["configuration"])
