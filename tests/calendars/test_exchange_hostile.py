"""Exchange servers that fail, lie, stall and attack, over real sockets: one of our errors, never an empty calendar."""

import asyncio
import ssl
import sys
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest
import trustme
from msgspec.structs import replace

from meetkeeper.bounded import xml
from meetkeeper.calendars.exchange.client import ExchangeSource
from meetkeeper.calendars.exchange.terms import Limits
from meetkeeper.core.configuration import ExchangeCalendar
from meetkeeper.core.errors import MeetkeeperError, NotFound, Refused, TheirMistake, Unavailable
from meetkeeper.core.words import Entry
from meetkeeper.ports.calendar import CookieRefused
from meetkeeper.testing.contracts.calendar import ROOM_EMAIL, Held
from meetkeeper.testing.fakes.exchange import soap
from meetkeeper.testing.fakes.exchange.server import FakeExchange, Trick
from meetkeeper.testing.fakes.exchange.wire import Reply, Request
from meetkeeper.testing.fakes.mailbox import Mailbox
from tests.calendars.exchangevenue import PASSWORD, PLENTY, USER, server_of, source_of

HASTE = Limits(connect_s=2, read_s=0.3, request_s=0.6, pass_s=3)
"""Limits for tests that wait for them."""
OPERATIONS = ["SyncFolderItems", "GetItem"]
TALK = Entry(
    start=datetime(2026, 12, 1, 10),  # noqa: DTZ001 - a wall time
    duration_s=3_600,
    zone="Europe/Berlin",
    subject="Talk",
)


@pytest.fixture
async def fake() -> AsyncIterator[FakeExchange]:
    """A server with one room and two meetings."""
    fake = FakeExchange()
    fake.logins[USER] = PASSWORD
    mailbox = fake.site.open(ROOM_EMAIL)
    for uid in ("a", "b"):
        mailbox.put(uid, TALK)
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
async def source(fake: FakeExchange) -> AsyncIterator[ExchangeSource]:
    """A room that looks at it."""
    source = source_of(server_of(fake))
    yield source
    await source.close()


def room_of(fake: FakeExchange) -> Mailbox:
    """The room."""
    mailbox = fake.site.find(ROOM_EMAIL)
    assert mailbox is not None
    return mailbox


def says(reply: Reply, *operations: str, times: int = 1_000) -> Trick:
    """A trick that gives this answer to these operations, so many times."""
    left = [times]

    async def trick(_request: Request, asked: soap.Asked | None) -> Reply | None:
        if asked is None or (operations and asked.name not in operations) or not left[0]:
            return None
        left[0] -= 1
        return reply

    return trick


