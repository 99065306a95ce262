"""A Graph that fails, lies, stalls, throttles and attacks, over real sockets: an error of ours, never an empty room."""

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import format_datetime

import msgspec
import pytest
import trustme

from meetkeeper.bounded import gate
from meetkeeper.calendars.graph import mailbox
from meetkeeper.calendars.graph.client import GraphClient
from meetkeeper.calendars.graph.marks import Place, lies_within, seal, unseal
from meetkeeper.calendars.graph.token import App, CertificateCredential, SecretCredential, Tokens, read_token
from meetkeeper.core.errors import MeetkeeperError, NotFound, Refused, TheirMistake, Unavailable
from meetkeeper.ports.calendar import CookieRefused
from meetkeeper.testing.contracts.calendar import ROOM_EMAIL, Held, booked, text_of, written
from meetkeeper.testing.fakes.graph.server import Request, Trick, spelled
from meetkeeper.testing.fakes.graph.tokens import CLIENT_ID, CLIENT_SECRET, TENANT
from tests.calendars.graphvenue import HASTE, PLENTY, GraphVenue

PASS = ["token", "delta", "list", "batch"]
"""The kinds of request in a complete pass over a calendar with a series."""


@pytest.fixture
async def venue() -> AsyncIterator[GraphVenue]:
    """A mailbox with a meeting and a series for each test."""
    venue = GraphVenue()
    await venue.open()
    await venue.put("a.ics", text_of("a"))
    await venue.put("s.ics", text_of("s", "Daily", "RRULE:FREQ=DAILY;COUNT=5"))
    yield venue
    await venue.close()


async def failed(venue: GraphVenue, cookie: str = "", *, hasty: bool = False) -> MeetkeeperError:
    """The error of a pass that must fail without a listing, with a sentence that ends."""
    held = Held()
    source = venue.look(venue.client(HASTE)) if hasty else venue.source
    with pytest.raises(MeetkeeperError) as caught:
        await held.follow(source, cookie)
    assert held.listing is None
    assert not held.cookie
    assert caught.value.message.endswith(".")
    return caught.value


