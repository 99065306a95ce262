"""What a resync would do is what it does: the dry run decides as the real path, on a copy, and leaves no trace."""

import copy
import random

import msgspec
import pytest

from meetkeeper.core.changes import ConfigDeployed, CookieKept, Founded, ReignOpened, raw
from meetkeeper.core.configuration import JanusBridge, MailConfig, Secret
from meetkeeper.core.effects import Announce, EnsureVmr, SendMail
from meetkeeper.core.events import Done, EffectReported, PageSeen, Ticked
from meetkeeper.core.keeper import step
from meetkeeper.core.plan import Plan, apply_plan
from meetkeeper.core.preview import Preview, picture, preview
from meetkeeper.core.state import State
from meetkeeper.core.words import CalendarItem, Meeting, RoomId
from tests.core.reconcile_desk import NOW_S, A, B, config, single, weekly

BRIDGE = JanusBridge(
    id="b", admin_url="http://b.example", admin_secret=Secret(value="s"), admin_key=Secret(value="k")
)


class House:
    """The real keeper with neighbours that always say yes."""

    def __init__(self) -> None:
        self.state = State()
        self.now_s: float = NOW_S
        settings = config(bridges=(BRIDGE,), mail=MailConfig(host="mail.example"))
        founding = (Founded("l"), ConfigDeployed(1, "test", raw(settings)), ReignOpened(1, "a", "0", "0"))
        apply_plan(self.state, Plan(self.now_s, founding))
        self.sent = 0

    def page(self, room: RoomId, *items: CalendarItem, gone: tuple[str, ...] = ()) -> None:
        """An increment arrives and everything follows."""
        self.let(PageSeen(room, items, gone, "mk2|cookie"))
        self.go_on()

    def full(self, room: RoomId, items: list[CalendarItem]) -> None:
        """A complete pass, and everything follows."""
        for event in complete(room, items):
            self.let(event)
        self.go_on()

    def let(self, event: object) -> None:
        """Decide and apply."""
        apply_plan(self.state, step(self.state, event, self.now_s).plan)  # type: ignore[arg-type]

    def go_on(self) -> None:
        """Time passes until everything has settled and everybody was told."""
        self.now_s += 11
        for _ in range(1_000):
            row = next(iter(self.state.outbox.values()), None)
            busy = False
            for row in list(self.state.outbox.values()):
                if isinstance(row.effect, EnsureVmr | Announce | SendMail):
                    self.sent += isinstance(row.effect, SendMail)
                    self.let(EffectReported(row.key, Done("yes")))
                    busy = True
            plan = step(self.state, Ticked(), self.now_s).plan
            apply_plan(self.state, plan)
            if plan.empty and not busy:
                return
        raise AssertionError("it never comes to rest")

    def preview(self, room: RoomId, items: list[CalendarItem]) -> Preview:
        """What a complete pass would do."""
        uids = {item.uid for item in items}
        return preview(picture(self.state, room, uids, self.now_s), complete(room, items), self.now_s)

    def meetings(self) -> dict[str, tuple[Meeting, str]]:
        """As they are."""
        return {str(row.id): (self.state.decode(row), row.step) for row in self.state.meetings.values()}


def complete(room: RoomId, items: list[CalendarItem]) -> list[PageSeen]:
    """A complete pass in pages of three."""
    parts = [items[at : at + 3] for at in range(0, len(items), 3)]
    pages = [PageSeen(room, tuple(part)) for part in parts]
    return [*pages, PageSeen(room, cookie="mk2|new", listing=frozenset(item.href for item in items))]


def everything(state: State) -> bytes:
    """All that is kept, as bytes."""
    tables = (
        [(row.id, row.step, row.body) for row in state.meetings.values()],
        [(row.uid, row.expanded_until_s, row.body) for row in state.series.values()],
        [list(of_room.values()) for of_room in state.items.values()],
        [(row.key, row.status, row.tries) for row in state.outbox.values()],
        sorted(state.by_alias.items()),
        sorted(state.numeric_ids.items()),
        sorted(state.cookies.items()),
        sorted(state.unsettled.items()),
        [(room, news) for room, news in state.rooms_news.items()],
    )
    return msgspec.json.encode(tables)


