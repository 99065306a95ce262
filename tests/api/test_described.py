"""The interface keeps what its OpenAPI description says, whatever is thrown at it."""

import asyncio
import json
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from meetkeeper.api.openapi import describe
from tests.api.house import READS, WRITES, House, open_house

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = 8
"""Requests made up for each operation."""
HEALTH = {"ready", "active", "passive"}
"""Operations for which 503 is an answer like any other."""
STREAMS = {"followEvents"}
"""Operations whose answer does not end."""
DESCRIBED = schemathesis.openapi.from_dict(describe())
OPERATIONS = {
    result.ok().definition.raw["operationId"]: result.ok()
    for result in DESCRIBED.get_all_operations()
    if isinstance(result, Ok)
}


def test_every_refusal_is_described_as_a_problem() -> None:
    """Each 4xx and 5xx of each operation under the API is a problem document of the one schema."""
    described = describe()
    assert described["openapi"].startswith("3.1")
    for path, item in described["paths"].items():
        for operation in item.values():
            for status, answer in operation["responses"].items():
                if status[0] in "45" and not path.startswith("/health"):
                    assert list(answer["content"]) == ["application/problem+json"], (path, status)
                    assert answer["content"]["application/problem+json"]["schema"] == {
                        "$ref": "#/components/schemas/Problem"
                    }


def test_the_description_names_no_other_place() -> None:
    """Nothing in it leads out of a closed network."""
    assert "http://" not in json.dumps(describe()).replace("http://127.0.0.1", "")
    assert "https://" not in json.dumps(describe())


def test_bodies_say_that_they_take_no_other_fields() -> None:
    """Whoever makes a client from the description learns that unknown fields are refused; whole bounds are whole."""
    schemas = describe()["components"]["schemas"]
    assert schemas["MeetingBody"]["additionalProperties"] is False
    assert schemas["MeetingPatch"]["additionalProperties"] is False
    assert "1000.0" not in json.dumps(describe())


async def test_the_description_is_served(house: House) -> None:
    """It is at /api/v1/openapi.json, for whoever may read."""
    answer = await house.client.get("/api/v1/openapi.json", headers=READS)
    assert answer.json()["info"]["title"] == "meetkeeper"


@pytest.mark.parametrize("name", sorted(OPERATIONS.keys() - STREAMS))
def test_made_up_requests_are_answered_as_described(name: str) -> None:
    """Whatever the schema allows, and what it forbids, gets a described status, media type and body; never a 500."""
    with asyncio.Runner() as runner:
        opened = open_house()
        house = runner.run(opened.__aenter__())
        told = runner.run(house.book())

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=OPERATIONS[name].as_strategy())
        def check(case: Case[Any]) -> None:
            known = {"meeting_id": told["id"], "room": "oslo-4", "about": told["id"]}
            for place in known.keys() & (case.path_parameters or {}).keys():
                if hash(str(case.path_parameters[place])) % 2:
                    case.path_parameters[place] = known[place]
            answer = runner.run(ask(house, case))
            case.validate_response(answer, checks=CHECKS if name not in HEALTH else CHECKS[1:])

        try:
            check()
        finally:
            runner.run(opened.__aexit__(None, None, None))


async def ask(house: House, case: Case[Any]) -> httpx2.Response:
    """One made-up request, by a caller who may do everything."""
    sent: dict[str, Any] = case.as_transport_kwargs(base_url="http://meet.example", headers=WRITES)
    return await house.client.request(
        sent["method"],
        sent["url"],
        params=sent.get("params"),
        headers=sent.get("headers"),
        json=sent.get("json"),
        content=sent.get("data"),
    )
