"""Frames: what is encoded is scanned again, and any other bytes are named for what they are."""

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meetkeeper.codec import frame
from meetkeeper.codec.frame import Frame, Why
from meetkeeper.core.errors import TheirMistake
from meetkeeper.ha.words import ORIGIN, Position

bodies = st.binary(max_size=60).map(lambda data: data.replace(b"\n", b" "))


def chain_of(some: list[bytes], epoch: int = 1) -> list[Frame]:
    """Frames with these bodies, from the beginning."""
    position, frames = ORIGIN, []
    for body in some:
        one = frame.encode(position, epoch, body)
        frames.append(one)
        position = one.position
    return frames


def joined(frames: list[Frame]) -> bytes:
    """Their lines."""
    return b"".join(one.line for one in frames)


@given(st.lists(bodies, max_size=6))
def test_what_is_encoded_is_scanned(some: list[bytes]) -> None:
    """A chain of frames scans to the same frames, bodies and position, to the last byte."""
    frames = chain_of(some)
    scan = frame.scan(joined(frames), ORIGIN)
    assert scan.frames == frames
    assert [one.body for one in scan.frames] == some
    assert scan.why is Why.END
    assert scan.good_length == len(joined(frames))
    assert scan.position == (frames[-1].position if frames else ORIGIN)


@given(st.lists(bodies, min_size=1, max_size=4), st.data())
def test_a_cut_leaves_whole_frames_and_a_torn_one(some: list[bytes], data: st.DataObject) -> None:
    """Cut anywhere, the frames before the cut are found and the rest is torn."""
    frames = chain_of(some)
    whole = joined(frames)
    cut = data.draw(st.integers(0, len(whole)))
    scan = frame.scan(whole[:cut], ORIGIN)
    ends = [0, *(sum(len(one.line) for one in frames[: count + 1]) for count in range(len(frames)))]
    assert scan.good_length == max(end for end in ends if end <= cut)
    assert scan.why is (Why.END if cut in ends else Why.TORN)


@given(st.binary(max_size=200), st.sampled_from([ORIGIN, Position(0, 5, "")]))
def test_any_bytes_are_frames_or_a_reason(data: bytes, before: Position) -> None:
    """Nothing that may stand in a file raises."""
    scan = frame.scan(data, before)
    assert scan.good_length <= len(data)
    assert (scan.why is Why.END) == (scan.good_length == len(data))
    list(frame.survivors(data, 0))


@given(st.lists(bodies, min_size=1, max_size=3), st.data())
def test_a_flipped_bit_stops_the_scan(some: list[bytes], data: st.DataObject) -> None:
    """No byte of a frame can change by a bit without the scan stopping at that frame."""
    whole = bytearray(joined(chain_of(some)))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= 1 << data.draw(st.integers(0, 7))
    scan = frame.scan(bytes(whole), ORIGIN)
    assert scan.why is not Why.END
    assert scan.good_length <= place


def test_a_missing_frame_is_a_gap() -> None:
    """A good frame whose seq is not the next one stops the scan as a gap."""
    first, _, third = chain_of([b"a", b"b", b"c"])
    assert frame.scan(first.line + third.line, ORIGIN).why is Why.GAP


def test_an_older_epoch_stops_the_scan() -> None:
    """An epoch never goes backwards within a journal."""
    first = frame.encode(ORIGIN, 3, b"a")
    second = frame.encode(first.position, 2, b"b")
    assert frame.scan(first.line + second.line, ORIGIN).why is Why.EPOCH


def test_another_history_stops_the_scan() -> None:
    """A good frame of the right seq that follows another frame is told from ours by the chain."""
    ours, theirs = chain_of([b"a", b"b"]), chain_of([b"x", b"b"])
    assert frame.scan(ours[0].line + theirs[1].line, ORIGIN).why is Why.CHAIN


def test_an_unknown_hash_takes_the_first_frame_as_it_stands() -> None:
    """A segment can be read without the one before it; from its second frame on the chain is verified."""
    frames = chain_of([b"a", b"b", b"c"])
    scan = frame.scan(joined(frames[1:]), Position(0, 1, ""))
    assert scan.why is Why.END
    assert scan.position == frames[-1].position


def test_survivors_are_found_behind_damage() -> None:
    """Good lines behind a damaged one are found, whatever stands between."""
    frames = chain_of([b"a", b"b", b"c"])
    data = frames[0].line + b"garbage\n" + frames[1].line[:-3] + b"\n" + frames[2].line + b"torn"
    assert list(frame.survivors(data, len(frames[0].line))) == [frames[2]]


def test_a_frame_has_a_greatest_length() -> None:
    """A plan that fits into no frame is refused by its name, one that just fits is not."""
    head = len(frame.encode(ORIGIN, 1, b"").line)
    longest = frame.encode(ORIGIN, 1, b"x" * (frame.FRAME_BYTES_MAX - head))
    assert len(longest.line) == frame.FRAME_BYTES_MAX
    with pytest.raises(TheirMistake, match="make it smaller") as caught:
        frame.encode(ORIGIN, 1, b"x" * (frame.FRAME_BYTES_MAX - head + 1))
    assert caught.value.code == "frame.too_long"


def test_a_line_without_end_is_not_read_for_ever() -> None:
    """More bytes without a line feed than a frame may have are damage, not a torn frame."""
    assert frame.scan(b"x" * (frame.FRAME_BYTES_MAX + 1), ORIGIN).why is Why.DAMAGED


def test_cut_gives_plain_json() -> None:
    """The command in the module's text prints the bodies, spaces and all."""
    lines = joined(chain_of([b'{"plan": {"a b": 1}}', b'{"plan": 2}']))
    done = subprocess.run(["cut", "-d", " ", "-f5-"], input=lines, capture_output=True, check=True)
    assert done.stdout == b'{"plan": {"a b": 1}}\n{"plan": 2}\n'