async def failed(source: ExchangeSource, cookie: str = "") -> MeetkeeperError:
    """The error of a pass that must fail without a listing, with a sentence that ends."""
    held = Held()
    with pytest.raises(MeetkeeperError) as caught:
        await held.follow(source, cookie)
    assert held.listing is None
    assert caught.value.message.endswith(".")
    return caught.value


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (204, TheirMistake),
        (301, Refused),
        (302, Refused),
        (307, Refused),
        (400, TheirMistake),
        (401, Refused),
        (403, Refused),
        (404, NotFound),
        (418, TheirMistake),
        (429, Unavailable),
        (500, Unavailable),
        (502, Unavailable),
        (503, Unavailable),
    ],
)
async def test_a_status_is_an_error(
    fake: FakeExchange, source: ExchangeSource, operation: str, status: int, kind: type[MeetkeeperError]
) -> None:
    """Every other status, with an HTML page or a redirect to another host in it, is ours to tell."""
    headers = (("Location", "http://evil.example/EWS/Exchange.asmx"),) if 300 < status < 400 else ()
    page = b"" if status == 204 else b"<html><body>Sorry</body></html>"
    fake.trick = says(Reply(status, page, headers, "text/html"), operation)
    assert isinstance(await failed(source), kind)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("ErrorAccessDenied", Refused),
        ("ErrorImpersonateUserDenied", Refused),
        ("ErrorNonExistentMailbox", NotFound),
        ("ErrorMailboxMoveInProgress", Unavailable),
        ("ErrorInternalServerError", Unavailable),
        ("ErrorTimeoutExpired", Unavailable),
        ("ErrorInvalidServerVersion", Refused),
        ("ErrorNobodyKnowsThis", TheirMistake),
        ("<b>&amp;", TheirMistake),
        ("", TheirMistake),
        ("ErrorInvalidSyncStateData", TheirMistake),
    ],
)
@pytest.mark.parametrize("bare", [False, True])
async def test_a_fault_is_an_error(
    fake: FakeExchange,
    source: ExchangeSource,
    operation: str,
    code: str,
    kind: type[MeetkeeperError],
    bare: bool,
) -> None:
    """Both forms of faults, with HTTP 500 or 200, known codes and odd ones; a cookie error without a cookie too."""
    body = soap.fault(code.replace("<", "&lt;"), bare=bare)
    fake.trick = says(Reply(200 if bare else 500, body), operation)
    assert isinstance(await failed(source), kind)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no xml",
        b"<html><body>hello</body></html>",
        b"<s:Envelope",
        soap.envelope(""),
        soap.envelope("<m:SyncFolderItemsResponse/>"),
        soap.response("SyncFolderItems"),
        soap.response("GetItem"),
        soap.response("SyncFolderItems", soap.success("SyncFolderItems", "")),
        soap.response(
            "SyncFolderItems", soap.success("SyncFolderItems", "<m:SyncState>x</m:SyncState><m:Changes/>")
        ),
        soap.response(
            "SyncFolderItems",
            soap.success(
                "SyncFolderItems",
                "<m:SyncState/><m:IncludesLastItemInRange>true</m:IncludesLastItemInRange><m:Changes/>",
            ),
        ),
        soap.response(
            "SyncFolderItems",
            soap.success(
                "SyncFolderItems",
                "<m:SyncState>x</m:SyncState><m:IncludesLastItemInRange>true</m:IncludesLastItemInRange>",
            ),
        ),
        soap.response("SyncFolderItems", '<m:SyncFolderItemsResponseMessage ResponseClass="Success"/>'),
        soap.response(
            "GetItem", soap.success("GetItem", "<m:Items/>"), soap.success("GetItem", "<m:Items/>")
        ),
        b'<?xml version="1.0"?><!DOCTYPE s [<!ENTITY a "aaaa">]><s>&a;</s>',
        b'<?xml version="1.0"?><!DOCTYPE s SYSTEM "http://evil.example/x.dtd"><s/>',
        b"<a>" * 100_000,
        b"\xff\xfe\x00",
    ],
    ids=range(18),
)
async def test_a_malformed_answer_is_never_an_empty_calendar(
    fake: FakeExchange, source: ExchangeSource, operation: str, body: bytes
) -> None:
    """No XML, half of it, entities, other answers, success without state or end: an error, or every item a problem."""
    fake.trick = says(Reply(200, body), operation)
    error = await failed(source)
    assert isinstance(error, TheirMistake | Refused)


@pytest.mark.parametrize("honest", [False, True], ids=["cut", "short"])
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_every_cut_of_an_answer_is_an_error(
    fake: FakeExchange, source: ExchangeSource, operation: str, honest: bool
) -> None:
    """An answer that breaks off, with or without an honest length, is never taken for a whole one."""
    whole = (await Held().follow(source)).listing
    share = 0.0

    async def cut(request: Request, asked: soap.Asked | None) -> Reply | None:
        if asked is None or asked.name != operation:
            return None
        fake.trick = None
        reply = await fake.wire.handle(request)
        fake.trick = cut
        at = int(len(reply.body) * share)
        return Reply(200, reply.body[:at]) if honest else Reply(200, reply.body, cut=at)

    fake.trick = cut
    for step in range(20):
        share = step / 20
        await failed(source)
    fake.trick = None
    assert (await Held().follow(source)).listing == whole


async def test_a_silent_server_and_a_dripping_one_cost_their_time_only(fake: FakeExchange) -> None:
    """No answer at all, and one that comes byte by byte for ever, end within the limits."""
    source = source_of(server_of(fake, HASTE))

    async def silent(_request: Request, _asked: soap.Asked | None) -> Reply | None:
        await asyncio.sleep(30)
        return None

    for trick in (silent, says(Reply(200, b"<" + b" " * 100_000, drip_s=0.02))):
        fake.trick = trick
        began = time.monotonic()
        assert isinstance(await failed(source), Unavailable)
        assert time.monotonic() - began < 15
    fake.trick = None
    assert (await Held().follow(source)).uids == {"a", "b"}
    await source.close()


async def test_an_endless_answer_is_not_kept(fake: FakeExchange) -> None:
    """More bytes than allowed are refused while they arrive; an answer of logins too."""
    source = source_of(server_of(fake, replace(PLENTY, answer_bytes_max=100_000)))
    for status in (200, 401, 500):
        fake.trick = says(Reply(status, b"<x>" + b"y" * 3_000_000), "SyncFolderItems")
        error = await failed(source)
        assert error.code == xml.TOO_LARGE
    await source.close()


