"""Whatever calendars, pages and failures do: the end is what the calendars say, as if nothing had happened."""

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from meetkeeper.core.configuration import BrakeConfig
from meetkeeper.core.events import PageSeen
from meetkeeper.core.findings import PageFindings
from meetkeeper.core.words import CalendarItem, RoomId, Uid
from tests.core.reconcile_desk import ANN, BEN, Desk, config, entry, item

ROOMS = (RoomId("a"), RoomId("b"), RoomId("c"))
UIDS = ("u1", "u2")
UNBRAKED = config(brake=BrakeConfig(items_min=1_000, percent=100))
relaxed = settings(suppress_health_check=[HealthCheck.too_slow])


@st.composite
def items(draw: st.DrawFn) -> CalendarItem:
    """A version of one of a few meetings: single, series with exceptions, cancelled, private, overrides alone, past."""
    uid = draw(st.sampled_from(UIDS))
    kind = draw(st.sampled_from(["single", "single", "past", "weekly", "daily", "moved", "alone", "past"]))
    hours = draw(st.sampled_from([3, 24, 30, 24 * 20, 24 * 200]))
    fields: dict[str, Any] = {
        "sequence": draw(st.integers(0, 2)),
        "modified_s": draw(st.integers(0, 2)),
        "subject": draw(st.sampled_from(["Talk", "Other"])),
        "cancelled": draw(st.integers(0, 5)) == 0,
        "private": draw(st.integers(0, 5)) == 0,
        "organizer": draw(st.sampled_from([ANN, BEN, None])),
        "attendees": draw(st.sampled_from([(), (BEN,), (ANN, BEN)])),
        "description": draw(st.sampled_from(["", "text"])),
        "zone": draw(st.sampled_from(["UTC", "", "Europe/Berlin", "Nowhere"])),
    }
    href = draw(st.sampled_from([f"{uid}.ics", f"{uid}.ics", f"{uid}-again.ics"]))
    if kind == "past":
        return item(uid, entry(-50, **fields), href=href)
    if kind == "single":
        return item(uid, entry(hours, **fields), href=href)
    if kind == "weekly":
        master = entry(hours, rrule="FREQ=WEEKLY;COUNT=4", **fields)
        return item(uid, replace(master, exdates=(master.start,) if draw(st.booleans()) else ()), href=href)
    if kind == "daily":
        return item(
            uid,
            entry(hours - 200, rrule=f"FREQ=DAILY;INTERVAL={draw(st.integers(3, 9))}", **fields),
            href=href,
        )
    master = entry(hours, rrule="FREQ=DAILY;COUNT=5", **fields)
    to = entry(hours + draw(st.sampled_from([24, 30, 24 * 40])), **fields)
    moved = replace(
        to,
        recurrence_id=entry(hours + 24).start,
        this_and_future=draw(st.booleans()),
        subject="Moved",
        cancelled=False,
    )
    return item(uid, None if kind == "alone" else master, moved, href=href)


edits = st.tuples(st.just("put"), st.sampled_from(ROOMS), items()) | st.tuples(
    st.just("remove"),
    st.sampled_from(ROOMS),
    st.sampled_from([f"{uid}{more}.ics" for uid in UIDS for more in ("", "-again")]),
)
arrivals = (
    st.tuples(st.just("increment"), st.sampled_from(ROOMS), st.integers(1, 3))
    | st.tuples(st.just("full"), st.sampled_from(ROOMS), st.integers(1, 3))
    | st.tuples(st.just("cut"), st.sampled_from(ROOMS), st.integers(1, 3))
    | st.tuples(st.just("again"), st.sampled_from(ROOMS), st.integers(1, 3))
    | st.tuples(st.just("wait"), st.sampled_from(ROOMS), st.integers(0, 12))
    | st.tuples(st.just("unreadable"), st.sampled_from(ROOMS), st.integers(1, 3))
)
stories = st.lists(edits | arrivals, max_size=25)


