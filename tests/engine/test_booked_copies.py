"""Meetings booked here, and what a person does to their copies in the rooms' calendars."""

from meetkeeper.core.words import MeetingId, RoomId, Step
from meetkeeper.testing.fakes.calendar import FakeCalendar
from tests.engine.desk import Desk, make_config, until


async def test_removing_the_copy_of_a_booking_cancels_it() -> None:
    """The copy is written by us; a person who deletes it means the meeting."""
    desk = Desk(make_config(calendar=True))
    async with desk.running() as engine:
        answer = MeetingId((await engine.submit(desk.booking())).answer)
        await until(lambda: bool(engine.state.items.get(RoomId("oslo"))) and not engine.state.unsettled)
        (name,) = _names(desk.calendar)
        desk.calendar.delete(name)
        await until(lambda: engine.state.meetings[answer].step is Step.CANCELLED)


def _names(calendar: FakeCalendar) -> list[str]:
    return list(calendar.items)
