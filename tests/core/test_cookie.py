"""The envelope around a cookie: what is damaged, foreign or of the future is never opened, what is old still is."""

import hashlib
import random

from meetkeeper.core.cookie import Mark, seal, unseal
from meetkeeper.core.words import RoomId

OSLO, BERGEN = RoomId("oslo"), RoomId("bergen")
SOURCE = "https://calendar.example/oslo/"
MARK = "sync:http://radicale.org/ns/sync/4f0c|ø\n"


def test_a_mark_comes_back_with_the_reign_that_kept_it() -> None:
    """Whatever characters the source put into it."""
    for mark in (MARK, "", "|||", "\x00", "x" * 100_000, "\ud800"):
        assert unseal(OSLO, SOURCE, seal(OSLO, SOURCE, mark, 3), 5) == Mark(mark, 3)


def test_an_envelope_without_a_reign_is_still_opened() -> None:
    """Cookies kept by a release before this one keep their progress."""
    checksum = hashlib.sha256(f"{OSLO}\n{SOURCE}\n{MARK}".encode()).hexdigest()[:16]
    assert unseal(OSLO, SOURCE, f"mk1|{checksum}|{MARK}", 5) == Mark(MARK, 0)
    assert unseal(BERGEN, SOURCE, f"mk1|{checksum}|{MARK}", 5) is None


def test_a_foreign_envelope_is_not_opened() -> None:
    """Another room's, another source's and another reign's text under our checksum mean nothing here."""
    envelope = seal(OSLO, SOURCE, MARK, 3)
    assert unseal(BERGEN, SOURCE, envelope, 5) is None
    assert unseal(OSLO, f"{SOURCE}x", envelope, 5) is None
    assert unseal(OSLO, SOURCE, envelope.replace("|3|", "|4|"), 5) is None
    assert unseal(OSLO, SOURCE, "", 5) is None
    assert unseal(OSLO, SOURCE, "mk3|x|1|y", 5) is None


def test_an_envelope_from_the_future_is_not_opened() -> None:
    """A reign that has not been: the database was restored, or the cookie is not from this history."""
    envelope = seal(OSLO, SOURCE, MARK, 6)
    assert unseal(OSLO, SOURCE, envelope, 6) == Mark(MARK, 6)
    assert unseal(OSLO, SOURCE, envelope, 5) is None


def test_no_single_spoilt_byte_passes() -> None:
    """Every character changed, left out or doubled is noticed."""
    envelope = seal(OSLO, SOURCE, "sync:4f0c-99", 3)
    dice = random.Random(4)
    for at, letter in enumerate(envelope):
        others = {letter, chr(dice.randrange(33, 127)), "|", "0", "\x00"} - {letter}
        spoilt = [envelope[:at] + other + envelope[at + 1 :] for other in others]
        spoilt += [envelope[:at] + envelope[at + 1 :], envelope[:at], envelope[: at + 1] + envelope[at:]]
        for one in spoilt:
            assert one == envelope or unseal(OSLO, SOURCE, one, 3) is None, one
