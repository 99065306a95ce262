"""CalDAV as a protocol: logins, discovery, conditional writing, and the pure translations behind them."""

import asyncio
import base64
import hashlib
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx2
import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from meetkeeper.calendars.caldav import dav, mapping
from meetkeeper.calendars.caldav.client import CaldavSource
from meetkeeper.calendars.caldav.server import CaldavServer, CaldavServers, Login
from meetkeeper.core.errors import MeetkeeperError, Refused, TheirMistake, Unavailable
from meetkeeper.testing.contracts.calendar import Held, text_of
from tests.calendars.auditing import what_it_hides_is_found
from tests.calendars.standin import PATH, Request, StandIn, answer, error, lost, multistatus, response, says

CALENDAR = mapping.Calendar("cal.example", "/dav/room/")


@pytest.fixture
async def server() -> AsyncIterator[StandIn]:
    """A server for each test."""
    server = StandIn()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def source(server: StandIn) -> AsyncIterator[CaldavSource]:
    """A room with a login."""
    source = server.source(username="room")
    yield source
    await source.close()


# --- logins ---------------------------------------------------------------------------------------------------------


async def test_basic_is_sent_at_once_on_loopback(server: StandIn, source: CaldavSource) -> None:
    """Where nobody listens in, the login goes with the first request, in UTF-8."""
    await source.probe()
    assert server.requests[0].headers["authorization"] == "Basic " + base64.b64encode(b"room:secret").decode()


@pytest.mark.parametrize(
    "offer", ['Digest realm="r", nonce="n", qop="auth"', 'Digest realm="r", nonce="n", algorithm=SHA-256']
)
async def test_digest_is_used_where_it_is_asked_for(
    server: StandIn, source: CaldavSource, offer: str
) -> None:
    """A server that wants Digest gets it, right, and from then on with the first request."""
    honest = server._honest

    async def guarded(writer: asyncio.StreamWriter, request: Request) -> None:
        if _digest_is_right(request, "room", "secret"):
            await honest(writer, request)
        else:
            writer.write(
                answer(401, b"x" * 100, f"WWW-Authenticate: {offer}", 'WWW-Authenticate: Basic realm="r"')
            )

    server.tricks["*"] = guarded
    assert (await Held().follow(source)).uids == {"a", "b"}
    asked = len(server.requests)
    await source.probe()
    assert len(server.requests) == asked + 1


@pytest.mark.parametrize(
    "offer",
    [
        "Digest nonsense",
        "Digest realm=r",
        'Digest realm="r", nonce="n", qop="auth-int"',
        'Digest realm="r", nonce="n", algorithm=ROT13',
        "Basic",
        "Negotiate",
        "",
    ],
)
async def test_an_odd_offer_of_a_login_is_an_error(server: StandIn, source: CaldavSource, offer: str) -> None:
    """Whatever a server asks for instead of a password it knows, the end is one of our errors."""
    server.tricks["*"] = says(answer(401, b"", f"WWW-Authenticate: {offer}"))
    with pytest.raises(MeetkeeperError):
        await source.probe()
    assert len(server.requests) <= 4


def test_a_password_is_not_shown_to_listeners() -> None:
    """Over plain HTTP to another machine nothing is sent until asked; Basic follows an offer of Basic."""
    login = Login("room", "secret", at_once=False)
    request = httpx2.Request("GET", "http://cal.example/")
    flow = login.flow(request)
    assert "authorization" not in next(flow).headers
    offered = httpx2.Response(401, headers={"www-authenticate": 'Basic realm="r"'}, request=request)
    assert flow.send(offered).headers["authorization"].startswith("Basic ")
    again = login.flow(httpx2.Request("GET", "http://cal.example/"))
    assert next(again).headers["authorization"].startswith("Basic ")


