"""What was set aside is told booking by booking, booked again by the ordinary way, and kept until somebody decided."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
import pytest

from meetkeeper.api.asides import AsideBooking, AsideDetail
from meetkeeper.api.gate import Engine
from meetkeeper.app.home import Home
from meetkeeper.core.commands import Amend, Cancel, Command
from meetkeeper.core.errors import NotFound
from meetkeeper.core.identity import meeting_id
from meetkeeper.core.plan import Decision
from meetkeeper.core.state import State
from meetkeeper.core.words import MeetingId, Uid
from meetkeeper.ops import failback, files
from meetkeeper.ops.aside import DECISIONS, KEPT_S, Aside
from meetkeeper.ops.failback import Route
from meetkeeper.ops.files import Wanted
from meetkeeper.store.recovery import SET_ASIDE
from tests.files.homes import NOW_S, Reign, active, booking, copy, meetings_of, standby
from tests.files.test_failback import by_word, silence
from tests.files.test_takeover import means

T = TypeVar("T")


class Acting:
    """As much of an engine as deciding about set-aside records needs, over real files."""

    def __init__(self, home: Home) -> None:
        self.reign = Reign(home)
        self.clock_s = NOW_S

    def now_s(self) -> float:
        """The clock as it is set."""
        return self.clock_s

    async def submit(self, command: Command) -> Decision:
        """Decide and keep."""
        decision = self.reign.node.handle(command, self.clock_s).decision
        self.reign.database.flush_now()
        return decision

    async def read(self, look: Callable[[State], T]) -> T:
        """Look."""
        return look(self.reign.database.state)


class Story:
    """Host a kept bookings nobody copied; host b went on; a failback put a's tail aside."""

    def __init__(self, path: Path, before: list[Command], there: list[Command], here: list[Command]) -> None:
        self.home, other = active(path), standby(path)
        reign = Reign(self.home)
        self.before = self._decide(reign, before)
        copy(self.home, other)
        self.there = self._decide(reign, there)
        self.doors = {kept.id: kept.alias for kept in reign.database.state.meetings.values()}
        reign.end()
        files.take_over(other.path, "a", Wanted(text="Kari, 14:05: host a has no power"), means())
        reign = Reign(other)
        self.here = self._decide(reign, here)
        reign.end()
        files.stop_proof(other.path, "b", "a", means())
        route = Route(home=self.home.path, source=other.path, standby_of="")
        failback.fail_back(route, by_word, silence, means())
        self.engine = Acting(self.home)
        self.aside = Aside(self.home.path, cast(Engine, self.engine))

    def _decide(self, reign: Reign, commands: list[Command]) -> list[str]:
        made = []
        for command in commands:
            made.append(reign.node.handle(command, NOW_S).decision.answer)
            reign.database.flush_now()
        return made

    @property
    def state(self) -> State:
        """What is in force."""
        return self.engine.reign.database.state

    @property
    def name(self) -> str:
        """The one item's id."""
        (item,) = run(self.aside.items())
        return item.id

    def show(self) -> AsideDetail:
        """The one item."""
        return run(self.aside.show(self.name))

    def of(self, meeting: str) -> AsideBooking:
        """One booking in it."""
        return next(one for one in self.show().bookings if one.meeting == meeting)


def run(task: Coroutine[Any, Any, T]) -> T:
    """Wait for it."""
    return asyncio.run(task)


def test_what_was_lost_is_told_and_booked_again_behind_the_same_door(tmp_path: Path) -> None:
    """Free bookings come back with their id and alias; said twice they are booked once."""
    story = Story(tmp_path, [booking(0)], [booking(10), booking(11)], [booking(20)])
    detail = story.show()
    assert [one.verdict for one in detail.bookings] == ["missing", "missing"]
    assert [one.acknowledged for one in detail.bookings] == ["yes", "not known"]
    assert (detail.item.open, detail.item.bookings, detail.item.kept_until) == (2, 2, "")
    assert detail.bookings[0].organizer == "kari@demo.example"
    done = run(story.aside.replay(story.name, "", "kari"))
    assert [one.outcome for one in done.outcomes] == ["replayed", "replayed"]
    for meeting in story.there:
        assert story.state.meetings[MeetingId(meeting)].alias == story.doors[MeetingId(meeting)]
    assert done.item.open == 0
    assert done.item.kept_until
    assert run(story.aside.replay(story.name, "", "kari")).outcomes == ()
    assert "replayed by kari" in story.of(story.there[0]).decided
    assert len(meetings_of(story.home)) == 4


def test_what_collides_is_left_to_a_person(tmp_path: Path) -> None:
    """A room taken meanwhile is named; replayed by its id it is refused, discarded it is decided."""
    story = Story(tmp_path, [], [booking(10), booking(11)], [booking(10, subject="Another")])
    collides = story.of(story.there[0])
    assert (collides.verdict, collides.conflicts) == ("collides", (story.here[0],))
    done = run(story.aside.replay(story.name, "", "kari"))
    assert {one.meeting: one.outcome for one in done.outcomes} == {
        story.there[0]: "left",
        story.there[1]: "replayed",
    }
    left = run(story.aside.replay(story.name, story.there[0], "kari")).outcomes[0]
    assert left.outcome == "left"
    assert "is taken" in left.says
    assert run(story.aside.discard(story.name, story.there[0], "they agreed", "kari")).open == 0
    assert "they agreed" in story.of(story.there[0]).decided


