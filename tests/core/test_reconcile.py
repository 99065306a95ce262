"""Pages: what is new, changed and gone in a room's calendar, the brake, and in which order things settle."""

from msgspec.structs import replace

from meetkeeper.core.changes import CookieKept, ItemForgotten, ItemKept, RoomTold
from meetkeeper.core.configuration import BrakeConfig, CaldavCalendar, RoomConfig
from meetkeeper.core.events import PageSeen
from meetkeeper.core.findings import PageFindings
from meetkeeper.core.reconcile import DUE_LOOKED_AT_MAX, due_uids
from meetkeeper.core.state import RoomNews
from meetkeeper.core.words import Step, Uid
from tests.core.reconcile_desk import (
    DAY_S,
    HALL,
    HOUR_S,
    NOW_S,
    A,
    B,
    Desk,
    config,
    entry,
    item,
    single,
    single_id,
    weekly,
)


def codes(findings: PageFindings) -> list[str]:
    """The notes' codes."""
    return [note.code for note in findings.notes]


def test_a_new_item_waits_until_it_has_settled() -> None:
    """A new item is kept with the instant at which it counts; before that nothing is due."""
    desk = Desk()
    [change] = desk.show(A, single("x")).changes
    assert isinstance(change, ItemKept)
    assert (change.room, change.href, change.uid, change.settle_at_s) == (A, "x.ics", "x", NOW_S + 10.0)
    assert due_uids(desk.state, NOW_S + 9.9) == ()
    assert due_uids(desk.state, NOW_S + 10.0) == (Uid("x"),)


def test_a_room_that_need_not_settle_is_due_at_once() -> None:
    """With a settle time of nothing an item counts from the moment it is seen, and so in a room without calendar."""
    calendar = CaldavCalendar(url="https://calendar.example/", settle_s=0)
    desk = Desk(config(rooms=(RoomConfig(id=A, calendar=calendar), RoomConfig(id=HALL))))
    desk.page(PageSeen(A, (single("x"),)))
    desk.page(PageSeen(HALL, (single("y"),)))
    assert due_uids(desk.state, NOW_S) == ("x", "y")


def test_what_is_known_is_no_news() -> None:
    """A full pass over known content changes the cookie alone, and nothing at all with an equal cookie."""
    desk = Desk()
    desk.put(A, single("x"), weekly("w"))
    desk.full(A, "one")
    desk.wait()
    assert desk.full(A, "two").changes == (CookieKept(A, "two"),)
    assert desk.full(A, "two") == PageFindings()
    assert desk.full(A, None) == PageFindings()


def test_an_etag_never_decides() -> None:
    """The same content under a new etag is remembered and settles nothing."""
    desk = Desk()
    desk.show(A, single("x"))
    desk.wait()
    [change] = desk.show(A, replace(single("x"), etag="2")).changes
    assert isinstance(change, ItemKept)
    assert (change.etag, change.settle_at_s, change.item) == ("2", None, None)
    assert desk.wait() == []


def test_a_burst_of_changes_settles_once_and_in_time() -> None:
    """Changes while an item settles do not put it off: it counts so many seconds after the first of them."""
    desk = Desk()
    desk.show(A, single("x"))
    desk.now_s += 6
    desk.show(A, single("x", subject="Other"))
    assert due_uids(desk.state, NOW_S + 10.0) == ("x",)
    desk.wait(4)
    assert [one.subject for one in desk.open()] == ["Other"]


def test_a_deletion_waits_and_may_be_taken_back() -> None:
    """An item deleted and made again under another name, in one page or in two, is one meeting all the time."""
    for pages in (1, 2):
        desk = Desk()
        desk.show(A, single("x"))
        desk.wait()
        again = replace(single("x", hours=30), href="other.ics")
        if pages == 1:
            desk.show(A, again, gone=["x.ics"])
        else:
            desk.show(A, gone=["x.ics"])
            desk.wait(5)
            desk.show(A, again)
        found = [finding for one in desk.wait() + desk.wait() for finding in one.meetings]
        assert [type(finding).__name__ for finding in found] == ["Changed"]
        assert desk.step_of(single_id("x")) is Step.SCHEDULED
        assert list(desk.state.items[A]) == ["other.ics"]