async def test_a_certificate_is_checked() -> None:
    """Over TLS an unknown authority is unavailable with the reason in words; a known one is taken."""
    authority = trustme.CA()
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(theirs)
    server = StandIn()
    await server.start(theirs)
    stranger = server.source()
    with pytest.raises(Unavailable, match="certificate"):
        await stranger.probe()
    await stranger.close()
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    source = server.source(server=CaldavServer(server.url, tls=trusted))
    assert (await Held().follow(source)).uids == {"a", "b"}
    await source.close()
    await server.stop()


def test_rooms_at_one_origin_share_a_server() -> None:
    """Scheme, host and port decide; path, user and letter case do not."""
    servers = CaldavServers()
    one = servers.at("https://Cal.example/dav/a/")
    assert servers.at("https://cal.example:443/dav/b/") is one
    assert servers.at("https://user:pass@cal.example/") is one
    assert servers.at("http://cal.example/dav/a/") is not one
    assert servers.at("https://cal.example:8443/") is not one


# --- discovery ------------------------------------------------------------------------------------------------------


PRINCIPAL = "<D:current-user-principal><D:href>/who/room/</D:href></D:current-user-principal>"
HOME = "<C:calendar-home-set><D:href>/dav/</D:href></C:calendar-home-set>"
FOLDER = "<D:resourcetype><D:collection/></D:resourcetype>"


def _site(server: StandIn, *calendars: str) -> None:
    """A server with a root, a principal and a home that holds these calendars."""
    places = {"/": FOLDER + PRINCIPAL, "/who/room/": FOLDER + HOME, "/dav/": FOLDER}
    places.update(dict.fromkeys(calendars, server.props))

    async def discover(writer: asyncio.StreamWriter, request: Request) -> None:
        paths = [request.path, *calendars] if request.headers["depth"] == "1" else [request.path]
        writer.write(multistatus(*(response(path, places[path]) for path in paths)))

    server.tricks["discover"] = discover
    server.url = server.url.replace(PATH, "/")


async def test_the_only_calendar_is_found_from_the_root(server: StandIn) -> None:
    """From the server's root by principal and home to the one calendar there."""
    _site(server, PATH)
    source = server.source()
    assert (await Held().follow(source)).uids == {"a", "b"}
    assert "Room" in await source.probe()
    await source.close()


async def test_one_of_several_calendars_is_not_guessed(server: StandIn) -> None:
    """Two calendars in the home are named, none is taken."""
    _site(server, PATH, "/dav/other/")
    source = server.source()
    with pytest.raises(Refused, match="2 calendars: /dav/other/, /dav/room/"):
        await source.probe()
    await source.close()


async def test_a_place_without_calendars_is_refused(server: StandIn) -> None:
    """A home without calendars, a folder that leads nowhere and a task list are no room's calendar."""
    _site(server)
    for props in (None, FOLDER, server.props + _components("VTODO")):
        if props is not None:
            server.tricks.clear()
            server.props = props
        source = server.source()
        with pytest.raises(Refused, match=r"no calendar|0 calendars"):
            await source.probe()
        await source.close()


async def test_a_calendar_may_say_what_it_takes(server: StandIn) -> None:
    """A component set with VEVENT in it, or none at all, is a calendar for meetings."""
    for extra in (_components("VTODO", "VEVENT"), _components(), ""):
        server.props = server.props + extra
        source = server.source()
        await source.probe()
        await source.close()


async def test_discovery_never_leaves_the_server(server: StandIn) -> None:
    """A principal, a home or a calendar at another host is not asked."""
    for props in (
        FOLDER + PRINCIPAL.replace("/who", "http://evil.example/who"),
        FOLDER + HOME.replace("/dav/", "//evil.example/dav/"),
    ):
        server.props = props
        source = server.source()
        with pytest.raises(Refused):
            await source.probe()
        await source.close()
    server.tricks["discover"] = says(multistatus(response("http://evil.example/dav/room/", server.props)))
    source = server.source()
    with pytest.raises(TheirMistake, match="another address"):
        await source.probe()
    await source.close()


# --- writing --------------------------------------------------------------------------------------------------------


