"""Who is asking: API tokens and their scopes, and the word of the machine's own command line.

A token is `mk_` and 32 random bytes in base64url, shown once and never kept: its SHA-256 is what the journal holds and
what is looked up. Looking a digest up in a table tells a stranger nothing about any token, however long it takes.
"""

import hashlib
import secrets
from base64 import urlsafe_b64encode

from msgspec import Struct

from meetkeeper.api.follower import Follower
from meetkeeper.api.gate import Gate
from meetkeeper.core.errors import Refused, TheirMistake
from meetkeeper.core.state import State, TokenRow

TOKEN_PREFIX = "mk_"  # noqa: S105 — how a token begins, not one
TOKEN_BYTES = 32


class Caller(Struct, frozen=True):
    """Somebody who has shown a right. `writes` is False for those who may only look."""

    name: str
    writes: bool
    via: str = "token"


LOCAL = Caller("local", writes=True, via="local")
"""Whoever can read HOME/local/cli.token on this machine."""


def new_token() -> str:
    """A fresh token."""
    return TOKEN_PREFIX + urlsafe_b64encode(secrets.token_bytes(TOKEN_BYTES)).rstrip(b"=").decode("ascii")


def digest_of(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


class Verifier:
    """Turns what a request presents into a `Caller`."""

    def __init__(self, gate: Gate, follower: Follower) -> None:
        self._gate = gate
        self._follower = follower

    async def bearer(self, header: str | None) -> Caller | None:
        """The caller behind an Authorization header; None when there is no such header. Raises `unauthorized`."""
        if header is None:
            return None
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            raise unauthorized("This server takes `Authorization: Bearer mk_…` alone.")
        digest = digest_of(token.strip())
        caller = self.known(digest)
        if caller is None:
            row = await self._gate.engine.read(lambda state: _row(state, digest))
            caller = None if row is None else _caller(row)
        if caller is None:
            raise unauthorized("The token is not known here, or has been revoked. Ask for a new one.")
        return caller

    def known(self, digest: str) -> Caller | None:
        """The caller behind a digest, from memory; a server that only follows looks into its state each time."""
        row = self._follower.tokens.get(digest) if self._gate.acts() else None
        if row is not None:
            return _caller(row)
        return LOCAL if digest in self._gate.local_digests else None


def may_write(caller: Caller) -> None:
    """Raise `forbidden` for those who may only look."""
    if not caller.writes:
        raise Refused(
            "forbidden", f"The token {caller.name!r} may only read. Use one with the scope `write` for this."
        )


def unauthorized(message: str) -> TheirMistake:
    """The refusal for whoever has shown no right."""
    return TheirMistake("unauthorized", message)


def _row(state: State, digest: str) -> TokenRow | None:
    return state.tokens.get(digest)


def _caller(row: TokenRow) -> Caller:
    return Caller(row.name, writes=row.scope == "write")
