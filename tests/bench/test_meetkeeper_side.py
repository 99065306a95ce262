"""Meetkeeper's own rows: the right process is weighed, and a booking that is there already is answered."""

import asyncio
from pathlib import Path

import pytest

from bench import meetkeeper_side
from bench.clients import AsyncCommit, run_async
from bench.processes import resident_bytes


@pytest.mark.slow
def test_the_process_that_holds_the_meetings_is_weighed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`meetkeeper run` is an agent with the server as its child: whoever has the home's lock is put on the scales."""
    weighed: list[bool] = []

    def weigh(pid: int) -> int:
        held = {str(one.readlink()) for one in Path(f"/proc/{pid}/fd").iterdir() if one.is_symlink()}
        weighed.append(str(tmp_path / "home" / "local" / "lock") in held)
        return resident_bytes(pid)

    monkeypatch.setattr(meetkeeper_side, "resident_bytes", weigh)
    side = meetkeeper_side.Restart()
    side.fill(tmp_path, 100)
    assert side.load(tmp_path, lambda: None).meetings == 100
    assert weighed == [True]


def test_a_booking_that_is_there_already_is_answered_at_once(tmp_path: Path) -> None:
    """Nothing is kept for it, so no flush calls its client; another round after it goes on."""
    side = meetkeeper_side.InProcess()
    side.start(tmp_path / "home")

    async def twice() -> None:
        commit = await side._open()
        body = next(iter(meetkeeper_side.ready_contents()))
        async with asyncio.timeout(10.0):
            await commit(1, body)
            await commit(1, body)
        await side._close()

    asyncio.run(twice())
    assert side.run(1, 0.2).per_second > 0
    side.stop()


def test_no_two_rounds_draw_alike() -> None:
    """What one round has booked the next one does not book again in the same order."""
    drawn: list[list[tuple[int, bytes]]] = []

    async def opening() -> AsyncCommit:
        drawn.append([])

        async def commit(key: int, body: bytes) -> None:
            drawn[-1].append((key, body))
            await asyncio.sleep(0)

        return commit

    async def closing() -> None:
        pass

    for _ in range(2):
        run_async(opening, closing, 1, 0.01)
    assert drawn[0][:3] != drawn[1][:3]
