"""The checker: silent about a good folder, and about each kind of damage it says what and where."""

import pytest

from meetkeeper.codec import snapshot
from meetkeeper.core.changes import apply
from meetkeeper.core.plan import Plan
from meetkeeper.core.state import State
from meetkeeper.store import checkpoint, journal, promises
from meetkeeper.store.check import Finding, check, faults_of
from meetkeeper.store.database import Database, Limits
from meetkeeper.testing.disk import CrashDisk
from tests.codec.plans import every_plan, meeting_kept

SMALL = Limits(segment_bytes_max=1_500)


def lived() -> CrashDisk:
    """A folder with two snapshots and segments before, between and after them."""
    disk = CrashDisk()
    database = Database.open(disk, SMALL)
    database.open_reign(1)
    for number, plan in enumerate([*every_plan(), *(Plan(9.0, (meeting_kept(n),)) for n in range(100, 130))]):
        database.commit(plan)
        database.flush_now()
        if number in {10, 25}:
            database.checkpoint()
    database.close()
    return disk


def changed(path: str, place: int) -> CrashDisk:
    """The folder with one byte of one file changed."""
    files = lived().files()
    data = bytearray(files[path])
    data[place] ^= 0x10
    return CrashDisk.holding({**files, path: bytes(data)})


def errors(disk: CrashDisk) -> list[Finding]:
    """Findings that ask for something to be done."""
    return [one for one in check(disk) if one.severity == "error"]


def test_a_good_folder_is_silent() -> None:
    """Nothing is said about a folder that is as it should be."""
    assert check(lived()) == []
    assert check(CrashDisk()) == []


def test_damage_is_found_wherever_it_is() -> None:
    """One changed byte in any segment, snapshot or promise is an error that names the file."""
    files = lived().files()
    for path, data in files.items():
        findings = check(changed(path, len(data) // 2))
        last = path == max(name for name in files if name.endswith(".log"))
        assert any(one.file == path and one.severity in {"error", "note"[: 4 * last]} for one in findings), (
            path
        )


def test_a_missing_segment_is_found() -> None:
    """A gap that matters to a base that is kept is told."""
    files = lived().files()
    path = sorted(name for name in files if name.endswith(".log"))[-2]
    del files[path]
    assert errors(CrashDisk.holding(files))


def test_a_snapshot_of_another_state_is_found() -> None:
    """A snapshot that does not say what the journal says is told, though its checksum is right."""
    disk = lived()
    seq = checkpoint.snapshots_of(disk)[-1]
    loaded = checkpoint.load(disk, seq)
    apply(loaded.state, meeting_kept(101, subject="never decided"))
    forged = b"".join(snapshot.encode(snapshot.image(loaded.state, loaded.position)))
    found = errors(CrashDisk.holding({**disk.files(), checkpoint.snapshot_path(seq): forged}))
    assert any("another state" in one.said for one in found)


def test_needless_segments_and_leftovers_are_noted() -> None:
    """What nobody needs is worth a note, never more."""
    disk = lived()
    old = journal.segment_path(1)
    first = sorted(name for name in disk.files() if name.endswith(".log"))[0]
    assert first != old
    files = {**disk.files(), f"{checkpoint.FOLDER}/x.part": b"half", "local/set-aside/1.tail.json": b"{}"}
    needless = CrashDisk.holding({**files, old: b""})
    said = {one.file: one.severity for one in check(needless)}
    assert said == {
        old: "note",
        f"{checkpoint.FOLDER}/x.part": "note",
        "local/set-aside/1.tail.json": "note",
    }


def test_a_damaged_promise_is_found() -> None:
    """A promise that does not say what was promised is an error."""
    found = errors(changed(promises.PATH, 9))
    assert [one.file for one in found] == [promises.PATH]


def _state() -> State:
    state = State()
    for plan in every_plan():
        for change in plan.changes:
            apply(state, change)
    for number in range(20, 40):
        apply(state, meeting_kept(number))
    return state


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: state.agendas["red"].meetings.pop(),
        lambda state: state.agendas["red"].starts.reverse(),
        lambda state: state.occupancy.busy.popitem(),
        lambda state: state.by_alias.popitem(),
        lambda state: state.series_by_alias.clear(),
        lambda state: state.numeric_ids.popitem(),
        lambda state: state.occurrences.clear(),
        lambda state: state.items_by_uid.popitem(),
        lambda state: state.unsettled.clear(),
        lambda state: setattr(state, "due", State().due),
    ],
)
def test_a_spoilt_index_is_found(spoil: object) -> None:
    """Each index that does not say what its rows say is told."""
    state = _state()
    assert list(faults_of(state)) == []
    assert callable(spoil)
    spoil(state)
    assert list(faults_of(state)) != []
