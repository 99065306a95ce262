"""A calendar to try the contract on: a room mailbox of a fake Exchange over real HTTP, asked through exchangelib."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from meetkeeper.calendars.exchange.client import ExchangeSource
from meetkeeper.calendars.exchange.server import EwsServer
from meetkeeper.calendars.exchange.terms import Limits, Secrets
from meetkeeper.core.configuration import ExchangeCalendar, ExchangeServer
from meetkeeper.core.words import CalendarItem, Entry
from meetkeeper.itemtext.reading import Problem, read_item
from meetkeeper.ports.calendar import CalendarSource
from meetkeeper.testing.contracts.calendar import ROOM_EMAIL, text_of
from meetkeeper.testing.fakes.exchange.server import FakeExchange
from meetkeeper.testing.fakes.mailbox import Mailbox

USER = "svc-meetkeeper"
PASSWORD = "a password"
ROOMS = frozenset({ROOM_EMAIL})
PLENTY = Limits(connect_s=15, read_s=30, request_s=60, pass_s=120)
"""Limits for tests in which nothing is waited for, so that a busy machine changes nothing."""


def server_of(fake: FakeExchange, limits: Limits = PLENTY, **settings: object) -> EwsServer:
    """The fake as one configuration sees it."""
    known: dict[str, object] = {"auth": "basic", "username": USER} | settings
    config = ExchangeServer(id="mail", url=fake.url, **known)  # type: ignore[arg-type] # names are checked by the record
    return EwsServer(config, Secrets(PASSWORD, "a secret"), limits=limits)


def source_of(server: EwsServer, mailbox: str = ROOM_EMAIL, *, write: bool = True) -> ExchangeSource:
    """A room that looks at a mailbox of the server."""
    config = ExchangeCalendar(server="mail", mailbox=mailbox, write=write)
    return ExchangeSource(config, mailbox, server=server, own_email=ROOM_EMAIL, room_emails=ROOMS)


def entry_in(text: bytes) -> CalendarItem | None:
    """The item as the mailbox would hold it; None when it can't."""
    read = read_item("x", text, own_email=ROOM_EMAIL, room_emails=ROOMS)
    return None if read is None or isinstance(read, Problem) else read


class ExchangeVenue:
    """A mailbox on the fake, another one beside it, and the hands of Outlook."""

    def __init__(self, fake: FakeExchange) -> None:
        self.fake = fake
        self.mailbox: Mailbox = fake.site.open(ROOM_EMAIL)
        fake.site.open("other@example.org")
        self._ids: dict[str, str] = {}
        server = server_of(fake)
        self.source: CalendarSource = source_of(server)
        self.standby: CalendarSource = source_of(server_of(fake))
        self.elsewhere: CalendarSource = source_of(server, "other@example.org")
        self.away: CalendarSource = source_of(server, "nobody@example.org")

    async def put(self, name: str, text: bytes) -> None:
        """Somebody saves an item; what iCalendar can say and Exchange can't is saved unreadable."""
        item = entry_in(text)
        spoilt, kind = "", "IPM.Appointment"
        if item is None:
            task = b"BEGIN:VTODO" in text
            spoilt, kind = ("", "IPM.Task") if task else ("no date", kind)
            uid = text.partition(b"UID:")[2].partition(b"\r\n")[0].decode()
            item = entry_in(text_of(uid))
            assert item is not None
        master = item.master
        assert isinstance(master, Entry)
        note = text.partition(b"X-NOTE:")[2].partition(b"\r\nEND:")[0].decode()
        master = master if not note else _heavy(master, note)
        known = self._ids.get(name, "")
        stored = self.mailbox.put(
            item.uid, master, item.overrides, item_id=known, spoilt=spoilt, item_class=kind
        )
        self._ids[name] = stored.id

    async def body(self, name: str) -> str:
        """As Outlook reads it."""
        stored = self.mailbox.items[self._ids[name]]
        return stored.body_html or stored.master.description

    async def delete(self, name: str) -> None:
        """Somebody removes an item."""
        assert self.mailbox.remove(self._ids.pop(name))

    async def close(self) -> None:
        """Let the sessions go."""
        for source in (self.source, self.standby, self.elsewhere, self.away):
            await source.close()
        await self.fake.stop()


def _heavy(entry: Entry, note: str) -> Entry:
    from msgspec.structs import replace

    return replace(entry, description=note)


@asynccontextmanager
async def fresh() -> AsyncIterator[ExchangeVenue]:
    """A fresh fake with an empty mailbox; in the end it has nothing to complain of."""
    fake = FakeExchange()
    fake.logins[USER] = PASSWORD
    fake.impersonators = {USER}
    await fake.start()
    venue = ExchangeVenue(fake)
    yield venue
    await venue.close()
    assert not fake.complaints
