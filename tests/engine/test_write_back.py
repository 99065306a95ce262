"""A whole engine writes how to join into a folder of .ics files, a real calendar."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec.structs import replace

from meetkeeper.calendars.ics.client import IcsSource
from meetkeeper.core.configuration import Config, IcsCalendar
from meetkeeper.core.joinblock import WAITS
from meetkeeper.core.state import State
from meetkeeper.core.words import RoomId, Uid
from meetkeeper.ports.calendar import CalendarSource
from tests.engine.desk import Desk, make_config, until

OSLO, UID = RoomId("oslo"), Uid("one")


def written_back() -> Config:
    """One room whose copies say how to join, and whose invitees are mailed."""
    config = make_config(calendar=True)
    rooms = tuple(replace(room, write_back="mail") for room in config.rooms)
    return replace(config, rooms=rooms)


def invitation() -> bytes:
    """A meeting in two hours, as another program wrote it."""
    start = datetime.now(UTC) + timedelta(hours=2)
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//other//EN",
        "BEGIN:VEVENT",
        "UID:one",
        f"DTSTART:{start:%Y%m%dT%H%M%SZ}",
        "DURATION:PT1H",
        "SUMMARY:Board",
        "DESCRIPTION:Agenda\\n1. Budget",
        "ORGANIZER:mailto:kari@demo.example",
        "ATTENDEE:mailto:ola@guests.example",
        "X-UNKNOWN:kept",
        "END:VEVENT",
        "END:VCALENDAR",
        "",
    ]
    return "\r\n".join(lines).encode()


@contextmanager
def folder_source(folder: Path) -> Iterator[CalendarSource]:
    """The folder as the room's calendar; every file counts as settled."""
    yield IcsSource(
        IcsCalendar(folder=str(folder)), own_email="oslo@rooms.example", now_s=lambda: time.time() + 60
    )


def text_in(path: Path) -> str:
    """The file's unfolded text."""
    return path.read_bytes().replace(b"\r\n ", b"").decode()


async def test_our_own_hand_in_a_calendar_is_no_news(tmp_path: Path) -> None:
    """The block is written, the calendar read again several times, and nothing follows: no mail, no change."""
    path = tmp_path / "one.ics"
    path.write_bytes(invitation())
    with folder_source(tmp_path) as source:
        desk = Desk(written_back(), source)
        async with desk.running() as engine:
            await until(lambda: "PIN: " in text_in(path))
            await until(lambda: not engine.state.outbox and len(desk.mailer.sent) == 2)
            (row,) = engine.state.meetings_of(UID)
            fingerprint = _fingerprint(engine.state)
            passes = engine.status().rooms[0].last_pass_s
            await until(lambda: engine.status().rooms[0].last_pass_s > passes + 1.0)
            assert engine.state.meetings_of(UID) == [row]
            assert _fingerprint(engine.state) == fingerprint
            assert not engine.state.outbox
            assert len(desk.mailer.sent) == 2
            assert "X-UNKNOWN:kept" in text_in(path)
            assert text_in(path).count("---- End [") == 1


async def test_a_placeholder_is_corrected_when_the_bridge_is_back(tmp_path: Path) -> None:
    """While the bridge is away the copy says that it follows; then it says how to join, once."""
    path = tmp_path / "one.ics"
    path.write_bytes(invitation())
    with folder_source(tmp_path) as source:
        desk = Desk(written_back(), source)
        desk.bridge.away = True
        async with desk.running():
            await until(lambda: WAITS in text_in(path))
            desk.bridge.away = False
            await until(lambda: "PIN: " in text_in(path))
            assert WAITS not in text_in(path)


def _fingerprint(state: State) -> str:
    (item,) = state.items[OSLO].values()
    return item.fingerprint