async def test_a_new_item_is_made_only_where_none_is(server: StandIn, source: CaldavSource) -> None:
    """Creating is conditional on nothing being there, replacing on what was found being there still."""
    await source.write("w", text_of("w"))
    await source.write("w", text_of("w", "Other"))
    first, second = (request for request in server.requests if request.kind == "PUT")
    assert (first.path, first.headers.get("if-none-match")) == (f"{PATH}w.ics", "*")
    assert (second.path, second.headers.get("if-match")) == (f"{PATH}w.ics", '"2"')
    assert second.headers["content-type"] == "text/calendar; charset=utf-8"


async def test_a_change_in_between_is_looked_at_again(server: StandIn, source: CaldavSource) -> None:
    """A 412 means somebody was faster: found and written once more; again, and a person decides."""
    honest, refusals = server._honest, [2]

    async def raced(writer: asyncio.StreamWriter, request: Request) -> None:
        refusals[0] -= 1
        if refusals[0] > 0:
            server.put("theirs.ics", text_of("w", "Theirs"))
            writer.write(answer(412))
        else:
            await honest(writer, request)

    server.tricks["PUT"] = raced
    await source.write("w", text_of("w"))
    assert sorted(server.items) == ["a.ics", "b.ics", "theirs.ics"]
    refusals[0] = 9
    with pytest.raises(Refused, match="objects"):
        await source.write("w", text_of("w"))


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (error(403, "<C:no-uid-conflict/>"), Refused),
        (error(409, "<C:no-uid-conflict/>"), Refused),
        (answer(409), Refused),
        (answer(403), Refused),
        (answer(413), Refused),
        (answer(415), Refused),
        (answer(423), Unavailable),
        (answer(507), Unavailable),
        (answer(500), Unavailable),
        (answer(302, b"", "Location: https://evil.example/"), Refused),
        (answer(418), TheirMistake),
    ],
)
async def test_a_calendar_may_object(
    server: StandIn, source: CaldavSource, reply: bytes, kind: type[MeetkeeperError]
) -> None:
    """What the server says against writing or removing is the right kind of error, with its reason in words."""
    server.tricks["PUT"] = server.tricks["DELETE"] = says(reply)
    with pytest.raises(kind) as caught:
        await source.write("w", text_of("w"))
    assert type(caught.value) is kind
    if b"no-uid-conflict" in reply:
        assert "no-uid-conflict" in caught.value.message
    with pytest.raises(kind):
        await source.remove("a")


@pytest.mark.parametrize("status", [404, 410])
async def test_removing_what_has_just_gone_is_done(
    server: StandIn, source: CaldavSource, status: int
) -> None:
    """Found and then not there any more is removed already."""
    server.tricks["DELETE"] = says(answer(status))
    await source.remove("a")
    assert server.count("DELETE") == 1
    server.tricks["query"] = says(multistatus(lost(f"{PATH}a.ics")))
    await source.remove("a")
    assert server.count("DELETE") == 1


async def test_a_server_that_finds_too_much_removes_nothing_else(
    server: StandIn, source: CaldavSource
) -> None:
    """The UID is compared again here: a filter the server ignores does not cost another meeting."""
    server.put("ab.ics", text_of("ab"))
    await source.remove("b")
    assert sorted(server.items) == ["a.ics", "ab.ics"]


async def test_a_calendar_may_be_read_only(server: StandIn) -> None:
    """Without permission to write nothing is asked of the server."""
    source = server.source(write=False)
    for verb in (source.write("w", text_of("w")), source.remove("a")):
        with pytest.raises(Refused, match="configuration"):
            await verb
    assert not server.requests
    await source.close()


# --- pure -----------------------------------------------------------------------------------------------------------


