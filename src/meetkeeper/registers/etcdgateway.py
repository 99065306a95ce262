"""Talks to etcd's JSON gateway: several endpoints, TLS, a login. One question, one answer, within the time given.

Every question has a connection of its own. A kept one may have died unseen, and then nobody knows whether a change sent
on it has arrived; a new one that can't be made has carried nothing, and the next endpoint may be asked.
"""

import asyncio
import ssl
from collections.abc import Sequence

import httpx2
from msgspec import Struct

from meetkeeper.core.errors import TheirMistake
from meetkeeper.registers import etcdwords

ANSWER_BYTES_MAX = 1 << 20


class Access(Struct, frozen=True, kw_only=True):
    """How to be let in. Files are PEM; empty: not used, for `authority` the system's own."""

    user: str = ""
    password: str = ""
    authority: str = ""
    certificate: str = ""
    certificate_key: str = ""


class GatewayAway(Exception):
    """No answer that counts. The text is a part of a sentence. `done`: None when what was asked may have happened."""

    def __init__(self, why: str, *, done: bool | None) -> None:
        super().__init__(why)
        self.done = done


class Gateway:
    """The endpoints of one cluster; the one that answered last is asked first."""

    def __init__(self, endpoints: Sequence[str], access: Access) -> None:
        """Reads the certificates, asks nobody. Raises `TheirMistake`."""
        if not endpoints:
            raise TheirMistake("register.endpoints", "The etcd register has no endpoint. Name at least one.")
        self._endpoints = [endpoint.rstrip("/") for endpoint in endpoints]
        self._access = access
        self._token = ""
        self._http = httpx2.AsyncClient(
            verify=_tls(access),
            trust_env=False,  # a proxy of the office has no say in who is active
            limits=httpx2.Limits(max_keepalive_connections=0),
        )

    async def ask(self, path: str, content: bytes, *, until: float, once: bool = False) -> bytes:
        """The answer's body. `until` is the event loop's time; each endpoint gets its share of what is left.

        With `once` an endpoint that took the question has all the time there is, and no other is asked after it.
        Raises `GatewayAway`.
        """
        troubles: list[str] = []
        done: bool | None = False
        for left in range(len(self._endpoints), 0, -1):
            endpoint = self._endpoints[0]
            share = (until - asyncio.get_running_loop().time()) / left
            try:
                async with asyncio.timeout(None if once else share):
                    return await self._with_login(endpoint, path, content, share)
            except TimeoutError:
                away = GatewayAway("no answer in time", done=None)
            except GatewayAway as error:
                away = error
            troubles.append(f"{endpoint}: {away}")
            self._endpoints.append(self._endpoints.pop(0))
            done = None if away.done is None else done
            if once and away.done is None:
                break
        raise GatewayAway("; ".join(troubles), done=done)

    async def close(self) -> None:
        """Close connections."""
        await self._http.aclose()

    async def _with_login(self, endpoint: str, path: str, content: bytes, connect_s: float) -> bytes:
        if not self._access.user:
            return self._answer(*await self._post(endpoint, path, content, connect_s))
        for last in (False, True):
            if not self._token:
                self._token = await self._login(endpoint, connect_s)
            status, body = await self._post(endpoint, path, content, connect_s)
            if status == httpx2.codes.OK or last or not etcdwords.said(body).token_is_old:
                return self._answer(status, body)
            self._token = ""
        raise AssertionError("the last turn returns")

    async def _login(self, endpoint: str, connect_s: float) -> str:
        login = etcdwords.login_of(self._access.user, self._access.password)
        try:
            return etcdwords.token(
                self._answer(*await self._post(endpoint, etcdwords.AUTHENTICATE, login, connect_s))
            )
        except etcdwords.NotEtcd as wrong:
            raise GatewayAway(f"the answer to the login {wrong}", done=False) from None
        except GatewayAway as away:
            # Whatever became of the login: the question itself was not asked.
            raise GatewayAway(f"no login as {self._access.user} ({away})", done=False) from None

    def _answer(self, status: int, body: bytes) -> bytes:
        if status == httpx2.codes.OK:
            return body
        error = etcdwords.said(body)
        raise GatewayAway(error.error or f"HTTP {status}", done=False if error.never_done else None)

    async def _post(self, endpoint: str, path: str, content: bytes, connect_s: float) -> tuple[int, bytes]:
        headers = {"content-type": "application/json"}
        if self._token:
            headers["authorization"] = self._token
        # Twice, for the connection and for TLS on it, within the share: what is cancelled from outside instead leaves
        # its socket to the garbage collector.
        timeout = httpx2.Timeout(None, connect=max(0.0, connect_s) * 0.45)
        try:
            async with self._http.stream(
                "POST", endpoint + path, content=content, headers=headers, timeout=timeout
            ) as answer:
                body = bytearray()
                async for part in answer.aiter_bytes():
                    body += part
                    if len(body) > ANSWER_BYTES_MAX:
                        raise GatewayAway("its answer does not end", done=None)
                return answer.status_code, bytes(body)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.UnsupportedProtocol) as error:
            raise GatewayAway(str(error) or "no connection", done=False) from None
        except httpx2.InvalidURL as error:
            raise GatewayAway(str(error), done=False) from None
        except (httpx2.HTTPError, OSError) as error:  # an alert of TLS comes through as ssl.SSLError
            raise GatewayAway(str(error) or type(error).__name__, done=None) from None


def _tls(access: Access) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=access.authority or None)
        if access.certificate:
            context.load_cert_chain(access.certificate, access.certificate_key or None)
    except OSError as error:  # ssl.SSLError is one
        raise TheirMistake(
            "register.tls",
            f"The certificates for the etcd register can't be used ({error}). Correct `authority`, `certificate` and "
            "`certificate_key`: PEM files that this server's user may read.",
        ) from error
    return context
