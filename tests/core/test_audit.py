"""Audits as the core sees them: what counts as hidden, when a room's turn comes, what is remembered."""

from msgspec.structs import replace

from meetkeeper.core.audit import CHANGED, GONE, NEW, Comparison, alarm, is_due
from meetkeeper.core.changes import CookieKept, RoomTold, apply
from meetkeeper.core.events import Audited, PageSeen
from meetkeeper.core.keeper import step
from meetkeeper.core.plan import apply_plan
from meetkeeper.core.settling import kept_row
from meetkeeper.core.state import RoomNews
from meetkeeper.core.words import RoomId
from tests.core.reconcile_desk import NOW_S, A, Desk, single

DAY_S = 86_400


def compared(desk: Desk) -> Comparison:
    """The room's calendar, whole, beside what is known of it."""
    comparison = Comparison()
    items = desk.calendars[A]
    comparison.shown(desk.state.items.get(A, {}), items.values(), frozenset(items))
    return comparison


def test_what_is_as_reported_is_nothing_to_mend() -> None:
    """Etags, names of people and the order of items are no content."""
    desk = Desk()
    desk.show(A, single("a"), single("b"))
    desk.put(A, replace(single("a"), etag="other"))
    assert compared(desk).found() == ()


def test_new_changed_and_gone_are_found_by_content() -> None:
    """Whatever differs from what was last seen, and in which way."""
    desk = Desk()
    desk.show(A, single("same"), single("changed"), single("gone"))
    desk.put(A, single("changed", subject="Other"), single("new"))
    desk.remove(A, "gone.ics")
    assert compared(desk).found() == (("changed.ics", CHANGED), ("gone.ics", GONE), ("new.ics", NEW))


def test_another_meeting_under_the_same_name_is_found() -> None:
    """After a restored backup a name may stand for something else with equal times and words."""
    desk = Desk()
    desk.show(A, single("a"))
    desk.put(A, replace(single("b"), href="a.ics", fingerprint=single("a").fingerprint))
    assert compared(desk).found() == (("a.ics", CHANGED),)


def test_what_an_older_release_compared_is_no_alarm() -> None:
    """Fingerprints of another make say nothing: counted by themselves; what is new, gone or another UID is found."""
    desk = Desk()
    desk.show(A, single("a"), single("b"), single("gone"))
    for row in list(desk.state.items[A].values()):
        apply(desk.state, kept_row(replace(row, fingerprint=row.fingerprint.partition("-")[2])))
    desk.put(A, single("a"), replace(single("c"), href="b.ics"), single("new"))
    desk.remove(A, "gone.ics")
    comparison = compared(desk)
    assert comparison.found() == (("b.ics", CHANGED), ("gone.ics", GONE), ("new.ics", NEW))
    assert comparison.older == 1


def test_what_the_calendar_names_late_it_did_not_hide() -> None:
    """A change between the last poll and the full read is reported by the mark kept before: no alarm."""
    desk = Desk()
    desk.show(A, single("a"), single("b"))
    desk.put(A, single("a", subject="Other"))
    desk.remove(A, "b.ics")
    comparison = compared(desk)
    comparison.reported(["a.ics", "b.ics", "never-heard-of.ics"])
    assert comparison.found() == ()


def test_what_an_aborted_audit_found_counts_later() -> None:
    """Its pages are kept, so the next audit would find nothing: the comparison goes on from there."""
    desk = Desk()
    desk.show(A, single("a"))
    hidden = single("a", subject="Hidden")
    comparison = Comparison()
    comparison.shown(desk.state.items[A], [hidden], None)
    desk.show(A, hidden)
    comparison.shown(desk.state.items[A], [hidden], frozenset({"a.ics"}))
    assert comparison.found() == (("a.ics", CHANGED),)
    comparison.forget()
    assert comparison.found() == ()


def test_an_item_that_waits_to_be_forgotten_is_no_find() -> None:
    """What was reported gone and what the brake holds is missing from the listing for a known reason."""
    desk = Desk()
    desk.show(A, single("a"))
    desk.show(A, gone=["a.ics"])
    assert compared(desk).found() == ()


