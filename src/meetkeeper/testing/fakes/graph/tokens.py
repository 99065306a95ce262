"""The authority: an app that proves itself by secret or by a signed assertion is given a bearer token for a while."""

import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

Json = dict[str, Any]

TENANT = "contoso.example"
CLIENT_ID = "11111111-2222-3333-4444-555555555555"
CLIENT_SECRET = "a client secret"


class Authority:
    """One tenant with one app. `given` counts tokens; `life_s` is how long one is good for."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self.given = 0
        self.life_s = 3_600.0
        self.expired_secret = False
        self._now_s = now_s
        self._good: dict[str, float] = {}
        self._certificate: x509.Certificate | None = None

    def trust(self, certificate: bytes) -> None:
        """Upload a certificate (PEM) to the app registration."""
        self._certificate = x509.load_pem_x509_certificate(certificate)

    def accepts(self, authorization: str) -> bool:
        """The header holds a token that is good now."""
        kind, _, token = authorization.partition(" ")
        return kind.lower() == "bearer" and self._good.get(token, 0.0) > self._now_s()

    def revoke(self) -> None:
        """No token that was given so far is good any more."""
        self._good.clear()

    def answer(self, path: str, body: bytes, url: str) -> tuple[int, Json]:
        """A request to the token endpoint; `url` is the endpoint's own address."""
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        if path != f"/{TENANT}/oauth2/v2.0/token":
            return _refusal("AADSTS90002", "Tenant not found.")
        if form.get("client_id") != CLIENT_ID:
            return _refusal("AADSTS700016", "Application was not found in the directory.")
        if form.get("grant_type") != "client_credentials" or not form.get("scope", "").endswith("/.default"):
            return _refusal("AADSTS70011", "The provided value for the input parameter 'scope' is not valid.")
        if "client_assertion" in form:
            if not self._is_signed(form["client_assertion"], url):
                return _refusal("AADSTS700027", "The certificate could not be used to verify the assertion.")
        elif self.expired_secret:
            return _refusal("AADSTS7000222", "The provided client secret keys are expired.")
        elif form.get("client_secret") != CLIENT_SECRET:
            return _refusal("AADSTS7000215", "Invalid client secret provided.")
        token = secrets.token_urlsafe(40)
        self.given += 1
        self._good[token] = self._now_s() + self.life_s
        return 200, {"token_type": "Bearer", "expires_in": self.life_s, "access_token": token}

    def _is_signed(self, assertion: str, url: str) -> bool:
        if self._certificate is None:
            return False
        key = self._certificate.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        thumb = urlsafe_b64encode(self._certificate.fingerprint(SHA256())).rstrip(b"=").decode()
        try:
            token = jwt.decode(assertion, RSAKey.import_key(key), algorithms=["PS256"])
        except (JoseError, ValueError):
            return False
        said, now_s = token.claims, self._now_s()
        fresh = said.get("nbf", 0) <= now_s + 60 and said.get("exp", 0) > now_s
        ours = said.get("iss") == said.get("sub") == CLIENT_ID and said.get("aud") == url
        return fresh and ours and token.header.get("x5t#S256") == thumb


def _refusal(number: str, text: str) -> tuple[int, Json]:
    return 400, {"error": "invalid_client", "error_description": f"{number}: {text} Trace ID: 0"}
