"""Folders that were copied, cut, mixed or damaged by something that knows nothing of frames."""

from itertools import product
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meetkeeper.codec import frame, snapshot
from meetkeeper.codec.frame import Why
from meetkeeper.core.errors import MeetkeeperError
from meetkeeper.core.plan import Plan
from meetkeeper.ha.words import Position
from meetkeeper.store.check import check
from meetkeeper.store.database import Database
from meetkeeper.testing.disk import CrashDisk, Files
from tests.crash.harness import LIMITS, Life, whole_life


class Film:
    """A life, and what stood in the folder at each moment of it."""

    def __init__(self) -> None:
        self.life = Life()
        self.moments: list[Files] = []
        self.before_last_snapshot: Files = {}
        self.snapshots: list[int] = []
        """How many snapshots had been finished at each moment."""
        disk, finished = CrashDisk(), 0

        def look(label: str) -> None:
            nonlocal finished
            finished += label == "snapshot:folder"
            self.moments.append(disk.files())
            if label == "snapshot:make":
                self.before_last_snapshot = disk.files()
            self.snapshots.append(finished)

        disk.on_point = look
        whole_life(disk, self.life)
        look("the end")


FILM = Film()
PATHS = sorted({path for files in FILM.moments for path in files if path.startswith("databases/")})


def opened(files: Files, histories: list[tuple[str, ...]]) -> bool:
    """True when the folder opens as one of the states of a history, False when it is refused with a reason."""
    disk = CrashDisk.holding(files)
    database, refusal = None, "."
    try:
        database = Database.open(disk, LIMITS)
    except MeetkeeperError as error:
        refusal = error.message
    assert refusal.endswith(".")
    if database is None:
        return False
    found, digest = database.position.seq, snapshot.digest_of(database.state)
    assert any(found < len(history) and history[found] == digest for history in histories)
    return True


@settings(max_examples=400)
@given(st.data())
def test_any_copy_opens_as_a_prefix_or_is_refused(data: st.DataObject) -> None:
    """Files copied at different moments, cut anywhere or missing make a prefix of the history, or a clear error."""
    around = data.draw(st.integers(0, len(FILM.moments) - 1), label="around")
    files: Files = {}
    for path in PATHS:
        moment = min(max(around + data.draw(st.integers(-8, 8)), 0), len(FILM.moments) - 1)
        content = FILM.moments[moment].get(path)
        if content is not None and data.draw(st.integers(0, 9)):
            size = len(content) if data.draw(st.integers(0, 4)) else data.draw(st.integers(0, len(content)))
            files[path] = content[:size]
    opened(files, [FILM.life.history])


def test_a_copy_of_any_moment_opens() -> None:
    """A copy of one moment, the last segment cut anywhere or not, always opens."""
    for files in FILM.moments:
        copied = {path: data for path, data in files.items() if path.startswith("databases/")}
        assert opened(copied, [FILM.life.history])
        segments = sorted(path for path in copied if path.endswith(".log"))
        for cut in (1, 40, len(copied[segments[-1]]) // 2 + 1) if segments else ():
            last = copied[segments[-1]]
            assert opened({**copied, segments[-1]: last[: max(len(last) - cut, 0)]}, [FILM.life.history])


def test_a_slow_copy_opens_while_fewer_than_two_snapshots_are_taken() -> None:
    """A tool that lists the folder, then copies the journal, then the snapshots, brings a usable folder."""
    count = len(FILM.moments)
    tried = 0
    for listed, journal_at, snapshots_at in product(
        range(0, count, 4), range(0, count, 5), range(0, count, 6)
    ):
        if (
            not listed <= journal_at <= snapshots_at
            or FILM.snapshots[snapshots_at] > FILM.snapshots[listed] + 1
        ):
            continue
        names = [path for path in FILM.moments[listed] if path.startswith("databases/")]
        times = [(path, journal_at if path.endswith(".log") else snapshots_at) for path in names]
        files = {path: FILM.moments[at][path] for path, at in times if path in FILM.moments[at]}
        assert opened(files, [FILM.life.history]), (
            f"listed {listed}, journal {journal_at}, snapshots {snapshots_at}"
        )
        tried += 1
    assert tried > 500


def test_a_flipped_bit_is_noticed_or_harmless() -> None:
    """With any byte of any file changed by one bit, the folder is refused, or says so, or is as it was."""
    files = FILM.moments[-1]
    whole = FILM.life.history[-1]
    noticed = 0
    for path, data in files.items():
        for place in range(0, len(data), 1 if path.startswith("local/") else 3):
            flipped = bytearray(data)
            flipped[place] ^= 1 << (place // 3 % 8)
            disk = CrashDisk.holding({**files, path: bytes(flipped)})
            try:
                database = Database.open(disk, LIMITS)
            except MeetkeeperError:
                noticed += 1
                continue
            if database.remarks:
                noticed += 1
                continue
            assert snapshot.digest_of(database.state) == whole, f"{path}, byte {place}"
            if place % 5 == 0 and path.startswith("databases/"):
                database.close()
                assert check(disk), f"{path}, byte {place}"
    assert noticed > 500


# --- two histories mixed ---------------------------------------------------------------------------------------------


def _other_film() -> Film:
    """The same life with other contents of the same length, so that all its files have the same names."""
    commit = Life.commit

    def differently(life: Life, database: Database, plan: Plan) -> None:
        commit(life, database, Plan(plan.at_s + 0.5, plan.changes[::-1], plan.effects, plan.notes))

    with patch.object(Life, "commit", differently):
        return Film()


def _mixtures() -> None:
    other = _other_film()
    ours, theirs = (
        {path: data for path, data in film.before_last_snapshot.items() if path.startswith("databases/")}
        for film in (FILM, other)
    )
    paths = sorted({*ours, *theirs})
    refused = 0
    for choice in product((ours, theirs), repeat=len(paths)):
        files = {path: one[path] for path, one in zip(paths, choice, strict=True) if path in one}
        refused += not opened(files, [FILM.life.history, other.life.history])
    assert refused


def test_two_histories_are_never_mixed() -> None:
    """Segments and snapshots of two servers' histories, however mixed, never open as a state that neither has seen."""
    _mixtures()


def test_without_the_chain_two_histories_would_be_mixed() -> None:
    """The canary: a store that does not verify the chain is caught by the mixture."""
    follows = frame._follows

    def gullible(before: Position, one: frame.Frame) -> tuple[Why, str]:
        why, said = follows(before, one)
        return (why, said) if why is not Why.CHAIN else (Why.END, "")

    with patch.object(frame, "_follows", gullible), pytest.raises(AssertionError):
        _mixtures()
