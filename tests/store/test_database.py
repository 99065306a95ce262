"""The database: kept, then spoken; found again as it was; refused with a reason when it can't be."""

import errno
from pathlib import Path
from random import Random

import pytest

from meetkeeper.codec import frame, record, snapshot
from meetkeeper.core.errors import Corrupt, MeetkeeperError, OurMistake, Refused, TheirMistake, Unavailable
from meetkeeper.core.plan import Plan
from meetkeeper.ha.words import ORIGIN
from meetkeeper.host.disk import RealDisk
from meetkeeper.store import checkpoint, journal, recovery
from meetkeeper.store.check import check
from meetkeeper.store.database import Database, Limits
from meetkeeper.testing.disk import CrashDisk
from meetkeeper.testing.world.faults import Crash, arm
from tests.codec.plans import every_plan, meeting_kept

SMALL = Limits(segment_bytes_max=1_500)


def founded(disk: CrashDisk, limits: Limits = SMALL) -> Database:
    """A database with every kind of record in it, all of it kept."""
    database = Database.open(disk, limits)
    database.open_reign(1)
    for plan in every_plan():
        database.commit(plan)
        database.flush_now()
    return database


def meetings(first: int, last: int) -> list[Plan]:
    """Plans with a meeting each."""
    return [Plan(float(number), (meeting_kept(number),)) for number in range(first, last)]


def test_what_is_kept_is_found_again(tmp_path: Path) -> None:
    """On a real disk, across reigns and segments, everything is there after opening again."""
    database = Database.open(RealDisk(tmp_path), SMALL)
    database.open_reign(1)
    for plan in every_plan():
        database.commit(plan)
    position = database.flush_now()
    assert position == database.position == database.kept
    digest = snapshot.digest_of(database.state)
    database.close()
    assert len(list((tmp_path / "databases/journal").iterdir())) > 1
    again = Database.open(RealDisk(tmp_path), SMALL)
    assert (again.position, again.kept) == (position, position)
    assert snapshot.digest_of(again.state) == digest
    assert check(RealDisk(tmp_path)) == []
    again.close()


def test_a_commit_is_applied_at_once_and_kept_after_the_flush() -> None:
    """The next decision sees a plan before it is durable; `kept` moves when it is."""
    database = founded(CrashDisk())
    before = database.kept
    position = database.commit(meetings(50, 51)[0])
    assert "m50" in database.state.meetings
    assert database.kept == before
    batch = database.take_batch()
    assert batch is not None
    assert database.take_batch() is None
    assert database.flush(batch) == position == database.kept


def test_nothing_is_decided_without_a_reign() -> None:
    """A server that has no epoch commits nothing."""
    database = Database.open(CrashDisk())
    with pytest.raises(OurMistake, match="does not reign"):
        database.commit(Plan(0.0))


def test_an_epoch_is_never_used_twice() -> None:
    """A reign's epoch is above those of the journal and not below any promise, across restarts."""
    disk = CrashDisk()
    database = founded(disk)
    database.promise(5)
    for epoch in (0, 1, 4):
        with pytest.raises(Refused, match="higher one"):
            database.open_reign(epoch)
    with pytest.raises(OurMistake):
        database.commit(meetings(60, 61)[0])
    database.close()
    again = Database.open(disk, SMALL)
    assert again.promised == 5
    again.promise(3)
    assert again.promised == 5
    again.open_reign(5)
    assert again.commit(meetings(60, 61)[0]).epoch == 5
    with pytest.raises(Refused, match="higher one"):
        again.open_reign(5)


def test_a_plan_that_is_too_large_changes_nothing() -> None:
    """A plan that fits into no frame is refused before anything has changed."""
    database = founded(CrashDisk())
    position, digest = database.position, snapshot.digest_of(database.state)
    with pytest.raises(TheirMistake):
        database.commit(Plan(0.0, (meeting_kept(1, subject="x" * frame.FRAME_BYTES_MAX),)))
    assert (database.position, snapshot.digest_of(database.state)) == (position, digest)
    assert database.take_batch() is None


