"""The asyncio shell: what is kept, what is spoken, and what a broken disk does to both."""

import asyncio

import pytest
from msgspec.structs import replace

from meetkeeper.core.changes import MeetingStepped, raw
from meetkeeper.core.commands import Cancel, Deploy
from meetkeeper.core.configuration import RoomConfig
from meetkeeper.core.effects import Phase
from meetkeeper.core.errors import MeetkeeperError, Refused, Unavailable
from meetkeeper.core.state import Status
from meetkeeper.core.words import MeetingId, RoomId, Step, Uid
from meetkeeper.engine.loop import SUBSCRIBER_FRAMES_MAX, FellBehind
from meetkeeper.ha.words import Position
from meetkeeper.store.database import Database
from meetkeeper.store.journal import Batch
from tests.engine.desk import EIO, ENOSPC, KARI, OLA, Desk, make_config, until


async def test_a_booking_is_on_disk_before_its_answer() -> None:
    """When `submit` returns, a server that loses power at that instant still finds the meeting."""
    desk = Desk()
    async with desk.running() as engine:
        answer = (await engine.submit(desk.booking())).answer
        found = Desk.__new__(Desk)
        found.__dict__.update(desk.__dict__)
        found.disk = desk.disk.killed()
        again = found.start()
        assert again.state.meetings[MeetingId(answer)].step in (Step.SCHEDULED, Step.PROVISIONED)


