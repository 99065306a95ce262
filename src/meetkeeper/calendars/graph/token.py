"""Who we are to Microsoft 365: an access token for an app (OAuth 2.0 client credentials, RFC 6749 section 4.4).

Between `client`, which asks with it, and the authority that gives it out. By a secret, or by a certificate whose key
signs an assertion (RFC 7523; learn.microsoft.com "certificate credentials": PS256, `x5t#S256`). One token for all rooms
of a server: fetched by one of those who wait for it, renewed before it ends, never written anywhere, never redirected.
"""

import asyncio
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Protocol
from urllib.parse import quote, urlencode

import httpx2
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from msgspec import Struct

from meetkeeper.core.errors import MeetkeeperError, Refused, TheirMistake, Unavailable

ASSERTION_S = 600
"""How long an assertion is good for; it is made anew for each request."""
LIFE_S_MAX = 86_400.0
QUIET_S = 30.0
"""After a refusal or a failure nobody asks again for so long: a thousand rooms would lock the app out."""
RENEW_AT = 0.8
"""A token is renewed when so much of its life is over."""
ANSWER_BYTES_MAX = 1 << 18
TOKEN_CHARS_MAX = 64_000

HINTS = {
    "AADSTS7000215": "The secret is wrong: take its value, not its id.",
    "AADSTS7000222": "The secret or certificate has expired: make a new one.",
    "AADSTS700016": "The tenant has no app with this id: check client_id and tenant.",
    "AADSTS700027": "The certificate is not the one that was uploaded to the app registration.",
    "AADSTS90002": "There is no such tenant: check its name or id.",
    "AADSTS900023": "There is no such tenant: check its name or id.",
    "AADSTS7000229": "The app has no service principal in this tenant: grant admin consent.",
}
"""What the authority's own numbers mean for whoever configures us (learn.microsoft.com "AADSTS error codes")."""


class Credential(Protocol):
    """Proof that we are the app."""

    def fields(self, audience: str, now_s: float) -> dict[str, str]:
        """Form fields for a request to the token endpoint `audience`."""
        ...


class SecretCredential:
    """A shared secret."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def fields(self, audience: str, now_s: float) -> dict[str, str]:
        """The secret itself."""
        return {"client_secret": self._secret}


class CertificateCredential:
    """A certificate and its RSA key, both PEM. Raises `TheirMistake` when they can't be read."""

    def __init__(self, client_id: str, certificate: bytes, key: bytes) -> None:
        self._client_id = client_id
        try:
            self._print = x509.load_pem_x509_certificate(certificate).fingerprint(SHA256())
            self._key = RSAKey.import_key(key)
        except (ValueError, TypeError, JoseError):
            raise TheirMistake(
                "calendar.certificate",
                "The certificate or key for Microsoft 365 can't be read; give both as PEM, with an RSA key.",
            ) from None

    def fields(self, audience: str, now_s: float) -> dict[str, str]:
        """An assertion for this endpoint alone, signed now."""
        now = int(now_s)
        claims = {
            "aud": audience,
            "iss": self._client_id,
            "sub": self._client_id,
            "jti": str(uuid.uuid4()),
            "nbf": now,
            "iat": now,
            "exp": now + ASSERTION_S,
        }
        thumb = urlsafe_b64encode(self._print).rstrip(b"=").decode()
        header = {"alg": "PS256", "typ": "JWT", "x5t#S256": thumb}
        return {
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": jwt.encode(header, claims, self._key, algorithms=["PS256"]),
        }


class App(Struct, frozen=True, kw_only=True):
    """Which app asks where for what: `authority` without a path, `scope` as `https://host/.default`."""

    authority: str
    tenant: str
    client_id: str
    scope: str


class Token(Struct, frozen=True):
    """A bearer token and the wall time, in seconds, from which on a new one is asked for."""

    text: str
    renew_at_s: float


class _Said(Struct, frozen=True):
    access_token: str = ""
    token_type: str = "Bearer"  # noqa: S105 - a kind, no secret
    expires_in: float | str = 0.0
    error: str = ""
    error_description: str = ""


