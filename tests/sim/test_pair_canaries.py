"""Known bugs, put into the pair's world on purpose: a harness that misses one is blind there.

Each is tried from a seed on that found it; what else has changed since may have moved it by a few.
"""

from typing import Any

import pytest
from msgspec.structs import replace

from meetkeeper.engine import pairing
from meetkeeper.engine.pairing import Pairing
from meetkeeper.ha import given, machine, moves, words
from meetkeeper.ha import happenings as ev
from meetkeeper.ha.happenings import Action, Event
from meetkeeper.ha.table import ROWS, Row
from meetkeeper.ha.view import View, claim_reason, is_in_sync
from meetkeeper.ha.words import Mode, Role, Unknown, Won
from meetkeeper.store.journal import Journal
from meetkeeper.testing.disk import CrashDisk
from meetkeeper.testing.pairworld.host import Host
from meetkeeper.testing.pairworld.process import Process
from meetkeeper.testing.pairworld.run import SECONDS, run_seed

SEEDS_TRIED = 40
Patch = pytest.MonkeyPatch
_QUICK: dict[str, object] = {
    "mode": Mode.SYNC,
    "drift": 0.0,
    "failover_after_s": 0.0,
    "full_rate": 0.0,
    "read_rate": 0.1,
}
_FAR_APART = _QUICK | {
    "mode": Mode.ASYNC,
    "book_rate": 0.5,
    "third_place": True, "latency_s": 0.9, "one_way_rate": 7.0, "block_s": 4.0, "break_s": 8.0, "place_slow_s": 0.002,
    "flush_s": 0.0005, "kill_rate": 0.0, "power_rate": 0.0, "freeze_rate": 0.0, "stop_rate": 0.0,
}  # fmt: skip
_CUT_OFF = _QUICK | {
    "mode": Mode.ASYNC,
    "book_rate": 0.5,
    "third_place": True, "away_rate": 6.0, "away_s": 20.0, "block_rate": 8.0, "block_s": 12.0, "break_s": 8.0,
    "place_slow_s": 0.002, "kill_rate": 0.0, "power_rate": 0.0,
}  # fmt: skip
_HAND_TO_HAND = _QUICK | {
    "third_place": False, "switchover_rate": 4.0, "kill_rate": 6.0, "backoff_s": 0.1, "cut_rate": 5.0,
    "flush_s": 0.002, "latency_s": 0.02, "proof_lost": 0.6,
}  # fmt: skip


def found_by(first: int, *said: str, **fixed: object) -> int:
    """The first seed from `first` on in which a judge says one of these, and nothing else breaks before.

    `fixed` is weather in which the bug shows often.
    """
    for seed in range(first, first + SEEDS_TRIED):
        broken = run_seed(seed, SECONDS, **fixed).broken
        if broken:
            _, _, why = broken.rpartition("BROKEN")
            assert any(one in why for one in said), why[-500:]
            return seed
    raise AssertionError(f"no world from {first} on found it")


def swap(monkeypatch: Patch, number: int, **changed: Any) -> None:
    """Let the table have this row otherwise."""
    row = next(one for one in ROWS if one.number == number)
    rows: list[Row] = machine._ROWS[row.role, row.event]
    monkeypatch.setitem(
        machine._ROWS,
        (row.role, row.event),
        [replace(one, **changed) if one.number == number else one for one in rows],
    )


def test_an_answer_before_the_other_disk_has_it_is_found(monkeypatch: Patch) -> None:
    """R1 left out: acknowledged when it is on this server's disk."""
    monkeypatch.setattr(Pairing, "bound", lambda self: 1 << 60)
    found_by(1, "may be promoted", "was told")


def test_acting_after_the_lease_is_found(monkeypatch: Patch) -> None:
    """R8 left out: readers are answered and bridges called without a live lease, and in async mode everybody."""
    for right in ("may_speak", "may_acknowledge"):
        monkeypatch.setattr(pairing, right, lambda view, now_s: view.role is Role.ACTIVE)
    found_by(1, "has acted under", "was told before", "not in what others were told", **_CUT_OFF)


def test_a_lease_from_the_reply_is_found(monkeypatch: Patch) -> None:
    """The lease counts from when the echo came, not from when the beacon was sent."""
    heard = Pairing.heard

    def from_reply(self: Pairing, message: words.Message) -> None:
        if isinstance(message, words.Echo):
            message = replace(message, sent_s=self._hands.steady_s())
        heard(self, message)

    monkeypatch.setattr(Pairing, "heard", from_reply)
    found_by(1, "has acted under", "was told before", **_FAR_APART)


def test_a_promotion_of_whoever_is_not_in_sync_is_found(monkeypatch: Patch) -> None:
    """R3 left out: the one that lacks frames claims all the same."""

    def hopeful(view: View, now_s: float) -> Any:
        if view.record is not None and view.me not in view.record.in_sync:
            view = replace(view, record=replace(view.record, in_sync=(view.me, view.peer)))
        return claim_reason(view, now_s)

    monkeypatch.setattr(given, "claim_reason", hopeful)
    monkeypatch.setattr(moves, "claim_reason", hopeful)
    found_by(1, "may be promoted", "was told")


