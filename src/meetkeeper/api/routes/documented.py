"""What every route says about itself in OpenAPI: its refusals, all of them problem documents."""

from collections.abc import Mapping
from typing import Any

from litestar.openapi.datastructures import ResponseSpec

from meetkeeper.api.problems import MEDIA_TYPE, Problem

_SAYS = {
    400: "What was sent can't be taken; `errors` names every field",
    401: "No token, or one that is not known",
    403: "The token may not do this",
    404: "There is no such thing here",
    405: "Not with this method",
    409: "Understood and refused: a conflict, or its time is over",
    412: "The meeting has changed since: read it again",
    413: "The body is larger than 1 MiB",
    415: "The body is no JSON",
    422: "The Idempotency-Key was used for another request",
    428: "If-Match is missing",
    429: "Too many tries",
    501: "This server was started without it",
    503: "Not now; Retry-After says when",
}
READS = (400, 401, 404, 503)
WRITES = (400, 401, 403, 404, 409, 413, 503)


def refusals(*statuses: int) -> Mapping[int, ResponseSpec]:
    """The `responses` of a handler."""
    return {status: _spec(status) for status in sorted(set(statuses))}


def _spec(status: int) -> ResponseSpec:
    options: dict[str, Any] = {
        "data_container": Problem,
        "description": _SAYS[status],
        "generate_examples": False,
        "media_type": MEDIA_TYPE,
    }
    return ResponseSpec(**options)
