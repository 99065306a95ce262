"""What servers say: every message comes through any cutting, and anything else is garbage, soon and cheaply."""

import struct
import time
import typing

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meetkeeper.codec import wire
from meetkeeper.codec.frame import FRAME_BYTES_MAX
from meetkeeper.core.errors import OurMistake, TheirMistake
from meetkeeper.ha import words
from meetkeeper.ha.words import Frames, Have, Hello, Leaving, Message, Piece, Position, Proof, Record, Refusal

numbers = st.integers(0, 2**63 - 1)
texts = st.text(st.characters(codec="utf-8"), max_size=20)
times = st.floats(0, 1e10)
positions = st.builds(Position, numbers, numbers, texts)
records = st.none() | st.builds(
    Record,
    cluster=texts,
    epoch=numbers,
    active=texts,
    in_sync=st.lists(texts, max_size=2).map(tuple),
    mode=st.sampled_from(words.Mode),
    by=texts,
    why=texts,
    at_s=times,
    nonce=texts,
)
st.register_type_strategy(Position, positions)
facts = st.builds(words.Facts, release=texts, wall_s=times, reasons=st.lists(texts, max_size=2).map(tuple))
hellos = st.builds(
    Hello,
    protocol=numbers,
    cluster=texts,
    name=texts,
    instance=texts,
    to=texts,
    role=st.sampled_from(words.Role),
    epoch=numbers,
    position=positions,
    waypoints=st.lists(positions, max_size=3).map(tuple),
    record=records,
    version=numbers,
    facts=facts,
)
proofs = st.builds(
    Proof,
    texts,
    numbers,
    st.sampled_from(words.Witness),
    st.none() | positions,
    records,
    texts,
    times,
    st.booleans(),
    texts,
)
openings = hellos | st.builds(Refusal, texts, texts)
others = st.one_of(
    st.builds(
        words.Beacon, sent_s=times, role=st.sampled_from(words.Role), epoch=numbers, position=positions
    ),
    st.builds(words.Echo, times, numbers),
    st.builds(words.Begin, positions, numbers, numbers, numbers),
    st.builds(Frames, st.binary(max_size=300)),
    st.builds(Piece, numbers, numbers, st.binary(max_size=300), st.booleans()),
    st.builds(words.WantSnapshot, numbers, numbers),
    st.builds(Have, positions, numbers),
    st.builds(words.AskGrant, numbers, numbers, records.filter(bool)),
    st.builds(words.Granted, numbers, st.booleans(), records, numbers),
    st.builds(words.Yielded, proofs),
    st.builds(Leaving, texts, times),
)
talks = st.tuples(openings, st.lists(others, max_size=6)).map(lambda talk: [talk[0], *talk[1]])
HELLO = wire.encode(Refusal("x", "y"))


def fed(data: bytes, sizes: list[int], reader: wire.Reader | None = None) -> list[Message]:
    """What a reader makes of bytes that come in pieces of these sizes, again and again."""
    reader = reader or wire.Reader()
    found: list[Message] = []
    at = turn = 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        found += reader.feed(data[at : at + size])
        at += size
        turn += 1
    return found


@given(talks, st.lists(st.integers(1, 400), min_size=1, max_size=5))
def test_every_message_comes_through_any_cutting(talk: list[Message], sizes: list[int]) -> None:
    """What was said is heard, in order and equal, however the bytes were cut; nothing is left over."""
    reader = wire.Reader()
    assert fed(b"".join(map(wire.encode, talk)), sizes, reader) == talk
    assert reader.held_bytes == 0


@given(st.binary(max_size=400), st.booleans(), st.lists(st.integers(1, 50), min_size=1, max_size=4))
def test_any_bytes_are_messages_or_garbage(data: bytes, greeted: bool, sizes: list[int]) -> None:
    """Any bytes make messages or `wire.garbage`, and nothing else; the verdict does not depend on the cutting."""

    def verdict(sizes: list[int]) -> str:
        reader = wire.Reader()
        if greeted:
            reader.feed(HELLO)
        try:
            return repr(fed(data, sizes, reader))
        except TheirMistake as wrong:
            return wrong.code

    said = verdict(sizes)
    assert said == verdict([len(data) or 1])
    assert said.startswith("[") or said == "wire.garbage"


@given(talks, st.data())
def test_a_changed_byte_is_never_more_than_garbage(talk: list[Message], data: st.DataObject) -> None:
    """A talk with one byte changed is read as messages or refused, never another error."""
    said = bytearray(b"".join(map(wire.encode, talk)))
    said[data.draw(st.integers(0, len(said) - 1))] ^= data.draw(st.integers(1, 255))
    code = "wire.garbage"
    try:
        wire.Reader().feed(bytes(said))
    except TheirMistake as wrong:
        code = wrong.code
    assert code == "wire.garbage"


