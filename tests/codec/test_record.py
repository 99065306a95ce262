"""Records: plans come back as they were, what a newer release wrote is refused, and formats change knowingly."""

import hashlib
import json
import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meetkeeper.codec import record, snapshot
from meetkeeper.core.errors import Corrupt, MeetkeeperError, TheirMistake
from meetkeeper.core.plan import Plan, apply_plan
from meetkeeper.core.state import Series, State
from meetkeeper.core.words import Meeting
from tests.codec.plans import every_plan, meeting_kept

PIN = "MEETKEEPER_PIN=1 pytest tests/codec/test_record.py"
PINNED = Path(__file__).with_name("formats.json")


@pytest.mark.parametrize("plan", every_plan(), ids=lambda plan: f"at {plan.at_s:.0f}")
def test_a_plan_comes_back_as_it_was(plan: Plan) -> None:
    """Every change and every effect survives its encoding, byte for byte."""
    body = record.encode(plan, 7)
    found = record.decode(body)
    assert record.encode(found.plan, 7) == body
    assert (found.v, found.kept, record.kept_of(body)) == (record.FORMAT, 7, 7)


def test_every_change_and_effect_is_tried() -> None:
    """The history used by these tests leaves out no kind of change and no kind of effect."""
    plans = every_plan()
    changes = {type(change) for plan in plans for change in plan.changes}
    effects = {type(effect) for plan in plans for effect in plan.effects}
    kinds = msgspec.inspect.type_info(Plan)
    assert isinstance(kinds, msgspec.inspect.StructType)
    wanted = {
        one.cls
        for field in kinds.fields
        if field.name in {"changes", "effects"}
        for one in _struct_types(field.type)
    }
    assert changes | effects == wanted


def _struct_types(kind: msgspec.inspect.Type) -> list[msgspec.inspect.StructType]:
    assert isinstance(kind, msgspec.inspect.VarTupleType)
    assert isinstance(kind.item_type, msgspec.inspect.UnionType)
    return [one for one in kind.item_type.types if isinstance(one, msgspec.inspect.StructType)]


def test_a_body_laid_out_by_hand_becomes_one_line() -> None:
    """A line feed in an embedded body never reaches the journal; one inside a text stays what it is."""
    laid_out = meeting_kept(1)
    laid_out = msgspec.structs.replace(
        laid_out, body=msgspec.Raw(json.dumps(json.loads(bytes(laid_out.body)), indent=2).encode())
    )
    body = record.encode(Plan(1.0, (laid_out,)), 0)
    assert b"\n" not in body
    once, again = State(), State()
    apply_plan(once, Plan(1.0, (meeting_kept(1),)))
    apply_plan(again, record.decode(body).plan)
    row = again.meetings[laid_out.id]
    assert again.decode(row) == once.decode(once.meetings[laid_out.id])


@pytest.mark.parametrize(
    "body",
    [
        b'{"v":2,"kept":0,"plan":{"at_s":1.0,"changes":[{"kind":"teleported","id":"m1"}]}}',
        b'{"v":2,"anything":[1,2,3]}',
        b'{"v":99,"kept":0,"plan":{"at_s":1.0}}',
    ],
)
def test_a_newer_format_is_refused_with_advice(body: bytes) -> None:
    """What a newer release wrote is refused as that, known kinds in it or not."""
    with pytest.raises(TheirMistake, match="newer release") as caught:
        record.decode(body)
    assert caught.value.code == "record.newer"


@pytest.mark.parametrize(
    "body",
    [
        b'{"v":1,"kept":0,"plan":{"at_s":1.0,"changes":[{"kind":"teleported","id":"m1"}]}}',
        b'{"v":1,"kept":0,"plan":{"at_s":1.0,"changes":[{"kind":"meeting","id":"m1"}]}}',
        b'{"v":0,"kept":0,"plan":{"at_s":1.0}}',
        b"[]",
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_what_is_no_record_is_refused(body: bytes) -> None:
    """An unknown kind, a missing field and foreign bytes are refused, never passed over."""
    with pytest.raises(Corrupt) as caught:
        record.decode(body)
    assert caught.value.code == "record.unreadable"


@given(st.binary(max_size=120))
def test_any_bytes_are_a_record_or_an_error_of_the_house(body: bytes) -> None:
    """Decoding foreign bytes raises nothing but our own errors."""
    try:
        record.decode(body)
    except MeetkeeperError:
        assert record.kept_of(body) >= 0


def test_records_change_together_with_their_format() -> None:
    """A released format's records never change: an older release would pass over what it does not know."""
    pinned = json.loads(PINNED.read_text(encoding="utf-8"))
    now = {"format": record.FORMAT, "released": pinned["released"], "fingerprint": _fingerprint()}
    if os.environ.get("MEETKEEPER_PIN"):
        pinned = {**now, "released": pinned["released"] and pinned["format"] == record.FORMAT}
        PINNED.write_text(json.dumps(pinned, indent=2) + "\n", encoding="utf-8")
    assert pinned["format"] == record.FORMAT, f"pin the new format: {PIN}"
    assert not pinned["released"] or pinned == now, (
        f"a kept record has changed: raise record.FORMAT, then {PIN}"
    )


def _fingerprint() -> str:
    """A hash of every field of everything that is kept; texts for people do not count."""
    kinds = [record.Record, Meeting, Series, snapshot.Header, snapshot.Meetings, snapshot.Live, snapshot.End]
    _, components = msgspec.json.schema_components(kinds, ref_template="{name}")
    return hashlib.sha256(json.dumps(_silent(components), sort_keys=True).encode()).hexdigest()


def _silent(schema: object) -> object:
    if isinstance(schema, dict):
        return {key: _silent(value) for key, value in schema.items() if key not in {"description", "title"}}
    if isinstance(schema, list):
        return [_silent(value) for value in schema]
    return schema
