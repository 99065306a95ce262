"""Writing how to join into the rooms' copies: once for each revision, by the room's policy, and it is never news."""

from msgspec.structs import replace

from meetkeeper.core.configuration import IcsCalendar, RoomConfig
from meetkeeper.core.effects import AnnotateItem, EnsureVmr, SendMail
from meetkeeper.core.events import Done, Later
from meetkeeper.core.joinblock import WAITS, JoinBlock
from meetkeeper.core.words import RoomId, Uid
from meetkeeper.engine.dispatch import noted_by
from tests.core.keeper_kit import HOUR_S, NOW_S, Keeper, configured, shown

UID = Uid("one")
ZOOM = "https://acme.zoom.us/j/98765432101"


def keeper_with(*policies: str) -> Keeper:
    """A keeper with a room for each policy, the first one called shown."""
    rooms = tuple(
        RoomConfig(
            id="shown" if not number else f"room{number}",
            email=f"room{number}@example.org",
            calendar=IcsCalendar(folder=f"f{number}"),
            write_back=policy,  # type: ignore[arg-type] # one of the three words
        )
        for number, policy in enumerate(policies)
    )
    return Keeper(configured(rooms=(*rooms, RoomConfig(id="r1"))))


def notes(keeper: Keeper) -> list[tuple[str, int, str]]:
    """What is to be written back now: room, revision, turn."""
    effects = [row.effect for row in keeper.open_effects(AnnotateItem)]
    return sorted((one.room, one.revision, one.turn) for one in effects if isinstance(one, AnnotateItem))


def write(keeper: Keeper) -> list[JoinBlock | None]:
    """Carry out what is to be written back; what it was."""
    written: list[JoinBlock | None] = []
    for row in keeper.open_effects(AnnotateItem):
        assert isinstance(row.effect, AnnotateItem)
        found = noted_by(keeper.state, row.effect)
        if not isinstance(found, Done):
            assert found[0] == UID
            written.append(found[1])
        keeper.report(row.key, found if isinstance(found, Done) else Done("written"))
    return written


def test_nothing_is_written_unless_the_room_wants_it() -> None:
    """By default calendars are left as they are, and invitees are mailed."""
    keeper = keeper_with("none")
    keeper.show(shown("one"))
    assert len(keeper.told()) == 2
    assert notes(keeper) == []


def test_it_is_written_once_the_vmr_stands_and_with_each_revision() -> None:
    """Link, PIN and number go into the copy when the bridge has confirmed them, and again when the meeting changes."""
    keeper = keeper_with("mail")
    keeper.show(shown("one"))
    assert notes(keeper) == []
    assert len(keeper.told()) == 2
    assert notes(keeper) == [("shown", 1, "stands")]
    (block,) = write(keeper)
    vmr = keeper.vmr(keeper.state.meetings_of(UID)[0].id)
    assert block is not None
    assert vmr.pin in block.text
    assert f"/join/{vmr.alias}" in block.html
    keeper.show(shown("one", subject="Other", sequence=1))
    assert notes(keeper) == [("shown", 2, "stands")]
    keeper.show(gone=("one.ics",))
    assert write(keeper) == []


def test_while_the_bridge_is_away_a_placeholder_stands_there() -> None:
    """The first failure writes that it follows; once the VMR stands the block takes its place."""
    keeper = keeper_with("mail")
    keeper.show(shown("one"))
    key = keeper.open_effects(EnsureVmr)[0].key
    for _ in range(3):
        keeper.report(key, Later("away"))
    assert notes(keeper) == [("shown", 1, "waits")]
    (block,) = write(keeper)
    assert block is not None
    assert WAITS in block.text
    keeper.report(key, Later("away"))
    assert notes(keeper) == []
    keeper.settle_bridge()
    (block,) = write(keeper)
    assert block is not None
    assert "PIN" in block.text


def test_what_comes_late_writes_what_is_so_by_then() -> None:
    """A placeholder that waited for its calendar until the VMR stood writes the block; an older revision nothing."""
    keeper = keeper_with("mail")
    keeper.show(shown("one"))
    keeper.report(keeper.open_effects(EnsureVmr)[0].key, Later("away"))
    keeper.settle_bridge()
    texts = [block.text for block in write(keeper) if block is not None]
    assert len(texts) == 2
    assert all("PIN" in text for text in texts)
    keeper.told()
    keeper.show(shown("one", subject="Other", sequence=1))
    late = keeper.open_effects(AnnotateItem)[0].effect
    assert isinstance(late, AnnotateItem)
    keeper.show(shown("one", subject="Third", sequence=2))
    assert isinstance(noted_by(keeper.state, late), Done)


