"""The fake Exchange, judged by DavMail: a gateway of many years that reads real ones, seen through its CalDAV side."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import unquote
from xml.etree.ElementTree import Element

import httpx2
import pytest
from defusedxml.ElementTree import fromstring
from msgspec.structs import replace

from meetkeeper.core.words import CalendarItem, Entry
from meetkeeper.itemtext.reading import read_item
from meetkeeper.testing.fakes.exchange.server import FakeExchange
from tests.calendars.test_exchange_fake import MOVED, PASSWORD, ROOM, SERIES
from tests.conftest import RequireReal
from tests.exchange.davmail import INSTALL_HINT, davmail, is_installed

DAV, CAL = "{DAV:}", "{urn:ietf:params:xml:ns:caldav}"
LIMIT_S = 60.0
QUERY = (
    '<C:calendar-query xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:prop><D:getetag/><C:calendar-data/>'
    '</D:prop><C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT"/></C:comp-filter></C:filter>'
    "</C:calendar-query>"
)
BOOKING = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//a calendar program//EN
BEGIN:VEVENT
UID:booked-1
DTSTAMP:20261101T000000Z
DTSTART;TZID=Europe/Oslo:20261202T100000
DTEND;TZID=Europe/Oslo:20261202T113000
SUMMARY:Booked through DavMail
END:VEVENT
END:VCALENDAR
""".replace("\n", "\r\n")


class Gateway:
    """A room of the fake as a CalDAV client sees it through DavMail."""

    def __init__(self, fake: FakeExchange, http: httpx2.AsyncClient) -> None:
        self.fake = fake
        self.room = fake.site.open(ROOM)
        self.http = http
        self.home = f"/users/{ROOM}/calendar/"

    async def items(self) -> dict[str, tuple[str, str, Entry, tuple[Entry, ...]]]:
        """UID → (href, etag, master, changed occurrences) of everything in the calendar."""
        answer = await self.http.request(
            "REPORT", self.home, headers={"Depth": "1", "Content-Type": "text/xml"}, content=QUERY
        )
        assert answer.status_code == 207, answer.text
        return dict(map(_seen, fromstring(answer.text).iter(f"{DAV}response")))


def _seen(response: Element) -> tuple[str, tuple[str, str, Entry, tuple[Entry, ...]]]:
    href = unquote(response.findtext(f"{DAV}href") or "")
    text = next(response.iter(f"{CAL}calendar-data")).text or ""
    etag = next(response.iter(f"{DAV}getetag")).text or ""
    item = read_item(href, text.replace("\r\n", "\n").replace("\n", "\r\n").encode(), own_email=ROOM)
    assert isinstance(item, CalendarItem), text
    assert item.master is not None
    return str(item.uid), (href, etag, item.master, item.overrides)


@pytest.fixture
async def gateway(require_real: RequireReal, tmp_path: Path) -> AsyncIterator[Gateway]:
    """DavMail between a CalDAV client and the fake, logged in as the room."""
    require_real("DavMail", is_installed(), INSTALL_HINT)
    fake = FakeExchange()
    fake.logins[ROOM] = PASSWORD
    fake.site.open(ROOM, name="Oslo")
    await fake.start()
    program = davmail(tmp_path, fake.url.replace("localhost", "127.0.0.1"))
    url = await asyncio.to_thread(program.__enter__)
    try:
        login = httpx2.BasicAuth(ROOM, PASSWORD)
        async with httpx2.AsyncClient(base_url=url, auth=login, timeout=LIMIT_S, trust_env=False) as http:
            yield Gateway(fake, http)
    finally:
        await asyncio.to_thread(program.__exit__, None, None, None)
        await fake.stop()
    assert not fake.complaints


async def test_davmail_reads_the_rooms_calendar(gateway: Gateway) -> None:
    """A meeting, and a series with a moved and a deleted occurrence, arrive as what they are in the mailbox."""
    single = replace(SERIES, rrule="", exdates=(), subject="Alone")
    gateway.room.put("alone", single)
    gateway.room.put("series", SERIES, (MOVED,))
    items = await gateway.items()
    assert set(items) == {"alone", "series"}
    _, etag, alone, _ = items["alone"]
    assert (alone.subject, alone.start, alone.duration_s, alone.zone) == (
        "Alone",
        single.start,
        3_600,
        "Europe/Oslo",
    )
    assert alone.organizer == SERIES.organizer
    _, _, series, changed = items["series"]
    assert sorted(series.rrule.split(";")) == sorted(SERIES.rrule.split(";"))
    assert series.exdates == SERIES.exdates
    ((moved_from, moved_to),) = ((one.recurrence_id, one.start) for one in changed)
    assert (moved_from, moved_to) == (MOVED.recurrence_id, MOVED.start)
    gateway.room.put("alone", replace(single, subject="Renamed"), item_id=next(iter(gateway.room.items)))
    _, etag_after, renamed, _ = (await gateway.items())["alone"]
    assert renamed.subject == "Renamed"
    assert etag_after != etag


async def test_davmail_books_and_cancels_in_the_room(gateway: Gateway) -> None:
    """What a calendar program saves through DavMail stands in the mailbox, and goes when it is deleted there."""
    headers = {"Content-Type": "text/calendar; charset=utf-8", "If-None-Match": "*"}
    answer = await gateway.http.put(f"{gateway.home}booked-1.ics", content=BOOKING, headers=headers)
    assert answer.status_code == 201, answer.text
    (stored,) = gateway.room.items.values()
    assert (stored.uid, stored.master.subject, stored.master.duration_s) == (
        "booked-1",
        "Booked through DavMail",
        5_400,
    )
    assert stored.master.start.hour == 10
    href, _, seen, _ = (await gateway.items())["booked-1"]
    assert seen.start == stored.master.start
    assert not gateway.fake.folders
    answer = await gateway.http.delete(href)
    assert answer.status_code in (200, 204), answer.text
    assert not gateway.room.items
    assert not gateway.room.mails


async def test_davmail_is_told_when_its_login_is_wrong(gateway: Gateway) -> None:
    """The fake's 401 reaches whoever asks DavMail."""
    wrong = httpx2.BasicAuth(ROOM, "wrong")
    answer = await gateway.http.request("PROPFIND", gateway.home, headers={"Depth": "0"}, auth=wrong)
    assert answer.status_code == 401