@pytest.mark.parametrize(
    "said",
    [
        HELLO + b"\x00\x00\x00\x02\x63{}",
        HELLO + b"\x00\x00\x00\x02\x00{}",
        HELLO + b"\x00\x00\x00\x00\x09",
        HELLO + b"\x00\x00\x00\x03\x09{}",
        HELLO + b"\x00\x00\x00\x03\x07xy",
        HELLO + struct.pack(">IB", wire.BULK_BYTES_MAX + 2, 6),
        HELLO + struct.pack(">IB", wire.SAID_BYTES_MAX + 1, 9),
        HELLO + struct.pack(">IBQQB", 18, 7, 1, 1, 2),
        HELLO + struct.pack(">IB", 200_001, 3) + b'{"x":' + b"[" * 199_995,
        wire.encode(Frames(b"x")),
        wire.encode(Leaving("x", 1.0)),
        struct.pack(">IB", wire.HELLO_BYTES_MAX + 1, 1),
    ],
    ids=[
        "unknown kind",
        "kind nought",
        "nothing at all",
        "fields missing",
        "a piece cut short",
        "frames too long",
        "words too long",
        "neither last nor not",
        "nested without end",
        "frames before the hello",
        "leaving before the hello",
        "a long hello",
    ],
)
def test_what_can_not_be_said_is_garbage_from_then_on(said: bytes) -> None:
    """Unknown kinds, wrong lengths and a talk without a hello are refused as soon as they show, and for good."""
    reader = wire.Reader()
    with pytest.raises(TheirMistake) as wrong:
        reader.feed(said)
    assert wrong.value.code == "wire.garbage"
    assert reader.held_bytes == 0
    with pytest.raises(TheirMistake):
        reader.feed(HELLO)


def test_the_longest_of_each_kind_comes_through_and_no_more_is_sent() -> None:
    """The longest frame and piece pass, one byte more is our own mistake and never leaves."""
    longest = b"x" * FRAME_BYTES_MAX
    reader = wire.Reader()
    reader.feed(HELLO)
    for message in (Frames(longest), Piece(1, 2, longest, last=True)):
        data = wire.encode(message)
        assert len(data) <= wire.MESSAGE_BYTES_MAX
        assert reader.feed(data) == [message]
    for too_long in (
        Frames(longest + b"x"),
        Piece(1, 2, longest + b"x", last=True),
        Leaving("x" * wire.SAID_BYTES_MAX, 1.0),
        Refusal("x", "y" * wire.HELLO_BYTES_MAX),
    ):
        with pytest.raises(OurMistake) as wrong:
            wire.encode(too_long)
        assert wrong.value.code == "wire.too_long"


def test_frames_too_long_for_one_message_travel_as_several() -> None:
    """A batch of many lines is cut between lines and arrives whole; one line that is too long never leaves."""
    line = b"x" * (5 * 1024 * 1024) + b"\n"
    reader = wire.Reader()
    reader.feed(HELLO)
    heard = reader.feed(wire.encode(Frames(line * 10)))
    assert len(heard) == 4
    assert all(isinstance(one, Frames) and one.data.endswith(b"\n") for one in heard)
    assert b"".join(one.data for one in heard if isinstance(one, Frames)) == line * 10
    with pytest.raises(OurMistake):
        wire.encode(Frames(line + b"x" * FRAME_BYTES_MAX + b"\n"))


def test_large_data_leaves_as_the_very_object() -> None:
    """Frames and pieces are not copied on their way out."""
    data = b"x" * 100_000
    assert wire.pieces(Frames(data))[1] is data
    assert wire.pieces(Piece(1, 0, data, last=False))[1] is data


def test_every_message_has_a_kind() -> None:
    """No message was forgotten, and the numbers of the wire stand still."""
    assert set(wire.KINDS.values()) == set(typing.get_args(Message))
    assert [kind.__name__ for _, kind in sorted(wire.KINDS.items())] == [
        "Hello",
        "Refusal",
        "Beacon",
        "Echo",
        "Begin",
        "Frames",
        "Piece",
        "WantSnapshot",
        "Have",
        "AskGrant",
        "Granted",
        "Yielded",
        "Leaving",
    ]


def test_a_newer_server_may_say_more_of_a_known_kind() -> None:
    """A field that is unknown here is passed over: servers one protocol apart understand each other."""
    body = msgspec.json.encode({"why": "an upgrade", "back_after_s": 5.0, "new_here": [1, 2]})
    reader = wire.Reader()
    reader.feed(HELLO)
    assert reader.feed(struct.pack(">IB", 1 + len(body), 13) + body) == [Leaving("an upgrade", 5.0)]


@pytest.mark.parametrize("piece_bytes", [16 * 1024, 256 * 1024])
def test_a_catch_up_is_not_held_up_by_the_wire(piece_bytes: int) -> None:
    """A hundred megabytes are read in well under a second, also when they come in pieces of a TLS record."""
    reader = wire.Reader()
    reader.feed(HELLO)
    head, data = wire.pieces(Frames(b"x" * (4 * 1024 * 1024)))
    stream = head + data
    began, got = time.perf_counter(), 0
    for _ in range(25):
        for at in range(0, len(stream), piece_bytes):
            got += len(reader.feed(stream[at : at + piece_bytes]))
    took = time.perf_counter() - began
    assert got == 25
    print(f"\n{25 * len(stream) / 1e6 / took:,.0f} MB/s in pieces of {piece_bytes:,}")
    assert took < 1.0