async def test_one_item_too_large_is_a_problem_and_the_others_are_read(fake: FakeExchange) -> None:
    """A batch that is too large is asked for in halves until the item is found."""
    for number in range(12):
        room_of(fake).put(f"n{number}", TALK)
    huge = room_of(fake).put("huge", replace(TALK, description="x" * 400_000))
    source = source_of(server_of(fake, replace(PLENTY, answer_bytes_max=200_000)))
    held = await Held().follow(source)
    assert len(held.items) == 14
    assert set(held.problems) == {huge.id}
    assert held.listing == frozenset(room_of(fake).items)
    await source.close()


async def test_a_busy_server_is_left_alone_by_every_room(fake: FakeExchange) -> None:
    """One room is told to wait, with a pause or without: no other room asks meanwhile, and then all is well."""
    fake.site.open("other@example.org")
    server = server_of(fake)
    rooms = [source_of(server), source_of(server, "other@example.org")]
    fake.busy, fake.back_off_ms = 1, 700
    error = await failed(rooms[0])
    assert isinstance(error, Unavailable)
    assert error.retry_after_s == 0.7
    before = len(fake.requests)
    for room in rooms:
        assert isinstance(await failed(room), Unavailable)
    assert len(fake.requests) == before
    assert await after_the_pause(rooms[0]) == {"a", "b"}
    fake.busy, fake.back_off_ms = 1, None
    error = await failed(rooms[1])
    assert isinstance(error, Unavailable)
    assert error.retry_after_s >= 5
    for room in rooms:
        await room.close()


async def after_the_pause(room: ExchangeSource) -> set[str]:
    """What the room holds as soon as its server may be asked again."""
    async with asyncio.timeout(30):
        while True:
            try:
                return set((await Held().follow(room)).uids)
            except Unavailable as pause:
                await asyncio.sleep(pause.retry_after_s)


async def test_retry_after_is_heeded(fake: FakeExchange, source: ExchangeSource) -> None:
    """503 and 429 with Retry-After close the gate for that long; what they ask for is bounded."""
    fake.trick = says(Reply(503, b"busy", (("Retry-After", "99999999"),), "text/html"))
    error = await failed(source)
    assert isinstance(error, Unavailable)
    assert 3_000 < error.retry_after_s <= 3_600
    fake.trick = None
    assert isinstance(await failed(source), Unavailable)
    assert not fake.count("SyncFolderItems")


async def test_the_same_state_without_end_is_no_listing(fake: FakeExchange, source: ExchangeSource) -> None:
    """A server that never comes to the last page: an error for a complete pass, nothing new for an increment."""
    held = await Held().follow(source)
    fake.stuck = True
    before = dict(held.items)
    await held.follow(source)
    assert (held.items, held.gone, held.listing) == (before, set(), None)
    assert (await failed(source)).code == "calendar.circles"


async def test_a_state_forgotten_in_the_middle_is_no_listing(
    fake: FakeExchange, source: ExchangeSource
) -> None:
    """A server that refuses its own state between two pages of a complete pass: an error, never a second "refused"."""
    fake.page_max, fake.refuse_cookies = 1, True
    assert isinstance(await failed(source), Unavailable)


