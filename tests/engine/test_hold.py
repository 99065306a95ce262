"""An engine that is about to hand over: calls under way end, what waits for its turn is left to the successor."""

import asyncio
from email.message import EmailMessage

from meetkeeper.engine.loop import EFFECTS_GRACE_S
from tests.engine.desk import Desk, until

BOOKINGS = 6


async def test_a_queue_of_mails_does_not_hold_up_a_handover() -> None:
    """One mail is under way, many wait behind it: drained when that one is out; thawed, the engine sends the rest."""
    desk = Desk()
    going, let_go = asyncio.Event(), asyncio.Event()
    send = desk.mailer.send

    async def slowly(message: EmailMessage, recipient: str) -> str:
        going.set()
        await let_go.wait()
        return await send(message, recipient)

    desk.mailer.send = slowly  # type: ignore[method-assign]
    async with desk.running() as engine:
        for number in range(BOOKINGS):
            await engine.submit(desk.booking(start_in_s=3_600 * (number + 1)))
        await until(lambda: going.is_set() and _waiting(desk) >= 2 * BOOKINGS)
        drained = asyncio.Event()
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        engine.freeze(drained.set)
        await asyncio.sleep(EFFECTS_GRACE_S / 5)
        assert not drained.is_set()
        let_go.set()
        await drained.wait()
        assert loop.time() - begun_s < EFFECTS_GRACE_S
        assert len(desk.mailer.sent) == 1
        engine.thaw()
        await until(lambda: not _waiting(desk))
        assert len(desk.mailer.sent) == len(set(desk.mailer.sent)) == 2 * BOOKINGS


def _waiting(desk: Desk) -> int:
    """Mails that are not out."""
    return sum(key.startswith("mail/") for key in desk.engine.state.outbox)