class Tokens:
    """The one token of a server. Whoever comes while it is fetched waits for the same answer."""

    def __init__(self, app: App, credential: Credential, now_s: Callable[[], float]) -> None:
        self._app = app
        self._credential = credential
        self._now_s = now_s
        self._lock = asyncio.Lock()
        self._token: Token | None = None
        self._trouble: tuple[MeetkeeperError, float] | None = None
        self.url = f"{app.authority.rstrip('/')}/{quote(app.tenant, safe='')}/oauth2/v2.0/token"

    async def get(self, http: httpx2.AsyncClient) -> str:
        """A token that is good now. Raises `Unavailable`, `Refused`, `TheirMistake`."""
        async with self._lock:
            now_s = self._now_s()
            if self._token is None or now_s >= self._token.renew_at_s:
                if self._trouble is not None and 0 <= now_s - self._trouble[1] < QUIET_S:
                    raise self._trouble[0].with_traceback(None)
                try:
                    self._token = await self._fetch(http)
                except MeetkeeperError as trouble:
                    self._trouble = (trouble, now_s)
                    raise
            return self._token.text

    def drop(self, text: str) -> None:
        """This one was not accepted: the next caller fetches another."""
        if self._token is not None and self._token.text == text:
            self._token = None

    async def _fetch(self, http: httpx2.AsyncClient) -> Token:
        app, now_s = self._app, self._now_s()
        form = {
            "grant_type": "client_credentials",
            "client_id": app.client_id,
            "scope": app.scope,
            **self._credential.fields(self.url, now_s),
        }
        request = http.build_request(
            "POST",
            self.url,
            content=urlencode(form).encode(),
            headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
        )
        try:
            status, body = await _exchange(http, request)
        except httpx2.HTTPError as error:
            why = str(error) or type(error).__name__
            raise Unavailable(
                "calendar.login-away",
                f"The authority at {app.authority} can't be reached ({why}); it is asked again.",
                retry_after_s=QUIET_S,
            ) from None
        return read_token(status, body, now_s)


async def _exchange(http: httpx2.AsyncClient, request: httpx2.Request) -> tuple[int, bytes]:
    """Status and body; a body without end is cut off."""
    response = await http.send(request, stream=True)
    try:
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > ANSWER_BYTES_MAX:
                raise _odd("it is endless")
    finally:
        await response.aclose()
    return response.status_code, bytes(body)


def read_token(status: int, body: bytes, now_s: float) -> Token:
    """The token in an answer of the authority (RFC 6749 section 5). Raises what the answer means."""
    if status in (408, 429) or status >= 500:
        raise Unavailable(
            "calendar.login-away",
            f"The authority of Microsoft 365 answered {status}; it is asked again.",
            retry_after_s=QUIET_S,
        )
    try:
        said = msgspec.json.decode(body, type=_Said)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        if status not in (401, 403):
            raise _odd("it can't be read") from None
        said = _Said()
    if status in (400, 401, 403):
        raise _refusal(said)
    if status != 200:
        raise _odd(f"its status is {status}")
    text = said.access_token
    fit = text.isascii() and text.isprintable() and " " not in text and 0 < len(text) <= TOKEN_CHARS_MAX
    if not fit or said.token_type.lower() != "bearer":
        raise _odd("it holds no bearer token")
    try:
        life_s = float(said.expires_in)
    except ValueError:
        raise _odd("it does not say how long the token is good for") from None
    if not life_s > 0:
        raise _odd("its token is over already")
    return Token(text, now_s + RENEW_AT * min(life_s, LIFE_S_MAX))


def _refusal(said: _Said) -> MeetkeeperError:
    number = next((one for one in HINTS if one in said.error_description), "")
    hint = HINTS.get(number, "Check tenant, client_id and the secret or certificate.")
    named = number or said.error[:60] or "no reason named"
    return Refused(
        "calendar.login", f"The authority of Microsoft 365 does not accept the app ({named}). {hint}"
    )


def _odd(why: str) -> TheirMistake:
    return TheirMistake(
        "calendar.odd-token",
        f"The answer of the authority is no token: {why}. Check the authority's address.",
    )
