"""CalDAV servers that fail, lie, stall and attack, over real sockets: one of our errors, never an empty calendar."""

import asyncio
import re
from collections.abc import AsyncIterator

import pytest

from meetkeeper.bounded import xml
from meetkeeper.bounded.http import Limits
from meetkeeper.calendars.caldav import client
from meetkeeper.calendars.caldav.client import CaldavSource
from meetkeeper.calendars.caldav.server import CaldavServer, CaldavServers
from meetkeeper.core.errors import MeetkeeperError, NotFound, Refused, TheirMistake, Unavailable
from meetkeeper.ports.calendar import CookieRefused
from meetkeeper.testing.contracts.calendar import Held, text_of
from tests.calendars.standin import (
    HASTE,
    PATH,
    PLENTY,
    Request,
    StandIn,
    Trick,
    answer,
    error,
    lost,
    multistatus,
    response,
    says,
)

READS = ["discover", "sync", "multiget", "states"]


@pytest.fixture
async def server() -> AsyncIterator[StandIn]:
    """A server for each test."""
    server = StandIn()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def source(server: StandIn) -> AsyncIterator[CaldavSource]:
    """A room that looks at it."""
    source = server.source()
    yield source
    await source.close()


async def failed(source: CaldavSource, cookie: str = "") -> MeetkeeperError:
    """The error of a pass that must fail without a listing, with a sentence that ends."""
    held = Held()
    with pytest.raises(MeetkeeperError) as caught:
        await held.follow(source, cookie)
    assert held.listing is None
    assert not held.cookie
    assert caught.value.message.endswith(".")
    return caught.value


def lame(server: StandIn) -> None:
    """Make it a server that can't say what changed."""
    server.props = "<D:resourcetype><D:collection/><C:calendar/></D:resourcetype>"
    server.tricks["sync"] = says(answer(501))


@pytest.mark.parametrize("kind", READS)
@pytest.mark.parametrize(
    ("status", "kind_of_error"),
    [
        (200, TheirMistake),
        (204, TheirMistake),
        (400, TheirMistake),
        (401, Refused),
        (403, Refused),
        (404, NotFound),
        (410, NotFound),
        (429, Unavailable),
        (500, Unavailable),
        (502, Unavailable),
        (503, Unavailable),
        (504, Unavailable),
    ],
)
async def test_a_status_says_whose_fault_it_is(
    server: StandIn, source: CaldavSource, kind: str, status: int, kind_of_error: type[MeetkeeperError]
) -> None:
    """Any unwelcome status in any step of a pass is the right kind of error and never an empty calendar."""
    if kind == "states":
        lame(server)
    server.tricks[kind] = says(answer(status, b"<html>Sorry</html>", "Content-Type: text/html"))
    assert type(await failed(source)) is kind_of_error


async def hang(_writer: asyncio.StreamWriter, _request: Request) -> None:
    """Never answer."""
    await asyncio.sleep(60)


