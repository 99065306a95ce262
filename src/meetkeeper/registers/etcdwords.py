"""etcd's JSON gateway in our words: what to ask, and what its answers say. Pure.

The gateway writes 64-bit numbers as strings and bytes in base64, and leaves out whatever is zero or false.
"""

from base64 import b64decode, b64encode
from typing import TypeVar

import msgspec
from msgspec import Struct

T = TypeVar("T")

RANGE = "/v3/kv/range"
TXN = "/v3/kv/txn"
AUTHENTICATE = "/v3/auth/authenticate"

UNAUTHENTICATED = 16
_NEVER_DONE = {3, 7, 8, 9, 12, UNAUTHENTICATED}
"""gRPC codes of refusals: bad request, no right, no room, not in this state, not known, who are you."""
_OLD_TOKEN = ("invalid auth token", "revision of auth store is old")


class NotEtcd(Exception):
    """The answer is not etcd's. The text completes "it …"."""


class Kept(Struct, frozen=True):
    """What stands under the key, or that nothing does (version 0), and which cluster says so."""

    cluster: str
    version: int
    value: bytes


class Done(Struct, frozen=True):
    """The transaction was made; its revision is the new version."""

    cluster: str
    version: int


class Said(Struct, frozen=True):
    """An error as etcd says it."""

    error: str = ""
    code: int = -1

    @property
    def never_done(self) -> bool:
        """True when whatever was asked for has certainly not happened and won't."""
        return self.code in _NEVER_DONE

    @property
    def token_is_old(self) -> bool:
        """True when another login mends it."""
        return self.code == UNAUTHENTICATED or any(words in self.error for words in _OLD_TOKEN)


class _Header(Struct):
    cluster_id: str = ""
    revision: str = "0"


class _Pair(Struct):
    mod_revision: str = "0"
    value: str = ""


class _Range(Struct):
    header: _Header | None = None
    kvs: tuple[_Pair, ...] = ()


class _Response(Struct):
    response_range: _Range | None = None


class _Txn(Struct):
    header: _Header
    succeeded: bool = False
    responses: tuple[_Response, ...] = ()


class _Token(Struct):
    token: str


def range_of(key: str) -> bytes:
    """Ask for the key, linearizable: etcd's default."""
    return msgspec.json.encode({"key": _base64(key.encode())})


def txn_of(key: str, expected: int, value: bytes) -> bytes:
    """Put the value if the key was last changed by revision `expected` (0: does not exist), else say what stands."""
    name = _base64(key.encode())
    compare = {"key": name, "target": "MOD", "result": "EQUAL", "mod_revision": str(expected)}
    return msgspec.json.encode(
        {
            "compare": [compare],
            "success": [{"request_put": {"key": name, "value": _base64(value)}}],
            "failure": [{"request_range": {"key": name}}],
        }
    )


def login_of(user: str, password: str) -> bytes:
    """Ask for a token."""
    return msgspec.json.encode({"name": user, "password": password})


def kept(data: bytes) -> Kept:
    """The answer to `range_of`. Raises `NotEtcd`."""
    answer = _decoded(data, _Range)
    if answer.header is None:
        raise NotEtcd("has no header")
    return _kept(answer, answer.header)


def done(data: bytes) -> Done | Kept:
    """The answer to `txn_of`: done, or what stands in its way. Raises `NotEtcd`."""
    answer = _decoded(data, _Txn)
    if answer.succeeded:
        return Done(answer.header.cluster_id, _number(answer.header.revision))
    found = answer.responses[0].response_range if answer.responses else None
    if found is None:
        raise NotEtcd("does not say what stands")
    return _kept(found, answer.header)


def token(data: bytes) -> str:
    """The answer to `login_of`. Raises `NotEtcd`."""
    return _decoded(data, _Token).token


def said(data: bytes) -> Said:
    """The error in an answer that is none; an empty one when it isn't etcd's."""
    try:
        return msgspec.json.decode(data, type=Said)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Said()


def _kept(answer: _Range, header: _Header) -> Kept:
    if not answer.kvs:
        return Kept(header.cluster_id, 0, b"")
    pair = answer.kvs[0]
    version = _number(pair.mod_revision)
    if version <= 0:
        raise NotEtcd("has a key without a revision")
    try:
        return Kept(header.cluster_id, version, b64decode(pair.value, validate=True))
    except ValueError:
        raise NotEtcd("has a value that is no base64") from None


def _decoded(data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
        raise NotEtcd(f"can't be read ({wrong})") from None


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise NotEtcd("has a revision that is no number")
    return int(text)


def _base64(data: bytes) -> str:
    return b64encode(data).decode()
