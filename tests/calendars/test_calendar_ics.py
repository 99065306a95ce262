"""A folder of files keeps the contract, and what only folders do: half-written files, links, giants, hanging shares."""

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from meetkeeper.calendars.ics import client, mapping
from meetkeeper.calendars.ics.client import IcsSource
from meetkeeper.core.configuration import IcsCalendar
from meetkeeper.core.errors import NotFound, Refused, TheirMistake, Unavailable
from meetkeeper.testing.contracts.annotating import AnnotatingContract
from meetkeeper.testing.contracts.calendar import CalendarContract, Held, text_of
from tests.calendars.venues import FolderVenue, soon


class TestFolder(CalendarContract, AnnotatingContract):
    """The whole contract."""

    @pytest.fixture
    async def venue(self, tmp_path: Path) -> AsyncIterator[FolderVenue]:
        """A folder for each test."""
        venue = FolderVenue(tmp_path)
        yield venue
        await venue.close()


@pytest.fixture
async def source(tmp_path: Path) -> AsyncIterator[IcsSource]:
    """The test's own folder, read by a clock that lets every file be old."""
    source = IcsSource(IcsCalendar(folder=str(tmp_path)), now_s=soon)
    yield source
    await source.close()


async def test_a_file_just_written_is_left_to_settle(tmp_path: Path) -> None:
    """Within the first moment a file is a problem, listed and not gone; then it is an item."""
    now = [time.time()]
    source = IcsSource(IcsCalendar(folder=str(tmp_path)), quiet_s=10.0, now_s=lambda: now[0])
    path = tmp_path / "a.ics"
    path.write_bytes(text_of("a"))
    held = await Held().follow(source)
    assert list(held.problems) == ["a.ics"]
    assert held.listing == frozenset({"a.ics"})
    assert not held.items
    now[0] += 20.0
    assert (await held.follow(source)).uids == {"a"}
    path.write_bytes(text_of("a", "Other")[:90])
    now[0] = time.time()
    await held.follow(source)
    assert (held.uids, held.gone, list(held.problems)) == ({"a"}, set(), ["a.ics"])
    await source.close()