async def drip(writer: asyncio.StreamWriter, _request: Request) -> None:
    """A byte now and then, for ever."""
    writer.write(b"HTTP/1.1 207 x\r\nContent-Type: text/xml\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"1\r\n \r\n")
        await writer.drain()
        await asyncio.sleep(0.05)


async def stall(writer: asyncio.StreamWriter, _request: Request) -> None:
    """Half an answer, then nothing."""
    writer.write(multistatus(response(PATH, ""))[:-30])
    await writer.drain()
    await asyncio.sleep(60)


async def hang_up(writer: asyncio.StreamWriter, _request: Request) -> None:
    """Close without a word."""
    writer.close()


async def reset(writer: asyncio.StreamWriter, _request: Request) -> None:
    """Half an answer, then the connection is reset."""
    writer.write(multistatus(response(PATH, ""))[:-30])
    await writer.drain()
    writer.transport.abort()


@pytest.mark.parametrize("kind", READS)
@pytest.mark.parametrize(
    "trick", [hang, drip, stall, hang_up, reset, says(b"nonsense\r\n\r\n", then_closes=True)]
)
async def test_silence_and_cuts_are_unavailable(server: StandIn, kind: str, trick: Trick) -> None:
    """Hanging, dripping, stalling, closing, resetting and talking nonsense end in bounded time as `Unavailable`."""
    if kind == "states":
        lame(server)
    server.tricks[kind] = trick
    source = server.source(HASTE)
    async with asyncio.timeout(20):
        assert type(await failed(source)) is Unavailable
    await source.close()


async def test_nobody_there_is_unavailable(server: StandIn) -> None:
    """A refused connection is `Unavailable`, for every verb."""
    source = server.source()
    await server.stop()
    await failed(source)
    for verb in (source.probe(), source.write("w", text_of("w")), source.remove("w")):
        with pytest.raises(Unavailable, match="can't be reached"):
            await verb
    await source.close()
    await server.start()


@pytest.mark.parametrize("kind", READS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>Please log in",
        b'<?xml version="1.0"?><!DOCTYPE m [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><m>&b;</m>',
        b'<?xml version="1.0"?><!DOCTYPE m SYSTEM "file:///etc/passwd"><m/>',
        b'<?xml version="1.0" encoding="nonsense"?><m/>',
        b"<a>" * 5_000 + b"</a>" * 5_000,
        b'<D:multistatus xmlns:D="DAV:"><D:response>',
        b'<D:prop xmlns:D="DAV:"/>',
        b"\xff\xfe\x00\x00",
    ],
    ids=["nothing", "html", "entities", "external", "encoding", "deep", "cut", "other", "bytes"],
)  # fmt: skip
async def test_an_answer_that_is_none_is_their_mistake(
    server: StandIn, source: CaldavSource, kind: str, body: bytes
) -> None:
    """What is not the XML the protocol wants, entity bombs among it, is `TheirMistake`, and no entity is expanded."""
    if kind == "states":
        lame(server)
    server.tricks[kind] = says(answer(207, body, "Content-Type: text/xml"))
    assert type(await failed(source)) is TheirMistake


@pytest.mark.parametrize("kind", READS)
async def test_an_empty_multistatus_is_no_empty_calendar(
    server: StandIn, source: CaldavSource, kind: str
) -> None:
    """A 207 with nothing in it lists nothing and deletes nothing."""
    if kind == "states":
        lame(server)
    server.tricks[kind] = says(multistatus())
    held = Held()
    if kind == "multiget":
        await held.follow(source)
        assert (set(held.problems), held.items) == ({"a.ics", "b.ics"}, {})
        assert held.listing == frozenset({"a.ics", "b.ics"})
    elif kind == "sync":
        await held.follow(
            source
        )  # without a token it was no answer: the calendar is read by comparing states
        assert held.uids == {"a", "b"}
    else:
        await failed(source)


@pytest.mark.parametrize("kind", ["sync", "multiget", "states", "discover"])
@pytest.mark.parametrize("status", [404, 410, 403, 503])
async def test_an_error_inside_a_success_is_an_error(
    server: StandIn, source: CaldavSource, kind: str, status: int
) -> None:
    """A 207 that says inside that the calendar itself is gone or closed is that error, also for a known cookie."""
    if kind == "states":
        lame(server)
    held = await Held().follow(source)
    server.put("a.ics", text_of("a", "Other"))
    server.tricks[kind] = says(multistatus(lost(PATH, status)))
    if kind == "discover":
        source = server.source()
        await failed(source)
        await source.close()
    else:
        await failed(source)
        await failed(source, held.cookie)


