"""Posted forms and small cookies, read without a framework's ceremony."""

from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl

from litestar import Request

from meetkeeper.api.desk import Desk
from meetkeeper.api.sessions import COOKIE
from meetkeeper.api.writes import check_writable
from meetkeeper.core.errors import TheirMistake

FORM_BYTES_MAX = 16 * 1024
AnyRequest = Request[Any, Any, Any]


async def read_form(request: AnyRequest) -> dict[str, str]:
    """The form's fields, the last of each name. Raises `TheirMistake` for what is no form."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise TheirMistake("unsupported-media-type", "Send the form as the page does.")
    body = await request.body()
    if len(body) > FORM_BYTES_MAX:
        raise TheirMistake("too-large", "The form is too large.")
    pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=50)
    return dict(pairs)


async def posted(desk: Desk, request: AnyRequest) -> dict[str, str]:
    """The form, if it is from a page of this session and writes are taken."""
    form = await read_form(request)
    desk.sessions.check_proof(cookie(request, COOKIE), form.get("proof"))
    check_writable(desk.gate, request.url.path)
    return form


def set_cookie(name: str, value: str, *, path: str, secure: bool, max_age_s: int) -> str:
    """A Set-Cookie header: for us alone, sent along by our own pages alone."""
    parts = [f"{name}={value}", f"Path={path}", f"Max-Age={max_age_s}", "HttpOnly", "SameSite=Strict"]
    if secure:
        parts.append("Secure")
    return "; ".join(parts)


def cookie(request: AnyRequest, name: str) -> str:
    """A cookie's value; empty when there is none."""
    try:
        jar = SimpleCookie(request.headers.get("cookie", ""))
    except CookieError:
        return ""
    morsel = jar.get(name)
    return "" if morsel is None else morsel.value


def local_path(text: str) -> str:
    """Where to go after the login: a path of ours, never another site's address."""
    if not text.startswith("/") or text.startswith(("//", "/\\")) or any(ord(char) < 32 for char in text):
        return "/"
    return text[:500]