async def test_bookings_that_are_heard_at_once_share_a_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hundred callers in one turn of the event loop are answered by one flush."""
    desk = Desk()
    sizes: list[int] = []
    flush = Database.flush

    def counted(database: Database, batch: Batch) -> Position:
        sizes.append(len(batch.lines))
        return flush(database, batch)

    async with desk.running() as engine:
        monkeypatch.setattr(Database, "flush", counted)
        bookings = [desk.booking(start_in_s=3_600 * (number + 1)) for number in range(200)]
        await asyncio.gather(*(engine.submit(booking) for booking in bookings))
        assert sizes[0] == 200


async def test_a_booking_that_is_there_already_is_answered_at_once() -> None:
    """Asked again it needs no frame, and no flush will ever call for it: the answer does not wait for one."""
    desk = Desk()
    async with desk.running() as engine:
        booking = desk.booking(uid=Uid("same"))
        first = (await engine.submit(booking)).answer
        await until(lambda: not engine.state.outbox)
        seq = engine.applied_seq
        async with asyncio.timeout(10.0):
            for _ in range(3):
                assert (await engine.submit(booking)).answer == first
        assert engine.applied_seq == seq


async def test_a_meeting_goes_through_all_its_steps() -> None:
    """Booked, provisioned, mailed, opened at its start, closed at its end; the bridge follows each step."""
    desk = Desk()
    steps: list[Step] = []
    async with desk.running() as engine, engine.subscribe() as frames:
        answer = (await engine.submit(desk.booking(start_in_s=1, seconds=2))).answer
        async for frame in frames:
            steps += [change.step for change in frame.plan.changes if isinstance(change, MeetingStepped)]
            if Step.ENDED in steps:
                break
        await until(lambda: not [key for key in engine.state.outbox if not key.endswith("/retire")])
        meeting = engine.state.decode(engine.state.meetings[MeetingId(answer)])
        assert meeting.vmr is not None
        assert not desk.bridge.join(meeting.vmr.alias, meeting.vmr.pin), "nobody gets in after the end"
    assert [step for step in steps if step is not Step.PROVISIONED] == [Step.LIVE, Step.ENDED]
    phases = [call.phase for call in desk.bridge.calls if call.verb == "ensure"]
    assert [phase for phase in phases if phase is not Phase.BOOKED] == [Phase.OPEN, Phase.CLOSED]
    assert {to for _, to in desk.mailer.sent} == {KARI.email, OLA.email}
    assert len(desk.mailer.sent) == 2


@pytest.mark.parametrize("error_number", [EIO, ENOSPC])
async def test_a_failed_flush_acknowledges_nothing_and_ends_the_role(error_number: int) -> None:
    """The booking whose flush fails is refused, so is every later one, and `run` raises the reason."""
    desk = Desk()

    async def book_on_a_broken_disk() -> None:
        async with desk.running() as engine:
            await engine.submit(desk.booking())
            desk.disk.fail("journal:flush", error_number)
            for start_in_s in (7_200, 9_000):
                with pytest.raises(Unavailable):
                    await engine.submit(desk.booking(start_in_s=start_in_s))
            assert engine.status().role == "stopped"
            assert engine.status().failed

    with pytest.raises(MeetkeeperError):
        await book_on_a_broken_disk()
    desk.disk.heal()


async def test_a_reader_never_sees_what_is_not_kept() -> None:
    """A look at the newest state is answered only when the disk has everything it saw."""
    desk = Desk()
    async with desk.running() as engine:
        handled = engine.handle(desk.booking())
        seen = await engine.read(lambda state: len(state.meetings))
        assert seen == 1
        assert desk.database.kept.seq >= handled.seq


async def test_refusals_change_nothing() -> None:
    """A conflict is refused with the meeting in the way, and leaves no frame."""
    desk = Desk()
    async with desk.running() as engine:
        first = (await engine.submit(desk.booking())).answer
        await until(lambda: not engine.state.outbox)
        before = desk.database.position
        with pytest.raises(Refused) as refused:
            await engine.submit(replace(desk.booking(), nonce="other"))
        assert refused.value.detail["conflicts"][0]["id"] == first  # type: ignore[index]
        assert desk.database.position == before


async def test_a_slow_subscriber_is_told_that_it_fell_behind() -> None:
    """Frames are never dropped silently: whoever reads too slowly gets `FellBehind` and reads everything anew."""
    desk = Desk(replace(make_config(), bridges=()))
    async with desk.running() as engine, engine.subscribe() as frames:
        start = desk.booking()
        for number in range(SUBSCRIBER_FRAMES_MAX + 5):
            engine.handle(
                replace(
                    start,
                    start_s=start.start_s + 3_600 * number,
                    end_s=start.end_s + 3_600 * number,
                    nonce=str(number),
                )
            )
        await engine.read(lambda _: None)
        with pytest.raises(FellBehind):
            async for _ in frames:
                pass


async def test_subscribers_hear_of_kept_frames_in_order() -> None:
    """Each kept frame is told once, in the order of its seq."""
    desk = Desk(replace(make_config(), bridges=()))
    async with desk.running() as engine, engine.subscribe() as frames:
        for number in range(3):
            await engine.submit(desk.booking(start_in_s=3_600 * (number + 1)))
        heard = []
        async for frame in frames:
            heard.append(frame.seq)
            if len(heard) == 3:
                break
        assert heard == sorted(set(heard))


async def test_a_killed_mail_is_sent_again_under_the_same_message_id() -> None:
    """A crash between "sending" and the answer leaves one mail of unknown fate; by default it goes again, same id."""
    desk = Desk()
    await _crash_while_sending(desk)
    async with desk.running():
        await until(lambda: not any("mail" in key for key in desk.engine.state.outbox))
    ids = {message_id for message_id, to in desk.mailer.sent if to == KARI.email}
    assert len(ids) == 1


async def test_a_killed_mail_may_wait_for_a_person() -> None:
    """With `unknown_fate` "hold" such a mail is shown as unknown and not sent by itself."""
    desk = Desk(make_config(unknown_fate="hold"))
    await _crash_while_sending(desk)
    async with desk.running() as engine:
        unknown = [row for row in engine.state.outbox.values() if row.status is Status.UNKNOWN]
        assert len(unknown) == 1
        assert engine.status().mail.unknown == 1


async def _crash_while_sending(desk: Desk) -> None:
    """Kill the server at the instant a mail is being handed over."""
    crashed = asyncio.Event()

    async def send(message: object, recipient: str) -> str:
        desk.disk = desk.disk.killed()
        crashed.set()
        await asyncio.Event().wait()
        return ""

    desk.mailer.send = send  # type: ignore[method-assign]
    ready = asyncio.Event()
    task = asyncio.create_task(desk.engine.run(ready.set))
    await ready.wait()
    await desk.engine.submit(desk.booking())
    await crashed.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    del desk.mailer.send
    desk.start()


async def test_a_deployed_configuration_is_in_force_at_once() -> None:
    """A new room can be booked as soon as the deployment is kept, and the old neighbours are let go."""
    desk = Desk()
    async with desk.running() as engine:
        config = replace(desk.config, rooms=(*desk.config.rooms, RoomConfig(id="tromso")))
        await engine.submit(Deploy(raw(config), "test", 1))
        await engine.submit(desk.booking("tromso"))
        await until(lambda: desk.mailer.closed)
        desk.mailer.closed = False


async def test_a_cancelled_meeting_leaves_its_bridge_and_everybody_is_told() -> None:
    """Cancelling frees the room at once and sends one CANCEL to each who was told."""
    desk = Desk()
    async with desk.running() as engine:
        answer = MeetingId((await engine.submit(desk.booking())).answer)
        await until(lambda: len(desk.mailer.sent) == 2)
        await engine.submit(Cancel(id=answer))
        await until(lambda: len(desk.mailer.sent) == 4)
        assert engine.state.free_rooms(*_span(desk)) == [RoomId("oslo"), RoomId("bergen")]
    assert len(set(desk.mailer.sent)) == 4


def _span(desk: Desk) -> tuple[int, int]:
    now_s = int(desk.clock.now_s())
    return now_s, now_s + 86_400


async def test_a_bridge_that_forgets_gets_everything_back() -> None:
    """After a restart of the bridge the VMRs stand again with the same aliases and PINs."""
    desk = Desk()
    async with desk.running() as engine:
        answer = (await engine.submit(desk.booking())).answer
        await until(lambda: desk.step(answer) is Step.PROVISIONED)
        before = dict(desk.bridge.vmrs)
        desk.bridge.restart()
        await until(lambda: desk.bridge.vmrs.keys() == before.keys())
    assert {alias: vmr.pin for alias, vmr in desk.bridge.vmrs.items()} == {
        a: v.pin for a, v in before.items()
    }


async def test_history_tells_every_frame_of_a_meeting() -> None:
    """`explain` shows booking, provisioning and the mails, newest first, and nothing of other meetings."""
    desk = Desk()
    async with desk.running() as engine:
        answer = (await engine.submit(desk.booking())).answer
        await engine.submit(desk.booking("bergen"))
        await until(lambda: not engine.state.outbox)
        rows = await engine.history(answer, 50)
        assert [row.seq for row in rows] == sorted((row.seq for row in rows), reverse=True)
        assert any(line.kind == "meeting" for row in rows for line in row.lines)
        assert not any("bergen" in line.text for row in rows for line in row.lines)
