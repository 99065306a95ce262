"""One meeting keeps one name, however a calendar spells it."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meetkeeper.core.identity import fingerprint, is_comparable, make_of, normalise_uid
from meetkeeper.core.words import Entry

HEADER = "040000008200E00074C5B7101A82E008"
REST = "0000000020C5A4F1D2B5DB010000000000000000" + "10000000" + "A1B2C3D4E5F60718293A4B5C6D7E8F90"


def wrapped(uid: bytes, *, date: str = "00000000") -> str:
    """A global object id around another program's UID (MS-OXOCAL 2.2.1.27)."""
    data = b"vCal-Uid\x01\x00\x00\x00" + uid + b"\x00"
    return HEADER + date + "00" * 16 + len(data).to_bytes(4, "little").hex() + data.hex()


@pytest.mark.parametrize("date", ["00000000", "07EA0B16", "07ea0b16"])
def test_every_occurrence_has_the_series_uid(date: str) -> None:
    """The instance's date inside a global object id, its case and white space don't matter."""
    spelled = HEADER.lower() + date + REST[8:]
    assert normalise_uid(f"  {spelled[:40]}\n {spelled[40:]} ") == HEADER + "00000000" + REST[8:]


def test_another_programs_uid_is_the_same_inside_and_outside() -> None:
    """Exchange wraps foreign UIDs; the copy in a CalDAV calendar and the one in a mailbox are one meeting."""
    assert normalise_uid(wrapped(b"abc@google.com")) == "abc@google.com" == normalise_uid(" abc@google.com ")
    assert normalise_uid(wrapped("møte".encode(), date="07EA0B16")) == "møte"
    assert normalise_uid(wrapped(wrapped(b"deep").encode())) == "deep"


@pytest.mark.parametrize("inside", [b"", b"  ", b"\xff\xfe"])
def test_a_wrapper_without_a_readable_uid_stays_as_it_is(inside: bytes) -> None:
    """Nothing, or bytes that are no text, are no UID; the global object id itself is."""
    assert normalise_uid(wrapped(inside)) == wrapped(inside).upper()


@given(st.text(max_size=60) | st.text(alphabet="0123456789abcdefABCDEF", max_size=120).map(HEADER.__add__))
def test_normalising_twice_changes_nothing(text: str) -> None:
    """No text is too strange, and a normal UID is its own normal form."""
    once = normalise_uid(text)
    assert normalise_uid(once) == once


def test_another_field_is_another_make() -> None:
    """Whoever compares more of an item, or reads more into it, makes fingerprints of another make."""
    known = Entry.__struct_fields__
    makes = {make_of(known, 1), make_of((*known, "colour"), 1), make_of(known, 2), make_of(known[1:], 1)}
    assert len(makes) == 4
    entry = Entry(start=datetime(2027, 3, 3, 9), duration_s=60)  # noqa: DTZ001 - a wall time
    made = fingerprint(entry, ())
    assert is_comparable(made)
    assert not is_comparable(made[1:])
    assert not is_comparable(make_of(known, 0) + made[4:])
