"""The fake Exchange, judged by the JavaScript port of Microsoft's own EWS Managed API, over real HTTP."""

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from meetkeeper.testing.fakes.exchange.server import FakeExchange
from tests.calendars.test_exchange_fake import MOVED, PASSWORD, ROOM, SERIES, USER
from tests.conftest import RequireReal

CLIENTS = Path(__file__).parent / "clients"
LIMIT_S = 100


async def test_ews_javascript_api_reads_and_writes(require_real: RequireReal) -> None:
    """Paging, a series with its exceptions, a view, booking, change, removal, a refused state: as it sees them."""
    node = _node(require_real)
    fake = FakeExchange()
    fake.logins[USER] = PASSWORD
    fake.impersonators = {USER}
    room = fake.site.open(ROOM)
    singles = [room.put(f"u{number}", replace(SERIES, rrule="", exdates=())) for number in range(4)]
    series = room.put("series", SERIES, (MOVED,))
    await fake.start()
    try:
        told = await _run(node, str(CLIENTS / "read.mjs"), fake.url, USER, PASSWORD, ROOM)
    finally:
        await fake.stop()
    newest_first = [["Create", one.id] for one in (series, *reversed(singles))]
    assert told["pages"] == [newest_first[:3], newest_first[3:]]
    assert told["item"] == {
        "subject": "Standup",
        "start": "2026-12-01T09:00:00.000Z",
        "end": "2026-12-01T10:00:00.000Z",
        "organizer": "ada@example.org",
        "kind": "RecurringMaster",
        "response": "Accept",
        "interval": "1",
        "moved": 1,
        "deleted": 1,
    }
    assert told["view"] == 9
    (((made, made_id),),) = told["after"]
    assert made == "Create"
    assert told["updated"] == [[["Update", made_id]]]
    assert told["removed"] == [[["Delete", made_id]]]
    assert told["refused"] == "ErrorInvalidSyncStateData"
    assert not fake.complaints
    assert not room.mails


async def test_ews_javascript_api_is_told_of_changes(require_real: RequireReal) -> None:
    """Streaming notifications as it reads them: made, changed and removed on one hanging connection, then its end."""
    node = _node(require_real)
    fake = FakeExchange()
    fake.logins[USER] = PASSWORD
    fake.impersonators = {USER}
    fake.streaming.minute_s = 5.0
    room = fake.site.open(ROOM)
    await fake.start()
    process = await asyncio.create_subprocess_exec(
        node, str(CLIENTS / "listen.mjs"), fake.url, USER, PASSWORD, ROOM, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    told: list[list[str]] = []
    try:
        async with asyncio.timeout(LIMIT_S):
            while not fake.streaming.hanging:  # noqa: ASYNC110 - a level is looked at
                await asyncio.sleep(0.02)
            stored = room.put("a", SERIES)
            async for line in process.stdout:
                told.append(json.loads(line))
                if told[-1][0] == "Created":
                    room.put("a", replace(SERIES, subject="Later"), item_id=stored.id)
                if told[-1][0] == "Modified":
                    room.remove(stored.id)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await fake.stop()
    assert [one[0] for one in told] == ["subscribed", "Created", "Modified", "Deleted", "closed"]
    assert {one[1] for one in told[1:4]} == {stored.id}
    assert not fake.complaints


def _node(require_real: RequireReal) -> str:
    """The program that runs the client."""
    node = shutil.which("node")
    there = node is not None and (CLIENTS / "node_modules" / "ews-javascript-api").is_dir()
    hint = f"install Node.js 20, then npm ci --prefix {CLIENTS}"
    if not there and os.environ.get("MEETKEEPER_WITHOUT_NPM"):
        pytest.skip(f"npm's registry could not be reached; to run this test: {hint}")
    require_real("ews-javascript-api", there, hint)
    assert node is not None
    return node


async def _run(*command: str) -> Any:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(LIMIT_S):
        out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()[-2_000:]
    return json.loads(out)
