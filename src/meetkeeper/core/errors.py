"""Whose fault, what happened, what to do: the one family of errors of the house.

Adapters translate every foreign error into one of these leaves before it passes their border, so no floor above ever
sees an HTTP status, an SMTP code or an errno. Each message is a whole sentence that ends with what to do next.
"""

from collections.abc import Mapping


class MeetkeeperError(Exception):
    """The root. `code` is a stable word for programs, `message` a sentence for people.

    `detail` carries values a caller may act on (the conflicting meetings, the offending field) and is plain JSON data.
    """

    def __init__(self, code: str, message: str, *, detail: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.detail: Mapping[str, object] = detail or {}


class OurMistake(MeetkeeperError):
    """A rule of this program was broken by this program; nothing the caller sent can mend it."""


class TheirMistake(MeetkeeperError):
    """What was sent is malformed, too large or impossible; sending it again unchanged fails again."""


class Refused(MeetkeeperError):
    """Understood, and for good reason not done: a conflict, a missing right, a permanent answer of a neighbour."""


class Stale(MeetkeeperError):
    """The caller decided on an older revision; read again, decide again."""


class NotFound(Refused):
    """The named thing does not exist here."""


class Unavailable(MeetkeeperError):
    """A neighbour or this server cannot answer now. `retry_after_s` is when asking again makes sense."""

    def __init__(self, code: str, message: str, *, retry_after_s: float = 5.0) -> None:
        super().__init__(code, message, detail={"retry_after_s": retry_after_s})
        self.retry_after_s = retry_after_s


class Corrupt(MeetkeeperError):
    """Kept bytes do not say what they said when they were written. `detail` names file, offset and sequence."""