def test_an_item_that_was_never_seen_may_be_gone() -> None:
    """Deletions of unknown names are passed over: they tell of things we never took."""
    desk = Desk()
    assert desk.page(PageSeen(A, gone=("never.ics",))) == PageFindings()
    assert desk.page(PageSeen(B, gone=("x.ics", "x.ics"))) == PageFindings()


def test_shown_and_gone_in_one_page_is_there() -> None:
    """A body is better evidence than a deletion under the same name, and than its absence from a listing."""
    desk = Desk()
    desk.show(A, single("x"))
    desk.wait()
    assert desk.page(PageSeen(A, (single("x"),), gone=("x.ics",), listing=frozenset())) == PageFindings()


def test_without_a_listing_nothing_is_swept() -> None:
    """A page that names no listing takes nothing away, however little it shows; a listing sweeps."""
    desk = Desk()
    desk.show(A, single("x"), single("y"))
    desk.wait()
    assert desk.page(PageSeen(A, (single("x"),))) == PageFindings()
    desk.page(PageSeen(A, (single("x"),), listing=frozenset(["x.ics"])))
    desk.wait()
    assert [one.uid for one in desk.open()] == ["x"]


def test_an_unreadable_item_stays_what_it_was() -> None:
    """What can't be read is neither new nor gone: a note says so and the meeting stands."""
    desk = Desk()
    desk.show(A, single("x"))
    desk.wait()
    page = PageSeen(A, listing=frozenset(["x.ics"]), problems=(("x.ics", "no DTSTART"),))
    findings = desk.page(page)
    assert findings.changes == ()
    assert codes(findings) == ["sync.unreadable"]
    assert "x.ics" in findings.notes[0].why
    assert [one.uid for one in desk.open()] == ["x"]


def test_gone_and_then_listed_is_not_gone() -> None:
    """A deletion that a later listing contradicts is taken back, also when the item itself can't be read."""
    desk = Desk()
    desk.show(A, single("x"))
    desk.wait()
    desk.page(PageSeen(A, gone=("x.ics",)))
    desk.page(PageSeen(A, listing=frozenset(["x.ics"]), problems=(("x.ics", "no DTSTART"),)))
    desk.wait()
    assert [one.uid for one in desk.open()] == ["x"]


def test_what_the_mapping_guessed_is_noted_once() -> None:
    """Remarks of a new or changed item become notes; those of a known one do not."""
    desk = Desk()
    guessed = replace(single("x"), remarks=("its zone was read as Europe/Oslo",))
    assert codes(desk.show(A, guessed)) == ["sync.remark"]
    assert codes(desk.show(A, guessed)) == []


def test_a_name_given_to_another_uid_is_another_item() -> None:
    """A file that now holds another meeting: the new one is made, the old one is cancelled, even with equal content."""
    desk = Desk()
    desk.show(A, single("x"))
    desk.wait()
    desk.show(A, replace(single("y"), href="x.ics"))
    desk.wait()
    assert [one.uid for one in desk.open()] == ["y"]
    assert desk.step_of(single_id("x")) is Step.CANCELLED
    assert list(desk.state.items[A]) == ["x.ics"]


def test_the_past_is_forgotten_without_a_word() -> None:
    """A meeting that is over and leaves the calendar leaves its row at once and nothing else."""
    desk = Desk()
    desk.show(A, single("x"))
    desk.wait()
    desk.now_s += 3 * DAY_S
    assert desk.show(A, gone=["x.ics"]).changes == (ItemForgotten(A, "x.ics"),)
    assert desk.step_of(single_id("x")) is Step.SCHEDULED


# --- the brake ------------------------------------------------------------------------------------------------


def booked(count: int) -> Desk:
    """A desk with so many meetings in room a, one an hour from tomorrow on, and brake at more than three and 20 %."""
    desk = Desk()
    desk.put(A, *(single(f"m{number}", 24 + number) for number in range(count)))
    desk.full(A)
    desk.wait()
    return desk