def test_every_room_has_its_own_moment_within_the_day() -> None:
    """2,000 rooms: each is due once in any day, no tenth of the day has more than an eighth or less than a twelfth."""
    rooms = [RoomId(f"room-{number}") for number in range(2_000)]
    begun_s = 1_800_000_000.0
    tenths = [0] * 10
    for room in rooms:
        assert not is_due(room, DAY_S, 0.0, begun_s, begun_s)
        assert is_due(room, DAY_S, 0.0, begun_s, begun_s + DAY_S)
        due = [
            tenth
            for tenth in range(10)
            if is_due(room, DAY_S, 0.0, begun_s, begun_s + (tenth + 1) * DAY_S / 10)
        ]
        tenths[due[0]] += 1
    assert min(tenths) > 2_000 / 12
    assert max(tenths) < 2_000 / 8


def test_an_audited_room_waits_for_its_next_moment() -> None:
    """It is due again a day after its moment; one that was missed is made up for at once; 0 means never."""
    room, begun_s = RoomId("oslo"), 1_800_000_000.0
    moment_s = next(at for at in range(0, DAY_S + 60, 60) if is_due(room, DAY_S, 0.0, begun_s, begun_s + at))
    audited_s = begun_s + moment_s
    assert not is_due(room, DAY_S, audited_s, begun_s, audited_s + DAY_S - 120)
    assert is_due(room, DAY_S, audited_s, begun_s, audited_s + DAY_S + 60)
    assert is_due(room, DAY_S, audited_s, begun_s + 9 * DAY_S, audited_s + 9 * DAY_S)
    assert not is_due(room, 0, 0.0, begun_s, begun_s + 9 * DAY_S)


def test_a_clock_that_went_back_stops_no_audit() -> None:
    """A moment that lies in the future was remembered by a wrong clock: it counts as never audited."""
    room, now_s = RoomId("oslo"), 1_800_000_000.0
    assert is_due(room, DAY_S, now_s + 400 * DAY_S, now_s - 2 * DAY_S, now_s)


def test_what_was_mended_is_remembered_and_named() -> None:
    """Counted for good, alarmed until an audit finds nothing, named in notes; the brake's figures stay."""
    desk = Desk()
    apply(desk.state, RoomTold(A, RoomNews(held=3, since_s=5.0, mended=4)))
    many = tuple((f"{number}.ics", NEW) for number in range(30))
    plan = step(desk.state, Audited(A, many, "mk2|x"), NOW_S).plan
    apply_plan(desk.state, plan)
    assert desk.state.rooms_news[A] == RoomNews(3, 5.0, NOW_S, 30, 34)
    assert CookieKept(A, "mk2|x") in plan.changes
    assert [note.code for note in plan.notes] == ["sync.mended"] * 21
    assert "10 more" in plan.notes[-1].why
    apply_plan(desk.state, step(desk.state, Audited(A), NOW_S + 9).plan)
    assert desk.state.rooms_news[A] == RoomNews(3, 5.0, NOW_S + 9, 0, 34)


def test_the_alarm_names_the_worst_rooms() -> None:
    """It stands while a room's last audit had something to mend, and says nothing otherwise."""
    assert alarm({A: RoomNews(mended=7)}) == ""
    news = {RoomId(f"r{number}"): RoomNews(unreported=number, mended=9) for number in range(8)}
    assert alarm(news).endswith(": r7 (7), r6 (6), r5 (5), r4 (4), r3 (3) and 2 more.")


def test_the_brake_leaves_what_audits_found() -> None:
    """Pages and releases change the brake's figures alone."""
    desk = Desk()
    desk.show(A, *(single(f"m{number}") for number in range(10)))
    apply(desk.state, RoomTold(A, RoomNews(audited_s=7.0, unreported=1, mended=2)))
    desk.page(PageSeen(A, listing=frozenset()))
    held = desk.state.rooms_news[A]
    assert (held.held, held.audited_s, held.unreported, held.mended) == (10, 7.0, 1, 2)
    desk.release(A, "kept")
    assert desk.state.rooms_news[A] == RoomNews(audited_s=7.0, unreported=1, mended=2)
