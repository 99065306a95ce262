"""The register in a folder: what only numbered files and a worker process can show."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from meetkeeper.ha.words import Empty, Found, Unreachable, Won
from meetkeeper.registers.file import FileRegister
from meetkeeper.registers.fileworker import KEPT, change, name_of
from meetkeeper.registers.worker import LEFT_MAX
from meetkeeper.testing.contracts.register import found_by, in_time, record_of, unknown, unreachable, won_by
from tests.registers.venues import DEADLINE_S, FolderVenue


@pytest.fixture
async def venue(tmp_path: Path) -> AsyncIterator[FolderVenue]:
    """An empty folder."""
    venue = FolderVenue(tmp_path)
    yield venue
    await venue.close()


def children() -> set[int]:
    """The processes that this one has started and not seen ended, zombies left out."""
    found = set()
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit():
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[1]) == os.getpid() and fields[0] != "Z":
                    found.add(int(entry.name))
    return found


async def test_only_the_last_numbers_are_kept(venue: FolderVenue) -> None:
    """Old numbers go when new ones come; nothing unfinished is left in the folder."""
    version = 0
    for epoch in range(1, KEPT + 11):
        version = (await won_by(venue.one, version, record_of("one", epoch))).version
    assert sorted(os.listdir(venue.folder)) == [name_of(number) for number in range(11, KEPT + 11)]
    assert (await found_by(venue.two)).record.epoch == KEPT + 10


async def test_a_change_as_late_as_its_number_is_old_stands_nowhere(venue: FolderVenue) -> None:
    """Arriving after its number has come and gone, a change finds the name free and still does nothing."""
    first = await won_by(venue.one, 0, record_of("one", 1))
    await venue.hold_next_change()
    unknown(await venue.one.change(first.version, record_of("one", 2)))
    version = first.version
    for epoch in range(2, KEPT + 9):
        version = (await won_by(venue.two, version, record_of("two", epoch))).version
    assert not (venue.folder / name_of(first.version + 1)).exists()
    await venue.let_go()
    assert not (venue.folder / name_of(first.version + 1)).exists()
    assert (await found_by(venue.one)).version == version


async def test_a_listing_that_lags_hides_nothing(venue: FolderVenue) -> None:
    """Where the folder's listing is older than its names, the newest number is found all the same."""
    version = 0
    for epoch in range(1, 6):
        version = (await won_by(venue.one, version, record_of("one", epoch))).version
    (venue.orders / "blind").write_text("")
    fresh = venue.register("one", venue.program)
    assert (await found_by(fresh)).version == version
    assert isinstance(await fresh.change(version, record_of("one", 6)), Won)


async def test_the_worker_itself_makes_only_the_next_number(venue: FolderVenue) -> None:
    """Should the folder have moved, forth or back, since its owner looked, nothing is made and what stands is told."""
    await won_by(venue.one, 0, record_of("one", 1))
    stands = (venue.folder / name_of(1)).read_bytes().decode()
    for expected in (0, 2, 7):
        told = change(str(venue.folder), expected, "x", ".new-one-")
        assert told == {"number": 1, "data": stands}
    assert os.listdir(venue.folder) == [name_of(1)]
    assert change(str(venue.folder), 1, "x", ".new-one-") == {"won": 2}


async def test_other_names_are_no_numbers(venue: FolderVenue) -> None:
    """Whatever else lies in the folder is left alone and means nothing."""
    strange = ["reg-1.json", "reg-0000000000000000000x.json", ".new-two-7", "notes.txt", f"{name_of(9)}.bak"]
    strange += ["reg-٠٠٠٠٠٠٠٠٠٠٠٠٠٠٠٠٠٠٠٧.json", name_of(0), "REG-00000000000000000009.JSON"]
    for name in strange:
        (venue.folder / name).write_text("x")
    (venue.folder / "folder").mkdir()
    assert await venue.one.read() == Empty()
    await won_by(venue.one, 0, record_of("one", 1))
    assert {*strange, "folder", name_of(1)} == set(os.listdir(venue.folder))


async def test_the_damaged_file_is_named(venue: FolderVenue) -> None:
    """People are told which file is wrong, and the one before it is not taken instead."""
    await won_by(venue.one, 0, record_of("one", 1))
    for number in (2, 10**20 - 1):
        (venue.folder / name_of(number)).write_bytes((venue.folder / name_of(1)).read_bytes())
        assert name_of(number) in unreachable(await venue.one.read())
        (venue.folder / name_of(number)).unlink()
    assert (await found_by(venue.one)).version == 1


async def test_a_folder_that_is_not_there_is_not_empty(venue: FolderVenue, tmp_path: Path) -> None:
    """A share that is not mounted, or a file in its place, is a reason not to know, and nothing is made there."""
    (tmp_path / "file").write_text("")
    for place in ("missing", "file"):
        register = FileRegister(tmp_path / place, me="one")
        assert str(tmp_path / place) in unreachable(await register.read())
        unknown(await register.change(0, record_of("one", 1)))
        await register.close()
    assert not (tmp_path / "missing").exists()