def test_a_resync_of_what_is_known_does_nothing() -> None:
    """Everything is as it is: nothing made, changed or cancelled, no new URI and no mail."""
    house = House()
    items = [*(single(f"s{number}", 5 + number) for number in range(8)), weekly("w")]
    house.page(A, *items)
    found = house.preview(A, items)
    assert (found.lines, found.uris_changed, found.mails, found.written, found.retired) == ((), 0, (), 0, 0)
    assert found.same == len(house.state.meetings)
    assert found.items == 9


def test_what_differs_is_named_nearest_first() -> None:
    """A new one, a moved one and one that is gone, with the mails they would bring; doors stay."""
    house = House()
    house.page(A, single("stays", 4), single("moves", 9), single("goes", 30))
    moved = single("moves", 7)
    found = house.preview(A, [single("stays", 4), moved, single("new", 5)])
    told = [(line.what, line.meeting.uid, line.new_uri) for line in found.lines]
    assert told == [("create", "new", False), ("change", "moves", False), ("delete", "goes", False)]
    assert sorted(method for _, method in found.mails) == ["CANCEL"] * 2 + ["REQUEST"] * 4
    assert found.same == 1


def test_what_the_brake_would_hold_is_said() -> None:
    """An empty calendar cancels nothing in the preview either."""
    house = House()
    house.page(A, *(single(f"s{number}", 5 + number) for number in range(8)))
    found = house.preview(A, [])
    assert (found.held, found.lines, found.mails) == (8, (), ())


def test_a_preview_leaves_no_trace() -> None:
    """The state it was taken of is the same to the byte, whatever the preview found."""
    house = House()
    house.page(A, *(single(f"s{number}", 5 + number) for number in range(5)), weekly("w"))
    house.page(B, single("s1", 6), single("elsewhere", 8))
    before = everything(house.state)
    house.preview(A, [single("s0", 99), single("x", 3), weekly("w", subject="Other")])
    assert everything(house.state) == before


def test_a_door_taken_by_somebody_else_is_passed_over_in_the_preview_too() -> None:
    """The copy knows who holds which door, also of meetings that it does not hold itself."""
    house = House()
    house.page(B, single("first", 5))
    (alias,) = house.state.by_alias
    copied = picture(house.state, A, (), house.now_s)
    assert alias in copied.by_alias
    assert not copied.meetings


@pytest.mark.parametrize("seed", range(25))
def test_what_is_previewed_is_what_happens(seed: int) -> None:
    """Any two calendars: creates, changes, deletes and mails of the dry run are those of the resync itself."""
    dice = random.Random(seed)
    house = House()

    def drawn() -> list[CalendarItem]:
        found = []
        for number in range(12):
            if dice.random() < 0.7:
                hours = dice.choice((2, 5, 9, 30, 400))
                make = weekly if dice.random() < 0.3 else single
                found.append(make(f"u{number}", hours=hours, subject=dice.choice(("Talk", "Review"))))
        return found

    first, other, second = drawn(), drawn(), drawn()
    house.page(A, *first)
    house.page(B, *other)
    before, sent = house.meetings(), house.sent
    found = house.preview(A, second)
    house.let(Ticked())
    apply_plan(house.state, Plan(house.now_s, (CookieKept(A, ""),)))
    house.full(A, second)
    after = house.meetings()
    open_before = {name for name, (_, at) in before.items() if at in ("scheduled", "provisioned")}
    open_after = {name for name, (_, at) in after.items() if at in ("scheduled", "provisioned")}
    told = {
        what: {str(line.meeting.id) for line in found.lines if line.what == what}
        for what in ("create", "change", "delete")
    }
    assert told["create"] == open_after - open_before
    assert told["delete"] == open_before - open_after
    both = open_before & open_after
    assert told["change"] == {name for name in both if before[name][0].revision != after[name][0].revision}
    assert found.uris_changed == 0
    assert all(before[name][0].vmr == after[name][0].vmr for name in both)
    assert len(found.mails) == house.sent - sent
    assert found.held == sum(news.held for room, news in house.state.rooms_news.items() if room == A)


def test_the_picture_shares_nothing_that_is_written() -> None:
    """Deciding on it moves no index of the original."""
    house = House()
    house.page(A, single("a", 5))
    taken = picture(house.state, A, (), house.now_s)
    for name in ("by_alias", "numeric_ids", "outbox", "meetings", "rooms_news", "live_at_s", "tombstones"):
        assert getattr(taken, name) is not getattr(house.state, name), name
    assert copy.copy(taken.meetings) == house.state.meetings
