"""What the agent decides, event by event, without a process."""

from collections.abc import Iterator
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meetkeeper.agent.watch import (
    LIMITS,
    Action,
    Asked,
    Beaten,
    End,
    Ended,
    Event,
    Freed,
    Held,
    Kill,
    Limits,
    Phase,
    Start,
    Terminate,
    Ticked,
    View,
    Wait,
    begin,
    step,
)
from meetkeeper.agent.words import EXIT_ROLE_DROPPED, EXIT_START_AGAIN

CRASH = -9


class Story:
    """A view that lives through events, and what was done on the way."""

    def __init__(self, *, paired: bool = False, limits: Limits = LIMITS) -> None:
        self.now_s, self.limits = 100.0, limits
        self.view = begin(paired=paired, now_s=self.now_s)
        self.done: list[Action] = []

    def happens(self, event: Event, after_s: float = 0.0) -> tuple[Action, ...]:
        """One event; what it led to."""
        self.now_s += after_s
        self.view, actions = step(self.view, event, self.now_s, self.limits)
        self.done += actions
        return actions

    def waits(self, seconds: float, every_s: float = 0.1, *, beating: bool = False) -> list[Action]:
        """Time passes, looked at often."""
        found: list[Action] = []
        for _ in range(round(seconds / every_s)):
            if beating:
                found += self.happens(Beaten())
            found += self.happens(Ticked(), every_s)
        return found

    def runs(self) -> "Story":
        """A node is started and heard of."""
        assert self.happens(Ticked()) == (Start(again=False),)
        assert self.happens(Beaten()) == ()
        return self

    def crashes(self, code: int = CRASH) -> float:
        """It ends; how long until the next start is decided, which happens."""
        (told,) = self.happens(Ended(code))
        assert isinstance(told, Wait)
        if told.delay_s > 0.2:
            assert self.happens(Ticked(), told.delay_s - 0.1) == ()
        assert self.happens(Ticked(), 0.2) == (Start(again=True),)
        assert self.happens(Beaten()) == ()
        return told.delay_s


def test_it_starts_at_once() -> None:
    """The first look starts the node, the next one does not start another."""
    story = Story()
    assert story.happens(Ticked()) == (Start(again=False),)
    assert story.waits(5) == []
    assert story.view.phase is Phase.STARTING


def test_a_node_that_stops_on_purpose_takes_the_agent_along() -> None:
    """Code 0 ends the agent with 0, in every phase in which there is a node."""
    for prepare in ((), (Beaten(),), (Beaten(), Asked())):
        story = Story()
        story.happens(Ticked())
        for event in prepare:
            story.happens(event)
        assert story.happens(Ended(0)) == (End(0),)
        assert story.view.phase is Phase.DONE


def test_crashes_are_answered_more_and_more_slowly() -> None:
    """At once, then ½, 1, 2 … 30 s, and 30 for good."""
    story = Story(limits=Limits(crashes_max=1_000)).runs()
    assert [story.crashes() for _ in range(10)] == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_a_dropped_role_is_answered_like_a_crash() -> None:
    """Code 3: at once first, then slower."""
    story = Story().runs()
    assert [story.crashes(EXIT_ROLE_DROPPED) for _ in range(3)] == [0.0, 0.5, 1.0]


def test_a_pair_leaves_time_for_the_proof() -> None:
    """In a pair no crash is followed by a start before 0.3 s have passed."""
    story = Story(paired=True).runs()
    assert [story.crashes() for _ in range(3)] == [0.3, 0.5, 1.0]


def test_a_steady_node_leaves_its_crashes_behind() -> None:
    """After a minute of heartbeats the next crash is answered at once again; after less it is not."""
    story = Story().runs()
    assert [story.crashes() for _ in range(4)] == [0.0, 0.5, 1.0, 2.0]
    story.waits(LIMITS.steady_s + 1, 0.5, beating=True)
    assert story.crashes() == 0.0
    story.waits(LIMITS.steady_s - 5, 0.5, beating=True)
    assert story.crashes() == 0.5


def test_a_hang_after_a_long_life_is_answered_at_once() -> None:
    """The minute counts from the first heartbeat to the end, the silence before the kill included."""
    story = Story().runs()
    story.crashes(), story.crashes()
    story.waits(LIMITS.steady_s + 1, 0.5, beating=True)
    assert [type(one) for one in story.waits(11)] == [Kill]
    assert story.crashes() == 0.0


def test_start_again_is_no_crash() -> None:
    """Code 4 starts at once, as often as it is asked for, in a pair too."""
    for paired in (False, True):
        story = Story(paired=paired).runs()
        assert [story.crashes(EXIT_START_AGAIN) for _ in range(30)] == [0.0] * 30
        assert story.view.crashes_s == ()