def test_changes_and_cancellations_wait_for_a_word(tmp_path: Path) -> None:
    """What stands otherwise here is changed or cancelled only when somebody names it."""
    first, second = (meeting_id(Uid(f"{name}@demo"), None) for name in ("first", "second"))
    story = Story(
        tmp_path,
        [booking(0, uid="first@demo"), booking(1, uid="second@demo")],
        [Amend(id=first, subject="Renamed"), Cancel(id=second)],
        [],
    )
    assert (story.of(first).verdict, story.of(second).verdict) == ("differs", "cancelled")
    left = run(story.aside.replay(story.name, "", "kari"))
    assert [one.outcome for one in left.outcomes] == ["left", "left"]
    assert run(story.aside.replay(story.name, first, "kari")).outcomes[0].outcome == "replayed"
    assert run(story.aside.replay(story.name, second, "kari")).outcomes[0].outcome == "replayed"
    meeting = story.state.meeting(first)
    assert meeting is not None
    assert meeting.subject == "Renamed"
    assert story.state.meetings[second].step == "cancelled"
    assert story.show().item.open == 0


def test_a_caller_who_asked_again_is_not_booked_twice(tmp_path: Path) -> None:
    """The same Idempotency-Key on the surviving server answers for the lost booking."""
    key = ("shop|42", "hash of the request")
    there = msgspec.structs.replace(booking(10), idempotency=key)
    here = msgspec.structs.replace(booking(10), nonce="drawn-by-b", idempotency=key)
    story = Story(tmp_path, [], [there], [here])
    told = story.of(story.there[0])
    assert told.verdict == "there"
    assert story.here[0] in told.says
    assert story.show().item.open == 0
    assert run(story.aside.replay(story.name, "", "kari")).outcomes == ()


def test_a_replay_answers_the_callers_own_retry(tmp_path: Path) -> None:
    """Booked again under the original key: the caller's late retry gets the same meeting."""
    key = ("shop|42", "hash of the request")
    there = msgspec.structs.replace(booking(10), idempotency=key)
    story = Story(tmp_path, [], [there], [])
    run(story.aside.replay(story.name, "", "kari"))
    retry = msgspec.structs.replace(there, nonce="drawn-by-a-again")
    assert run(story.engine.submit(retry)).answer == story.there[0]


def test_a_series_comes_back_as_one(tmp_path: Path) -> None:
    """Its occurrences are not told one by one, and have their doors again."""
    weekly = msgspec.structs.replace(booking(10), recurrence="FREQ=WEEKLY;COUNT=3", uid=Uid("weekly@demo"))
    story = Story(tmp_path, [], [weekly], [])
    (told,) = story.show().bookings
    assert (told.meeting, told.verdict, told.repeats) == ("weekly@demo", "missing", "FREQ=WEEKLY;COUNT=3")
    run(story.aside.replay(story.name, "", "kari"))
    again = {kept.id: kept.alias for kept in story.state.meetings.values()}
    assert {meeting: again.get(meeting) for meeting in story.doors} == story.doors
    assert len(again) == 3


def test_meetings_that_are_over_need_no_decision(tmp_path: Path) -> None:
    """What would lie in the past is told and closed."""
    story = Story(tmp_path, [], [booking(10)], [])
    story.engine.clock_s = NOW_S + 10 * 86_400
    assert story.of(story.there[0]).verdict == "over"
    assert story.show().item.open == 0


def test_nothing_is_removed_while_it_is_open_nor_for_thirty_days_after(tmp_path: Path) -> None:
    """Open records stay for ever; decided ones for their time; then bytes, manifest and decisions go."""
    story = Story(tmp_path, [], [booking(10)], [booking(10, subject="Another")])
    folder = story.home.path / SET_ASIDE
    (tail,) = folder.glob("*.tail")
    os.utime(tail, (NOW_S, NOW_S))
    assert story.aside.prune(NOW_S + 3 * 3_600, story.state) == []
    run(story.aside.discard(story.name, "", "they agreed", "kari"))
    assert story.aside.prune(NOW_S + KEPT_S - 1, story.state) == []
    assert list((story.home.path / DECISIONS).iterdir())
    assert len(story.aside.prune(NOW_S + KEPT_S + 1, story.state)) == 1
    assert not list(folder.iterdir())
    assert not list((story.home.path / DECISIONS).iterdir())


def test_an_unknown_name_is_said(tmp_path: Path) -> None:
    """Neither an item nor a meeting in it is guessed."""
    story = Story(tmp_path, [], [booking(10)], [])
    with pytest.raises(NotFound, match="set aside"):
        run(story.aside.show("nothing"))
    with pytest.raises(NotFound, match="is among"):
        run(story.aside.replay(story.name, "nobody", "kari"))


def test_half_a_frame_is_listed_and_asks_for_nothing(tmp_path: Path) -> None:
    """A torn tail holds no whole record: it is shown, and nothing about it is open."""
    home = active(tmp_path)
    reign = Reign(home)
    reign.book(booking(0))
    reign.end()
    segment = next((home.path / "databases" / "journal").glob("*.log"))
    segment.write_bytes(segment.read_bytes()[:-10])
    engine = Acting(home)
    (item,) = run(Aside(home.path, cast(Engine, engine)).items())
    assert (item.frames, item.bookings, item.open) == (0, 0, 0)
