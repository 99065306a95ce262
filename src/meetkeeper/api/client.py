"""The interface as a program calls it: one address, one token, answers as JSON values, refusals as our own errors.

Used by the command line. On the standard library's HTTP client, because a command should answer in a tenth of a
second and a larger client's import alone takes two. A problem document (RFC 9457) becomes the error it names.
"""

import http.client
import json
import os
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

from meetkeeper.core.errors import (
    MeetkeeperError,
    NotFound,
    OurMistake,
    Refused,
    Stale,
    TheirMistake,
    Unavailable,
)

__all__ = ["Client", "MeetkeeperError", "NotFound", "TheirMistake", "Unavailable", "part"]

PREFIX = "/api/v1"
TIMEOUT_S = 30.0
REDIRECTS_MAX = 2
CA_FILE = "MEETKEEPER_CA"
"""Environment variable: a PEM file with the authority of a private certificate."""
_KINDS: Mapping[int, type[MeetkeeperError]] = {
    400: TheirMistake,
    404: NotFound,
    412: Stale,
    413: TheirMistake,
    415: TheirMistake,
    422: TheirMistake,
    428: TheirMistake,
    500: OurMistake,
}


class Client:
    """A caller. Blocking: a command asks one or two questions and ends."""

    def __init__(self, url: str, token: str, *, timeout_s: float = TIMEOUT_S) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self._timeout_s = timeout_s
        self._open: dict[str, http.client.HTTPConnection] = {}

    def get(self, path: str, **query: object) -> Any:
        """Read. Raises `core.errors`: `Unavailable` when nobody answers, else what the server refused with."""
        wanted = {name.rstrip("_"): value for name, value in query.items() if value is not None}
        return self._ask("GET", path + (f"?{urlencode(wanted, doseq=True)}" if wanted else ""), None, {})

    def send(
        self, method: str, path: str, body: object = None, *, headers: Mapping[str, str] | None = None
    ) -> Any:
        """Write; bytes are sent as they are, anything else as JSON. Raises as `get`."""
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        return self._ask(method, path, sent, headers or {})

    def close(self) -> None:
        """Let go of the connections."""
        for connection in self._open.values():
            connection.close()
        self._open.clear()

    def _ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Any:
        url = self.url + PREFIX + path
        for _ in range(REDIRECTS_MAX + 1):
            answer, text = self._once(method, url, body, headers)
            if answer.status in (307, 308) and answer.getheader("location"):
                url = urljoin(url, answer.getheader("location") or "")
                continue
            if answer.status >= 300:
                raise _refusal(answer.status, text)
            return json.loads(text) if text else None
        raise Unavailable(
            "redirects", f"{self.url} leads on and on; it ended at {url}. Ask that server itself."
        )

    def _once(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[http.client.HTTPResponse, bytes]:
        sent = {"Accept": "application/json", "Authorization": f"Bearer {self._token}", **headers}
        if body is not None:
            sent["Content-Type"] = "application/json"
        connection, target = self._connection(url)
        try:
            connection.request(method, target, body=body, headers=sent)
            answer = connection.getresponse()
            return answer, answer.read()
        except (OSError, http.client.HTTPException) as trouble:
            connection.close()
            reason = getattr(trouble, "strerror", None) or str(trouble) or type(trouble).__name__
            raise Unavailable(
                "no-answer",
                f"No server answers at {self.url}: {reason}. Is it running? `meetkeeper run HOME`.",
            ) from trouble

    def _connection(self, url: str) -> tuple[http.client.HTTPConnection, str]:
        """A connection that is kept for the next question. Raises `TheirMistake` for what is no address."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            parts, host, port = urlsplit(""), None, None
        if parts.scheme not in ("http", "https") or not host:
            raise TheirMistake(
                "url", f"{self.url!r} is no address. Correct --url, for example http://127.0.0.1:8080."
            )
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin not in self._open:
            if parts.scheme == "https":
                context = ssl.create_default_context(cafile=os.environ.get(CA_FILE) or None)
                self._open[origin] = http.client.HTTPSConnection(
                    host, port, timeout=self._timeout_s, context=context
                )
            else:
                self._open[origin] = http.client.HTTPConnection(host, port, timeout=self._timeout_s)
        return self._open[origin], parts.path + (f"?{parts.query}" if parts.query else "")


def part(name: str) -> str:
    """A name as one part of a path."""
    return quote(name, safe="")


def _refusal(status: int, body: bytes) -> MeetkeeperError:
    try:
        problem = json.loads(body)
    except ValueError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    text = str(problem.get("detail") or problem.get("title") or f"The server answered {status}.")
    lines = [line for line in _lines(problem) if line.strip() not in text]
    code = str(problem.get("code") or status)
    sentence = "\n".join([text, *lines])
    if status == 401:
        return Refused(code, f"{text} Use --home on the server's machine, or --token.")
    if status in (502, 503, 504):
        return Unavailable(code, sentence)
    return _KINDS.get(status, Refused)(code, sentence, detail=problem)


def _lines(problem: Mapping[str, Any]) -> list[str]:
    """A line for each wrong field and each meeting in the way."""
    errors = [one for one in problem.get("errors") or () if isinstance(one, dict)]
    lines = [f"  {one.get('field', '')}: {one.get('message', '')}" for one in errors]
    for one in problem.get("conflicts") or ():
        if isinstance(one, dict):
            rooms = ", ".join(map(str, one.get("rooms", ())))
            lines.append(f"  {one.get('id')}: {rooms}, {one.get('start')} to {one.get('end')}")
    return lines
