"""Bodies of foreign calendars come out as plain text, whatever they hold."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meetkeeper.mail.plain import CHARS_MAX, plain_text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("Bring cake.\r\n\r\nAnd forks.", "Bring cake.\n\nAnd forks."),
        ("<html><body><p>One</p><p>Two &amp; three</p></body></html>", "One\nTwo & three"),
        ("<div>a<br>b<br/>c</div>", "a\nb\nc"),
        ("<p>x</p><script>alert(1)</script><style>p{}</style><p>y</p>", "x\ny"),
        ("<html><head><title>T</title></head><body>B</body></html>", "B"),
        ('<a href="javascript:alert(1)">click</a>', "click"),
        ("<img src=x onerror=alert(1)>seen", "seen"),
        ("2 < 3 and 5 > 4", "2 < 3 and 5 > 4"),
        ("a\x00b\x1bc\x7f", "abc"),
        ("<p>&nbsp;a&nbsp;b</p>", "a b"),
        ("a\n\n\n\n\nb", "a\n\nb"),
        ("", ""),
    ],
)
def test_bodies_become_text(body: str, text: str) -> None:
    """Mark-up goes, words and line breaks stay."""
    assert plain_text(body) == text


def test_a_long_body_is_cut_and_says_so() -> None:
    """Nobody mails a book to five hundred invitees."""
    text = plain_text("word " * 10_000)
    assert len(text) <= CHARS_MAX + 2
    assert text.endswith("…")


@given(st.text(max_size=300) | st.text(alphabet="<>/script=\"'&;# \n", max_size=200))
def test_any_body_becomes_printable_text(body: str) -> None:
    """No input breaks it, and no control character survives but the line break."""
    text = plain_text(body)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text.replace("\t", ""))
    text.encode("utf-8")
