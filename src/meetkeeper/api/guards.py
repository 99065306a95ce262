"""Who may pass which route. A route is closed unless it says otherwise: nothing is open by being forgotten.

`opt={"door": …}` on a handler: `token` (the default: a token, or for looking a browser's session), `session` (an
operator in a browser), `open` (anybody: health, the invitees' door, the login page and its files).
"""

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from meetkeeper.api.auth import Caller, may_write, unauthorized
from meetkeeper.api.desk import Desk
from meetkeeper.api.query_names import check_query
from meetkeeper.api.sessions import COOKIE
from meetkeeper.api.writes import check_writable
from meetkeeper.core.errors import MeetkeeperError

LOOKING = frozenset({"GET", "HEAD", "OPTIONS"})
Connection = ASGIConnection[Any, Any, Any, Any]


class LoginNeeded(MeetkeeperError):
    """A page for operators was asked for by nobody we know; answered with the way to the login."""

    def __init__(self) -> None:
        super().__init__("login-needed", "Log in first.")


async def guard(connection: Connection, handler: BaseRouteHandler) -> None:
    """Let the request pass, or raise what is to be answered. The caller is left in the request's state."""
    door = handler.opt.get("door", "token")
    if door == "open":
        return
    desk: Desk = connection.app.state.desk
    method = str(connection.scope.get("method", "GET"))
    looking = method in LOOKING
    session = desk.sessions.known(connection.cookies.get(COOKIE), desk.engine.now_s())
    if door == "session":
        if session is None:
            raise LoginNeeded
        caller = session
    else:
        caller = await _token_caller(connection, desk, session if looking else None)
        check_query(handler, set(connection.query_params.keys()))
        if not looking:
            may_write(caller)
            if handler.opt.get("writes", True):
                check_writable(desk.gate, _target(connection))
    connection.scope["state"]["caller"] = caller


async def _token_caller(connection: Connection, desk: Desk, session: Caller | None) -> Caller:
    caller = await desk.verifier.bearer(connection.headers.get("authorization"))
    if caller is None:
        caller = session
    if caller is None:
        raise unauthorized(
            "This needs a token: `Authorization: Bearer mk_…`. `meetkeeper token issue` makes one."
        )
    return caller


def caller_of(connection: Connection) -> Caller:
    """Who passed the guard."""
    caller: Caller = connection.scope["state"]["caller"]
    return caller


def _target(connection: Connection) -> str:
    query = connection.scope.get("query_string", b"").decode("latin-1")
    path = str(connection.scope.get("path", "/"))
    return f"{path}?{query}" if query else path