def test_start_again_before_the_first_heartbeat_is_a_crash() -> None:
    """A node that asks again and again without ever running is slowed down."""
    story = Story().runs()
    story.happens(Ended(EXIT_START_AGAIN))
    story.happens(Ticked())
    delays = []
    for _ in range(3):
        (told,) = story.happens(Ended(EXIT_START_AGAIN))
        assert isinstance(told, Wait)
        delays.append(told.delay_s)
        story.happens(Ticked(), told.delay_s)
    assert delays == [0.0, 0.5, 1.0]


def test_a_single_server_gives_up_with_the_nodes_code() -> None:
    """The tenth crash within ten minutes ends the agent; a signal's number is told as a shell tells it."""
    for code, told in ((3, 3), (1, 1), (-9, 137)):
        story = Story().runs()
        for _ in range(LIMITS.crashes_max - 1):
            story.crashes(code)
        assert story.happens(Ended(code)) == (End(told),)


def test_crashes_far_apart_are_not_counted_together() -> None:
    """One crash every two minutes goes on for ever."""
    story = Story().runs()
    for _ in range(50):
        story.waits(120, 1.0, beating=True)
        assert story.crashes() == 0.0


def test_a_pair_stays_and_tries_again_later() -> None:
    """After the tenth crash the agent says so, stays to give proofs, and tries again after ten minutes, from anew."""
    story = Story(paired=True).runs()
    for _ in range(LIMITS.crashes_max - 1):
        story.crashes()
    assert story.happens(Ended(CRASH)) == (Wait(CRASH, LIMITS.rest_s, gave_up=True),)
    assert story.view.is_gone
    assert story.waits(LIMITS.rest_s - 1, 1.0) == []
    assert story.happens(Ticked(), 2.0) == (Start(again=True),)
    story.happens(Beaten())
    assert story.crashes() == 0.3


def test_a_server_that_can_not_begin_is_not_tried_again() -> None:
    """The first node of a single server ends by itself before its first heartbeat: so does the agent, with its code."""
    story = Story()
    story.happens(Ticked())
    assert story.happens(Ended(EXIT_ROLE_DROPPED)) == (End(EXIT_ROLE_DROPPED),)


def test_killed_while_it_begins_is_a_crash() -> None:
    """A signal is nobody's mistake in a file: the node is started again."""
    story = Story()
    story.happens(Ticked())
    assert story.happens(Ended(-9)) == (Wait(-9, 0.0),)


def test_a_pair_is_tried_again_even_if_it_could_not_begin() -> None:
    """What is wrong may be the disk of a passive server, which nobody watches."""
    story = Story(paired=True)
    story.happens(Ticked())
    assert story.happens(Ended(EXIT_ROLE_DROPPED)) == (Wait(EXIT_ROLE_DROPPED, 0.3),)


def test_silence_is_answered_with_a_kill() -> None:
    """Ten seconds without a heartbeat after the first; one kill, then it waits for the end and starts again."""
    story = Story().runs()
    assert story.waits(9.8) == []
    (kill,) = story.waits(0.4)
    assert isinstance(kill, Kill)
    assert story.waits(60) == []
    assert not story.view.is_gone
    assert story.happens(Ended(-9)) == (Wait(-9, 0.0),)
    assert story.happens(Ticked()) == (Start(again=True),)


def test_a_heartbeat_ends_the_silence() -> None:
    """Nine seconds of silence, again and again, are no hang."""
    story = Story().runs()
    for _ in range(5):
        assert story.waits(9) == []
        story.happens(Beaten())


def test_reading_the_files_may_take_long() -> None:
    """Before the first heartbeat nothing is counted."""
    story = Story()
    story.happens(Ticked())
    assert story.waits(3_600, 1.0) == []


@given(st.lists(st.floats(min_value=1.0, max_value=1e6), min_size=1, max_size=5))
def test_an_agent_that_did_not_run_grants_the_same(gaps_s: list[float]) -> None:
    """However long the agent itself stood still, each gap counts as one second of silence at most."""
    story = Story().runs()
    for gap_s in gaps_s:
        assert story.happens(Ticked(), gap_s) == ()
    assert story.view.silence_s <= len(gaps_s) * LIMITS.slice_s


def test_a_clock_that_goes_back_counts_nothing() -> None:
    """No silence comes from a negative time."""
    story = Story().runs()
    story.happens(Ticked(), -50.0)
    assert story.view.silence_s == 0.0


