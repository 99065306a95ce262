"""Somebody else's XML: a tree of the caller's nodes, or an error that says whose fault it is; never half of it."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meetkeeper.bounded import xml
from meetkeeper.core.errors import TheirMistake

SPEAKER = xml.Speaker("The calendar server", remedy="look at it", address="a calendar", depth_max=4)
WHOLE = b'<?xml version="1.0"?><a xmlns="urn:x" n="1">one<b>two</b>three</a>'


def make(tag: str, text: str, inside: tuple[Any, ...], attributes: Mapping[str, str]) -> Any:
    """A node as a plain tuple."""
    return (tag, text, inside, dict(attributes))


def test_a_tree_is_read() -> None:
    """Names with their namespace, an element's own text, what is inside, attributes."""
    inside: Any = (("{urn:x}b", "two", (), {}),)
    assert xml.parse(WHOLE, SPEAKER, make, str) == ("{urn:x}a", "onethree", inside, {"n": "1"})


@pytest.mark.parametrize("end", range(1, len(WHOLE)))
def test_a_part_is_not_taken_for_the_whole(end: int) -> None:
    """Cut anywhere, it is an error."""
    with pytest.raises(TheirMistake) as caught:
        xml.parse(WHOLE[:end], SPEAKER, make, str)
    assert caught.value.code == xml.NOT_XML


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"<a><b><c><d/></c></b></a>", ""),
        (b"<a><b><c><d><e/></d></c></b></a>", xml.TOO_LARGE),
        (b"<a>" + b"<b/>" * xml.ELEMENTS_MAX + b"</a>", xml.TOO_LARGE),
        (b"<!DOCTYPE a><a/>", xml.HOSTILE),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', xml.HOSTILE),
        (b'<?xml version="1.0" encoding="no-such"?><a/>', xml.NOT_XML),
        (b"", xml.NOT_XML),
        (b"<a/><b/>", xml.NOT_XML),
    ],
)
def test_bounds(body: bytes, code: str) -> None:
    """So many levels and elements and no more; no DTD, no entities; the sentence names who answered."""
    if not code:
        assert xml.parse(body, SPEAKER, make, str)[0] == "a"
        return
    with pytest.raises(TheirMistake, match=r"^The calendar server's answer") as caught:
        xml.parse(body, SPEAKER, make, str)
    assert caught.value.code == code


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """No other error ever comes out."""
    code = ""
    try:
        xml.parse(body, SPEAKER, make, str)
    except TheirMistake as mistake:
        code = mistake.code
    assert code in ("", xml.HOSTILE, xml.NOT_XML, xml.TOO_LARGE)
