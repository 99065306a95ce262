"""A room mailbox on the fake Graph, to try the contract and worse on."""

from meetkeeper.bounded.http import Limits
from meetkeeper.calendars.graph.client import GraphClient
from meetkeeper.calendars.graph.mapping import Reader
from meetkeeper.calendars.graph.notices import Notices
from meetkeeper.calendars.graph.source import GraphSource
from meetkeeper.calendars.graph.token import App, SecretCredential, Tokens
from meetkeeper.core.configuration import GraphCalendar
from meetkeeper.core.words import CalendarItem
from meetkeeper.itemtext.reading import Problem, read_item
from meetkeeper.ports.calendar import CalendarSource
from meetkeeper.testing.contracts.calendar import ROOM_EMAIL
from meetkeeper.testing.fakes.graph import FakeGraph
from meetkeeper.testing.fakes.graph.tokens import CLIENT_ID, CLIENT_SECRET, TENANT
from meetkeeper.testing.fakes.mailbox import Site

NOW_S = 1_795_348_800.0
"""2026-11-22 12:00 UTC."""
ROOMS = frozenset({ROOM_EMAIL})
OTHER = "other@example.org"
HEAVY_BYTES = 100_000
PLENTY = Limits(read_s=15, request_s=30, pass_s=60)
"""Limits under which a busy machine changes nothing."""
HASTE = Limits(read_s=0.2, request_s=0.4, pass_s=2.0)
"""Limits for tests that wait for them."""


class Clock:
    """A wall clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now_s = NOW_S

    def __call__(self) -> float:
        """Seconds."""
        return self.now_s


class GraphVenue:
    """One room, another room, and the way to both. `clock` is everybody's."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.site = Site(now_s=self.clock)
        self.mailbox = self.site.open(ROOM_EMAIL, name="Room")
        self.site.open(OTHER)
        self.graph = FakeGraph(self.site, self.clock)
        self.ids: dict[str, str] = {}
        self._sources: list[GraphSource] = []

    async def open(self) -> None:
        """Start the server and look at it."""
        await self.graph.start()
        self.graph.api.generations_live = 100  # the contract takes an old cookie up again and again
        client = self.client()
        self.source: CalendarSource = self.look(client)
        self.standby: CalendarSource = self.look()
        self.elsewhere: CalendarSource = self.look(client, OTHER)
        self.away: CalendarSource = self.look(client, "nobody@example.org")

    async def close(self) -> None:
        """Let everything go."""
        for source in self._sources:
            await source.close()
        await self.graph.stop()

    def client(
        self, limits: Limits = PLENTY, *, endpoint: str = "", secret: str = CLIENT_SECRET
    ) -> GraphClient:
        """A way to the server."""
        where = endpoint or self.graph.endpoint
        scope = where.removesuffix("/v1.0") + "/.default"
        app = App(authority=self.graph.authority_url, tenant=TENANT, client_id=CLIENT_ID, scope=scope)
        return GraphClient(where, Tokens(app, SecretCredential(secret), self.clock), limits=limits)

    def look(
        self,
        client: GraphClient | None = None,
        mailbox: str = ROOM_EMAIL,
        *,
        zone: str = "UTC",
        write: bool = True,
        notices: Notices | None = None,
    ) -> GraphSource:
        """A source for a mailbox."""
        reader = Reader(mailbox=mailbox, own_email=mailbox, room_emails=ROOMS, zone=zone)
        calendar = GraphCalendar(server="m365", write=write)
        source = GraphSource(calendar, client or self.client(), reader, notices=notices, now_s=self.clock)
        self._sources.append(source)
        return source

    async def put(self, name: str, text: bytes) -> None:
        """Somebody saves it in Outlook."""
        read = read_item(name, text, room_emails=ROOMS)
        known = self.ids.get(name, "")
        if read is None:
            return
        if isinstance(read, Problem):
            before = self.mailbox.items.get(known)
            plain = read_item(name, text.replace(b"RRULE", b"X-RULE"), room_emails=ROOMS)
            assert isinstance(plain, CalendarItem)
            assert plain.master is not None
            uid = plain.uid if before is None else before.uid
            stored = self.mailbox.put(uid, plain.master, item_id=known, spoilt="no date")
        else:
            assert read.master is not None
            heavy = "x" * len(text) if len(text) > HEAVY_BYTES else ""
            stored = self.mailbox.put(
                read.uid, read.master, read.overrides, item_id=known, spoilt="", body_html=heavy
            )
        self.ids[name] = stored.id

    async def body(self, name: str) -> str:
        """As Outlook reads it."""
        stored = self.mailbox.items[self.ids[name]]
        return stored.body_html or stored.master.description

    async def delete(self, name: str) -> None:
        """Somebody removes it."""
        assert self.mailbox.remove(self.ids.pop(name))
