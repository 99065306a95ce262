"""Whether this machine's clock is kept right: what its time service told the kernel, read by adjtimex."""

import ctypes

from msgspec import Struct

_STRUCT_BYTES = 512
"""More than any system's `struct timex`; zeroed, so that nothing is changed."""
_TIME_ERROR = 5
_SYNCED = range(_TIME_ERROR)


class NtpState(Struct, frozen=True):
    """`synchronised` is None where the kernel can't be asked."""

    synchronised: bool | None


def ntp_state() -> NtpState:
    """What the kernel says. Costs a microsecond; never raises."""
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return NtpState(None)
    answer = adjtimex(ctypes.create_string_buffer(_STRUCT_BYTES))
    if answer in _SYNCED:
        return NtpState(True)
    return NtpState(False) if answer == _TIME_ERROR else NtpState(None)
