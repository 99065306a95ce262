"""The interface described in OpenAPI 3.1, from the same handlers and records that serve it.

The framework makes the description; here it is completed with what it does not say: who may ask, that unknown fields
are refused, that whole numbers have whole bounds.
"""

import functools
from typing import Any

import msgspec
from litestar import Litestar, Response, Router, get
from litestar.di import Provide
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import Tag

import meetkeeper
from meetkeeper.api.desk import Desk
from meetkeeper.api.routes import every, health
from meetkeeper.api.views import API

DESCRIPTION = """Book rooms, read agendas, follow what happens.

Every request but `/health/…` needs a token: `Authorization: Bearer mk_…` (`meetkeeper token issue NAME`).
Times are ISO 8601; one without an offset is a wall time in `time_zone`. Every refusal is an RFC 9457 problem document
whose `detail` says what to do; wrong fields are all named at once in `errors`.
A change needs `If-Match` with the ETag of what you saw; `Idempotency-Key` makes a booking safe to repeat."""
TAGS = {
    "meetings": "Book, read, change, cancel",
    "rooms": "Rooms, agendas, free and busy",
    "server": "How the server stands and what it does",
    "pair": "Two servers, one active: readiness, switchover, failover, maintenance, drills",
    "set aside": "Records of a history that lost, and what becomes of them",
    "tokens": "Who may ask",
    "configuration": "How the server is configured",
    "health": "For load balancers and monitoring",
}
Json = dict[str, Any]


@functools.cache
def document() -> bytes:
    """The description, as JSON."""
    return msgspec.json.encode(describe())


def describe() -> Json:
    """The description, completed."""
    app = Litestar(
        route_handlers=[Router(API, route_handlers=every.under_api()), health.router()],
        dependencies={"desk": Provide(_no_desk, sync_to_thread=False)},
        logging_config=None,
        openapi_config=OpenAPIConfig(
            title="meetkeeper",
            version=meetkeeper.__version__,
            description=DESCRIPTION,
            tags=[Tag(name=name, description=text) for name, text in TAGS.items()],
            use_handler_docstrings=True,
            openapi_router=Router("/description", route_handlers=[], include_in_schema=False),
        ),
    )
    schema: Json = app.openapi_schema.to_schema()
    components: Json = schema.setdefault("components", {})
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "`mk_…`, from `meetkeeper token issue`"}
    }
    for name, one in components.get("schemas", {}).items():
        if name.endswith(("Body", "Patch")) and one.get("type") == "object":
            one["additionalProperties"] = False
    for path in (f"{API}/config", f"{API}/config/check"):
        operation = schema["paths"][path]["put" if path.endswith("config") else "post"]
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": {"type": "object"}}},
        }
    for path, item in schema["paths"].items():
        for operation in item.values():
            if isinstance(operation, dict) and not path.startswith("/health"):
                operation["security"] = [{"token": []}]
    _complete(schema)
    return schema


@get("/openapi.json", include_in_schema=False)
async def read_openapi() -> Response[bytes]:
    """The description."""
    return Response(document(), media_type="application/json", headers={"cache-control": "no-cache"})


def _complete(value: Any) -> None:
    """Whole bounds for whole numbers; a parameter that may be left out is not one that may be null."""
    if isinstance(value, dict):
        if "in" in value and isinstance(value.get("schema"), dict):
            kinds = value["schema"].get("oneOf", [])
            if {"type": "null"} in kinds:
                kept = [kind for kind in kinds if kind != {"type": "null"}]
                value["schema"].pop("oneOf")
                value["schema"] |= kept[0] if len(kept) == 1 else {"oneOf": kept}
        if value.get("type") in ("integer", "string", "array"):
            for bound, number in value.items():
                if isinstance(number, float) and number.is_integer():
                    value[bound] = int(number)
        for one in value.values():
            _complete(one)
    elif isinstance(value, list):
        for one in value:
            _complete(one)


def _no_desk() -> Desk:
    raise AssertionError("the described application serves nobody")
