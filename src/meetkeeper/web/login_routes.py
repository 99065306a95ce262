"""/login and /logout: an operator comes and goes."""

import secrets

from litestar import Response, Router, get, post
from litestar.di import NamedDependency

from meetkeeper.api.asgi import address_of
from meetkeeper.api.desk import Desk
from meetkeeper.api.problems import headers_of, status_of
from meetkeeper.api.sessions import COOKIE, LOGIN_COOKIE, SESSION_S
from meetkeeper.core.errors import Refused, TheirMistake
from meetkeeper.web.forms import AnyRequest, cookie, local_path, read_form, set_cookie
from meetkeeper.web.pages import page

LOGIN_S = 1_800
"""How long a login page may lie open."""
OPEN = {"door": "open"}
AtDesk = NamedDependency[Desk]


def _secure(desk: Desk) -> bool:
    return desk.follower.config.cluster.public_url.startswith("https:")


def _login_page(
    desk: Desk, *, next_: str, name: str = "", wrong: str = "", status: int = 200
) -> Response[str]:
    """The page, with a cookie that its form must bring back."""
    nonce = secrets.token_urlsafe(18)
    answer = page(
        "login.html",
        status=status,
        proof=desk.sessions.proof(nonce),
        next=next_,
        name=name,
        wrong=wrong,
    )
    answer.headers["set-cookie"] = set_cookie(
        LOGIN_COOKIE, nonce, path="/login", secure=_secure(desk), max_age_s=LOGIN_S
    )
    return answer


@get("/login", opt=OPEN)
async def show_login(desk: AtDesk, request: AnyRequest) -> Response[str]:
    """The login page."""
    return _login_page(desk, next_=local_path(request.query_params.get("next", "/")))


@post("/login", opt=OPEN, status_code=200)
async def login(desk: AtDesk, request: AnyRequest) -> Response[str]:
    """Check the password; a wrong one is told on the page."""
    form = await read_form(request)
    next_, name = local_path(form.get("next", "/")), form.get("name", "")[:63]
    try:
        desk.sessions.check_proof(cookie(request, LOGIN_COOKIE), form.get("proof"))
        fresh = await desk.sessions.login(
            name,
            form.get("password", "")[:1_000],
            address_of(request.scope, desk.gate.trusted_proxies),
            desk.engine.now_s(),
        )
    except (TheirMistake, Refused) as error:
        answer = _login_page(desk, next_=next_, name=name, wrong=error.message, status=status_of(error))
        answer.headers |= {key: value for key, value in headers_of(error).items() if key == "retry-after"}
        return answer
    headers = {
        "location": next_,
        "set-cookie": set_cookie(COOKIE, fresh, path="/", secure=_secure(desk), max_age_s=SESSION_S),
    }
    return Response("", status_code=303, headers=headers, media_type="text/html")


@post("/logout", opt={"door": "session"}, status_code=303)
async def logout(desk: AtDesk, request: AnyRequest) -> Response[str]:
    """Forget the session in this browser."""
    form = await read_form(request)
    desk.sessions.check_proof(cookie(request, COOKIE), form.get("proof"))
    headers = {
        "location": "/login",
        "set-cookie": set_cookie(COOKIE, "", path="/", secure=_secure(desk), max_age_s=0),
    }
    return Response("", status_code=303, headers=headers, media_type="text/html")


def router() -> Router:
    """These routes."""
    return Router("/", route_handlers=[show_login, login, logout], include_in_schema=False)