async def test_two_writes_in_one_tick_of_the_clock_are_both_seen(tmp_path: Path) -> None:
    """A file that may have been written again within the same tick is looked at again, whatever its times say."""
    now = [time.time()]
    source = IcsSource(IcsCalendar(folder=str(tmp_path)), quiet_s=0.0, now_s=lambda: now[0])
    path = tmp_path / "a.ics"
    path.write_bytes(text_of("a", "One"))
    times = os.stat(path)
    held = await Held().follow(source)
    path.write_bytes(text_of("a", "Two"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    await held.follow(source)
    assert [item.master.subject for item in held.items.values() if item.master] == ["Two"]
    path.unlink()
    assert (await held.follow(source)).uids == set()
    await source.close()


async def test_a_half_written_file_is_a_problem_until_it_is_whole(source: IcsSource, tmp_path: Path) -> None:
    """A file that ends too early is named with a sentence; written to its end, it is an item."""
    text = text_of("a")
    path = tmp_path / "a.ics"
    path.write_bytes(text[: len(text) // 2])
    held = await Held().follow(source)
    assert "cut off" in held.problems["a.ics"]
    path.write_bytes(text)
    assert (await held.follow(source)).uids == {"a"}


async def test_nothing_outside_the_folder_is_read(
    source: IcsSource, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    """Links that lead out, nowhere, or in a circle are problems; a link within the folder is a second name."""
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.ics"
    secret.write_bytes(text_of("secret"))
    (tmp_path / "real.ics").write_bytes(text_of("real"))
    (tmp_path / "out.ics").symlink_to(secret)
    (tmp_path / "up.ics").symlink_to(Path("..") / secret.parent.name / secret.name)
    (tmp_path / "nowhere.ics").symlink_to(tmp_path / "missing.ics")
    (tmp_path / "circle.ics").symlink_to(tmp_path / "circle.ics")
    (tmp_path / "inside.ics").symlink_to(tmp_path / "real.ics")
    held = await Held().follow(source)
    assert set(held.items) == {"real.ics", "inside.ics"}
    assert {"out.ics", "up.ics", "circle.ics"} <= set(held.problems)
    assert "secret" not in held.uids


async def test_what_is_no_file_is_no_item(source: IcsSource, tmp_path: Path) -> None:
    """Folders, pipes, hidden and temporary files named like items do not stop the pass."""
    (tmp_path / "folder.ics").mkdir()
    os.mkfifo(tmp_path / "pipe.ics")
    (tmp_path / ".hidden.ics").write_bytes(text_of("hidden"))
    (tmp_path / "~lock.ics").write_bytes(b"")
    (tmp_path / "notes.txt").write_bytes(b"x")
    (tmp_path / "A.ICS").write_bytes(text_of("a"))
    held = await Held().follow(source)
    assert (held.uids, list(held.problems)) == ({"a"}, ["pipe.ics"])


async def test_giants_and_garbage_are_problems(source: IcsSource, tmp_path: Path) -> None:
    """A file of gigabytes is not read, an empty and a binary one are named; the others are items."""
    (tmp_path / "giant.ics").write_bytes(b"")
    os.truncate(tmp_path / "giant.ics", 5 << 30)
    (tmp_path / "empty.ics").write_bytes(b"")
    (tmp_path / "binary.ics").write_bytes(bytes(range(256)))
    (tmp_path / "a.ics").write_bytes(text_of("a"))
    held = await Held().follow(source)
    assert held.uids == {"a"}
    assert set(held.problems) == {"giant.ics", "empty.ics", "binary.ics"}
    assert held.listing == frozenset({"giant.ics", "empty.ics", "binary.ics", "a.ics"})


async def test_a_folder_has_a_bound(
    source: IcsSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More files than the bound are refused as a whole, never silently cut."""
    monkeypatch.setattr(client, "FILES_MAX", 3)
    for number in range(4):
        (tmp_path / f"{number}.ics").write_bytes(text_of(str(number)))
    with pytest.raises(TheirMistake, match="more than 3"):
        await Held().follow(source)


async def test_a_folder_without_rights_is_refused(
    source: IcsSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder we may not read is an error for a person; a single file we may not read is a problem."""
    (tmp_path / "a.ics").write_bytes(text_of("a"))

    def locked(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", locked)
        held = await Held().follow(source)
    assert "Permission denied" in held.problems["a.ics"]
    assert (await held.follow(source)).uids == {"a"}
    monkeypatch.setattr(os, "scandir", locked)
    with pytest.raises(Refused, match="rights"):
        await held.follow(source)


async def test_a_missing_folder_is_not_found(tmp_path: Path) -> None:
    """A folder that is not there, or is a file, is named in an error that says what to do."""
    (tmp_path / "file").write_bytes(b"")
    for name in ("missing", "file"):
        source = IcsSource(IcsCalendar(folder=str(tmp_path / name)))
        with pytest.raises(NotFound, match="make it"):
            await source.probe()
        await source.close()


async def test_a_share_that_hangs_is_away_and_does_not_pile_up(
    source: IcsSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that does not come back counts as unavailable in bounded time, and so do the ones behind it."""
    release = tmp_path / "release"
    monkeypatch.setattr(client, "CALL_S_MAX", 0.05)
    monkeypatch.setattr(source, "_look", lambda: _wait_for(release))
    for _ in range(3):
        with pytest.raises(Unavailable, match="does not answer"):
            await source.probe()
    release.touch()


async def test_a_folder_may_be_read_only(tmp_path: Path) -> None:
    """Without permission to write, writing and removing are refused and nothing is touched."""
    (tmp_path / "a.ics").write_bytes(text_of("a"))
    source = IcsSource(IcsCalendar(folder=str(tmp_path), write=False))
    with pytest.raises(Refused, match="configuration"):
        await source.write("w", text_of("w"))
    with pytest.raises(Refused, match="configuration"):
        await source.remove("a")
    assert os.listdir(tmp_path) == ["a.ics"]
    await source.close()


async def test_a_write_that_fails_leaves_what_was_there(
    source: IcsSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk while writing is `Unavailable`; the old item stands whole and nothing is left beside it."""
    await source.write("w", text_of("w", "Old"))
    before = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Unavailable, match="No space"):
        await source.write("w", text_of("w", "New"))
    assert {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == before


async def test_a_closed_source_says_so(tmp_path: Path) -> None:
    """After the configuration changed, a late call on the old source is unavailable, not a crash."""
    source = IcsSource(IcsCalendar(folder=str(tmp_path)))
    await source.close()
    with pytest.raises(Unavailable, match="no longer"):
        await source.probe()


@pytest.mark.parametrize("uid", ["../../etc/passwd", "a/b", "A", "a", "x" * 900, "ø", ""])
def test_no_uid_becomes_a_path(uid: str) -> None:
    """Whatever a UID holds, the file's name is short, plain and its own."""
    name = mapping.name_for(uid)
    assert name == os.path.basename(name)
    assert name.isascii()
    assert len(name) < 64
    assert mapping.is_item_name(name)
    assert mapping.name_for("A") != mapping.name_for("a")


def _wait_for(path: Path) -> list[object]:
    while not path.exists():
        time.sleep(0.01)
    return []
