"""Whose fault a code of EWS is, and what to do about it. Pure.

Codes are Microsoft's ResponseCode words (MS-OXWSCDATA 2.2.5.24); what is not named here is an answer that makes no
sense to us.
"""

from meetkeeper.calendars.exchange.soap import Fault
from meetkeeper.core.errors import MeetkeeperError, NotFound, Refused, TheirMistake, Unavailable

BACK_OFF_S_MAX = 3_600.0
"""Longest pause a server may ask for; beyond that it is asked again to be sure."""
COOKIE_CODES = frozenset({"ErrorInvalidSyncStateData"})
GONE_CODES = frozenset({"ErrorItemNotFound"})
_AWAY = frozenset(
    {
        "ErrorADOperation",
        "ErrorADUnavailable",
        "ErrorBatchProcessingStopped",
        "ErrorConnectionFailed",
        "ErrorExceededConnectionCount",
        "ErrorInsufficientResources",
        "ErrorInternalServerError",
        "ErrorInternalServerTransientError",
        "ErrorMailboxFailover",
        "ErrorMailboxMoveInProgress",
        "ErrorMailboxStoreUnavailable",
        "ErrorNoRespondingCASInDestinationSite",
        "ErrorNotEnoughMemory",
        "ErrorProxyCallFailed",
        "ErrorServerBusy",
        "ErrorTimeoutExpired",
        "ErrorTooManyObjectsOpened",
    }
)
_MISSING = frozenset(
    {
        "ErrorFolderNotFound",
        "ErrorManagedFolderNotFound",
        "ErrorMissingEmailAddress",
        "ErrorNonExistentMailbox",
        "ErrorNonPrimarySmtpAddress",
        "ErrorSyncFolderNotFound",
    }
)
_OBJECTS = ("ErrorCalendar", "ErrorIrresolvable", "ErrorOccurrence")
_FORBIDDEN = {
    "ErrorAccessDenied": "Give the account rights on the room's calendar (Reviewer), or impersonation.",
    "ErrorAccountDisabled": "Enable the account.",
    "ErrorImpersonateUserDenied": "Give the account the role ApplicationImpersonation for this room.",
    "ErrorImpersonationDenied": "Give the account the role ApplicationImpersonation for this room.",
    "ErrorImpersonationFailed": "Look at the role ApplicationImpersonation and at the room's address.",
    "ErrorInvalidServerVersion": "The server is older than Exchange 2013 SP1; use a newer one.",
    "ErrorPasswordChangeRequired": "Change the account's password.",
    "ErrorPasswordExpired": "Change the account's password.",
    "ErrorQuotaExceeded": "Make room in the mailbox.",
}


def to_error(fault: Fault, where: str) -> MeetkeeperError:
    """What a fault means to us. `where` names server and mailbox."""
    shown = f"{where} answered {fault.code}"
    if fault.code in _AWAY:
        wait_s = 30.0 if fault.back_off_s is None else min(fault.back_off_s, BACK_OFF_S_MAX)
        return Unavailable(
            "calendar.busy", f"{shown}: it can't serve us now; it is asked again.", retry_after_s=wait_s
        )
    if fault.code in _MISSING:
        return NotFound(
            "calendar.not-found",
            f"{shown}: there is no such mailbox or calendar. Correct the mailbox's address.",
        )
    if fault.code in _FORBIDDEN:
        return Refused("calendar.forbidden", f"{shown}. {_FORBIDDEN[fault.code]}")
    if fault.code in GONE_CODES or fault.code.startswith(_OBJECTS):
        return Refused(
            "calendar.objects", f"{shown}: it objects. Look at the item in the calendar and decide by hand."
        )
    return TheirMistake(
        "calendar.odd-answer", f"{shown}, which makes no sense here. Look at the server's log."
    )


def to_status_error(status: int, where: str, retry_after_s: float | None = None) -> MeetkeeperError:
    """What an HTTP status other than 200 means."""
    shown = f"{where} answered HTTP {status}"
    if status == 401:
        return Refused(
            "calendar.login", f"{shown}: it does not accept the login. Correct the calendar server's login."
        )
    if status in (301, 302, 303, 307, 308):
        return Refused(
            "calendar.redirects",
            f"{shown}: it redirects, and our login must not go elsewhere. Configure the address that EWS itself has.",
        )
    if status == 403:
        return Refused("calendar.forbidden", f"{shown}: EWS is not allowed for this account. Allow it.")
    if status in (404, 410):
        return NotFound("calendar.not-found", f"{shown}: there is no EWS. Correct the server's address.")
    if status in (408, 425, 429) or status >= 500:
        wait_s = 30.0 if retry_after_s is None else min(retry_after_s, BACK_OFF_S_MAX)
        return Unavailable(
            "calendar.busy", f"{shown}: it can't serve us now; it is asked again.", retry_after_s=wait_s
        )
    return TheirMistake(
        "calendar.odd-answer", f"{shown}, which makes no sense here. Check the address of EWS."
    )
