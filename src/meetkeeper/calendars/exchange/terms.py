"""The terms on which an Exchange server is asked: how long and how much, by which secrets, and what a request is."""

from collections.abc import Callable
from typing import Any

from msgspec import Struct


class Limits(Struct, frozen=True, kw_only=True):
    """How long and how much. Times in seconds: a connection, a silence, a request, a whole pass over a calendar."""

    connect_s: float = 10.0
    read_s: float = 60.0
    request_s: float = 120.0
    pass_s: float = 900.0
    answer_bytes_max: int = 64 << 20


LIMITS = Limits()


class Secrets(Struct, frozen=True):
    """What a configuration only names."""

    password: str = ""
    client_secret: str = ""


Ask = Callable[[Any], Any]
"""Given an account (`line.Acting`), makes a service request of exchangelib and calls it."""
