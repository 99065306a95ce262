"""Known bugs, put into the simulated worlds: a harness that misses one is blind there."""

import itertools
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from meetkeeper.core import keeping, outbox, schedule, timing, vmr
from meetkeeper.core.changes import EffectMoved
from meetkeeper.core.configuration import Config
from meetkeeper.core.drafting import Draft
from meetkeeper.core.effects import SendMail
from meetkeeper.core.schedule import Act
from meetkeeper.core.state import State, Status
from meetkeeper.core.words import Vmr
from meetkeeper.testing.world.run import run_seed

pytestmark = pytest.mark.slow
MINUTES = 30.0
SEEDS = 40
Patch = pytest.MonkeyPatch


def door_drawn_at_random(patch: Patch) -> None:
    """Every derivation gives another alias and PIN, as dice would."""
    number = itertools.count()
    derive = vmr.derive

    def drawn(config: Config, scope: vmr.Scope, bridge: str, attempt: int = 0) -> Vmr:
        return derive(config, scope, bridge, attempt + next(number))

    patch.setattr(vmr, "derive", drawn)


def mail_started_is_not_kept(patch: Patch) -> None:
    """A mail is handed over without "sending" being kept: after a crash it goes again as if it never had."""
    patch.setattr(outbox, "started", lambda state, draft, event: None)


def mail_taken_is_forgotten(patch: Patch) -> None:
    """A mail that was taken is not noted as done."""

    def settle(draft: Draft, row: object, outcome: object, **more: object) -> None:
        if isinstance(getattr(row, "effect", None), SendMail) and type(outcome).__name__ == "Done":
            key = row.key  # type: ignore[attr-defined]
            draft.change(EffectMoved(key, Status.WAITING, 1, draft.now_s + 1.0, "canary"))
            return
        real(draft, row, outcome, **more)

    real: Callable[..., None] = outbox._settle
    patch.setattr(outbox, "_settle", settle)


def meetings_open_after_their_end(patch: Patch) -> None:
    """A meeting found late is opened even when it is over."""
    real = timing._open

    def opened(state: State, draft: Draft, row: object) -> None:
        late = draft.now_s >= row.end_s  # type: ignore[attr-defined]
        draft.now_s, kept_s = (row.end_s - 1.0 if late else draft.now_s), draft.now_s  # type: ignore[attr-defined]
        real(state, draft, row)  # type: ignore[arg-type]
        draft.now_s = kept_s

    patch.setattr(timing, "_open", opened)


def meetings_open_early(patch: Patch) -> None:
    """The clock asks a minute too soon."""
    real = schedule.next_due

    def early(*arguments: object, **more: object) -> tuple[int, Act]:
        due_s, act = real(*arguments, **more)  # type: ignore[arg-type]
        return (due_s - 60, act) if act is Act.OPEN else (due_s, act)

    patch.setattr(schedule, "next_due", early)


def nobody_is_told_of_a_cancellation(patch: Patch) -> None:
    """Cancelling announces nothing."""
    real = keeping.cancel

    def silent(state: State, draft: Draft, *arguments: object, **more: object) -> None:
        effects = dict(draft._effects)
        real(state, draft, *arguments, **more)  # type: ignore[arg-type]
        draft._effects = effects

    patch.setattr(keeping, "cancel", silent)
    patch.setattr("meetkeeper.core.booking.cancel", silent)
    patch.setattr("meetkeeper.core.seen.cancel", silent)
    patch.setattr("meetkeeper.core.series.cancel", silent)


CANARIES = [
    door_drawn_at_random,
    mail_started_is_not_kept,
    mail_taken_is_forgotten,
    meetings_open_after_their_end,
    meetings_open_early,
    nobody_is_told_of_a_cancellation,
]


@pytest.mark.parametrize("canary", CANARIES, ids=lambda canary: str(canary.__name__))
def test_every_canary_is_caught(canary: Callable[[Patch], None], monkeypatch: Patch) -> None:
    """Some world among the first ones breaks where the bug is."""
    canary(monkeypatch)
    assert any(run_seed(seed, MINUTES).broken for seed in range(1, SEEDS + 1))


def test_the_first_worlds_hold() -> None:
    """Without a bug they keep every promise."""
    for seed in range(1, 6):
        assert run_seed(seed, MINUTES).broken == ""


def test_a_world_is_the_same_whatever_python_hashes() -> None:
    """Two processes with different hash seeds live the same lives."""
    words = "from meetkeeper.testing.world.run import run_seed; print([run_seed(s, 10.0).trace for s in range(1, 6)])"
    said = {
        subprocess.run(
            [sys.executable, "-c", words],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=100,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(said) == 1
