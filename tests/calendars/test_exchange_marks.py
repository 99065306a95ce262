"""What a mark remembers beside the server's sync state."""

import pytest

from meetkeeper.calendars.exchange.marks import PENDING_MAX, Mark, pack, unpack


@pytest.mark.parametrize(
    "mark",
    [
        Mark("H4sIAAA="),
        Mark("H4sIAAA=", {"QUJD": 1.5}),
        Mark("H4sIAAA=", {"QUJD": 1.5}, ("REVG", "æ|:"), unswept=True),
        Mark("H4sIAAA=", unswept=True),
    ],
)
def test_a_mark_comes_back_as_it_was(mark: Mark) -> None:
    """Packed and unpacked; a mark with nothing pending is the bare state."""
    assert unpack(pack(mark)) == mark
    assert (pack(mark) == mark.state) is (mark == Mark(mark.state))


@pytest.mark.parametrize("text", ["!", "!x", "!AAAA", "!bnVsbA==", "!e30=", "!æ"])
def test_what_nobody_packed_is_no_mark(text: str) -> None:
    """Never an error but None."""
    assert unpack(text) is None


def test_a_mark_has_a_bound() -> None:
    """So many names and no more."""
    names = {str(number): 0.0 for number in range(PENDING_MAX)}
    assert Mark("s", names).is_small
    assert not Mark("s", names, ("one more",)).is_small