async def test_an_answer_has_a_bounded_number_of_parts(
    server: StandIn, source: CaldavSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More elements than the bound are refused, however small they are."""
    monkeypatch.setattr(xml, "ELEMENTS_MAX", 1_000)
    server.tricks["sync"] = says(
        multistatus(*(response(f"{PATH}{n}.ics", "") for n in range(400)), token="t")
    )
    assert "1000 elements" in (await failed(source)).message


@pytest.mark.parametrize("chunked", [True, False])
async def test_an_endless_answer_is_cut_at_its_bound(server: StandIn, chunked: bool) -> None:
    """Sixty-four mebibytes are read and no more, whether the length was announced or not."""
    sent = 0

    async def flood(writer: asyncio.StreamWriter, _request: Request) -> None:
        nonlocal sent
        length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {1 << 40}"
        writer.write(f"HTTP/1.1 207 x\r\nContent-Type: text/xml\r\n{length}\r\n\r\n".encode())
        block = b" " * (1 << 20)
        while True:
            writer.write(b"100000\r\n%b\r\n" % block if chunked else block)
            await writer.drain()
            sent += 1

    server.tricks["sync"] = flood
    source = server.source(PLENTY)
    mistake = await failed(source)
    assert type(mistake) is TheirMistake
    assert "67108864" in mistake.message
    assert sent < 80
    await source.close()


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.2:{port}/dav/room/",
        "https://127.0.0.1:{port}/dav/room/",
        "http://127.0.0.1:1/dav/room/",
        "//evil.example/dav/room/",
        "http://user:pass@evil.example/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http://[::1/",
        "",
    ],
)
@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_elsewhere_is_not_followed(
    server: StandIn, source: CaldavSource, location: str, status: int
) -> None:
    """Another host, port or scheme never sees our login; a sentence says where the server wanted to send us."""
    target = location.format(port=server.port)
    server.tricks["discover"] = says(answer(status, b"", f"Location: {target}"))
    assert type(await failed(source)) in (Refused, TheirMistake)
    assert server.count("discover") <= 4


async def test_a_redirect_within_the_server_is_followed(server: StandIn) -> None:
    """An old address that leads to the calendar's new one works, three steps at most."""
    old = "/old/place/"

    async def move(writer: asyncio.StreamWriter, request: Request) -> None:
        steps = {old: "../second/", "/old/second/": f"http://127.0.0.1:{server.port}/third", "/third": PATH}
        if request.path in steps:
            writer.write(answer(301, b"", f"Location: {steps[request.path]}"))
        else:
            writer.write(multistatus(response(request.path, server.props)))

    server.tricks["discover"] = move
    server.url = server.url.replace(PATH, old)
    source = server.source()
    assert (await Held().follow(source)).uids == {"a", "b"}
    await source.close()
    server.tricks["discover"] = says(answer(302, b"", f"Location: {PATH}x"))
    circling = server.source()
    assert "circles" in (await failed(circling)).message
    await circling.close()


@pytest.mark.parametrize(
    "href",
    [
        "http://evil.example/dav/room/x.ics",
        "//evil.example/dav/room/x.ics",
        "/dav/other/x.ics",
        "/dav/room/../other/x.ics",
        "/dav/room/%2e%2e/other/x.ics",
        "/dav/room/a%2fb.ics",
        "/dav/room/a%00b.ics",
        "/",
        "http://[::1/x.ics",
        "x" * 9_000,
    ],
)
@pytest.mark.parametrize("kind", ["sync", "states", "multiget"])
async def test_an_address_outside_the_calendar_is_never_taken(
    server: StandIn, source: CaldavSource, href: str, kind: str
) -> None:
    """Items at another host, outside the collection, or behind dots and slashes in disguise spoil the whole answer."""
    if kind == "states":
        lame(server)
    own = response(PATH, "<D:resourcetype><D:collection/></D:resourcetype>")
    server.tricks[kind] = says(multistatus(own, response(href, "<D:getetag>x</D:getetag>"), token="t"))
    assert type(await failed(source)) is TheirMistake
    assert all("evil" not in request.body for request in server.requests)


async def test_addresses_are_compared_as_what_they_mean(server: StandIn, source: CaldavSource) -> None:
    """Escapes, absolute addresses and relative ones name the same item; folders inside are passed over."""
    host = f"http://127.0.0.1:{server.port}"
    server.items = {"ä b@c.ics": text_of("a")}
    etag = "<D:getetag>x</D:getetag>"
    spellings = ["/dav/room/%C3%A4%20b@c.ics", f"{host}/dav/room/%c3%a4%20b%40c.ics", "%C3%A4%20b@c.ics"]
    data = f"{etag}<C:calendar-data>{text_of('a').decode()}</C:calendar-data>"
    for spelling in spellings:
        server.tricks["sync"] = says(
            multistatus(
                response(spelling, etag), response("/dav/room/folder/", etag), lost("/dav/room/x/"), token="t"
            )
        )
        server.tricks["multiget"] = says(multistatus(response(spellings[0], data)))
        held = await Held().follow(source)
        assert set(held.items) == {"%C3%A4%20b@c.ics"}
        assert spelling in next(r.body for r in reversed(server.requests) if r.kind == "multiget")


async def test_a_cut_list_is_asked_for_on(server: StandIn, source: CaldavSource) -> None:
    """A 507 in a sync answer means there is more: the next token is asked until the list is whole."""
    etag = "<D:getetag>x</D:getetag>"

    async def parts(writer: asyncio.StreamWriter, request: Request) -> None:
        if "<D:sync-token></D:sync-token>" in request.body or "half" not in request.body:
            cut = f"<D:response><D:href>{PATH}</D:href><D:status>HTTP/1.1 507 x</D:status></D:response>"
            writer.write(multistatus(response(f"{PATH}a.ics", etag), cut, token="half"))
        else:
            writer.write(multistatus(response(f"{PATH}b.ics", etag), lost(f"{PATH}c.ics"), token="whole"))

    server.tricks["sync"] = parts
    pages = [page async for page in source.changes("")]
    assert [page.listing for page in pages if page.listing is not None] == [frozenset({"a.ics", "b.ics"})]
    assert [page.cookie is None for page in pages] == [True] * (len(pages) - 1) + [False]
    whole = pages[-1].cookie
    assert whole is not None
    held = await Held().follow(source, whole)
    assert held.gone == {"c.ics"}
    assert held.uids == {"a", "b"}


@pytest.mark.parametrize("new_token", [True, False])
async def test_a_list_that_never_ends_is_given_up(
    server: StandIn, source: CaldavSource, new_token: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More and more parts, or the same part again and again, are given up after a bounded number of requests."""

    async def on_and_on(writer: asyncio.StreamWriter, _request: Request) -> None:
        cut = lost(PATH, 507)
        writer.write(multistatus(cut, token=f"t{server.count('sync') if new_token else 0}"))

    monkeypatch.setattr(client, "PAGES_MAX", 40)
    server.tricks["sync"] = on_and_on
    assert "without end" in (await failed(source)).message
    assert server.count("sync") == (40 if new_token else 2)


async def test_a_pass_has_a_deadline(server: StandIn) -> None:
    """However briskly every answer comes, a pass ends when its time is over."""

    async def on_and_on(writer: asyncio.StreamWriter, _request: Request) -> None:
        await asyncio.sleep(0.02)
        writer.write(multistatus(lost(PATH, 507), token=f"t{server.count('sync')}"))

    server.tricks["sync"] = on_and_on
    source = server.source(Limits(pass_s=0.3))
    assert type(await failed(source)) is Unavailable
    await source.close()


@pytest.mark.parametrize("status", [400, 403, 409, 410, 412, 507])
async def test_a_token_is_refused_by_its_element(server: StandIn, source: CaldavSource, status: int) -> None:
    """`valid-sync-token` means the cookie, whatever the status; the same status without it means something else."""
    held = await Held().follow(source)
    server.tricks["sync"] = says(error(status, "<D:valid-sync-token/>"))
    with pytest.raises(CookieRefused):
        await held.follow(source)
    server.tricks["sync"] = says(error(status, "<D:need-privileges/>"))
    assert isinstance(await failed(source, held.cookie), Refused | TheirMistake | Unavailable)


async def test_no_request_has_a_limit(server: StandIn, source: CaldavSource) -> None:
    """A limit is never sent: servers were seen that obey it and lose the rest."""
    held = await Held().follow(source)
    await held.follow(source)
    assert server.count("sync") == 2
    assert not [
        request for request in server.requests if "limit" in request.body or "nresults" in request.body
    ]


# --- odd items ------------------------------------------------------------------------------------------------------


async def test_an_item_gone_between_list_and_load_is_gone(server: StandIn, source: CaldavSource) -> None:
    """An item listed and then not found is neither held nor listed, in a complete pass and in a later one."""
    etag = "<D:getetag>x</D:getetag>"
    listed = [response(f"{PATH}{name}", etag) for name in ("a.ics", "ghost.ics")]
    server.tricks["sync"] = says(multistatus(*listed, token="t"))
    held = await Held().follow(source)
    assert held.listing == frozenset({"a.ics"})
    await held.follow(source)
    assert held.gone == {"ghost.ics"}


async def test_an_item_that_is_left_out_is_asked_for_alone(server: StandIn, source: CaldavSource) -> None:
    """An item missing from an answer is asked for by itself; missing again, it is a problem and stays listed."""
    only_a = multistatus(server.item(f"{PATH}a.ics"))
    server.tricks["multiget"] = says(only_a)
    held = await Held().follow(source)
    assert (held.uids, set(held.problems)) == ({"a"}, {"b.ics"})
    assert held.listing == frozenset({"a.ics", "b.ics"})
    assert server.count("multiget") == 2


@pytest.mark.parametrize("status", [403, 500])
async def test_an_item_the_server_will_not_give_is_a_problem(
    server: StandIn, source: CaldavSource, status: int
) -> None:
    """One item answered with an error inside a good answer is a problem; the others are read."""
    server.tricks["multiget"] = says(multistatus(server.item(f"{PATH}a.ics"), lost(f"{PATH}b.ics", status)))
    held = await Held().follow(source)
    assert held.uids == {"a"}
    assert str(status) in held.problems["b.ics"]


async def test_one_odd_item_does_not_hide_the_others(server: StandIn) -> None:
    """An item that spoils the XML, and one too large to send, are found by halving; all others are held."""
    for number in range(30):
        server.put(f"m{number}.ics", text_of(f"m{number}"))
    server.put("bad.ics", text_of("bad"))
    server.put("huge.ics", text_of("huge"))

    async def spoil(writer: asyncio.StreamWriter, request: Request) -> None:
        wanted = re.findall(r"<D:href>(.*?)</D:href>", request.body)
        reply = multistatus(*(server.item(href) for href in wanted))
        body = reply.partition(b"\r\n\r\n")[2]
        if any("bad" in href for href in wanted):
            body = body.replace(b"UID:bad", b"UID:\x01")
        if any("huge" in href for href in wanted):
            body += b" " * 300_000
        writer.write(answer(207, body, "Content-Type: text/xml"))

    server.tricks["multiget"] = spoil
    source = server.source(Limits(answer_bytes_max=200_000))
    held = await Held().follow(source)
    assert len(held.items) == 32
    assert set(held.problems) == {"bad.ics", "huge.ics"}
    assert len(held.listing or ()) == 34
    await source.close()


# --- servers that can't say what changed -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "refusal",
    [
        answer(501),
        answer(405),
        error(403, "<D:supported-report/>"),
        error(409, "<D:supported-report/>"),
        multistatus(),
    ],
    ids=["501", "405", "403", "409", "no token"],
)
async def test_without_sync_the_states_are_compared(
    server: StandIn, source: CaldavSource, refusal: bytes
) -> None:
    """A server without sync-collection is followed by the state of each item: made, changed, removed."""
    server.tricks["sync"] = says(refusal)
    held = await Held().follow(source)
    assert held.listing == frozenset({"a.ics", "b.ics"})
    server.put("a.ics", text_of("a", "Other"))
    server.put("c.ics", text_of("c"))
    server.delete("b.ics")
    await held.follow(source)
    assert (held.uids, held.reported, held.gone) == ({"a", "c"}, {"a.ics", "c.ics"}, {"b.ics"})
    await held.follow(source)
    assert (held.reported, held.gone) == (set(), set())


async def test_an_etag_that_begins_again_is_seen_by_the_length(server: StandIn, source: CaldavSource) -> None:
    """Removed and made anew with the same etag, an item is told apart by its length or date."""
    lame(server)

    def listing(length: int) -> Trick:
        own = response(PATH, "<D:resourcetype><D:collection/></D:resourcetype>")
        item = f"<D:getetag>1</D:getetag><D:getcontentlength>{length}</D:getcontentlength>"
        return says(multistatus(own, response(f"{PATH}a.ics", item)))

    server.tricks["states"] = listing(100)
    held = await Held().follow(source)
    server.items["a.ics"] = text_of("a", "Anew")
    server.tricks["states"] = listing(101)
    assert (await held.follow(source)).reported == {"a.ics"}


async def test_without_any_state_everything_is_read_each_time(server: StandIn, source: CaldavSource) -> None:
    """A server that gives neither etag nor date nor length is read in full at every pass."""
    lame(server)
    own = response(PATH, "<D:resourcetype><D:collection/></D:resourcetype>")
    server.tricks["states"] = says(multistatus(own, response(f"{PATH}a.ics", "<D:resourcetype/>")))
    held = await Held().follow(source)
    assert (await held.follow(source)).reported == {"a.ics"}


# --- busy servers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "least_s", "most_s"),
    [
        ("Retry-After: 120", 119, 120),
        ("Retry-After: 999999999999", 3599, 3600),
        ("Retry-After: Fri, 31 Dec 2100 23:59:59 GMT", 3599, 3600),
        ("Retry-After: Fri, 31 Dec 1999 23:59:59 GMT", 0, 0),
        ("Retry-After: soon", 5, 30),
        ("X: y", 5, 30),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_told_and_bounded(
    server: StandIn, source: CaldavSource, status: int, header: str, least_s: float, most_s: float
) -> None:
    """The wait a busy server asks for, in seconds or as a date, is handed on; without one it is ours."""
    server.tricks["discover"] = says(answer(status, b"", header))
    busy = await failed(source)
    assert isinstance(busy, Unavailable)
    assert least_s <= busy.retry_after_s <= most_s


async def test_a_busy_server_is_left_alone_by_all_its_rooms(server: StandIn) -> None:
    """After one room was told to wait, no room sends anything to that server until the time has passed."""
    servers = CaldavServers(limits=PLENTY)
    first, second = (server.source(server=servers.at(server.url)) for _ in range(2))
    server.tricks["*"] = says(answer(503, b"", "Retry-After: 1"))
    await failed(first)
    asked = len(server.requests)
    for room in (first, second):
        waiting = await failed(room)
        assert isinstance(waiting, Unavailable)
        assert 0 < waiting.retry_after_s <= 1
    assert len(server.requests) == asked
    server.tricks.clear()
    await asyncio.sleep(1.05)
    assert (await Held().follow(second)).uids == {"a", "b"}
    await first.close()
    assert (await Held().follow(second)).uids == {"a", "b"}
    await second.close()


async def test_only_so_many_requests_at_once(server: StandIn) -> None:
    """However many rooms a server has, only a bounded number of requests is under way."""
    under_way, most = 0, 0

    async def slow(writer: asyncio.StreamWriter, request: Request) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.02)
        under_way -= 1
        writer.write(multistatus(response(request.path, server.props)))

    server.tricks["discover"] = slow
    shared = CaldavServer(server.url, limits=Limits(at_once_max=3))
    rooms = [server.source(server=shared) for _ in range(20)]
    await asyncio.gather(*(room.probe() for room in rooms))
    assert most == 3
    for room in rooms:
        await room.close()


async def test_a_closed_source_says_so(server: StandIn) -> None:
    """After the configuration changed, a late or running call on the old source is unavailable, not a crash."""
    arrived = asyncio.Event()

    async def silent(writer: asyncio.StreamWriter, request: Request) -> None:
        arrived.set()
        await hang(writer, request)

    server.tricks["discover"] = silent
    source = server.source(Limits(read_s=1, request_s=30, pass_s=60))
    running = asyncio.create_task(source.probe())
    await arrived.wait()
    await source.close()
    await source.close()
    with pytest.raises(Unavailable):
        await running
    with pytest.raises(Unavailable, match="no longer"):
        await source.probe()


async def test_identities_do_not_mix(server: StandIn) -> None:
    """A session cookie that the server sets for one room is never sent back, by nobody."""
    server.tricks["discover"] = says(
        multistatus(response(PATH, server.props)).replace(
            b"207 x\r\n", b"207 x\r\nSet-Cookie: session=one; Path=/\r\n", 1
        )
    )
    shared = CaldavServer(server.url, limits=PLENTY)
    for username in ("one", "two"):
        source = server.source(server=shared, username=username)
        await Held().follow(source)
    assert not [request for request in server.requests if "cookie" in request.headers]
    await shared.leave()
    await shared.leave()


async def test_an_error_page_may_be_anything(server: StandIn, source: CaldavSource) -> None:
    """The body of an error does not matter: bombs, megabytes and garbage in it change nothing about its meaning."""
    for body in (b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", b"<" * 3_000_000, b"\xff" * 100, b"<D:error/>"):
        server.tricks["discover"] = says(answer(403, body, "Content-Type: application/xml"))
        assert type(await failed(source)) is Refused