def test_stop_is_sigterm_once() -> None:
    """Asked twice, told once; the agent ends with the node and its code."""
    story = Story().runs()
    assert story.happens(Asked()) == (Terminate(),)
    assert story.happens(Asked()) == ()
    assert story.waits(20) == []
    assert story.happens(Ended(0)) == (End(0),)


def test_stop_before_the_node_listens_to_signals_is_in_good_order() -> None:
    """SIGTERM ends a node that is still being loaded; nothing had begun, so that is no failure."""
    story = Story()
    story.happens(Ticked())
    assert story.happens(Asked()) == (Terminate(),)
    assert story.happens(Ended(-15)) == (End(0),)


def test_stop_is_insisted_on() -> None:
    """Thirty seconds after SIGTERM comes SIGKILL, once; the agent's code says that it was not in good order."""
    story = Story().runs()
    story.happens(Asked())
    assert story.waits(29.5) == []
    assert [type(one) for one in story.waits(60)] == [Kill]
    assert story.happens(Ended(-9)) == (End(137),)


def test_stop_while_nothing_runs_ends_at_once() -> None:
    """Between a crash and the next start there is nobody to wait for."""
    story = Story(paired=True).runs()
    story.happens(Ended(CRASH))
    assert story.happens(Asked()) == (End(0),)
    assert story.waits(60) == []


def test_stop_while_a_hang_is_ended_waits_for_the_end() -> None:
    """It is killed already; nothing is sent, and nothing is started after it."""
    story = Story().runs()
    story.waits(11)
    assert story.happens(Asked()) == ()
    assert story.waits(60) == []
    assert story.happens(Ended(-9)) == (End(137),)


def test_nothing_starts_while_a_proof_is_made() -> None:
    """The start that was due waits for the proof, then happens."""
    story = Story(paired=True).runs()
    story.happens(Ended(CRASH))
    story.happens(Held())
    assert story.waits(10) == []
    story.happens(Freed())
    assert story.happens(Ticked()) == (Start(again=True),)


def test_a_proof_that_comes_too_late_holds_nothing() -> None:
    """Once a start is decided there is no hold: the answer is "running"."""
    story = Story(paired=True)
    story.happens(Ticked())
    story.happens(Held())
    assert not story.view.held
    assert not story.view.is_gone


EVENTS: tuple[Event, ...] = (
    Ticked(),
    Beaten(),
    Ended(0),
    Ended(1),
    Ended(-9),
    Ended(EXIT_START_AGAIN),
    Asked(),
    Held(),
    Freed(),
)


def _views() -> Iterator[View]:
    for phase, paired, held, killed in product(Phase, (False, True), (False, True), (False, True)):
        yield View(paired=paired, phase=phase, held=held, killed=killed, start_at_s=50.0, looked_s=99.9)


@pytest.mark.parametrize("event", EVENTS, ids=str)
def test_every_event_in_every_phase_keeps_the_rules(event: Event) -> None:
    """A start comes from waiting alone and never while held; only `Ended` makes a node gone; done stays done."""
    for view in _views():
        after, actions = step(view, event, 100.0)
        kinds = [type(one) for one in actions]
        assert len(kinds) <= 1
        if Start in kinds:
            assert view.phase is Phase.WAITING
            assert not view.held
            assert not after.is_gone
        if after.is_gone and not view.is_gone:
            assert isinstance(event, Ended)
        if not after.is_gone and view.is_gone:
            assert kinds == [Start]
        if view.phase is Phase.DONE:
            assert after.phase is Phase.DONE
            assert not kinds
        if End in kinds:
            assert after.phase is Phase.DONE
        if kinds and kinds[0] in (Kill, Terminate):
            assert not view.is_gone


@given(
    st.booleans(),
    st.lists(
        st.tuples(st.sampled_from(EVENTS), st.floats(min_value=0.0, max_value=40.0)),
        max_size=60,
    ),
)
def test_never_two_nodes(paired: bool, happenings: list[tuple[Event, float]]) -> None:
    """Through any story there is at most one node, and none while a proof is made or after the end."""
    story, alive, proving = Story(paired=paired), False, False
    for event, after_s in happenings:
        if isinstance(event, Ended) and not alive:
            continue
        if isinstance(event, Held):
            proving = proving or not alive
        if isinstance(event, Freed):
            proving = False
        actions = story.happens(event, after_s)
        alive = alive and not isinstance(event, Ended)
        for one in actions:
            if isinstance(one, Start):
                assert not alive
                assert not proving
                alive = True
            if isinstance(one, End):
                assert not alive
        assert story.view.is_gone is not alive
