"""Seeded bugs that the world must find: a harness that misses one is blind there.

Each canary breaks one rule of the real code and names the judge's words that must be said. The first seeds that found
it are tried first, so that a find costs little; a canary that none of `SEEDS` finds fails.
"""

import random
from types import ModuleType
from typing import Any

import msgspec
import pytest

from meetkeeper.core import keeping, outbox, reconcile, schedule, series, vmr
from meetkeeper.core import seen as seen_room
from meetkeeper.core.changes import CookieKept, EffectMoved, EffectOpen
from meetkeeper.core.configuration import Config
from meetkeeper.core.drafting import Draft
from meetkeeper.core.effects import Announce
from meetkeeper.core.events import Event, PageSeen
from meetkeeper.core.findings import PageFindings
from meetkeeper.core.state import ItemRow, State, Status
from meetkeeper.core.words import EffectKey, Step
from meetkeeper.engine import dispatch
from meetkeeper.engine.node import Handled, KeptFrame, Node
from meetkeeper.store.database import Database
from meetkeeper.store.journal import Batch, Journal
from meetkeeper.testing.world.run import run_seed

SEEDS = range(1, 41)
MINUTES = 8.0
Patch = pytest.MonkeyPatch


def found_by(*words: str) -> int:
    """The first seed in which a judge says one of these, and nothing else breaks before."""
    for seed in SEEDS:
        broken = run_seed(seed, MINUTES).broken
        if broken:
            _, _, said = broken.rpartition("BROKEN")
            assert any(some in said for some in words), said[-500:]
            return seed
    raise AssertionError(f"no world in {SEEDS} found it")


def test_an_answer_before_the_disk_is_found(monkeypatch: Patch) -> None:
    """Acknowledged before kept: the caller hears of a frame that is not on disk."""
    handle = Node.handle

    def hasty(node: Node, event: Event, now_s: float) -> Handled:
        return Handled(handle(node, event, now_s).decision, 0)

    monkeypatch.setattr(Node, "handle", hasty)
    found_by("was answered at seq")


def test_a_flush_that_flushes_nothing_is_found(monkeypatch: Patch) -> None:
    """Frames that are written and not flushed are gone after a power cut."""
    write = Journal._write

    def unflushed(journal: Journal, data: bytes) -> None:
        file = journal._open()
        monkeypatch.setattr(type(file), "flush", lambda self, label: None)
        write(journal, data)

    monkeypatch.setattr(Journal, "_write", unflushed)
    found_by("was kept")


def test_an_effect_before_its_frame_is_found(monkeypatch: Patch) -> None:
    """Effects offered before their frames are kept are carried out too early."""

    def all_of_them(node: Node, seq: int) -> list[KeptFrame]:
        frames = list(node._unkept)
        node._unkept.clear()
        return frames

    monkeypatch.setattr(Node, "kept_until", all_of_them)
    found_by("before its frame is kept")


def test_a_mail_that_leaves_no_trace_before_it_leaves_is_found(monkeypatch: Patch) -> None:
    """A mail handed over without "sending" on disk is sent again by the next server as if it had never been."""
    monkeypatch.setattr(outbox, "started", lambda state, draft, event: None)
    monkeypatch.setattr(dispatch, "may_hand_over", lambda state, key: True)
    found_by('leaves before its "sending" is kept')


def test_a_cookie_ahead_of_its_items_is_found(monkeypatch: Patch) -> None:
    """A cookie kept in an earlier frame than the items it stands for loses them when the server dies between."""
    late: list[Any] = []

    def cookie_first(state: State, draft: Draft, event: PageSeen) -> None:
        findings: PageFindings = reconcile.digest_page(state, event, draft.now_s)
        cookies = [change for change in findings.changes if isinstance(change, CookieKept)]
        others = [change for change in findings.changes if not isinstance(change, CookieKept)]
        draft.change(*late)
        late[:] = others if cookies else []
        draft.change(*(cookies or others))

    monkeypatch.setattr(seen_room, "page", cookie_first)
    found_by("the cookie of")


def test_a_resent_mail_under_a_new_id_is_found(monkeypatch: Patch) -> None:
    """After a crash a mail of unknown fate goes again, but under another Message-ID."""

    def anew(state: State, draft: Draft) -> None:
        for row in list(state.outbox.values()):
            if row.status is Status.SENDING:
                draft.change(EffectMoved(row.key, Status.DONE))
                key = EffectKey(f"{row.key}/again")
                draft.change(EffectOpen(key, row.effect, Status.OPEN, 0, draft.now_s, ""))

    monkeypatch.setattr(outbox, "after_crash", anew)
    found_by("went out under")


def test_a_mail_of_unknown_fate_sent_against_orders_is_found(monkeypatch: Patch) -> None:
    """Where mails of unknown fate are to be held for a person, sending them again is a second mail."""
    settle = outbox._settle

    def eager(draft: Draft, row: Any, outcome: Any, *, hold_unclear: bool = False) -> None:
        settle(draft, row, outcome, hold_unclear=False)

    monkeypatch.setattr(outbox, "_settle", eager)
    found_by("was handed over")


def test_a_drawn_alias_is_found(monkeypatch: Patch) -> None:
    """An alias that is drawn and not derived is another one after a loss."""
    dice = random.Random(7)
    derive = vmr.derive

    def drawn(config: Config, scope: vmr.Scope, bridge: str, attempt: int = 0) -> Any:
        secret = f"{dice.getrandbits(256):064x}"
        return derive(_with_secret(config, secret), scope, bridge, attempt)

    monkeypatch.setattr(vmr, "derive", drawn)
    found_by("and now derives", "and is now")


