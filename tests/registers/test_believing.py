"""A register that was emptied: believed by nobody until a person says so, and by everybody under a higher epoch."""

import asyncio
from pathlib import Path

from meetkeeper.ha.words import Empty, Found, Mode, Record, Unreachable, Won
from meetkeeper.registers.file import FileRegister


def record(epoch: int, active: str = "a") -> Record:
    """A reign."""
    return Record("pair", epoch, active, ("a", "b"), Mode.SYNC, active, "a test", 0.0, nonce=f"n{epoch}")


def empty(folder: Path) -> None:
    """As if the share had been formatted."""
    for path in folder.iterdir():
        path.unlink()


async def test_after_a_person_has_looked_it_is_written_anew(tmp_path: Path) -> None:
    """Emptied: no answer. Believed: nothing there, the next change stands, and the other server takes its epoch."""
    mine, theirs = FileRegister(tmp_path, me="a"), FileRegister(tmp_path, me="b")
    try:
        assert isinstance(await mine.change(0, record(1)), Won)
        assert isinstance(await mine.change(1, record(2)), Won)
        assert isinstance(await theirs.read(), Found)
        await asyncio.to_thread(empty, tmp_path)
        assert isinstance(await mine.read(), Unreachable)
        assert isinstance(await theirs.read(), Unreachable)
        mine.believe()
        assert await mine.read() == Empty()
        assert await mine.change(0, record(3)) == Won(1)
        assert await theirs.read() == Found(record(3), 1)
    finally:
        await mine.close()
        await theirs.close()


async def test_an_old_epoch_under_a_new_number_is_not_believed(tmp_path: Path) -> None:
    """Restored from a backup and written on by nobody we followed: the epoch is not higher, so it is not believed."""
    mine, theirs = FileRegister(tmp_path, me="a"), FileRegister(tmp_path, me="b")
    try:
        assert isinstance(await mine.change(0, record(1)), Won)
        assert isinstance(await mine.change(1, record(2)), Won)
        assert isinstance(await theirs.read(), Found)
        await asyncio.to_thread(empty, tmp_path)
        mine.believe()
        assert await mine.change(0, record(2, "b")) == Won(1)
        assert isinstance(await theirs.read(), Unreachable)
    finally:
        await mine.close()
        await theirs.close()
