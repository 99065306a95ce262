"""In a pair nobody is held for ever: who waits too long for the other server is told to ask again."""

import asyncio

import pytest

from meetkeeper.core.errors import Unavailable
from meetkeeper.engine import loop
from meetkeeper.engine.loop import Engine
from meetkeeper.engine.node import Node
from meetkeeper.engine.partner import Alone
from tests.engine.desk import Desk


class Partner(Alone):
    """The other server, which has everything, until it is gone."""

    gone_after_seq: int | None = None

    def bound(self) -> int:
        """What it holds."""
        return super().bound() if self.gone_after_seq is None else self.gone_after_seq

    def may_speak(self) -> bool:
        """Not without it."""
        return self.gone_after_seq is None


async def test_a_caller_that_is_held_too_long_is_told_and_may_ask_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A booking and a look are refused after a while; when the other server is back the same booking stands, once."""
    monkeypatch.setattr(loop, "HELD_S_MAX", 0.2)
    desk, partner = Desk(), Partner()
    desk.engine = Engine(
        Node(desk.database),
        desk.clock,
        desk._neighbours,
        server="a",
        release="0",
        tzdata="0",
        partner=partner,
    )
    async with desk.running() as engine:
        partner.gone_after_seq = engine.applied_seq
        booking = desk.booking(idempotency=("key", "digest"))
        asked = [asyncio.create_task(engine.submit(booking)), asyncio.create_task(_look(engine))]
        for _ in range(30):
            await asyncio.sleep(0.02)
            engine.look_again()
        for one in asked:
            with pytest.raises(Unavailable, match="ask again"):
                await one
        partner.gone_after_seq = None
        engine.look_again()
        first = (await engine.submit(booking)).answer
        assert (await engine.submit(booking)).answer == first
        assert len(engine.state.meetings) == 1


async def _look(engine: Engine) -> int:
    return await engine.read(lambda state: len(state.meetings))
