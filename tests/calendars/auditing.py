"""What every CalDAV server is tried for in a running engine: what it hides is found by the audit, over real HTTP."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Protocol

from msgspec.structs import replace

from meetkeeper.core.configuration import SyncConfig
from meetkeeper.core.words import Meeting
from meetkeeper.ports.calendar import CalendarSource
from tests.engine.desk import Desk, make_config, until

PATIENCE_S = 60.0


class Liar(Protocol):
    """Something that can be told to hide."""

    hides: bool


def entry(uid: str, start_s: int, sequence: int = 0) -> bytes:
    """A meeting of ten minutes."""

    def stamp(at_s: int) -> str:
        return datetime.fromtimestamp(at_s, UTC).strftime("%Y%m%dT%H%M%SZ")

    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//t//t//EN",
        "BEGIN:VEVENT",
        f"UID:{uid}",
        f"DTSTAMP:{stamp(start_s)}",
        f"DTSTART:{stamp(start_s)}",
        f"DTEND:{stamp(start_s + 600)}",
        f"SEQUENCE:{sequence}",
        "SUMMARY:Review",
        "ORGANIZER:mailto:kari@demo.example",
        "END:VEVENT",
        "END:VCALENDAR",
        "",
    ]
    return "\r\n".join(lines).encode()


def meetings(desk: Desk) -> dict[str, Meeting]:
    """Those the server knows, by UID."""
    state = desk.engine.state
    return {str(one.uid): one for one in (state.decode(row) for row in state.meetings.values())}


async def what_it_hides_is_found(
    source: CalendarSource,
    liar: Liar,
    put: Callable[[str, bytes], Awaitable[None]],
    delete: Callable[[str], Awaitable[None]],
) -> None:
    """Moved, made and removed in hiding: unknown to ten polls, then known, with the same doors and one mail each."""
    config = replace(make_config(calendar=True), sync=SyncConfig(audit_every_s=0))
    desk = Desk(config, source)
    start_s = int(desk.clock.now_s()) + 3_600
    async with desk.running() as engine:
        room = engine.neighbours.calendars[0].room
        for uid in ("moves", "goes", "stays"):
            await put(f"{uid}.ics", entry(uid, start_s))
        await until(lambda: len(desk.mailer.sent) == 3, PATIENCE_S)
        before = meetings(desk)
        liar.hides = True
        await put("moves.ics", entry("moves", start_s + 7_200, 1))
        await put("comes.ics", entry("comes", start_s))
        await delete("goes.ics")
        passes = engine.status().rooms[0].passes
        await until(lambda: engine.status().rooms[0].passes > passes + 5, PATIENCE_S)
        assert meetings(desk) == before
        poller = engine._poller
        async with poller.turn_of(room):
            await poller._auditor.audit(engine.neighbours.calendars[0], lambda page: None, engine.now_s())
        assert engine.status().rooms[0].mended == 3
        await until(lambda: len(desk.mailer.sent) == 6, PATIENCE_S)
        after = meetings(desk)
        assert after["moves"].start_s == start_s + 7_200
        assert after["stays"] == before["stays"]
        assert {uid: after[uid].vmr for uid in before} == {uid: before[uid].vmr for uid in before}
        assert "comes" in after
        assert desk.step(after["goes"].id) == "cancelled"
