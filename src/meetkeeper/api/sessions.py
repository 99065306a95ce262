"""Operators in a browser: passwords, signed session cookies, and the proof that a form is ours.

A session is its cookie: name, time, a nonce and a signature under a key derived from the cluster's secret, so it holds
on both servers and outlives a failover. The operator's password hash is signed along: a changed password or a removed
operator ends every session of theirs.
"""

import asyncio
import hashlib
import hmac
import secrets
from typing import Final

from meetkeeper.api.auth import Caller
from meetkeeper.api.follower import Follower
from meetkeeper.api.limits import Attempts
from meetkeeper.api.passwords import NOBODY, hash_password, is_password
from meetkeeper.core.configuration import Operator
from meetkeeper.core.errors import Refused, TheirMistake

__all__ = ["COOKIE", "LOGIN_COOKIE", "SESSION_S", "Sessions", "hash_password", "too_many"]
COOKIE: Final = "meetkeeper_session"
LOGIN_COOKIE: Final = "meetkeeper_login"
SESSION_S: Final = 12 * 3_600
LOGIN_TRIES_PER_MINUTE: Final = 6
HASHES_AT_ONCE: Final = 2
"""A password costs 64 MiB and a tenth of a second to check: no more than this many at a time."""


class Sessions:
    """Logs operators in and knows them again. `now_s` is the wall clock."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower
        self._hashing = asyncio.Semaphore(HASHES_AT_ONCE)
        self._tries = Attempts()

    async def login(self, name: str, password: str, address: str, now_s: float) -> str:
        """A fresh cookie for whoever knows the password.

        Raises `TheirMistake` (`unauthorized`) for a wrong pair, `Refused` (`too-many-requests`) after too many tries.
        """
        name = name.strip().lower()[:63]
        for key in (("address", address), ("name", name)):
            wait_s = self._tries.take(key, LOGIN_TRIES_PER_MINUTE, now_s)
            if wait_s is not None:
                raise too_many(wait_s)
        operator = self._operator(name)
        async with self._hashing:
            right = await asyncio.to_thread(
                is_password, NOBODY if operator is None else operator.password_hash, password
            )
        if operator is None or not right:
            raise TheirMistake("unauthorized", "Name or password is wrong. Try again.")
        self._tries.forgive(("name", name))
        self._tries.forgive(("address", address))
        return self._sign(operator, int(now_s), secrets.token_urlsafe(12))

    def known(self, cookie: str | None, now_s: float) -> Caller | None:
        """Who this cookie is; None for one that is foreign, forged or old."""
        if not cookie or cookie.count(":") != 3 or not cookie.isascii():
            return None
        name, issued, nonce, _ = cookie.split(":")
        operator = self._operator(name)
        if operator is None or not issued.isdigit() or not 0 <= now_s - int(issued[:15]) < SESSION_S:
            return None
        if not hmac.compare_digest(self._sign(operator, int(issued), nonce), cookie):
            return None
        return Caller(name, writes=True, via="session")

    def proof(self, cookie: str) -> str:
        """What a form must carry to have come from a page of this session."""
        return self._mac(f"form|{cookie}")

    def check_proof(self, cookie: str | None, proof: str | None) -> None:
        """Raise `Refused` (`forbidden`) for a form that is not ours."""
        if not cookie or not proof or not hmac.compare_digest(self.proof(cookie).encode(), proof.encode()):
            raise Refused(
                "forbidden", "The form is too old or not from this page. Reload the page and try again."
            )

    def pass_for(self, scope: str, until_s: int) -> str:
        """A signed word that holds until then: the invitees' door remembers with it who knew the PIN."""
        return f"{until_s}:{self._mac(f'pass|{scope}|{until_s}')}"

    def check_pass(self, scope: str, word: str | None, now_s: float) -> bool:
        """True while the word holds."""
        until, _, _ = (word or "").partition(":")
        if not until.isdigit() or len(until) > 15 or now_s >= int(until):
            return False
        return hmac.compare_digest(self.pass_for(scope, int(until)).encode(), (word or "").encode())

    def _operator(self, name: str) -> Operator | None:
        operators = self._follower.config.access.operators
        return next((one for one in operators if one.name == name), None)

    def _sign(self, operator: Operator, issued_s: int, nonce: str) -> str:
        head = f"{operator.name}:{issued_s}:{nonce}"
        return f"{head}:{self._mac(f'session|{head}|{operator.password_hash}')}"

    def _mac(self, text: str) -> str:
        secret = self._follower.config.cluster.secret.encode("utf-8", "surrogatepass")
        key = hmac.digest(secret, b"meetkeeper web 1", hashlib.sha256)
        return hmac.digest(key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()


def too_many(wait_s: float) -> Refused:
    """The refusal after too many tries."""
    return Refused(
        "too-many-requests",
        f"Too many tries. Wait {max(1, round(wait_s))} seconds, then try again.",
        detail={"retry_after_s": wait_s},
    )