def test_taking_in_before_it_has_caught_up_is_found(monkeypatch: Patch) -> None:
    """R4 left out: the other server is named in sync as soon as it is there."""

    def hasty(view: View, _: Event, __: float) -> bool:
        return view.linked and view.change is None and not is_in_sync(view, view.peer)

    swap(monkeypatch, 63, guard=lambda *_: False)
    swap(monkeypatch, 100, guard=hasty)
    found_by(1, "may be promoted")


def test_shortening_frames_of_the_same_epoch_is_found(monkeypatch: Patch) -> None:
    """R6 left out: whatever is held after the stream's beginning is taken back, whoever wrote it."""
    begin = Pairing._begin

    def shorten(self: Pairing, message: words.Begin) -> None:
        held = self.database.kept.seq > message.after.seq
        if self.view.role is Role.PASSIVE and held and not message.snapshot_seq:
            self._hands.retreat(message.after)
        else:
            begin(self, message)

    monkeypatch.setattr(Pairing, "_begin", shorten)
    found_by(1, "may be promoted", "was told")


def test_a_promise_that_is_not_kept_is_found(monkeypatch: Patch) -> None:
    """R3's first half left out: the promise before a claim, or before the own word, is not on the disk."""

    def forgetful(self: Process, epoch: int) -> None:
        self.soon(lambda: self.heart.on(ev.Promised(epoch)))

    monkeypatch.setattr(Process, "promise", forgetful)
    found_by(78, "has acted under", "both act", "was told", "written twice", **_HAND_TO_HAND)


def test_saying_have_before_the_flush_is_found(monkeypatch: Patch) -> None:
    """The passive says that it has what it has only applied."""
    frames = Pairing._frames

    def boastful(self: Pairing, data: bytes) -> None:
        frames(self, data)
        if self.inflow.begun and not self.inflow.comparing:
            self._hands.say(words.Have(self.database.position, self.view.epoch))

    monkeypatch.setattr(Pairing, "_frames", boastful)
    found_by(1, "says that it has seq")


def test_a_segment_whose_folder_is_not_flushed_is_found(monkeypatch: Patch) -> None:
    """A new segment's name is lost with the power, and what was kept in it."""

    def hasty(journal: Journal, first_seq: int) -> None:
        monkeypatch.setattr(CrashDisk, "flush_folder", _all_but_journal)
        begin(journal, first_seq)

    begin = Journal._begin_segment
    flush = CrashDisk.flush_folder

    def _all_but_journal(self: CrashDisk, label: str, folder: str) -> None:
        if label != "journal:folder":
            flush(self, label, folder)

    monkeypatch.setattr(Journal, "_begin_segment", hasty)
    found_by(1, "on its disk and finds", "can't read what it kept")


def test_an_unknown_outcome_taken_for_won_is_found(monkeypatch: Patch) -> None:
    """R5 left out: no answer from the register is taken for a yes."""
    on = Pairing.on

    def hopeful(self: Pairing, event: Event) -> None:
        change = self.view.change
        if isinstance(event, ev.ChangeEnded) and isinstance(event.outcome, Unknown) and change is not None:
            event = replace(event, outcome=Won(change.expected + 1))
        on(self, event)

    monkeypatch.setattr(Pairing, "on", hopeful)
    found_by(1, "has acted under", "both act", "was told", "may be promoted", "written twice")


def test_going_on_alone_without_the_register_is_found(monkeypatch: Patch) -> None:
    """R2 left out: the other server's disk is not waited for any more, and nobody was asked."""

    def alone(view: View, _: Event, __: float) -> tuple[View, list[Action]]:
        assert view.record is not None
        return replace(view, requires=False, record=replace(view.record, in_sync=(view.me,))), []

    swap(monkeypatch, 50, move=alone)
    found_by(1, "may be promoted", "was told", "has acted under")


def test_a_proof_while_the_process_runs_is_found(monkeypatch: Patch) -> None:
    """The agent says that the server has stopped, and never looked."""
    monkeypatch.setattr(Host, "runs", property(lambda self: False))
    monkeypatch.setattr(CrashDisk, "lock", lambda self, label, path: None)
    found_by(1, "and runs")


def test_a_deposed_server_that_goes_on_is_found(monkeypatch: Patch) -> None:
    """The register has another active, and this server has seen it, and acts as before."""
    swap(monkeypatch, 53, then=None, move=moves.nothing)
    swap(monkeypatch, 60, then=None, move=moves.nothing)
    found_by(
        1, "healed, and 2 servers act", "healed, and 0", "has acted under", "not in what others were told"
    )


def test_an_answer_taken_for_another_change_is_found(monkeypatch: Patch) -> None:
    """A claim that was given up is won late, and taken for the one that is under way."""
    _without(monkeypatch, 108, 109, 110)
    found_by(85, "acted under", "both act", "written twice", "was told", "may be promoted", "healed, and")


def _without(monkeypatch: Patch, *numbers: int) -> None:
    for number in numbers:
        swap(monkeypatch, number, guard=_never)


def _never(_: View, __: Event, ___: float) -> bool:
    return False


def test_nothing_is_found_in_the_house_as_it_is() -> None:
    """Without a canary every promise holds, so what the others find is theirs."""
    assert not [seed for seed in range(1, 11) if run_seed(seed).broken]
