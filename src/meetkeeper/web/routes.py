"""Every page, for `api.app.build`: `build(gate, routes)`."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from litestar import Request, Response, Router
from litestar.exceptions import HTTPException
from litestar.types import ControllerRouterHandler

from meetkeeper.api.desk import Desk
from meetkeeper.api.guards import LoginNeeded
from meetkeeper.api.problems import headers_of, status_of
from meetkeeper.core.errors import MeetkeeperError
from meetkeeper.web import board_routes, calendar_routes, join_routes, login_routes
from meetkeeper.web.files import serve_file
from meetkeeper.web.pages import page

_TITLES = {401: "Log in first", 403: "Not allowed", 404: "Not found", 409: "Refused", 429: "Too many tries"}


def routes(_: Desk) -> Sequence[ControllerRouterHandler]:
    """The screens' routes; errors on them are pages."""
    return [
        Router(
            "/",
            route_handlers=[
                serve_file,
                login_routes.router(),
                board_routes.router(),
                calendar_routes.router(),
                join_routes.router(),
            ],
            exception_handlers={
                LoginNeeded: _to_login,
                MeetkeeperError: _told,
                HTTPException: _told_by_framework,
            },
            include_in_schema=False,
        )
    ]


def _to_login(request: Request[Any, Any, Any], _: LoginNeeded) -> Response[str]:
    """A page leads to the login and back; a stream or script is told with 401."""
    if request.method != "GET" or "text/event-stream" in request.headers.get("accept", ""):
        return _page(401, "Your session has ended. Log in again.", back="/login", word="To the login")
    if request.headers.get("sec-fetch-site") == "cross-site":
        return page(
            "again.html"
        )  # our cookie does not come along from another site's link, but from our own page
    target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    headers = {"location": f"/login?next={quote(target, safe='')}", "cache-control": "no-store"}
    return Response("", status_code=303, headers=headers, media_type="text/html")


def _told(_: Request[Any, Any, Any], error: MeetkeeperError) -> Response[str]:
    said_to_people = error.message.partition(" GET /api/")[0]  # the rest says to programs how they find it
    answer = _page(status_of(error), said_to_people)
    answer.headers |= headers_of(error)
    return answer


def _told_by_framework(_: Request[Any, Any, Any], error: HTTPException) -> Response[str]:
    return _page(error.status_code, error.detail)


def _page(status: int, detail: str, back: str = "/", word: str = "To the board") -> Response[str]:
    return page(
        "error.html",
        status=status,
        title=_TITLES.get(status, "This did not work"),
        detail=detail,
        back=back,
        back_word=word,
    )