def test_a_plan_that_breaks_off_stops_the_server() -> None:
    """When applying fails half-way, nothing of it is written and nothing is committed afterwards."""
    disk = CrashDisk()
    database = founded(disk)
    broken = meeting_kept(70)
    with pytest.raises(AssertionError, match="unreachable"):
        database.commit(Plan(0.0, (broken,), (None,)))  # type: ignore[arg-type]
    with pytest.raises(OurMistake, match="restart"):
        database.commit(meetings(71, 72)[0])
    database.close()
    assert "m70" not in Database.open(disk, SMALL).state.meetings


# --- the disk refuses -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "kind", "said"),
    [
        (errno.ENOSPC, Unavailable, "disk is full .the crash disk: 0 of"),
        (errno.EROFS, Refused, "may not be written"),
        (errno.EIO, Unavailable, "restart this server"),
    ],
)
@pytest.mark.parametrize("label", ["journal:append", "journal:flush", "journal:open", "journal:folder"])
def test_a_failed_flush_is_final(label: str, number: int, kind: type[MeetkeeperError], said: str) -> None:
    """After one failure nothing is kept any more, by no call, even when the disk works again."""
    disk = CrashDisk()
    database = founded(disk)
    kept = database.kept
    database.checkpoint()
    database.rest()
    disk.fail(label, number)
    database.commit(meetings(50, 51)[0])
    with pytest.raises(kind, match=said) as caught:
        database.flush_now()
    disk.heal()
    for call in (
        lambda: database.commit(meetings(51, 52)[0]),
        lambda: database.finish_checkpoint(database.begin_checkpoint()),
    ):
        with pytest.raises(MeetkeeperError) as again:
            call()
        assert again.value is caught.value
    assert database.kept == kept
    database.close()
    assert Database.open(disk, SMALL).position.seq in {kept.seq, kept.seq + 1}


def test_a_short_write_is_cut_back() -> None:
    """A batch that only half fits on the disk leaves no half behind."""
    disk = CrashDisk()
    database = founded(disk)
    whole = disk.files()
    disk.fail("journal:append", errno.ENOSPC)
    for plan in meetings(50, 53):
        database.commit(plan)
    with pytest.raises(Unavailable):
        database.flush_now()
    left = {path: data for path, data in disk.files().items() if path.endswith(".log")}
    assert all(data == whole.get(path, b"") for path, data in left.items())


def test_a_failed_snapshot_costs_the_snapshot_alone() -> None:
    """When a snapshot can't be written, nothing is left of it, commits go on, and the next one succeeds."""
    disk = CrashDisk()
    database = founded(disk)
    for label in ("snapshot:append", "snapshot:flush", "snapshot:rename"):
        disk.fail(label, errno.ENOSPC)
        with pytest.raises(Unavailable, match="snapshot"):
            database.checkpoint()
        disk.heal()
        database.commit(meetings(50, 51)[0])
        database.flush_now()
        assert disk.listing("t:list", checkpoint.FOLDER) == []
    database.checkpoint()
    assert len(disk.listing("t:list", checkpoint.FOLDER)) == 1