def answer(status: int, body: bytes = b"", *headers: str) -> bytes:
    """A whole answer."""
    lines = [f"HTTP/1.1 {status} x", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def says(reply: bytes, *, then_closes: bool = False) -> Trick:
    """A trick that answers with these bytes."""

    async def trick(writer: asyncio.StreamWriter, _request: Request) -> None:
        writer.write(reply)
        if then_closes:
            await writer.drain()
            writer.close()

    return trick


def gives(tree: object) -> Trick:
    """A trick that answers 200 with this JSON."""
    return says(answer(200, msgspec.json.encode(tree)))


# --- whose fault it is -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", PASS)
@pytest.mark.parametrize(
    ("status", "kind_of_error"),
    [
        (200, TheirMistake),
        (204, TheirMistake),
        (302, Refused),
        (401, Refused),
        (403, Refused),
        (404, NotFound),
        (418, TheirMistake),
        (429, Unavailable),
        (500, Unavailable),
        (502, Unavailable),
        (503, Unavailable),
        (504, Unavailable),
    ],
)
async def test_a_status_says_whose_fault_it_is(
    venue: GraphVenue, kind: str, status: int, kind_of_error: type[MeetkeeperError]
) -> None:
    """Any unwelcome status in any step of a pass is the right kind of error and never an empty calendar."""
    venue.graph.tricks[kind] = says(answer(status, b"<html>Sorry</html>", "Content-Type: text/html"))
    error = await failed(venue)
    if kind == "token" and status in (302, 404, 418):
        assert type(error) is TheirMistake
    else:
        assert type(error) is kind_of_error


async def hang(_writer: asyncio.StreamWriter, _request: Request) -> None:
    """Never answer."""
    await asyncio.sleep(60)


async def drip(writer: asyncio.StreamWriter, _request: Request) -> None:
    """A byte now and then, for ever."""
    writer.write(b"HTTP/1.1 200 x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"1\r\n \r\n")
        await writer.drain()
        await asyncio.sleep(0.05)


async def stall(writer: asyncio.StreamWriter, _request: Request) -> None:
    """Half an answer, then nothing."""
    writer.write(answer(200, b'{"value": []}')[:-4])
    await writer.drain()
    await asyncio.sleep(60)


async def hang_up(writer: asyncio.StreamWriter, _request: Request) -> None:
    """Close without a word."""
    writer.close()


async def cut(writer: asyncio.StreamWriter, _request: Request) -> None:
    """Half an answer, then the line is cut."""
    writer.write(answer(200, b'{"value": []}')[:-4])
    await writer.drain()
    writer.close()


@pytest.mark.parametrize("kind", PASS)
@pytest.mark.parametrize("trick", [hang, drip, stall, hang_up, cut], ids=lambda trick: trick.__name__)
async def test_a_line_that_dies_is_asked_again(venue: GraphVenue, kind: str, trick: Trick) -> None:
    """Silence, drops and cuts in any step are Unavailable within the limits."""
    venue.graph.tricks[kind] = trick
    assert type(await failed(venue, hasty=True)) is Unavailable


@pytest.mark.parametrize("kind", PASS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'{"value": 1}',
        b'{"value": [1]}',
        b'{"value": [{"subject": "no id"}]}',
        b'{"value": [{"id": ""}]}',
        b'{"value": [{"id": "a b"}]}',
        b'{"value": [{"id": "\xff"}]}',
        b'{"value": [' + b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"]}",
        b'{"access_token": "a b", "expires_in": 60}',
        b'{"responses": [{"id": "0"}]}',
        b'{"responses": [{"id": "7", "status": 200, "body": {}}]}',
    ],
)
async def test_answers_that_are_none(venue: GraphVenue, kind: str, body: bytes) -> None:
    """Whatever is no JSON of the kind that was asked for is their mistake, in any step."""
    venue.graph.tricks[kind] = says(answer(200, body))
    assert type(await failed(venue)) is TheirMistake


async def test_an_answer_without_end_is_cut(venue: GraphVenue) -> None:
    """An answer larger than allowed is given up while it arrives, packed or plain."""
    small = msgspec.structs.replace(PLENTY, answer_bytes_max=100_000)
    source = venue.look(venue.client(small))
    packed = gzip.compress(b" " * 10_000_000)
    for reply in (answer(200, b" " * 200_000), answer(200, packed, "Content-Encoding: gzip")):
        venue.graph.tricks["delta"] = says(reply, then_closes=True)
        with pytest.raises(TheirMistake, match="more than 100000 bytes"):
            await Held().follow(source)


@pytest.mark.parametrize(
    "spoil",
    [
        {"subject": 7},
        {"start": None},
        {"start": {"dateTime": "soon", "timeZone": "UTC"}},
        {"start": {"dateTime": "0001-01-01T00:00:00", "timeZone": "UTC"}},
        {"start": {"dateTime": "2026-12-01T10:00:00", "timeZone": "Middle Earth"}},
        {"end": {"dateTime": "2026-11-01T10:00:00", "timeZone": "UTC"}},
        {"attendees": "everybody"},
        {"isAllDay": "yes"},
    ],
)
async def test_an_event_that_can_not_be_read_costs_itself_alone(
    venue: GraphVenue, spoil: dict[str, object]
) -> None:
    """One malformed event is a problem with a sentence, listed and not gone; the others are given."""
    honest = venue.graph.api._dressed

    def spoilt(event: dict[str, object]) -> dict[str, object]:
        return honest(event | spoil if event.get("iCalUId") == "a" else event)

    venue.graph.api._dressed = spoilt  # type: ignore[method-assign]
    held = await Held().follow(venue.source)
    assert held.uids == {"s"}
    assert len(held.problems) == 1
    assert len(held.listing or ()) == 2


@pytest.mark.parametrize(
    "odd",
    [
        {"recurrence": None},
        {"recurrence": {}},
        {"recurrence": {"pattern": {"type": "lunar", "interval": 1}, "range": {"type": "noEnd"}}},
        {"recurrence": {"pattern": {"type": "daily", "interval": 0}, "range": {"type": "noEnd"}}},
        {"recurrence": {"pattern": {"type": "weekly", "interval": 1}, "range": {"type": "noEnd"}}},
        {"recurrence": {"pattern": {"type": "daily", "interval": 1}, "range": {"type": "numbered"}}},
        {"recurrence": {"pattern": {"type": "absoluteMonthly", "interval": 1}, "range": {"type": "noEnd"}}},
    ],
)
async def test_a_series_that_can_not_be_read_costs_itself_alone(
    venue: GraphVenue, odd: dict[str, object]
) -> None:
    """A recurrence that makes no sense is a problem of that series; it stays listed."""
    honest = venue.graph.api._dressed

    def spoilt(event: dict[str, object]) -> dict[str, object]:
        return honest(event | odd if event.get("type") == "seriesMaster" else event)

    venue.graph.api._dressed = spoilt  # type: ignore[method-assign]
    held = await Held().follow(venue.source)
    assert held.uids == {"a"}
    assert len(held.problems) == 1
    assert len(held.listing or ()) == 2


# --- pages -----------------------------------------------------------------------------------------------------------


async def test_a_pass_that_breaks_lists_nothing(venue: GraphVenue) -> None:
    """When the second page fails there is no listing and no cookie, and the next pass gives all."""
    for number in range(8):
        await venue.put(f"m{number}.ics", text_of(f"m{number}"))
    venue.graph.api.page_max = 3
    count = 0

    async def second_fails(writer: asyncio.StreamWriter, request: Request) -> None:
        nonlocal count
        count += 1
        writer.write(answer(500) if count == 2 else spelled(await venue.graph.honest(request)))

    venue.graph.tricks["delta"] = second_fails
    assert type(await failed(venue)) is Unavailable
    assert len((await Held().follow(venue.source)).uids) == 10


async def test_rounds_in_circles_and_without_end_are_given_up(
    venue: GraphVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that names itself, pages without end, and a round that ends without a link are their mistake."""
    here = f"{venue.graph.endpoint}/users/x/calendarView/delta"
    venue.graph.tricks["delta"] = gives({"value": [], "@odata.nextLink": f"{here}?$skiptoken=1"})
    assert (await failed(venue)).code == "calendar.circles"
    monkeypatch.setattr(mailbox, "PAGES_MAX", 5)
    count = 0

    async def on_and_on(writer: asyncio.StreamWriter, _request: Request) -> None:
        nonlocal count
        count += 1
        link = f"{here}?$skiptoken={count}"
        writer.write(answer(200, msgspec.json.encode({"value": [], "@odata.nextLink": link})))

    venue.graph.tricks["delta"] = on_and_on
    assert (await failed(venue)).code == "calendar.circles"
    assert count == 5
    venue.graph.tricks["delta"] = gives({"value": []})
    assert type(await failed(venue)) is TheirMistake


async def test_too_many_events_are_refused(venue: GraphVenue, monkeypatch: pytest.MonkeyPatch) -> None:
    """A calendar beyond all bounds is their mistake, before memory is."""
    monkeypatch.setattr(mailbox, "EVENTS_MAX", 3)
    assert (await failed(venue)).code == "calendar.too-many"


@pytest.mark.parametrize("place", ["@odata.nextLink", "@odata.deltaLink", "Location"])
async def test_our_token_goes_nowhere_else(venue: GraphVenue, place: str) -> None:
    """A link or redirect to another host, scheme, port or path is an error, and the other side hears nothing."""
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(10_000))
        writer.close()

    thief = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = thief.sockets[0].getsockname()[1]
    own = venue.graph.endpoint.removeprefix("http://").removesuffix("/v1.0")
    for link in (
        f"http://127.0.0.1:{port}/v1.0/users/x/calendarView/delta?$skiptoken=1",
        f"http://localhost:{port}/v1.0/users/x",
        f"http://{own}@127.0.0.1:{port}/v1.0/users/x",
        f"http://127.0.0.1:{port}\\@{own}/v1.0/users/x",
        f"//127.0.0.1:{port}/v1.0/users/x",
        f"https://{own}/v1.0/users/x",
        f"http://{own}/v1.0/../evil",
        f"http://{own}/v1.0/%2e%2e/evil",
        f"http://{own}/other/users/x",
        f"http://{own}.evil.example/v1.0/users/x",
        f"http://{own}/v1.0/users/x#there",
        "x" * 20_000,
        "",
    ):
        if place == "Location":
            venue.graph.tricks["delta"] = says(answer(307, b"", f"Location: {link}"))
            assert type(await failed(venue)) is Refused
        else:
            venue.graph.tricks["delta"] = gives({"value": [], place: link})
            assert type(await failed(venue)) is TheirMistake, link
    thief.close()
    await thief.wait_closed()
    assert not heard


# --- throttling ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["seconds", "date", "nonsense", "none"])
async def test_a_pause_is_kept_by_everybody(
    venue: GraphVenue, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told to wait, in seconds or by a date, no room of that server asks again before the time is over."""
    later = format_datetime(datetime.fromtimestamp(datetime.now(UTC).timestamp() + 90, UTC), usegmt=True)
    header = {"seconds": "90", "date": later, "nonsense": "soon", "none": ""}[form]
    monkeypatch.setattr(gate, "QUIET_S_MIN", 70.0)
    await Held().follow(venue.source)
    venue.graph.pauses.append(header)
    first = await failed(venue)
    assert isinstance(first, Unavailable)
    asked = len(venue.graph.requests)
    for source in (venue.source, venue.elsewhere):
        with pytest.raises(Unavailable) as caught:
            await Held().follow(source)
        expected = 90 if form in ("seconds", "date") else 70
        assert expected - 30 < caught.value.retry_after_s <= expected
    assert len(venue.graph.requests) == asked


async def test_a_part_of_a_batch_can_ask_for_a_pause(venue: GraphVenue) -> None:
    """A 429 inside a batch that succeeded counts like any other."""
    part = {
        "id": "0",
        "status": 429,
        "headers": {"Retry-After": "77"},
        "body": {"error": {"code": "Throttled"}},
    }
    venue.graph.tricks["batch"] = gives({"responses": [part]})
    assert type(await failed(venue)) is Unavailable
    again = await failed(venue)
    assert isinstance(again, Unavailable)
    assert 40 < again.retry_after_s <= 77


async def test_four_at_a_time(venue: GraphVenue) -> None:
    """However many passes, confirmations and writes run at once, a mailbox never sees more than four requests."""
    for number in range(30):
        await venue.put(f"m{number}.ics", text_of(f"m{number}"))
        await venue.put(f"s{number}.ics", text_of(f"s{number}", "x", "RRULE:FREQ=WEEKLY;COUNT=3"))
    way = venue.client()
    sources = [venue.look(way) for _ in range(6)]
    helds = [await Held().follow(source) for source in sources]
    for number in range(30):
        await venue.delete(f"m{number}.ics")
    venue.graph.slow_s = 0.005
    venue.graph.most.clear()
    await asyncio.gather(*(held.follow(source) for held, source in zip(helds, sources, strict=True)))
    await asyncio.gather(
        *(source.write(f"w{n}", written(booked(f"w{n}"))) for n, source in enumerate(sources))
    )
    assert venue.graph.most[ROOM_EMAIL] == 4
    assert all(len(held.uids) == 32 for held in helds)


# --- rights ----------------------------------------------------------------------------------------------------------


async def test_rights_that_are_withdrawn_cancel_nothing(venue: GraphVenue) -> None:
    """Denied, moved away or deleted between two looks, a mailbox is an error for people and never empty."""
    held = await Held().follow(venue.source)
    venue.mailbox.denied = True
    for cookie in (held.cookie, ""):
        error = await failed(venue, cookie)
        assert type(error) is Refused
        assert "Calendars.Read" in error.message
    venue.mailbox.denied = False
    del venue.site.mailboxes[ROOM_EMAIL]
    for cookie in (held.cookie, ""):
        assert type(await failed(venue, cookie)) is NotFound


@pytest.mark.parametrize(
    ("spoil", "says_so"),
    [
        ({"secret": "wrong"}, "AADSTS7000215.*value, not its id"),
        ({"tenant": "other.example"}, "AADSTS90002.*no such tenant"),
        ({"client_id": "other"}, "AADSTS700016.*no app with this id"),
    ],
)
async def test_a_login_that_fails_says_why(venue: GraphVenue, spoil: dict[str, str], says_so: str) -> None:
    """A wrong secret, tenant or app is refused with the authority's number and what to do."""
    app = App(
        authority=venue.graph.authority_url,
        tenant=spoil.get("tenant", TENANT),
        client_id=spoil.get("client_id", CLIENT_ID),
        scope="http://x/.default",
    )
    tokens = Tokens(app, SecretCredential(spoil.get("secret", CLIENT_SECRET)), venue.clock)
    source = venue.look(GraphClient(venue.graph.endpoint, tokens, limits=PLENTY))
    with pytest.raises(Refused, match=says_so):
        await source.probe()
    assert venue.graph.kinds["calendar"] == 0


async def test_a_login_that_fails_is_not_tried_by_every_room(venue: GraphVenue) -> None:
    """Fifty rooms with a wrong secret ask the authority once; half a minute later once more, and a mended one works."""
    venue.graph.authority.expired_secret = True
    way = venue.client()
    sources = [venue.look(way) for _ in range(50)]
    for count in (1, 2):
        for source in sources:
            with pytest.raises(Refused, match="has expired"):
                await source.probe()
        assert venue.graph.kinds["token"] == count
        venue.clock.now_s += 31
    venue.graph.authority.expired_secret = False
    await asyncio.gather(*(source.probe() for source in sources))
    assert venue.graph.authority.given == 1


async def test_an_authority_that_is_away_is_named(venue: GraphVenue) -> None:
    """When the authority can't be reached the sentence names it, not the endpoint."""
    app = App(authority="http://127.0.0.1:9", tenant=TENANT, client_id=CLIENT_ID, scope="http://x/.default")
    tokens = Tokens(app, SecretCredential(CLIENT_SECRET), venue.clock)
    source = venue.look(GraphClient(venue.graph.endpoint, tokens, limits=PLENTY))
    with pytest.raises(Unavailable, match=r"authority at http://127.0.0.1:9 can't be reached"):
        await source.probe()


async def test_an_expired_secret_is_named(venue: GraphVenue) -> None:
    """A secret that has run out is told as such, not as a wrong one."""
    venue.graph.authority.expired_secret = True
    with pytest.raises(Refused, match="has expired"):
        await venue.source.probe()


async def test_one_token_serves_all_rooms_until_it_is_nearly_over(venue: GraphVenue) -> None:
    """Twenty rooms at once fetch one token; it is renewed early, and once more when it is not accepted."""
    way = venue.client()
    sources = [venue.look(way) for _ in range(20)]
    await asyncio.gather(*(source.probe() for source in sources))
    assert venue.graph.authority.given == 1
    venue.clock.now_s += 0.7 * venue.graph.authority.life_s
    await sources[0].probe()
    assert venue.graph.authority.given == 1
    venue.clock.now_s += 0.2 * venue.graph.authority.life_s
    await sources[0].probe()
    assert venue.graph.authority.given == 2
    venue.graph.authority.revoke()
    await asyncio.gather(*(source.probe() for source in sources))
    assert venue.graph.authority.given == 3


async def test_a_certificate_is_proof(venue: GraphVenue) -> None:
    """An assertion signed with the uploaded certificate's key gives a token; one of another certificate does not."""
    rsa = trustme.KeyType.RSA
    good, other = (trustme.CA(key_type=rsa).issue_cert("app", key_type=rsa) for _ in range(2))
    venue.graph.authority.trust(good.cert_chain_pems[0].bytes())
    for identity, accepted in ((good, True), (other, False)):
        proof = CertificateCredential(
            CLIENT_ID, identity.cert_chain_pems[0].bytes(), identity.private_key_pem.bytes()
        )
        app = App(
            authority=venue.graph.authority_url, tenant=TENANT, client_id=CLIENT_ID, scope="http://x/.default"
        )
        source = venue.look(GraphClient(venue.graph.endpoint, Tokens(app, proof, venue.clock), limits=PLENTY))
        if accepted:
            assert ROOM_EMAIL in await source.probe()
        else:
            with pytest.raises(Refused, match="AADSTS700027"):
                await source.probe()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"access_token": "", "expires_in": 60}',
        b'{"access_token": "a\\nb", "expires_in": 60}',
        b'{"access_token": "\\u00f8", "expires_in": 60}',
        b'{"access_token": "x", "expires_in": 0}',
        b'{"access_token": "x", "expires_in": "long"}',
        b'{"access_token": "x", "expires_in": "NaN"}',
        b'{"access_token": "x", "expires_in": 60, "token_type": "mac"}',
    ],
)
def test_what_is_no_token(body: bytes) -> None:
    """A token that could not stand in a header, or is over, is none."""
    with pytest.raises(TheirMistake):
        read_token(200, body, 0.0)


