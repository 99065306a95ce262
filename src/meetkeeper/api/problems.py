"""Errors as the world outside sees them: RFC 9457 problem documents, one shape for every refusal.

`code` is stable and for programs; `detail` is a sentence for people that ends with what to do. Field errors stand in
`errors`, all of them at once. The status follows from the error's class, with a few codes that mean something narrower.
"""

from collections.abc import Mapping
from http import HTTPStatus
from math import ceil

import msgspec
from msgspec import Struct

from meetkeeper.api.moments import iso_utc
from meetkeeper.core.errors import (
    Corrupt,
    MeetkeeperError,
    NotFound,
    OurMistake,
    Refused,
    Stale,
    TheirMistake,
    Unavailable,
)

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:meetkeeper:problem:"


class FieldError(Struct, frozen=True, omit_defaults=True):
    """One field that can't be taken as sent. `field` is a path such as `invitees[2].email`."""

    field: str
    message: str
    nearest: tuple[str, ...] = ()


class Problem(Struct, frozen=True, omit_defaults=True):
    """A refusal in the form of RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: tuple[FieldError, ...] = ()
    conflicts: tuple[dict[str, object], ...] = ()
    values: dict[str, object] = {}


_BY_CLASS: tuple[tuple[type[MeetkeeperError], int], ...] = (
    (NotFound, 404),
    (Refused, 409),
    (Stale, 412),
    (TheirMistake, 400),
    (Unavailable, 503),
    (Corrupt, 500),
    (OurMistake, 500),
)
_BY_CODE = {
    "elsewhere": 307,
    "unauthorized": 401,
    "forbidden": 403,
    "method-not-allowed": 405,
    "not-acceptable": 406,
    "too-large": 413,
    "unsupported-media-type": 415,
    "idempotency-key-reused": 422,
    "precondition-required": 428,
    "too-many-requests": 429,
    "not-implemented": 501,
}
_encode = msgspec.json.Encoder().encode


class Invalid(TheirMistake):
    """A request with fields that can't be taken; tells all of them at once."""

    def __init__(self, errors: list[FieldError]) -> None:
        one = len(errors) == 1
        message = (
            f"{errors[0].field}: {errors[0].message}"
            if one
            else f"{len(errors)} fields can't be taken as sent; `errors` names each. Correct them and send again."
        )
        super().__init__("invalid", message, detail={"fields": [error.field for error in errors]})
        self.errors = tuple(errors)


def status_of(error: MeetkeeperError) -> int:
    """The HTTP status that says what kind of error this is."""
    known = _BY_CODE.get(error.code)
    if known is not None:
        return known
    return next((status for kind, status in _BY_CLASS if isinstance(error, kind)), 500)


def to_problem(error: MeetkeeperError) -> Problem:
    """The error as a problem document."""
    status = status_of(error)
    detail = dict(error.detail)
    conflicts = detail.pop("conflicts", ())
    errors: tuple[FieldError, ...] = ()
    if isinstance(error, Invalid):
        errors, detail = error.errors, {}
    return Problem(
        type=TYPE_PREFIX + error.code,
        title=_title(status),
        status=status,
        detail=error.message,
        code=error.code,
        errors=errors,
        conflicts=_conflicts(conflicts),
        values=detail,
    )


def headers_of(error: MeetkeeperError) -> dict[str, str]:
    """Headers that go with the problem document."""
    status = status_of(error)
    headers = {"cache-control": "no-store"}
    wait_s = error.retry_after_s if isinstance(error, Unavailable) else error.detail.get("retry_after_s")
    if isinstance(wait_s, int | float):
        headers["retry-after"] = str(max(1, ceil(wait_s)))
    location = getattr(error, "location", None)
    if status == 307 and isinstance(location, str):
        headers["location"] = location
    if status == 401:
        headers["www-authenticate"] = 'Bearer realm="meetkeeper"'
    return headers


def encode(problem: Problem) -> bytes:
    """The document's bytes."""
    return _encode(problem)


def from_status(status: int, detail: str, values: Mapping[str, object] | None = None) -> Problem:
    """A problem that began as a bare HTTP status (no such route, wrong method)."""
    code = _title(status).lower().replace(" ", "-").replace("'", "")
    return Problem(TYPE_PREFIX + code, _title(status), status, detail, code, values=dict(values or {}))


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _conflicts(value: object) -> tuple[dict[str, object], ...]:
    """The meetings in the way, their instants spelled out."""
    if not isinstance(value, list | tuple):
        return ()
    return tuple(_spelled(one) for one in value if isinstance(one, dict))


def _spelled(row: dict[str, object]) -> dict[str, object]:
    return {
        name.removesuffix("_s"): iso_utc(one) if name.endswith("_s") and isinstance(one, int | float) else one
        for name, one in row.items()
    }