class Wire:
    """Between calendars and desk: increments since the last answer, split, repeated, cut or unreadable."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.told: dict[RoomId, dict[str, CalendarItem]] = {room: {} for room in ROOMS}
        self.last: list[PageSeen] = []

    def play(self, story: list[tuple[str, RoomId, Any]]) -> None:
        """Let everything happen, in this order."""
        acts: dict[str, Callable[[RoomId, Any], None]] = {
            "put": self.desk.put,
            "remove": self.desk.remove,
            "increment": self.increment,
            "full": self.full,
            "cut": self.cut,
            "again": self.again,
            "unreadable": self.unreadable,
            "wait": lambda _, seconds: self._wait(seconds),
        }
        for act, room, what in story:
            acts[act](room, what)

    def _wait(self, seconds: int) -> None:
        self.desk.wait(seconds)

    def increment(self, room: RoomId, pages: int) -> None:
        """What changed since the last answer, in so many pages."""
        there, told = self.desk.calendars[room], self.told[room]
        changed = [one for href, one in there.items() if told.get(href) != one]
        gone = tuple(href for href in told if href not in there)
        for number in range(pages):
            last = number == pages - 1
            self._send(PageSeen(room, tuple(changed[number::pages]), gone if last else ()))
        self.told[room] = dict(there)

    def full(self, room: RoomId, pages: int) -> None:
        """Everything, in so many pages, with the listing on the last."""
        there = self.desk.calendars[room]
        for number in range(pages):
            last = number == pages - 1
            listing = frozenset(there) if last else None
            self._send(PageSeen(room, tuple(there.values())[number::pages], listing=listing))
        self.told[room] = dict(there)

    def cut(self, room: RoomId, pages: int) -> None:
        """A full pass that breaks off before its last page: nothing may be taken as gone."""
        there = tuple(self.desk.calendars[room].values())
        self._send(PageSeen(room, there[: len(there) // (pages + 1)]))

    def again(self, room: RoomId, pages: int) -> None:
        """Old pages arrive once more."""
        for page in self.last[-pages:]:
            if page.room == room and page.listing is None:
                self.desk.page(page)

    def unreadable(self, room: RoomId, which: int) -> None:
        """A full pass in which one item can't be read."""
        there = self.desk.calendars[room]
        bad = list(there)[which - 1 : which]
        readable = tuple(one for href, one in there.items() if href not in bad)
        self._send(
            PageSeen(room, readable, listing=frozenset(there), problems=tuple((href, "no") for href in bad))
        )

    def _send(self, page: PageSeen) -> None:
        self.last.append(page)
        self.desk.page(page)


def undisturbed(desk: Desk) -> dict[str, Any]:
    """What a server without a past makes of the same calendars."""
    other = Desk(desk.state.settings(), desk.now_s - 10)
    other.calendars = desk.calendars
    for room in ROOMS:
        other.full(room)
    other.wait(10)
    return other.picture()


@relaxed
@given(stories)
def test_the_end_is_what_the_calendars_say(story: list[tuple[str, RoomId, Any]]) -> None:
    """After any edits, losses, repetitions and cuts, a full pass leaves the state of a run that saw none of them."""
    desk = Desk(UNBRAKED)
    Wire(desk).play(story)
    for room in ROOMS:
        desk.full(room)
    desk.wait(10)
    assert desk.picture() == undisturbed(desk)


@relaxed
@given(stories)
def test_nothing_is_found_twice(story: list[tuple[str, RoomId, Any]]) -> None:
    """After any story: settling again finds nothing, and a full pass over what is known changes nothing."""
    desk = Desk(UNBRAKED)
    Wire(desk).play(story)
    for room in ROOMS:
        desk.full(room)
    desk.wait(10)
    for uid in UIDS:
        again = desk.settle(uid)
        assert (again.items, again.series, again.meetings) == ((), None, ())
    for room in ROOMS:
        assert desk.full(room).changes == ()


@relaxed
@given(st.lists(edits, max_size=10), st.permutations(ROOMS), st.permutations(ROOMS), st.booleans())
def test_the_order_of_rooms_does_not_matter(
    story: list[tuple[str, RoomId, Any]], first: list[RoomId], second: list[RoomId], each: bool
) -> None:
    """Two servers that hear the rooms in different orders, settling in between or not, end alike."""
    one, two = Desk(UNBRAKED), Desk(UNBRAKED)
    Wire(one).play(story)
    two.calendars = one.calendars
    for desk, order in ((one, first), (two, second)):
        for room in order:
            desk.full(room)
            if each and desk is two:
                desk.wait(10)
        desk.wait(40 - (30 if each and desk is two else 0))
    assert one.picture() == two.picture()