def test_a_token_is_not_kept_longer_than_a_day() -> None:
    """An absurd life is cut, a life as text is read."""
    assert read_token(200, b'{"access_token": "x", "expires_in": 1e300}', 0.0).renew_at_s <= 86_400
    assert read_token(200, b'{"access_token": "x", "expires_in": "3600"}', 0.0).renew_at_s == 2_880


async def test_tls_is_checked() -> None:
    """A certificate of an authority that is not trusted, or of another name, ends it before a secret is sent."""
    ours, theirs = trustme.CA(), trustme.CA()
    for name, trusts, works in (
        ("127.0.0.1", ours, True),
        ("127.0.0.1", theirs, False),
        ("x.example", ours, False),
    ):
        venue = GraphVenue()
        identity = ours.issue_cert(name)
        server, trust = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
        identity.configure_cert(server)
        trusts.configure_trust(trust)
        await venue.graph.start(server)
        app = App(
            authority=venue.graph.authority_url,
            tenant=TENANT,
            client_id=CLIENT_ID,
            scope="https://x/.default",
        )
        tokens = Tokens(app, SecretCredential(CLIENT_SECRET), venue.clock)
        source = venue.look(GraphClient(venue.graph.endpoint, tokens, limits=PLENTY, tls=trust))
        if works:
            assert ROOM_EMAIL in await source.probe()
        else:
            with pytest.raises(Unavailable, match="certificate"):
                await source.probe()
            assert not venue.graph.requests
        await venue.close()