async def test_more_items_than_a_calendar_may_have_is_an_error(
    fake: FakeExchange, source: ExchangeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listing that grows beyond the bound is refused before anything is loaded."""
    monkeypatch.setattr("meetkeeper.calendars.exchange.client.ITEMS_MAX", 1)
    assert (await failed(source)).code == "calendar.too-many"
    assert not fake.count("GetItem")


async def test_rights_withdrawn_in_the_middle_are_not_an_empty_calendar(
    fake: FakeExchange, source: ExchangeSource
) -> None:
    """Denied when listing, or only when loading; the mailbox gone; the folder renamed: errors for people."""
    held = await Held().follow(source)
    for cookie in ("", held.cookie):
        room_of(fake).put("c", TALK)
        room_of(fake).denied = True
        assert isinstance(await failed(source, cookie), Refused)
        room_of(fake).denied = False
        denied = soap.failure("GetItem", "ErrorAccessDenied")

        async def deny(_request: Request, asked: soap.Asked | None, denied: str = denied) -> Reply | None:
            if asked is None or asked.name != "GetItem":
                return None
            return Reply(200, soap.response("GetItem", *(denied for _ in soap.ids_in(asked.element))))

        fake.trick = deny
        assert isinstance(await failed(source, cookie), Refused)
        fake.trick = None
        fake.missing_folders = {"calendar"}
        assert isinstance(await failed(source, cookie), NotFound)
        fake.missing_folders = set()
        gone = fake.site.mailboxes.pop(ROOM_EMAIL)
        assert isinstance(await failed(source, cookie), NotFound)
        fake.site.mailboxes[ROOM_EMAIL] = gone


async def test_a_certificate_that_is_not_trusted_is_refused(tmp_path: Path) -> None:
    """Another authority, or another name: the login is not sent. With `ca_file` the right one is."""
    authority, stranger = trustme.CA(), trustme.CA()
    fake = FakeExchange()
    fake.site.open(ROOM_EMAIL)
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    for certificate, trusted in (
        (stranger.issue_cert("localhost"), False),
        (authority.issue_cert("mail.example"), False),
        (authority.issue_cert("localhost"), True),
    ):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        await fake.start(context)
        source = source_of(server_of(fake, ca_file=str(ca_file)))
        if trusted:
            assert (await Held().follow(source)).listing == frozenset()
        else:
            fake.requests.clear()
            error = await failed(source)
            assert error.code == "calendar.certificate"
            assert not fake.requests
        await source.close()
        await fake.stop()


async def test_oauth_asks_for_a_token_and_again_when_it_is_refused(tmp_path: Path) -> None:
    """Client credentials at the configured authority; a wrong secret is a login problem with a sentence."""
    authority = trustme.CA()
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    fake = FakeExchange()
    fake.clients["app"] = "a secret"
    fake.site.open(ROOM_EMAIL).put("a", TALK)
    await fake.start(context)
    login = {
        "auth": "oauth",
        "tenant": "t",
        "client_id": "app",
        "authority": fake.origin,
        "ca_file": str(ca_file),
        "username": "",
    }
    source = source_of(server_of(fake, PLENTY, **login))
    assert (await Held().follow(source)).uids == {"a"}
    fake.tokens.clear()
    assert (await Held().follow(source)).uids == {"a"}
    other = source_of(server_of(fake, PLENTY, **(login | {"client_id": "nobody"})))
    error = await failed(other)
    assert isinstance(error, Refused)
    assert error.code == "calendar.login"
    for one in (source, other):
        await one.close()
    await fake.stop()


async def test_without_impersonation_the_folder_is_read_with_rights_on_it() -> None:
    """A service account with rights on the room's calendar reads it, and one without is refused."""
    fake = FakeExchange()
    fake.logins[USER] = PASSWORD
    fake.readers = {USER}
    fake.site.open(ROOM_EMAIL).put("a", TALK)
    await fake.start()
    source = source_of(server_of(fake, impersonate=False))
    assert (await Held().follow(source)).uids == {"a"}
    fake.readers = set()
    assert isinstance(await failed(source), Refused)
    await source.close()
    await fake.stop()


async def test_a_closed_server_is_asked_no_more(fake: FakeExchange) -> None:
    """After the last room has left, nothing is sent and nothing hangs."""
    source = source_of(server_of(fake))
    await source.close()
    with pytest.raises(Unavailable):
        await Held().follow(source)
    assert not fake.requests


async def test_kerberos_without_its_package_says_what_to_install(fake: FakeExchange) -> None:
    """A login that needs a package which is not there is a sentence, not a crash."""
    pytest.importorskip("exchangelib")
    from exchangelib.transport import AUTH_TYPE_MAP, GSSAPI

    if GSSAPI in AUTH_TYPE_MAP:
        pytest.skip("requests-gssapi is installed here")
    source = source_of(server_of(fake, auth="kerberos"))
    assert (await failed(source)).code == "calendar.no-kerberos"
    await source.close()


async def test_a_cookie_of_another_configuration_is_refused(fake: FakeExchange) -> None:
    """The same state under another mailbox is never sent there."""
    fake.site.open("other@example.org")
    server = server_of(fake)
    mine, other = source_of(server), source_of(server, "other@example.org")
    held = await Held().follow(mine)
    asked = fake.count("SyncFolderItems")
    with pytest.raises(CookieRefused):
        await Held().follow(other, held.cookie)
    assert fake.count("SyncFolderItems") == asked
    assert ExchangeCalendar(server="mail").write is False
    for one in (mine, other):
        await one.close()


async def test_without_its_package_a_sentence_says_what_to_install(
    fake: FakeExchange, source: ExchangeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where `meetkeeper[exchange]` is not installed, a room is in trouble with an advice; nothing else is."""
    monkeypatch.setitem(sys.modules, "meetkeeper.calendars.exchange.line", None)
    monkeypatch.delitem(sys.modules, "meetkeeper.calendars.exchange.asking", raising=False)
    error = await failed(source)
    assert error.code == "calendar.no-exchangelib"
    assert "meetkeeper[exchange]" in error.message
    for verb in (source.probe(), source.doctor()):
        with pytest.raises(Refused):
            await verb
    assert not fake.requests
