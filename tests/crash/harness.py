"""Every crash of a small database's life, every crash of its recovery, and what must hold after each.

A workload runs once; before each of its disk calls every disk is collected that could be found if the power went or the
process was killed at that moment. Each of them that can be told apart is opened with the real store, and the crashes of
that opening are collected in turn, until nothing new turns up. `Explorer.cases` counts the crashes, `disks` those that
could be told apart.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import cache

from msgspec import Raw, Struct

from meetkeeper.codec import snapshot
from meetkeeper.core.changes import (
    Change,
    CookieKept,
    EffectMoved,
    Founded,
    ItemKept,
    MeetingForgotten,
    MeetingKept,
    MeetingStepped,
    ReignOpened,
)
from meetkeeper.core.effects import Effect, EnsureVmr, Phase, key_of
from meetkeeper.core.errors import MeetkeeperError
from meetkeeper.core.plan import Plan
from meetkeeper.core.state import Status
from meetkeeper.core.words import Alias, MeetingId, RoomId, Step, Uid
from meetkeeper.store.check import check
from meetkeeper.store.database import Database, Limits
from meetkeeper.store.recovery import SET_ASIDE
from meetkeeper.testing.disk import CrashDisk, Files

LIMITS = Limits(segment_bytes_max=900)
KILLS_MAX = 1
"""A process is killed in its life and once more in the recovery; power may go any number of times."""
ROOMS = (RoomId("red"), RoomId("blue"))


class Violation(AssertionError):
    """An invariant does not hold. The message says which, and after which call."""


class Case(Struct, frozen=True):
    """A disk found after a crash, and what was known when it happened."""

    disk: CrashDisk
    kept: int
    promised: int
    history: tuple[str, ...]
    """Digest of the state after each seq that was ever attempted."""
    after: str
    generation: int


class Life:
    """What a caller of the database knows: the plans it asked for, and those it was told are kept."""

    def __init__(self, history: tuple[str, ...] = (), kept: int = 0, promised: int = 0) -> None:
        self.history = history
        self.kept = kept
        self.promised = promised

    def reign(self, database: Database) -> None:
        """Open a reign, and take note of its epoch."""
        epoch = database.promised + 1
        database.open_reign(epoch)
        self.promised = epoch
        self.commit(database, Plan(0.0, (ReignOpened(epoch, "a", "1", "2026a"),)))

    def commit(self, database: Database, plan: Plan) -> None:
        """Ask for a plan."""
        position = database.commit(plan)
        self.history = (*self.history[: position.seq], snapshot.digest_of(database.state))

    def flush(self, database: Database) -> None:
        """Wait until everything is kept, and take note."""
        self.kept = database.flush_now().seq


Workload = Callable[[CrashDisk, Life], None]


def plan_of(number: int) -> Plan:
    """Small plans that touch most tables."""
    room = ROOMS[number % 2]
    meeting_id = MeetingId(f"m{number}")
    start_s = 1_800_000_000 + number * 1_800
    effect = EnsureVmr(Alias(f"a{number}"), meeting_id, Phase.BOOKED, "")
    changes: list[Change] = [
        MeetingKept(
            id=meeting_id,
            start_s=start_s,
            end_s=start_s + 3_600,
            rooms=(room,) if number % 3 else ROOMS,
            step=Step.SCHEDULED,
            body=Raw(b'{"about":"%d"}' % number),
            alias=Alias(f"a{number}"),
        )
    ]
    effects: list[Effect] = [effect]
    if number % 4 == 1:
        changes.append(MeetingStepped(MeetingId(f"m{number - 1}"), Step.LIVE, 1.5 * number))
        changes.append(CookieKept(room, f"mark {number}"))
    if number % 4 == 2:
        changes.append(ItemKept(room, f"item-{number}", Uid(f"u{number}"), "", "f"))
        before = EnsureVmr(Alias(f"a{number - 1}"), MeetingId(f"m{number - 1}"), Phase.BOOKED, "")
        changes.append(EffectMoved(key_of(before), Status.DONE, 1, 2.0, ""))
    if number % 4 == 3:
        changes = [MeetingForgotten(MeetingId(f"m{number - 3}")), *changes[1:]]
        effects = []
    return Plan(float(number), tuple(changes), tuple(effects))


def whole_life(disk: CrashDisk, life: Life) -> None:
    """Found a database, fill several segments in batches of one to three, take three snapshots, restart once."""
    database = Database.open(disk, LIMITS)
    life.history = (snapshot.digest_of(database.state),)
    life.reign(database)
    life.commit(database, Plan(0.0, (Founded("lineage"),)))
    life.flush(database)
    for number in range(11):
        life.commit(database, plan_of(number))
        if number % 3 != 1:
            life.flush(database)
        if number % 5 == 2:
            database.rest()
        if number in {3, 6, 9}:
            life.flush(database)
            database.checkpoint()
    database.flush_now()
    database.close()
    database = Database.open(disk, LIMITS)
    life.reign(database)
    life.flush(database)
    life.commit(database, plan_of(11))
    database.checkpoint()
    life.kept = database.kept.seq
    database.close()


@cache
def _is_never_read(path: str) -> bool:
    """What the store only ever writes: disks that differ in these alone can't be told apart by it."""
    return path.endswith(".part") or path.startswith(f"{SET_ASIDE}/")