def test_a_room_that_only_writes_mails_nobody() -> None:
    """With `room` the copy says it and no mail goes out; one other room with another policy and everybody is mailed."""
    keeper = keeper_with("room", "room")
    keeper.show(shown("one"))
    keeper.show(shown("one"), room="room1")
    assert keeper.told() == []
    assert [room for room, _, _ in notes(keeper)][-2:] == ["room1", "shown"]
    keeper = keeper_with("room", "none")
    keeper.show(shown("one"))
    keeper.show(shown("one"), room="room1")
    assert keeper.told() != []
    assert {room for room, _, _ in notes(keeper)} == {"shown"}


def test_a_series_is_written_as_a_whole() -> None:
    """One effect for each room and revision of a series, none for its occurrences."""
    keeper = keeper_with("mail")
    keeper.show(shown("one", rrule="FREQ=DAILY;COUNT=3"))
    keeper.told()
    assert notes(keeper) == [("shown", 1, "stands")]
    (block,) = write(keeper)
    assert block is not None
    keeper.show(shown("one", rrule="FREQ=DAILY;COUNT=4", sequence=1))
    assert notes(keeper) == [("shown", 2, "stands")]


def test_a_link_takes_the_block_out() -> None:
    """When a foreign link takes the VMR's place, the copy no longer shows our door."""
    keeper = keeper_with("mail")
    keeper.show(shown("one"))
    keeper.told()
    write(keeper)
    keeper.show(shown("one", location=ZOOM, sequence=1))
    assert notes(keeper) == [("shown", 2, "gone")]
    assert write(keeper) == [None]


def test_meetings_booked_here_are_written_whole_as_ever() -> None:
    """A booking's copy is ours; nothing is written back into it."""
    keeper = keeper_with("mail")
    keeper.book(rooms=(RoomId("shown"),))
    keeper.told()
    assert notes(keeper) == []


def test_a_copy_that_comes_back_with_our_block_changes_nothing() -> None:
    """The calendar shows the item again, under another etag, with our block in its body: no change, effect or mail."""
    keeper = keeper_with("mail")
    item = shown("one", description="Agenda\n1. Budget")
    keeper.show(item)
    keeper.told()
    write(keeper)
    before = keeper.state.meetings_of(UID)[0]
    plan = keeper.show(replace(item, etag="after our hand", blocks=(before.id,)))
    assert plan.empty
    assert keeper.state.meetings_of(UID)[0] == before
    assert not keeper.open_effects(SendMail)
    assert not keeper.open_effects(AnnotateItem)


def test_a_meeting_that_is_over_is_left_alone() -> None:
    """What could not be written before the end is not written after it."""
    keeper = keeper_with("mail")
    keeper.show(shown("one"))
    keeper.told()
    keeper.tick_through(NOW_S + HOUR_S)
    keeper.tick_through(NOW_S + 2 * HOUR_S)
    assert write(keeper) == []


def test_a_block_that_somebody_lost_is_written_again_once() -> None:
    """The organizer saves an older body: same words, or only newer, under the same name or another. Once a revision."""
    for lost in (
        shown("one"),
        shown("one", href="other.ics"),
        shown("one", modified_s=NOW_S + 5),
    ):
        keeper = keeper_with("mail")
        keeper.show(shown("one"))
        keeper.told()
        write(keeper)
        gone = ("one.ics",) if lost.href != "one.ics" else ()
        keeper.show(replace(lost, etag="saved"), gone=gone)
        assert notes(keeper) == [("shown", 1, "again")]
        (block,) = write(keeper)
        assert block is not None
        keeper.show(replace(lost, etag="stripped"))
        assert notes(keeper) == []
        assert keeper.told() == []
        keeper.show(shown("one", href=lost.href, subject="Other", sequence=1))
        assert notes(keeper) == [("shown", 2, "stands")]


def test_where_the_block_stands_nothing_is_written() -> None:
    """An item that shows our block is left alone; so is one whose block is about to be written."""
    keeper = keeper_with("mail")
    keeper.show(shown("one"))
    keeper.show(replace(shown("one"), etag="2"))
    assert notes(keeper) == []
    keeper.told()
    keeper.show(replace(shown("one"), etag="3"))
    assert notes(keeper) == [("shown", 1, "stands")]
    write(keeper)
    ref = keeper.state.meetings_of(UID)[0].id
    keeper.show(replace(shown("one"), etag="4", blocks=(ref,)))
    assert notes(keeper) == []