def test_a_mass_disappearance_is_held() -> None:
    """An emptied calendar cancels nothing: the items are held, the room told, a person asked."""
    desk = booked(10)
    desk.calendars[A].clear()
    findings = desk.full(A)
    assert codes(findings) == ["sync.brake"]
    assert RoomTold(A, RoomNews(10, desk.now_s)) in findings.changes
    assert desk.wait() == []
    assert len(desk.open()) == 10
    assert desk.full(A) == PageFindings()


def test_both_bounds_must_be_passed() -> None:
    """Three of ten, or four of a hundred, go as usual."""
    for count, lost in ((10, 3), (100, 4), (20, 4)):
        desk = booked(count)
        desk.show(A, gone=[f"m{number}.ics" for number in range(lost)])
        desk.wait()
        assert len(desk.open()) == count - lost
    desk = booked(19)
    desk.show(A, gone=[f"m{number}.ics" for number in range(4)])
    desk.wait()
    assert len(desk.open()) == 19


def test_the_past_does_not_count() -> None:
    """Old meetings swept from a calendar are no mass disappearance, and no base to measure one against."""
    desk = booked(30)
    desk.now_s += 2 * DAY_S  # 24 of 30 are over
    desk.show(A, gone=[f"m{number}.ics" for number in range(24)])
    desk.wait()
    assert len(desk.state.items[A]) == 6
    findings = desk.show(A, gone=[f"m{number}.ics" for number in range(26, 30)])
    assert codes(findings) == ["sync.brake"]


def test_moved_items_do_not_count() -> None:
    """A calendar whose items all get new names has lost nothing."""
    desk = booked(10)
    calendar = desk.calendars[A]
    renamed = [replace(one, href=f"new-{href}") for href, one in calendar.items()]
    calendar.clear()
    desk.put(A, *renamed)
    assert codes(desk.full(A)) == []
    assert all(not one.meetings for one in desk.wait())
    assert len(desk.open()) == 10
    assert len(desk.state.items[A]) == 10


def test_a_series_counts_as_one_and_only_while_it_goes_on() -> None:
    """Series ahead count, those that have ended do not."""
    desk = Desk()
    for number in range(4):
        desk.put(
            A, weekly(f"on{number}"), weekly(f"off{number}", hours=-24 * 30, rrule="FREQ=WEEKLY;COUNT=2")
        )
    desk.full(A)
    desk.wait()
    desk.show(A, gone=[f"off{number}.ics" for number in range(4)])
    desk.wait()
    assert len(desk.state.items[A]) == 4
    assert codes(desk.show(A, gone=[f"on{number}.ics" for number in range(4)])) == ["sync.brake"]


def test_items_come_back_by_themselves() -> None:
    """The same calendar seen again releases every item, and the room's brake with the last of them."""
    desk = booked(10)
    calendar = dict(desk.calendars[A])
    desk.calendars[A].clear()
    desk.full(A)
    since_s = desk.now_s
    desk.now_s += HOUR_S
    desk.put(A, *list(calendar.values())[:4])
    desk.full(A)
    assert desk.state.rooms_news[A] == RoomNews(6, since_s)
    desk.put(A, *calendar.values())
    assert codes(desk.full(A)) == ["sync.released"]
    assert desk.state.rooms_news[A] == RoomNews()
    assert desk.wait() == []
    assert len(desk.open()) == 10


def test_a_held_item_that_changed_comes_back_changed() -> None:
    """Reappearing with another time releases and moves the meeting."""
    desk = booked(10)
    desk.calendars[A].clear()
    desk.full(A)
    desk.show(A, single("m3", 50))
    desk.wait()
    assert desk.state.rooms_news[A].held == 9
    assert desk.open()[-1].uid == "m3"


