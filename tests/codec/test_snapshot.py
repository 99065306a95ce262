"""Snapshots: a State comes back whole from its lines, and nothing but a whole snapshot is taken for one."""

import hashlib
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meetkeeper.codec import snapshot
from meetkeeper.core.bulk import Bulk
from meetkeeper.core.changes import MeetingStepped, SeriesKept, apply, raw
from meetkeeper.core.errors import Corrupt, MeetkeeperError, TheirMistake
from meetkeeper.core.plan import Plan, apply_plan
from meetkeeper.core.state import State
from meetkeeper.core.words import Alias, MeetingId, Step, Uid
from meetkeeper.ha.words import Position
from meetkeeper.store.check import faults_of
from tests.codec.plans import every_plan, meeting_kept

AT = Position(3, 13, "ab" * 16)


def lived() -> State:
    """A state with something in every table."""
    state = State()
    for plan in every_plan():
        apply_plan(state, plan)
    return state


def crowded(count: int) -> State:
    """Many meetings in all steps, some of a series, some live."""
    state, dice = State(), random.Random(count)
    for plan in every_plan()[:2]:
        apply_plan(state, plan)
    apply(state, SeriesKept(Uid("weekly"), 0, raw({}), Alias("weekly"), "777"))
    steps = list(Step)
    for number in range(100, 100 + count):
        series = Uid("weekly") if number % 5 == 0 else None
        apply(state, meeting_kept(number, step=dice.choice(steps), series=series))
        if number % 7 == 0:
            apply(state, MeetingStepped(MeetingId(f"m{number}"), Step.LIVE, number + 0.5))
    return state


def written(state: State) -> bytes:
    """The snapshot's file."""
    return b"".join(snapshot.encode(snapshot.image(state, AT)))


@pytest.mark.parametrize("state", [State(), lived(), crowded(700)], ids=["empty", "everything", "many"])
def test_a_state_comes_back(state: State) -> None:
    """Rows, finished effects and every index are the same after a snapshot, however its bytes arrive."""
    data = written(state)
    for size in (len(data), 4_096, 7 if len(data) < 20_000 else 1_000):
        loaded = snapshot.load(data[at : at + size] for at in range(0, len(data), size))
        assert loaded.position == AT
        assert snapshot.digest_of(loaded.state) == snapshot.digest_of(state)
        assert list(faults_of(loaded.state)) == []
        assert list(loaded.state.done) == list(state.done)
        assert loaded.state.settings().time if loaded.state.config else not state.config
        assert written(loaded.state) == data
        assert loaded.size == len(data)


def test_the_last_line_holds_the_hash_of_all_others() -> None:
    """Whoever hashes all but the last line, whose length never changes, gets what it says."""
    data = written(lived())
    last = data[-snapshot.END_BYTES :]
    assert snapshot.checksum_of(last) == hashlib.sha256(data[: -snapshot.END_BYTES]).hexdigest()
    assert snapshot.checksum_of(last[:-1]) is None
    assert snapshot.checksum_of(b"x" + last[1:]) is None
    assert snapshot.load([data]).sha256 == snapshot.checksum_of(last)


def test_every_line_is_json() -> None:
    """Any tool that reads JSON Lines reads a snapshot, and the bodies of meetings stand in it as they are."""
    lines = written(crowded(300)).split(b"\n")[:-1]
    for line in lines:
        msgspec.json.decode(line)
    assert bytes(meeting_kept(101).body) in lines


@given(st.data())
def test_a_cut_snapshot_is_refused(data: st.DataObject) -> None:
    """Every proper beginning of a snapshot is damaged."""
    whole = written(crowded(20))
    with pytest.raises(Corrupt):
        snapshot.load([whole[: data.draw(st.integers(0, len(whole) - 1))]])


@given(st.data())
def test_any_damage_is_an_error_of_the_house_or_shows_in_the_hash(data: st.DataObject) -> None:
    """A changed byte is refused with one of our errors, or the bytes no longer fit the hash in the last line."""
    whole = bytearray(written(crowded(20)))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    try:
        loaded = snapshot.load([bytes(whole)])
    except MeetkeeperError:
        return
    assert loaded.sha256 != hashlib.sha256(whole[: -snapshot.END_BYTES]).hexdigest()


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(data: bytes) -> None:
    """Foreign bytes raise nothing but our own errors."""
    with pytest.raises(MeetkeeperError):
        snapshot.load([data])


def test_what_goes_on_behind_the_end_is_refused() -> None:
    """A snapshot ends with its last line."""
    with pytest.raises(Corrupt, match="behind its end"):
        snapshot.load([written(lived()), b"\n"])


def test_a_newer_snapshot_is_refused_with_advice() -> None:
    """A snapshot of a newer format says so, whatever its header has become."""
    header = b'{"kind":"snapshot","format":99,"era":"later"}\n'
    with pytest.raises(TheirMistake, match="newer release"):
        snapshot.load([header])


def test_the_digest_does_not_depend_on_the_order() -> None:
    """Two servers that came to the same rows by different ways have the same digest; one byte more, another."""
    plans = [Plan(1.0, (meeting_kept(number),)) for number in range(20)]
    one, other = State(), State()
    for plan in plans:
        apply_plan(one, plan)
    for plan in reversed(plans):
        apply_plan(other, plan)
    assert snapshot.digest_of(one) == snapshot.digest_of(other)
    apply(other, meeting_kept(3, subject="Talk!"))
    assert snapshot.digest_of(one) != snapshot.digest_of(other)


def test_a_picture_does_not_change_when_the_state_does() -> None:
    """What is encoded later is what stood there when the picture was taken."""
    state = lived()
    before = written(state)
    picture = snapshot.image(state, AT)
    for number in range(30):
        apply(state, meeting_kept(number, subject="later"))
    apply(state, MeetingStepped(MeetingId("m2"), Step.LIVE, 1.0))
    assert b"".join(snapshot.encode(picture)) == before


def test_loading_in_bulk_is_loading_one_by_one() -> None:
    """The bulk path fills tables and indexes as one `put_meeting` after another does."""
    rows = list(crowded(400).meetings.values())
    one_by_one, at_once = State(), State()
    for state in (one_by_one, at_once):
        apply(state, SeriesKept(Uid("weekly"), 0, raw({}), Alias("weekly"), "777"))
    for row in rows:
        one_by_one.put_meeting(row)
    bulk = Bulk(at_once)
    bulk.add(rows[:150])
    bulk.add(rows[150:])
    bulk.finish()
    for room, agenda in one_by_one.agendas.items():
        assert at_once.agendas[room].starts == agenda.starts
        assert at_once.agendas[room].longest_s == agenda.longest_s
    assert at_once.occupancy.busy.keys() == one_by_one.occupancy.busy.keys()
    assert at_once.due.watched() == one_by_one.due.watched()
    assert list(faults_of(at_once)) == []
