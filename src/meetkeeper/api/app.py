"""The door put together: the short way for bookings, the framework for everything else, one answer for every error.

`build` makes an ASGI application. What the screens add comes in as `more`: this floor does not know them.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog
from litestar import Litestar, Request, Response, Router
from litestar.datastructures import State as AppState
from litestar.di import Provide
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import ControllerRouterHandler

from meetkeeper.api import asgi, problems
from meetkeeper.api.asgi import Receive, Scope, Send
from meetkeeper.api.desk import Desk, make_desk
from meetkeeper.api.gate import Gate
from meetkeeper.api.guards import guard
from meetkeeper.api.hot import PATH, HotBooking
from meetkeeper.api.openapi import read_openapi
from meetkeeper.api.problems import FieldError, Invalid, Problem
from meetkeeper.api.query_names import query_names
from meetkeeper.api.routes import every, health, notices
from meetkeeper.api.validation import BODY_BYTES_MAX
from meetkeeper.api.views import API
from meetkeeper.api.writes import Elsewhere, is_local
from meetkeeper.core.errors import MeetkeeperError, OurMistake, Unavailable

_log = structlog.get_logger("api")
More = Callable[[Desk], Sequence[ControllerRouterHandler]]


def _nothing_more(_: Desk) -> Sequence[ControllerRouterHandler]:
    return ()


def build(gate: Gate, more: More = _nothing_more) -> "Front":
    """The whole application. `more` gives further routes: the screens."""
    desk = make_desk(gate)
    return Front(desk, _framework(desk, more(desk)))


class Front:
    """The ASGI application; `desk` is what its handlers use."""

    def __init__(self, desk: Desk, inner: Litestar) -> None:
        self.desk = desk
        self.inner = inner
        self._hot = HotBooking(desk.gate, desk.follower, desk.verifier, desk.counts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection or lifespan."""
        if scope["type"] != "http":
            await self.inner(scope, receive, send)  # type: ignore[arg-type]
            return
        gate = self.desk.gate
        if not gate.acts() and not is_local(scope["path"]) and await self._lead_elsewhere(scope, send):
            return
        if scope["path"] == PATH and scope["method"] == "POST":
            await self._short(scope, receive, send)
        else:
            await self._long(scope, receive, send)

    async def _lead_elsewhere(self, scope: Scope, send: Send) -> bool:
        """Answer for a server that does not act; False when it does by now."""
        gate = self.desk.gate
        await gate.settled()
        if gate.acts():
            return False
        url = gate.active_url()
        error: MeetkeeperError = (
            Unavailable("passive", "No server is active at the moment. Ask again.", retry_after_s=1.0)
            if url is None
            else Elsewhere(url.rstrip("/") + asgi.target_of(scope))
        )
        self.desk.counts.add(scope["method"], "(elsewhere)", await asgi.answer_error(send, error))
        return True

    async def _short(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._hot(scope, receive, send)
        except Exception as error:
            _log.exception("api.failed", path=PATH, method="POST")
            await asgi.answer_error(send, _ours(error))

    async def _long(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def watched(message: asgi.Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                self._finish(scope, message)
            await send(message)

        try:
            await self.inner(scope, receive, watched)  # type: ignore[arg-type]
        except Exception as error:
            if begun:
                raise
            _log.exception("api.failed", path=scope["path"], method=scope["method"])
            await asgi.answer_error(send, _ours(error))

    def _finish(self, scope: Scope, message: asgi.Message) -> None:
        headers: list[tuple[bytes, bytes]] = list(message.get("headers", ()))
        names = {name for name, _ in headers}
        for name, value in asgi.SECURITY_HEADERS:
            if name.encode() not in names:
                headers.append((name.encode(), value.encode()))
        message["headers"] = headers
        self.desk.counts.add(scope["method"], scope.get("path_template") or "(none)", message["status"])


def _framework(desk: Desk, more: Sequence[ControllerRouterHandler]) -> Litestar:
    return Litestar(
        route_handlers=[
            Router(API, route_handlers=[*every.under_api(), read_openapi]),
            health.router(),
            notices.router(),
            *more,
        ],
        dependencies={"desk": Provide(lambda: desk, sync_to_thread=False)},
        exception_handlers={
            MeetkeeperError: _told,
            HTTPException: _told_by_framework,
            Exception: _failed,
        },
        guards=[guard],
        lifespan=[_following],
        logging_config=None,
        openapi_config=None,
        request_max_body_size=BODY_BYTES_MAX,
        signature_namespace={"Desk": Desk},
        state=AppState({"desk": desk}),
    )


@asynccontextmanager
async def _following(app: Litestar) -> AsyncIterator[None]:
    desk: Desk = app.state.desk
    task = asyncio.create_task(desk.follower.run(), name="api.follower")
    await desk.follower.ready.wait()
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _told(_: Request[Any, Any, Any], error: MeetkeeperError) -> Response[bytes]:
    return _response(problems.to_problem(error), problems.headers_of(error))


def _told_by_framework(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    if isinstance(error, ValidationException):
        return _told(request, Invalid(_fields(error, query_names(request.route_handler))))
    if error.status_code == 413:
        return _told(request, asgi.too_large())
    detail = {
        404: f"There is nothing at {request.url.path}. {API}/docs lists what there is.",
        405: f"{request.method} is not possible here; `Allow` says what is.",
    }.get(error.status_code, error.detail or "The request can't be served.")
    return _response(problems.from_status(error.status_code, detail), dict(error.headers or {}))


def _failed(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    _log.error("api.failed", path=request.url.path, method=request.method, exc_info=error)
    return _told(request, _ours(error))


def _ours(error: Exception) -> OurMistake:
    if isinstance(error, OurMistake):
        return error
    return OurMistake(
        "our-mistake",
        f"The server made a mistake ({type(error).__name__}). Its log says more; please report it.",
    )


def _fields(error: ValidationException, names: dict[str, str]) -> list[FieldError]:
    extra = error.extra if isinstance(error.extra, list) else []
    found = [
        FieldError(
            names.get(str(one.get("key")), str(one.get("key", ""))),
            str(one.get("message", "can't be taken.")),
        )
        for one in extra
        if isinstance(one, dict)
    ]
    return found or [FieldError("(request)", str(error.detail))]


def _response(problem: Problem, headers: dict[str, str]) -> Response[bytes]:
    return Response(
        problems.encode(problem), status_code=problem.status, headers=headers, media_type=problems.MEDIA_TYPE
    )