# --- cookies ---------------------------------------------------------------------------------------------------------


async def test_every_spoilt_byte_of_a_cookie_is_noticed_before_anybody_is_asked(venue: GraphVenue) -> None:
    """Flipped, dropped, doubled or cut anywhere, a cookie is refused without a request."""
    cookie = (await Held().follow(venue.source)).cookie
    asked = len(venue.graph.requests)
    for at in range(len(cookie)):
        for spoilt in (
            cookie[:at],
            cookie[:at] + cookie[at + 1 :],
            cookie[:at] + cookie[at] + cookie[at:],
            cookie[:at] + chr(ord(cookie[at]) ^ 1) + cookie[at + 1 :],
            cookie[:at] + "\u2028" + cookie[at + 1 :],
        ):
            if spoilt and spoilt != cookie:
                with pytest.raises(CookieRefused):
                    await Held().follow(venue.source, spoilt)
    assert len(venue.graph.requests) == asked


async def test_every_spoilt_byte_of_a_link_is_refused_and_never_a_wrong_calendar(venue: GraphVenue) -> None:
    """Behind a right checksum too, a spoilt link is refused, or an error, or answered truly."""
    held = await Held().follow(venue.source)
    place = Place(venue.graph.endpoint, ROOM_EMAIL)
    opened = unseal(place, held.cookie)
    assert opened is not None
    window, link = opened
    outcomes = {"refused": 0, "error": 0, "right": 0}
    for at in range(len(link)):
        spoilt = link[:at] + chr(ord(link[at]) ^ 1) + link[at + 1 :]
        copy = Held()
        copy.items = dict(held.items)
        try:
            await copy.follow(venue.source, seal(place, window, spoilt))
        except CookieRefused:
            outcomes["refused"] += 1
        except MeetkeeperError:
            outcomes["error"] += 1
        else:
            outcomes["right"] += 1
            assert copy.prints == held.prints
    assert outcomes["refused"] > len(link) // 2


@pytest.mark.parametrize(
    ("link", "inside"),
    [
        ("https://graph.microsoft.com/v1.0/users/a/x?y=1", True),
        ("https://GRAPH.microsoft.com:443/v1.0/users('a')/x", True),
        ("https://graph.microsoft.com/v1.0", False),
        ("https://graph.microsoft.com/v1.0evil/users", False),
        ("https://graph.microsoft.com:8443/v1.0/users", False),
        ("http://graph.microsoft.com/v1.0/users", False),
        ("https://graph.microsoft.com.evil.example/v1.0/users", False),
        ("https://evil.example/v1.0/users?https://graph.microsoft.com/v1.0/", False),
        ("https://graph.microsoft.com:x/v1.0/users", False),
        ("https://[::1/v1.0/users", False),
        ("https://graph.microsoft.com/v1.0/a b", False),
        ("https://graph.microsoft.com/v1.0/\u00e9", False),
        ("https://graph.microsoft.com/v1.0/a%2f..%2f..%2fx", False),
    ],
)
def test_what_lies_within_the_endpoint(link: str, inside: bool) -> None:
    """Same scheme, host and port, a path below, and nothing that two programs could read in two ways."""
    assert lies_within("https://graph.microsoft.com/v1.0", link) is inside
