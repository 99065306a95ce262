"""What a meeting's history says of each change: words for people, and no row of fields."""

from meetkeeper.core.changes import EffectMoved, IdempotencyKept, ItemKept
from meetkeeper.core.plan import Plan
from meetkeeper.core.state import Status
from meetkeeper.core.words import EffectKey, RoomId, Uid
from meetkeeper.engine.history import _row


def said(*changes: EffectMoved | IdempotencyKept | ItemKept) -> list[str]:
    """The lines of a frame with these changes."""
    return [line.text for line in _row(2, 7, Plan(1.0, changes), "m1").lines]


def test_an_item_is_told_by_where_it_stands_and_what_holds_it() -> None:
    """Neither its fingerprint nor a flag that says nothing."""
    item = ItemKept(RoomId("oslo"), "m1.ics", Uid("u"), '"etag"', "fingerprint")
    assert said(item) == ["m1.ics in the calendar of oslo"]
    settling = ItemKept(RoomId("oslo"), "m1.ics", Uid("u"), '"etag"', "fingerprint", settle_at_s=3.0)
    assert said(settling) == ["m1.ics in the calendar of oslo, still settling"]
    held = ItemKept(RoomId("oslo"), "m1.ics", Uid("u"), '"etag"', "fingerprint", gone=True, held=True)
    assert said(held) == ["m1.ics in the calendar of oslo, gone, held by the brake"]


def test_an_effect_is_told_by_how_it_stands() -> None:
    """With the try only when it was not the first, and with its reason when there is one."""
    key = EffectKey("mail/m1/1/REQUEST/kari@example.org")
    assert said(EffectMoved(key, Status.SENDING, 1, 5.0)) == [f"{key} is sending"]
    assert said(EffectMoved(key, Status.WAITING, 3, 5.0, "busy")) == [f"{key} is waiting, try 3: busy"]


def test_a_key_against_repetition_shows_nothing_of_itself() -> None:
    """The answer it stands for is named, the caller's key is not."""
    (line,) = said(IdempotencyKept("local|secret-key", "hash", "m1", 1.0))
    assert "m1" in line
    assert "secret-key" not in line