class Explorer:
    """Collects crashes and looks into each disk once."""

    def __init__(self, disk_kind: type[CrashDisk] = CrashDisk) -> None:
        self.cases = 0
        self.disks = 0
        self._disk_kind = disk_kind
        self._seen: set[object] = set()
        self._lived_on: set[object] = set()
        self._last: object = None
        self._waiting: list[Case] = []

    def explore(self, workload: Workload, disk: CrashDisk | None = None) -> None:
        """Live the workload, then look into everything it could have left behind. Raises `Violation`.

        A workload that ends in one of the errors of the house has ended, as a server does; `disk` may make it.
        """
        disk, life = disk or self._disk_kind(), Life()
        disk.on_point = lambda label: self._collect(disk, life, label, 0)
        with suppress(MeetkeeperError):
            workload(disk, life)
        disk.heal()
        self._collect(disk, life, "the end", 0)
        while self._waiting:
            self._look_into(self._waiting.pop())

    def _collect(self, disk: CrashDisk, life: Life, after: str, generation: int) -> None:
        known = (life.kept, life.promised, life.history)
        if self._last == (disk, disk.changes, known):
            return
        self._last = (disk, disk.changes, known)
        for files in disk.crashes(unread=_is_never_read):
            self.cases += 1
            key = (_readable(files), known)
            if key not in self._seen:
                self._seen.add(key)
                self._wait(type(disk).holding(files), life, after, generation)
        if generation > KILLS_MAX:
            return
        killed = disk.killed()
        self.cases += 1
        if (print_ := (killed.fingerprint(_is_never_read), known)) not in self._seen:
            self._seen.add(print_)
            self._wait(killed, life, after, generation)

    def _wait(self, disk: CrashDisk, life: Life, after: str, generation: int) -> None:
        self._waiting.append(Case(disk, life.kept, life.promised, life.history, after, generation))

    def _look_into(self, case: Case) -> None:
        self.disks += 1
        try:
            self._live_on(case)
        except (MeetkeeperError, AssertionError) as error:
            raise Violation(
                f"power gone before {case.after}, {case.kept} kept of {len(case.history) - 1} attempted, "
                f"generation {case.generation}: {error}"
            ) from error

    def _live_on(self, case: Case) -> None:
        disk, life = case.disk, Life(case.history, case.kept, case.promised)
        disk.on_point = lambda label: self._collect(
            disk, life, f"{label} in the recovery", case.generation + 1
        )
        tails = _segments(disk)
        database = Database.open(disk, LIMITS)
        found = database.position.seq
        assert life.kept <= found, f"only {found} found"
        assert found < max(len(life.history), 1), f"{found} found, more than was attempted"
        digest = snapshot.digest_of(database.state)
        assert not life.history or digest == life.history[found], f"at {found} the state is another one"
        assert all(lost in _aside(disk) for lost in _lost(tails, disk)), "what was cut is not set aside"
        life.kept = found
        life.history = (*life.history[:found], digest)
        if case.generation:
            disk.on_point = None
        mended = (disk.fingerprint(_is_never_read), case.generation > 0, life.promised, life.history)
        if mended in self._lived_on:
            return
        self._lived_on.add(mended)
        assert database.promised >= life.promised, "a promise is forgotten"
        life.reign(database)
        life.commit(database, plan_of(100))
        life.flush(database)
        assert life.kept == found + 2, "a new write is not kept"
        database.close()
        disk.on_point = None
        loud = [one for one in check(disk) if one.severity != "note"]
        assert not loud, f"check says {loud[0]}"
        again = Database.open(disk, LIMITS)
        assert again.remarks == (), f"opening again mends again: {again.remarks}"
        assert again.position == database.position, "opening again finds another position"
        assert snapshot.digest_of(again.state) == life.history[-1], "opening again finds another state"
        again.close()


def _segments(disk: CrashDisk) -> Files:
    return {path: data for path, data in disk.files().items() if path.endswith(".log")}


def _lost(before: Files, disk: CrashDisk) -> list[bytes]:
    """What stood at the end of a segment before and does not now."""
    after = disk.files()
    return [data[len(after[path]) :] for path, data in before.items() if len(after[path]) < len(data)]


def _aside(disk: CrashDisk) -> list[bytes]:
    return [data for path, data in disk.files().items() if path.endswith(".tail")]


def _readable(files: Files) -> frozenset[tuple[str, bytes]]:
    return frozenset(
        (path, b"" if _is_never_read(path) else data) for path, data in files.items() if not _is_aside(path)
    )


@cache
def _is_aside(path: str) -> bool:
    return path.startswith(f"{SET_ASIDE}/")
