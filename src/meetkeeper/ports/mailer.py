"""Whoever takes a finished mail and answers for it.

`Unavailable`: not now (4xx, connection refused). `Refused`: never to this recipient (5xx). Anything that leaves open
whether the mail was taken (the connection broke after the data was sent) raises `FateUnknown`.
"""

from email.message import EmailMessage
from typing import Protocol


class FateUnknown(Exception):
    """The mail was handed over and no answer came: it may or may not be on its way."""


class Mailer(Protocol):
    """One submission server."""

    async def send(self, message: EmailMessage, recipient: str) -> str:
        """Hand one mail over for one recipient; the server's closing line."""
        ...

    async def probe(self) -> str:
        """Connect, greet, log in, leave; a sentence about what answered."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
