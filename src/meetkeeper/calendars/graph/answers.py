"""Answers of Graph and whose fault they are: status and error object → one of our errors. Pure but for the clock."""

from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from meetkeeper.bounded.gate import wait_s
from meetkeeper.core.errors import MeetkeeperError, NotFound, Refused, TheirMistake, Unavailable


class Answer(Struct, frozen=True):
    """One answer, alone or as part of a batch: its status, its body as JSON text, what error it names."""

    status: int
    body: bytes = b""
    code: str = ""
    text: str = ""
    retry_after_s: float | None = None


class _Error(Struct, frozen=True):
    code: str | None = None
    message: str | None = None


class _Failed(Struct, frozen=True):
    error: _Error = _Error()


def answer_of(status: int, body: bytes, retry_after: str | None) -> Answer:
    """An answer from its parts; of an error what it names."""
    pause = None if retry_after is None else wait_s(retry_after, datetime.now(UTC))
    if status < 300:
        return Answer(status, body, retry_after_s=pause)
    try:
        error = msgspec.json.decode(body, type=_Failed).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        error = _Error()
    return Answer(status, body, (error.code or "")[:80], (error.message or "")[:200], pause)


def to_error(answer: Answer, where: str) -> MeetkeeperError:
    """What an unwelcome answer means to us. `where` names host and mailbox."""
    status = answer.status
    code = "".join(one for one in answer.code if one.isalnum() or one in "._-")
    shown = f"{where} answered {status}" + (f" ({code})" if code else "")
    if status == 401:
        return Refused(
            "calendar.login", f"{shown}: it does not accept the app's token. Check the app registration."
        )
    if status == 403:
        return Refused(
            "calendar.forbidden",
            f"{shown}: the app may not do this. Give it Calendars.Read (to write: Calendars.ReadWrite) for this room.",
        )
    if status == 404:
        return NotFound(
            "calendar.not-found",
            f"{shown}: there is no such mailbox or item. Correct the mailbox; on an Exchange server it is read by EWS.",
        )
    if status in (408, 423, 425, 429) or status >= 500:
        pause_s = 30.0 if answer.retry_after_s is None else answer.retry_after_s
        return Unavailable(
            "calendar.busy", f"{shown}: it can't serve us now; it is asked again.", retry_after_s=pause_s
        )
    if status in (405, 409, 410, 412, 413, 415, 422):
        return Refused(
            "calendar.objects", f"{shown}: it objects. Look at the item in the calendar and decide by hand."
        )
    return TheirMistake(
        "calendar.odd-answer", f"{shown}, which makes no sense here. Check endpoint and mailbox."
    )