def test_a_snapshot_is_due_until_it_is_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot that failed is as due as before, one that succeeded is due again when the journal has grown."""
    monkeypatch.setattr(checkpoint, "DUE_BYTES", 1_000)
    monkeypatch.setattr(checkpoint, "DUE_FRAMES", 5)
    disk = CrashDisk()
    database = founded(disk)
    assert database.checkpoint_due
    disk.fail("snapshot:flush", errno.EIO)
    with pytest.raises(Unavailable):
        database.checkpoint()
    disk.heal()
    assert database.checkpoint_due
    database.checkpoint()
    assert not database.checkpoint_due
    for plan in meetings(50, 56):
        database.commit(plan)
    assert database.checkpoint_due
    database.flush_now()
    database.close()
    assert Database.open(disk, SMALL).checkpoint_due


def test_a_folder_is_used_by_one_server() -> None:
    """A second server is refused and told who is there; after closing, and after a failed opening, it may."""
    disk = CrashDisk()
    database = founded(disk)
    with pytest.raises(Refused, match="process 1 holds local/lock"):
        Database.open(disk)
    assert Database.inspect(disk).position == database.kept
    database.close()
    disk.fail("recover:segment", errno.EIO)
    with pytest.raises(Unavailable):
        Database.open(disk)
    disk.heal()
    Database.open(disk).close()


def test_a_full_disk_is_not_filled_further_by_opening() -> None:
    """When there is no room to write the last segment anew, opening says so and leaves nothing behind."""
    disk = CrashDisk()
    founded(disk).close()
    before = disk.files()
    disk.fail("recover:rewrite", errno.ENOSPC)
    with pytest.raises(Unavailable, match="disk is full"):
        Database.open(disk, SMALL)
    assert disk.files() == before
    disk.heal()
    Database.open(disk, SMALL).close()


def test_looking_goes_on_when_a_file_goes_away() -> None:
    """A snapshot that removes old segments while somebody looks costs a second look, not an error."""

    class Pruned(CrashDisk):
        """The first segment goes away after the first listing."""

        def listing(self, label: str, folder: str) -> list[str]:
            names = super().listing(label, folder)
            return (
                ["0000000000000000000.log", *names]
                if self.labels.count(label) == 1 and "journal" in folder
                else names
            )

    disk = CrashDisk()
    database = founded(disk)
    assert check(Pruned.holding(disk.files())) == []
    assert Database.inspect(Pruned.holding(disk.files())).position == database.kept
    disk.fail("check:segment", errno.ENOENT)
    with pytest.raises(Unavailable, match="not there any more"):
        check(disk)


def test_looking_changes_nothing() -> None:
    """`inspect` and `check` leave every byte as it is, a torn tail too."""
    disk = CrashDisk()
    founded(disk)
    last = f"{journal.FOLDER}/{disk.listing('t:list', journal.FOLDER)[-1]}"
    torn = CrashDisk.holding({**disk.files(), last: disk.files()[last] + b"torn"})
    before = torn.files()
    Database.inspect(torn)
    assert [one.severity for one in check(torn)] == ["note"]
    assert torn.files() == before


# --- damage -----------------------------------------------------------------------------------------------------------


def with_file(disk: CrashDisk, path: str, data: bytes | None) -> CrashDisk:
    """The same folder with one file replaced or removed."""
    files = disk.files()
    files.pop(path)
    return CrashDisk.holding(files if data is None else {**files, path: data})


def logs(disk: CrashDisk) -> list[str]:
    """The segments, oldest first."""
    return [f"{journal.FOLDER}/{name}" for name in disk.listing("t:list", journal.FOLDER)]


def test_damage_in_the_middle_names_the_place() -> None:
    """A damaged frame that was kept stops the opening with file, byte and seq, in an old segment and in the last."""
    disk = CrashDisk()
    founded(disk, Limits())
    (path,) = logs(disk)
    data = disk.files()[path]
    second = data.index(b"\n") + 1
    with pytest.raises(Corrupt, match=f"{path}, byte {second}, seq 2: .*had been kept") as caught:
        Database.open(with_file(disk, path, data[: second + 9] + b"X" + data[second + 10 :]))
    assert caught.value.detail == {"file": path, "offset": second, "seq": 2}


def _damaged_in_the_middle() -> tuple[CrashDisk, int]:
    """A journal of one segment whose second frame is damaged, and how many frames it had."""
    disk = CrashDisk()
    seq = founded(disk, Limits()).kept.seq
    (path,) = logs(disk)
    data = disk.files()[path]
    second = data.index(b"\n") + 1
    return with_file(disk, path, data[: second + 9] + b"X" + data[second + 10 :]), seq


def test_what_another_server_has_too_is_cut_noted_and_healed() -> None:
    """Everything behind the damage stands aside; that it is missing is known until somebody says that it is back."""
    disk, _ = _damaged_in_the_middle()
    found = Database.open(disk, repairs=True)
    assert found.kept.seq == 1
    assert found.cut_back
    assert "follows the other one" in found.remarks[0]
    assert [name for name in disk.listing("t:list", recovery.SET_ASIDE) if name.endswith(".tail")]
    found.close()
    again = Database.open(disk, repairs=True)
    assert again.cut_back
    again.heal()
    again.heal()
    again.close()
    assert not Database.open(disk, repairs=True).cut_back


def test_a_cut_that_is_interrupted_anywhere_is_noted() -> None:
    """The power goes in any of the calls: the damage is still there then, or it is known that frames are missing."""
    for call in range(1, 200):
        disk, seq = _damaged_in_the_middle()
        arm(disk, call)
        try:
            Database.open(disk, repairs=True).close()
        except Crash:
            found = Database.open(disk.crash(Random(call)), repairs=True)
            assert found.cut_back
            assert found.kept.seq < seq
        else:
            assert call > 10
            return
    pytest.fail("opening never came to its end")


def test_damage_before_the_last_segment_is_for_a_person_wherever_else_it_stands() -> None:
    """No crash leaves it there, and a great deal would be cut with it."""
    disk = CrashDisk()
    founded(disk)
    path = logs(disk)[0]
    data = disk.files()[path]
    with pytest.raises(Corrupt):
        Database.open(with_file(disk, path, data[:9] + b"X" + data[10:]), SMALL, repairs=True)


def test_a_missing_segment_is_named() -> None:
    """A gap between segments is refused with how much is missing."""
    disk = CrashDisk()
    founded(disk)
    with pytest.raises(Corrupt, match="frames are missing"):
        Database.open(with_file(disk, logs(disk)[1], None))


def test_a_flight_that_came_out_of_order_is_cut() -> None:
    """Good frames behind a bad one are cut with it when none of them says that it had been kept: one flush, torn."""
    disk = CrashDisk()
    database = founded(disk, Limits())
    kept = database.kept
    for plan in meetings(50, 54):
        database.commit(plan)
    before = len(disk.files()[logs(disk)[0]])
    database.flush_now()
    data = disk.files()[logs(disk)[0]]
    found = Database.open(with_file(disk, logs(disk)[0], data[:before] + bytes(20) + data[before + 20 :]))
    assert found.position == kept
    assert "no frame" in found.remarks[0]


def test_a_damaged_snapshot_is_replaced_by_the_one_before() -> None:
    """With the newest snapshot cut short, the older one and the journal lead to the same state."""
    disk = CrashDisk()
    database = founded(disk)
    database.checkpoint()
    for plan in meetings(50, 60):
        database.commit(plan)
        database.flush_now()
    database.checkpoint()
    newest = checkpoint.snapshot_path(database.position.seq)
    found = Database.open(with_file(disk, newest, disk.files()[newest][:-9]), SMALL)
    assert snapshot.digest_of(found.state) == snapshot.digest_of(database.state)
    assert "cut short" in found.remarks[0]


def test_a_damaged_snapshot_without_its_journal_is_refused() -> None:
    """When the journal does not reach the damaged snapshot, going on would lose what it held."""
    disk = CrashDisk()
    database = founded(disk)
    database.checkpoint()
    for plan in meetings(50, 60):
        database.commit(plan)
        database.flush_now()
    database.checkpoint()
    newest = checkpoint.snapshot_path(database.position.seq)
    cut = with_file(disk, newest, disk.files()[newest][:-9])
    with pytest.raises(Corrupt, match="before it"):
        Database.open(with_file(cut, logs(cut)[-1], None))


def test_a_newer_release_is_named() -> None:
    """A journal or snapshot written by a newer release is refused with the advice to upgrade."""
    disk = CrashDisk()
    database = founded(disk, Limits())
    made = frame.encode(database.position, 1, b'{"v":99,"kept":0}')
    (path,) = logs(disk)
    with pytest.raises(TheirMistake, match=f"{path}, byte .*upgrade this server first"):
        Database.open(with_file(disk, path, disk.files()[path] + made.line))


def test_old_snapshots_and_segments_go_when_two_newer_ones_stand() -> None:
    """Two snapshots are kept, and the journal from the older of them on; what is left opens from either."""
    disk = CrashDisk()
    database = founded(disk)
    seqs = []
    for start in (100, 110, 120, 130):
        for plan in meetings(start, start + 6):
            database.commit(plan)
            database.flush_now()
        database.checkpoint()
        seqs.append(database.position.seq)
    assert checkpoint.snapshots_of(disk) == seqs[-2:]
    assert journal.first_seq_of(logs(disk)[0].rpartition("/")[2]) == seqs[-2] + 1
    assert check(disk) == []
    newest = checkpoint.snapshot_path(seqs[-1])
    found = Database.open(with_file(disk, newest, b""), SMALL)
    assert snapshot.digest_of(found.state) == snapshot.digest_of(database.state)


def test_a_snapshot_pays_when_the_journal_is_long() -> None:
    """Due after enough bytes, measured against the last snapshot, or after enough frames."""
    many, few = checkpoint.DUE_FRAMES, 10
    megabyte = 1 << 20
    assert not checkpoint.is_due(63 * megabyte, many, 0)
    assert checkpoint.is_due(64 * megabyte, few, 0)
    assert not checkpoint.is_due(64 * megabyte, few, 1_000 * megabyte)
    assert checkpoint.is_due(250 * megabyte, few, 1_000 * megabyte)
    assert checkpoint.is_due(64 * megabyte, many, 1_000 * megabyte)


# --- reading back -----------------------------------------------------------------------------------------------------


def test_frames_are_read_back() -> None:
    """From any seq on, every kept frame comes once, in order, and none that is not kept."""
    database = founded(CrashDisk())
    kept = database.kept.seq
    database.commit(meetings(50, 51)[0])
    for since in range(kept + 2):
        found = [one.position.seq for one in database.frames_since(since)]
        assert found == list(range(since + 1, kept + 1))
    assert [one.position.seq for one in database.frames()] == list(range(1, kept + 1))


def test_frames_that_are_gone_are_refused() -> None:
    """When snapshots have replaced the beginning of the journal, a reader is sent to a snapshot."""
    database = founded(CrashDisk())
    for start in (100, 110, 120):
        for plan in meetings(start, start + 6):
            database.commit(plan)
        database.checkpoint()
    with pytest.raises(Refused, match="begin from the newest snapshot") as caught:
        list(database.frames_since(0))
    assert caught.value.code == "journal.gone"


def test_a_follower_holds_the_same_bytes() -> None:
    """Frames taken over from another server make the same journal, state and position."""
    ours, theirs = founded(CrashDisk(), Limits()), CrashDisk()
    follower = Database.open(theirs)
    frames = list(ours.frames())
    half = len(frames) // 2
    follower.follow(b"".join(one.line for one in frames[:half]), 1)
    follower.flush_now()
    follower.follow(b"".join(one.line for one in frames[half:]), 1)
    assert follower.flush_now() == ours.kept
    assert snapshot.digest_of(follower.state) == snapshot.digest_of(ours.state)
    assert theirs.files()[logs(theirs)[0]] == b"".join(one.line for one in frames)
    assert follower.promised == 1
    with pytest.raises(Refused, match="higher one"):
        follower.open_reign(1)


def test_a_follower_refuses_what_does_not_follow() -> None:
    """A gap, a damaged frame, another history and an epoch below a promise are refused, and nothing is taken."""
    ours = founded(CrashDisk())
    first, second, *_ = list(ours.frames())
    follower = Database.open(CrashDisk())
    stranger = frame.encode(ORIGIN, 1, record.encode(Plan(77.0), 0))
    for data in (
        second.line,
        first.line[:-1],
        first.line[:30] + b"x" + first.line[31:],
        stranger.line + second.line,
    ):
        with pytest.raises(Corrupt):
            follower.follow(data, 1)
    assert follower.position == ORIGIN
    follower.promise(2)
    with pytest.raises(Refused, match="below the promised 2"):
        follower.follow(first.line, 1)
    assert follower.position == ORIGIN