def test_held_items_may_come_back_under_other_names() -> None:
    """The same meetings in new files release the brake, and the old names are let go without a word."""
    desk = booked(10)
    renamed = [replace(one, href=f"new-{href}") for href, one in desk.calendars[A].items()]
    desk.calendars[A].clear()
    desk.full(A)
    desk.put(A, *renamed)
    assert codes(desk.full(A)) == ["sync.released"]
    assert all(not one.meetings for one in desk.wait())
    assert sorted(desk.state.items[A]) == sorted(one.href for one in renamed)
    assert len(desk.open()) == 10


def test_a_person_lets_them_go() -> None:
    """Released as gone, all held meetings are cancelled with the next tick, and another deletion does not stop that."""
    desk = booked(10)
    desk.show(A, gone=[f"m{number}.ics" for number in range(8)])
    assert codes(desk.release(A, "gone")) == ["sync.released"]
    desk.show(A, gone=["m8.ics"])
    desk.wait()
    assert [one.uid for one in desk.open()] == ["m9"]
    assert desk.state.rooms_news[A] == RoomNews()
    assert list(desk.state.items[A]) == ["m9.ics"]


def test_a_person_keeps_them() -> None:
    """Released as kept, they stay without an alarm until the calendar shows them, and may still be let go."""
    desk = booked(10)
    desk.calendars[A].clear()
    desk.full(A)
    desk.release(A, "kept")
    assert desk.full(A) == PageFindings()
    assert desk.wait() == []
    assert len(desk.open()) == 10
    assert desk.state.rooms_news[A] == RoomNews()
    desk.show(A, single("m0", 24))
    desk.show(A, gone=["m0.ics"])
    desk.wait()
    assert len(desk.open()) == 9
    desk.release(A, "gone")
    desk.wait()
    assert desk.open() == []


def test_releasing_nothing_is_nothing() -> None:
    """Where the brake holds nothing, a release changes nothing."""
    assert Desk().release(A, "gone") == PageFindings()
    assert Desk().release(A, "kept") == PageFindings()


def test_a_loss_in_pieces_is_a_loss() -> None:
    """Deletions that arrive one by one within the settle time are counted together, and so is what is held already."""
    desk = booked(10)
    for number in range(3):
        assert codes(desk.show(A, gone=[f"m{number}.ics"])) == []
    assert codes(desk.show(A, gone=["m3.ics"])) == ["sync.brake"]
    assert desk.state.rooms_news[A].held == 4
    desk.show(A, gone=["m4.ics"])
    assert desk.state.rooms_news[A].held == 5
    desk.wait()
    assert len(desk.open()) == 10


def test_the_brake_of_one_room_is_its_own() -> None:
    """While room a is held, room b goes on as usual."""
    desk = booked(10)
    desk.show(B, single("other"))
    desk.wait()
    desk.calendars[A].clear()
    desk.full(A)
    desk.show(B, gone=["other.ics"])
    desk.wait()
    assert len(desk.open()) == 10
    assert B not in desk.state.rooms_news


def test_an_open_brake() -> None:
    """A percentage of a hundred never holds anything."""
    desk = Desk(config(brake=BrakeConfig(items_min=0, percent=100)))
    desk.show(A, single("x"))
    desk.wait()
    desk.show(A, gone=["x.ics"])
    desk.wait()
    assert desk.open() == []


# --- what settles when ----------------------------------------------------------------------------------------


def test_the_soonest_meeting_settles_first() -> None:
    """After a long silence the meeting about to begin comes first, the past last; series and deletions do not wait."""
    desk = Desk()
    desk.put(A, single("gone"))
    desk.full(A)
    desk.wait()
    desk.show(
        A, single("later", 60), single("past", -60), single("soon", 1), weekly("weekly"), gone=["gone.ics"]
    )
    assert due_uids(desk.state, desk.now_s + 10) == ("gone", "weekly", "soon", "later", "past")


def test_a_flood_is_looked_at_in_parts() -> None:
    """However many items have settled, the search for the soonest ones is bounded."""
    desk = Desk()
    desk.page(PageSeen(A, tuple(item(f"{number}", entry()) for number in range(DUE_LOOKED_AT_MAX + 5))))
    assert len(due_uids(desk.state, desk.now_s + 10)) == DUE_LOOKED_AT_MAX
