"""The real dispatcher on an event loop keeps the orders that the simulated world found to matter."""

import asyncio

import pytest

from meetkeeper.core.commands import Cancel
from meetkeeper.core.effects import WriteItem
from meetkeeper.core.words import MeetingId
from meetkeeper.testing.fakes.calendar import FakeSource
from tests.engine.desk import Desk, make_config, until


async def test_a_slow_write_does_not_outlive_its_removal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A meeting cancelled while it is being written into a calendar is gone from there at the end."""
    writing = asyncio.Event()
    write = FakeSource.write

    async def write_slowly(source: FakeSource, uid: str, calendar_text: bytes) -> None:
        writing.set()
        await asyncio.sleep(0.3)
        await write(source, uid, calendar_text)

    monkeypatch.setattr(FakeSource, "write", write_slowly)
    desk = Desk(make_config(calendar=True))
    async with desk.running() as engine:
        answer = MeetingId((await engine.submit(desk.booking())).answer)
        await writing.wait()
        await engine.submit(Cancel(id=answer))
        await until(
            lambda: not any(isinstance(row.effect, WriteItem) for row in engine.state.outbox.values())
        )
        await asyncio.sleep(0.3)
        assert not desk.calendar.items