@relaxed
@given(st.lists(edits, max_size=12), st.lists(st.sampled_from(ROOMS), max_size=4))
def test_a_lost_cookie_finds_nothing(story: list[tuple[str, RoomId, Any]], lost: list[RoomId]) -> None:
    """Once all is settled, complete passes of the same content find nothing, however often, settled or not."""
    desk = Desk(UNBRAKED)
    Wire(desk).play(story)
    for room in ROOMS:
        desk.full(room)
    desk.wait(10)
    before = desk.picture()
    for room in lost:
        assert desk.full(room) == PageFindings()
        assert desk.wait(10) == []
    assert desk.picture() == before


@relaxed
@given(
    st.integers(1, 40),
    st.integers(0, 40),
    st.integers(0, 6),
    st.integers(0, 100),
    st.integers(1, 4),
    st.sampled_from(["gone", "listing"]),
)
def test_nothing_is_cancelled_past_the_brake(
    count: int, lost: int, items_min: int, percent: int, pages: int, how: str
) -> None:
    """However a mass of items disappears, in one page or several, no more is cancelled than the brake allows."""
    desk = Desk(config(brake=BrakeConfig(items_min=items_min, percent=percent)))
    lost = min(lost, count)
    names = [f"m{number}" for number in range(count)]
    desk.put(ROOMS[0], *(item(name, entry(24 + number)) for number, name in enumerate(names)))
    desk.full(ROOMS[0])
    desk.wait(10)
    assert len(desk.open()) == count
    hrefs = [f"{name}.ics" for name in names[:lost]]
    desk.remove(ROOMS[0], *hrefs)
    if how == "listing":
        desk.full(ROOMS[0])
    else:
        for number in range(pages):
            desk.page(PageSeen(ROOMS[0], gone=tuple(hrefs[number::pages])))
    desk.wait(10)
    cancelled = count - len(desk.open())
    too_many = lost > items_min and lost * 100 > percent * count
    assert cancelled == (0 if too_many else lost)
    news = desk.state.rooms_news.get(ROOMS[0])
    assert (news.held if news else 0) == (lost if too_many else 0)


@relaxed
@given(st.integers(5, 20), st.integers(0, 20), st.booleans())
def test_what_the_brake_held_comes_back_by_itself(count: int, again: int, other_name: bool) -> None:
    """Held items that are seen again, under their own or another name, are as they were; the rest stays held."""
    desk = Desk()
    every = [item(f"m{number}", entry(24 + number)) for number in range(count)]
    desk.put(ROOMS[0], *every)
    desk.full(ROOMS[0])
    desk.wait(10)
    before = desk.picture()["meetings"]
    desk.calendars[ROOMS[0]].clear()
    desk.full(ROOMS[0])
    back = [replace(one, href=f"new-{one.href}") if other_name else one for one in every[:again]]
    desk.put(ROOMS[0], *back)
    desk.full(ROOMS[0])
    desk.wait(10)
    assert desk.picture()["meetings"] == before
    news = desk.state.rooms_news[ROOMS[0]]
    assert news.held == max(0, count - again) == sum(held for *_, held in desk.picture()["items"])


@relaxed
@given(st.lists(items(), max_size=6), st.data())
def test_two_rooms_with_one_uid_are_one_meeting(shown: list[CalendarItem], data: st.DataObject) -> None:
    """Whatever several rooms show under one UID and one original start: no more than one meeting."""
    desk = Desk(UNBRAKED)
    for one in shown:
        desk.put(data.draw(st.sampled_from(ROOMS)), one)
    for room in ROOMS:
        desk.full(room)
    desk.wait(10)
    known = [(one.uid, one.original_start_s) for one in desk.open()]
    assert len(known) == len(set(known))
    for uid in UIDS:
        kinds = {one.original_start_s is None for one in desk.open() if one.uid == Uid(uid)}
        assert len(kinds) < 2