async def test_a_worker_that_dies_is_replaced(venue: FolderVenue) -> None:
    """Killed between two questions, a worker costs at most one answer; the one worker is kept as long as it lives."""
    before = children()
    stands = await won_by(venue.two, 0, record_of("two", 1))
    (worker,) = children() - before
    assert await found_by(venue.two) == stands
    assert children() - before == {worker}
    assert os.getsid(worker) == worker, "a Ctrl-C at the server's terminal would end it too"
    os.kill(worker, signal.SIGKILL)
    unreachable(await venue.two.read())
    assert await found_by(venue.two) == stands
    assert worker not in children()


async def test_whoever_stops_waiting_gets_nobody_elses_answer(venue: FolderVenue) -> None:
    """A call that is cancelled leaves its answer behind with the worker: the next one is told what it asked."""
    stands = await won_by(venue.one, 0, record_of("one", 1))
    for _ in range(20):
        call = asyncio.ensure_future(
            venue.one.change(stands.version, record_of("one", stands.record.epoch + 1))
        )
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        call.cancel()
        with suppress(asyncio.CancelledError):
            await call
        stands = await found_by(venue.one)
        assert await found_by(venue.two) == stands


def test_a_worker_ends_with_its_server(tmp_path: Path) -> None:
    """Of a killed server no worker stays."""
    program = (
        "import asyncio, os, sys\n"
        "from meetkeeper.registers.file import FileRegister\n"
        "async def main():\n"
        f"    register = FileRegister({str(tmp_path)!r}, me='one')\n"
        "    print(await register.read(), flush=True)\n"
        "    print(register._folder.worker._process.pid, flush=True)\n"
        "    sys.stdin.read()\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline().startswith("Empty")
        worker = int(server.stdout.readline())
        # A handle on the process itself: its number could be another's by then.
        handle = os.pidfd_open(worker)
        server.kill()
        server.wait()
        ended = subprocess.run(
            [sys.executable, "-c", f"import select; print(bool(select.select([{handle}], [], [], 10)[0]))"],
            pass_fds=[handle],
            capture_output=True,
            text=True,
            check=True,
        )
        os.close(handle)
        assert ended.stdout == "True\n"


@pytest.fixture
def frozen_share(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, which a test may freeze: whoever writes hangs in the kernel, deaf to every signal."""
    image, place = tmp_path / "image", tmp_path / "mounted"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(16 << 20)
    if os.geteuid() != 0 or not made(["mkfs.ext4", "-q", "-F", str(image)]):
        pytest.skip("a file system can be made and frozen by root alone, with e2fsprogs")
    if not made(["mount", "-o", "loop", str(image), str(place)]):
        pytest.skip("no loop device can be mounted here")
    try:
        yield place
    finally:
        made(["fsfreeze", "-u", str(place)])
        made(["umount", "-l", str(place)])


def made(command: list[str]) -> bool:
    """True when the command was there and well."""
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


async def test_a_hung_share_costs_few_processes_and_no_time(frozen_share: Path) -> None:
    """While workers hang in the kernel every call is answered in time, few are left behind, and all end with it."""
    before = children()
    one = FileRegister(frozen_share, me="one", deadline_s=0.3)
    first = await won_by(one, 0, record_of("one", 1))
    assert made(["fsfreeze", "-f", str(frozen_share)])
    held = record_of("one", 2)
    try:
        for _ in range(LEFT_MAX + 3):
            unknown(await in_time(0.3, one.change(first.version, held)))
        left = children() - before
        assert len(left) == LEFT_MAX
        assert "still hang" in unreachable(await in_time(0.3, one.read()))
    finally:
        assert made(["fsfreeze", "-u", str(frozen_share)])
    reading = await one.read()
    async with asyncio.timeout(10):
        while isinstance(reading, Unreachable):
            await asyncio.sleep(0.02)
            reading = await one.read()
    assert isinstance(reading, Found)
    stands = await found_by(one)
    assert stands.record in (first.record, held)
    assert isinstance(await one.change(stands.version, record_of("one", 3)), Won)
    await one.close()
    assert not children() - before


async def test_a_share_that_takes_nothing_is_read_all_the_same(frozen_share: Path) -> None:
    """On a share that is mounted for reading alone, or full, what stands is known and certainly not changed."""
    one = FileRegister(frozen_share, me="one", deadline_s=DEADLINE_S)
    first = await won_by(one, 0, record_of("one", 1))
    assert made(["mount", "-o", "remount,ro", str(frozen_share)])
    assert "Nothing was changed" in unknown(await one.change(first.version, record_of("one", 2)))
    assert await found_by(one) == first
    assert made(["mount", "-o", "remount,rw", str(frozen_share)])
    with (frozen_share / "full").open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 10, 1):
            with suppress(OSError):
                while file.write(bytes(size)):
                    pass
    assert "Nothing was changed" in unknown(await one.change(first.version, record_of("one", 2)))
    assert await found_by(one) == first
    (frozen_share / "full").unlink()
    assert isinstance(await one.change(first.version, record_of("one", 2)), Won)
    await one.close()
