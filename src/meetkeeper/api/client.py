"""The API as a program calls it: one address, one token, answers as JSON values, refusals as our own errors.

Used by the command line. A problem document (RFC 9457) becomes the error it names.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx2

from meetkeeper.core.errors import MeetkeeperError, NotFound, Refused, Stale, TheirMistake, Unavailable

PREFIX = "/api/v1"
TIMEOUT_S = 30.0
_KINDS: Mapping[int, type[MeetkeeperError]] = {
    400: TheirMistake,
    404: NotFound,
    412: Stale,
    413: TheirMistake,
    415: TheirMistake,
    422: TheirMistake,
    428: TheirMistake,
}


class Client:
    """A caller. Blocking: a command asks one or two questions and ends."""

    def __init__(self, url: str, token: str, *, timeout_s: float = TIMEOUT_S) -> None:
        self.url = url.rstrip("/")
        self._http = httpx2.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
            timeout=timeout_s,
            trust_env=False,
            follow_redirects=True,
        )

    def get(self, path: str, **query: object) -> Any:
        """Read. Raises `core.errors`: `Unavailable` when nobody answers, else what the server refused with."""
        wanted = {name.rstrip("_"): str(value) for name, value in query.items() if value is not None}
        return self._ask("GET", path, params=wanted)

    def send(
        self, method: str, path: str, body: object = None, *, headers: Mapping[str, str] | None = None
    ) -> Any:
        """Write. Raises as `get`."""
        if isinstance(body, bytes):
            return self._ask(
                method, path, content=body, headers={"Content-Type": "application/json", **(headers or {})}
            )
        return self._ask(method, path, json=body, headers=dict(headers or {}))

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        if more.get("json", ...) is None:
            del more["json"]
        try:
            answer = self._http.request(method, PREFIX + path, **more)
        except httpx2.InvalidURL as wrong:
            raise TheirMistake("url", f"{self.url!r} is no address: {wrong}. Correct --url.") from wrong
        except httpx2.HTTPError as trouble:
            raise Unavailable(
                "no-answer",
                f"No server answers at {self.url}: {trouble}. Is it running? `meetkeeper run HOME`.",
            ) from trouble
        if answer.is_success:
            return answer.json() if answer.content else None
        raise _refusal(answer)


def part(name: str) -> str:
    """A name as one part of a path."""
    return quote(name, safe="")


def _refusal(answer: httpx2.Response) -> MeetkeeperError:
    try:
        problem = answer.json()
    except ValueError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    text = str(problem.get("detail") or problem.get("title") or f"The server answered {answer.status_code}.")
    fields = [f"{one.get('field', one.get('key', ''))}: {one.get('message', '')}" for one in _fields(problem)]
    lines = [f"  {line}" for line in fields if line not in text]
    code = str(problem.get("code") or problem.get("type") or answer.status_code)
    sentence = "\n".join([text, *lines])
    if answer.status_code >= 500:
        return Unavailable(code, sentence)
    if answer.status_code == 401:
        return Refused(code, f"{text} Use --home on the server's machine, or --token.")
    return _KINDS.get(answer.status_code, Refused)(code, sentence, detail=problem)


def _fields(problem: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = problem.get("errors") or problem.get("extra") or []
    return [one for one in found if isinstance(one, dict)]