def _with_secret(config: Config, secret: str) -> Config:
    return msgspec.structs.replace(config, cluster=msgspec.structs.replace(config.cluster, secret=secret))


def test_a_sweep_without_a_listing_is_found(monkeypatch: Patch) -> None:
    """A page of changes taken for everything there is makes all the rest vanish."""
    digest = reconcile.digest_page

    def swept(state: State, page: PageSeen, now_s: float) -> PageFindings:
        listing = frozenset(item.href for item in page.items) if page.listing is None else page.listing
        return digest(state, msgspec.structs.replace(page, listing=listing), now_s)

    monkeypatch.setattr(seen_room, "digest_page", swept)
    found_by("nobody said so")


def test_a_brake_that_is_off_is_found(monkeypatch: Patch) -> None:
    """A calendar that shows nothing by mistake must not cancel everything."""

    def never(page: Any, vanished: list[ItemRow]) -> list[ItemRow]:
        return []

    monkeypatch.setattr(reconcile._Page, "_held_by_brake", never)
    found_by("past the brake")


def test_a_step_that_is_taken_twice_is_found(monkeypatch: Patch) -> None:
    """A meeting whose step is not compared before it is set is opened while it is open."""
    next_due = schedule.next_due

    def again(start_s: int, end_s: int, step: Step, time: Any, *, verified: bool = False) -> Any:
        if step is Step.LIVE:
            return start_s, schedule.Act.OPEN
        return next_due(start_s, end_s, step, time, verified=verified)

    monkeypatch.setattr(schedule, "next_due", again)
    found_by("to live")


def test_a_clock_that_nobody_looks_at_is_found(monkeypatch: Patch) -> None:
    """A meeting that the view of what is due has lost is not opened when its time has come."""
    pull = schedule.DueView.pull

    def forgetful(view: schedule.DueView, now_s: float) -> Any:
        return pull(view, now_s)[1:]

    monkeypatch.setattr(schedule.DueView, "pull", forgetful)
    found_by("after it was to go on")


def test_a_series_that_rolls_into_taken_rooms_is_found(monkeypatch: Patch) -> None:
    """An occurrence beyond the horizon is put into a room that somebody else has booked by then."""
    monkeypatch.setattr(series, "_taken_by", lambda state, draft, meeting: None)
    monkeypatch.setattr(series, "check_free", lambda *_, **__: None)
    found_by("at once")


def test_occurrences_that_join_a_series_unseen_are_found(monkeypatch: Patch) -> None:
    """What rolling the horizon adds waits for a VMR that stands, and nobody ever says so."""
    monkeypatch.setattr(keeping, "step_joining", lambda *_: Step.SCHEDULED)
    found_by("nobody asks a bridge for it")


def test_people_who_are_dropped_in_silence_are_found(monkeypatch: Patch) -> None:
    """Who is no longer invited must hear of it."""
    for room in (keeping, series, seen_room):
        _silence(monkeypatch, room)
    found_by("heard")


def _silence(monkeypatch: Patch, room: ModuleType) -> None:
    monkeypatch.setattr(room, "dropped", lambda before, after: ())


def test_an_announcement_that_is_never_made_is_found(monkeypatch: Patch) -> None:
    """A change that nobody hears of is found at the end."""
    effect = Draft.effect

    def quiet(draft: Draft, one: Any) -> None:
        if not (isinstance(one, Announce) and one.revision == 2):
            effect(draft, one)

    monkeypatch.setattr(Draft, "effect", quiet)
    found_by("heard")


def test_an_index_that_forgets_is_found(monkeypatch: Patch) -> None:
    """Rows and indexes that say different things are found when the state is read back."""
    monkeypatch.setattr(State, "_drop_number", lambda state, number, owner: None)
    found_by("numeric id index", "numeric_ids is")


def test_a_retired_door_of_a_meeting_that_is_needed_is_found(monkeypatch: Patch) -> None:
    """A VMR taken down while its meeting is ahead is missed at the end, or found closed."""
    monkeypatch.setattr(keeping, "is_needed", lambda state, alias, now_s: False)
    monkeypatch.setattr("meetkeeper.testing.world.server.is_needed", lambda state, alias, now_s: False)
    monkeypatch.setattr(seen_room, "is_needed", lambda state, alias, now_s: False)
    monkeypatch.setattr(outbox, "is_needed", lambda state, alias, now_s: False)
    monkeypatch.setattr(seen_room, "RESTORED_MAX", 0)
    found_by("does not stand on bridge", "nobody needs it")


def test_a_batch_out_of_the_chain_is_found(monkeypatch: Patch) -> None:
    """A flush that says more than it did is found when the next server reads the disk."""
    flush = Database.flush

    def boastful(database: Database, batch: Batch) -> Any:
        if batch.first_seq % 5:
            return flush(database, batch)
        database.kept = batch.last
        return batch.last

    monkeypatch.setattr(Database, "flush", boastful)
    found_by("was kept", "can't be read", "another history")


def test_nothing_is_found_in_the_house_as_it_is() -> None:
    """Without a canary every promise holds, so what the others find is theirs."""
    assert not [seed for seed in range(1, 6) if run_seed(seed, MINUTES).broken]