@given(st.text(max_size=60), st.sampled_from(["sync", "etags"]))
def test_a_cookie_opens_for_its_own_calendar_alone(payload: str, kind: str) -> None:
    """What is sealed for a calendar opens for it, and for no other, and not when anything is missing."""
    cookie = mapping.seal(kind, CALENDAR, payload)
    assert mapping.unseal(CALENDAR, cookie) == (kind, payload)
    assert mapping.unseal(mapping.Calendar("cal.example", "/dav/other/"), cookie) is None
    assert mapping.unseal(mapping.Calendar("else.example", "/dav/room/"), cookie) is None
    for cut in range(len(cookie)):
        assert mapping.unseal(CALENDAR, cookie[:cut]) is None


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=12), max_size=5))
def test_states_survive_their_cookie(states: dict[str, str]) -> None:
    """Packed and unpacked, the states are the same; anything else is no states."""
    assert mapping.unpack_states(mapping.pack_states(states)) == states
    assert mapping.unpack_states("[1]") is None
    assert mapping.unpack_states("{") is None


@given(st.text(max_size=120))
def test_any_address_is_inside_outside_or_nothing(href: str) -> None:
    """A name below the collection is one segment without dots; everything else is refused or is no item."""
    try:
        name = CALENDAR.name_of(href)
    except TheirMistake:
        return
    if name is not None:
        assert name
        assert "/" not in name
        assert name not in (".", "..")
        assert CALENDAR.name_of(CALENDAR.path + name) == name


@given(st.text(max_size=150))
def test_any_uid_has_a_harmless_name(uid: str) -> None:
    """The name a meeting is put under is plain, short, and the same as its address says."""
    name = mapping.name_for(uid)
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.@-]*\.ics", name)
    assert len(name) <= 110
    assert CALENDAR.name_of(CALENDAR.path + name) == name


@given(
    st.binary(max_size=200)
    | st.text(max_size=100).map(lambda t: f'<D:multistatus xmlns:D="DAV:">{t}</D:multistatus>'.encode())
)
def test_any_answer_is_a_multistatus_or_their_mistake(body: bytes) -> None:
    """Bytes are read as a multistatus or refused; nothing else is raised."""
    with suppress(TheirMistake):
        dav.read_multistatus(dav.parse(body))


@pytest.mark.parametrize("status", [b"404", b"", b"x", b"99999", "²".encode(), b"2 0"])
def test_any_status_line_is_a_number(status: bytes) -> None:
    """A status line that can't be read is zero, which is no success and no absence."""
    body = b'<D:multistatus xmlns:D="DAV:"><D:response><D:href>/x</D:href><D:status>HTTP/1.1 ' + status
    (one,) = dav.read_multistatus(dav.parse(body + b" y</D:status></D:response></D:multistatus>")).responses
    assert one.status in (0, 404)


def _components(*names: str) -> str:
    inside = "".join(f'<C:comp name="{name}"/>' for name in names)
    return f"<C:supported-calendar-component-set>{inside}</C:supported-calendar-component-set>"


def _digest_is_right(request: Request, username: str, password: str) -> bool:
    """Check a Digest answer as RFC 7616 reckons it."""
    scheme, _, rest = request.headers.get("authorization", "").partition(" ")
    if scheme != "Digest":
        return False
    said = {name: value.strip('"') for name, value in re.findall(r'(\w+)=("[^"]*"|[^,]*)', rest)}
    make = hashlib.sha256 if said.get("algorithm") == "SHA-256" else hashlib.md5

    def digest(*parts: str) -> str:
        return make(":".join(parts).encode()).hexdigest()

    first = digest(username, said["realm"], password)
    second = digest(request.method, said["uri"])
    middle = [said["nc"], said["cnonce"], said["qop"]] if "qop" in said else []
    right = digest(first, said["nonce"], *middle, second)
    return (said["uri"], said["response"]) == (request.path, right)


async def test_a_server_that_keeps_changes_to_itself_is_found_out(server: StandIn) -> None:
    """No token ever tells of them; the audit reads everything and finds them by content."""
    server.items.clear()
    server.versions.clear()

    async def put(name: str, text: bytes) -> None:
        server.put(name, text)

    async def delete(name: str) -> None:
        server.delete(name)

    await what_it_hides_is_found(server.source(), server, put, delete)
