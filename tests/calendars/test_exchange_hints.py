"""Streaming notifications hurry a look and do nothing else: however a stream ends, it begins anew, and nobody waits."""

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable

import pytest

from meetkeeper.calendars.exchange import stream
from meetkeeper.calendars.exchange.client import ExchangeSource
from meetkeeper.calendars.exchange.hints import CONNECTIONS_MAX, GROUP_MAX, Hints, Pace
from meetkeeper.calendars.exchange.server import EwsServer
from meetkeeper.calendars.exchange.soap import Fault
from meetkeeper.calendars.exchange.terms import Secrets
from meetkeeper.core.configuration import ExchangeServer
from meetkeeper.core.errors import TheirMistake
from meetkeeper.testing.contracts.calendar import ROOM_EMAIL, Held
from meetkeeper.testing.fakes.exchange import soap
from meetkeeper.testing.fakes.exchange.server import FakeExchange
from meetkeeper.testing.fakes.exchange.wire import Reply, Request
from tests.calendars.exchangevenue import PASSWORD, PLENTY, USER, source_of
from tests.calendars.test_exchange_rooms import TALK

PATIENCE_S = 60.0
QUICK = Pace(gather_s=0.0, lull_s=0.01, rest_s_min=0.02, rest_s_max=0.5, again_s=0.2, silence_s=30.0)


class Listening:
    """A server that listens to the fake quickly, and who was woken how often."""

    def __init__(self, fake: FakeExchange, pace: Pace = QUICK, **settings: object) -> None:
        self.fake = fake
        known: dict[str, object] = {"auth": "basic", "username": USER} | settings
        config = ExchangeServer(id="mail", url=fake.url, **known)  # type: ignore[arg-type] # the record checks names
        self.server = EwsServer(config, Secrets(PASSWORD, "a secret"), limits=PLENTY, pace=pace)
        self.woken: dict[str, int] = {}
        self.server.join()

    def want(self, *mailboxes: str) -> None:
        """Listen for these, as a room does after each of its passes."""
        for mailbox in mailboxes:
            self.server.listen(mailbox, lambda one=mailbox: self._wake(one))  # type: ignore[misc]

    def _wake(self, mailbox: str) -> None:
        self.woken[mailbox] = self.woken.get(mailbox, 0) + 1

    async def heard(self, *mailboxes: str) -> None:
        """Until there is a stream on which each of these is subscribed, its room asking again meanwhile."""

        def are_subscribed() -> bool:
            self.want(*mailboxes)
            return all(self.fake.streaming.is_heard(self.server._hints.name_of(one)) for one in mailboxes)

        await until(are_subscribed)

    async def tells(self, mailbox: str = ROOM_EMAIL) -> None:
        """A change in this mailbox wakes its room."""
        before = self.woken.get(mailbox, 0)
        self.fake.site.open(mailbox).put(f"u{time.monotonic_ns()}", TALK)
        await until(lambda: self.woken.get(mailbox, 0) > before)


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for a level."""
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():  # noqa: ASYNC110 - a level is looked at, whatever moves it
            await asyncio.sleep(0.01)


def threads() -> list[threading.Thread]:
    """Those that hang for hints."""
    return [one for one in threading.enumerate() if one.name == "ews-hints"]


@pytest.fixture
async def fake() -> AsyncIterator[FakeExchange]:
    """A fake with one room."""
    fake = FakeExchange()
    fake.logins[USER] = PASSWORD
    fake.impersonators = {USER}
    fake.site.open(ROOM_EMAIL)
    await fake.start()
    yield fake
    await fake.stop()
    assert not fake.complaints


@pytest.fixture
async def listening(fake: FakeExchange) -> AsyncIterator[Listening]:
    """Somebody who listens to it; when all is over no thread is left."""
    listening = Listening(fake)
    yield listening
    await listening.server.leave()
    await until(lambda: not threads())


async def test_a_pass_that_ended_well_begins_to_listen(listening: Listening) -> None:
    """A source that is to listen does so after its first pass; changes then wake, and without a change nothing does."""
    source: ExchangeSource = source_of(listening.server)
    woken = 0

    def wake() -> None:
        nonlocal woken
        woken += 1

    source.listen(wake)
    assert not threads()
    held = await Held().follow(source)
    await until(lambda: listening.fake.streaming.hanging == 1)
    assert not woken
    listening.fake.site.open(ROOM_EMAIL).put("a", TALK)
    await until(lambda: woken > 0)
    await held.follow(source)
    assert held.uids == {"a"}
    assert listening.fake.count("Subscribe") == 1
    await source.close()


async def test_many_events_at_once_are_one_hint(fake: FakeExchange) -> None:
    """Whatever happens within the lull is one look."""
    listening = Listening(fake, Pace(gather_s=0.0, lull_s=1.0))
    await listening.heard(ROOM_EMAIL)
    for number in range(20):
        fake.site.open(ROOM_EMAIL).put(f"u{number}", TALK)
    await until(lambda: listening.woken == {ROOM_EMAIL: 1})
    await listening.server.leave()


async def test_rooms_share_a_connection_and_newcomers_join_it(listening: Listening) -> None:
    """The second room is taken in at the next sign of life; each is told of its own changes alone."""
    listening.fake.site.open("two@rooms.example")
    await listening.heard(ROOM_EMAIL)
    await listening.heard(ROOM_EMAIL, "two@rooms.example")
    await listening.tells("two@rooms.example")
    await until(lambda: listening.fake.streaming.hanging == 1)
    assert listening.woken == {"two@rooms.example": 1}
    await listening.tells()


async def test_a_connection_holds_so_many_and_no_more(listening: Listening) -> None:
    """201 rooms are two connections, and the last room hears as well as the first."""
    rooms = [f"r{number:03}@rooms.example" for number in range(GROUP_MAX + 1)]
    for room in rooms:
        listening.fake.site.open(room)
    await listening.heard(*rooms)
    await until(lambda: listening.fake.streaming.hanging == 2)
    await listening.tells(rooms[0])
    await listening.tells(rooms[-1])


async def test_rooms_on_other_mailbox_servers_get_connections_of_their_own(listening: Listening) -> None:
    """Affinity: a room that the anchor's server refuses finds its place; servers beyond the bound stay without."""
    rooms = [f"r{number:02}@rooms.example" for number in range(CONNECTIONS_MAX + 1)]
    for number, room in enumerate(rooms):
        listening.fake.site.open(room)
        listening.fake.streaming.places[room] = f"server-{min(number, 2)}"
    await listening.heard(*rooms)
    assert {one.place for one in listening.fake.streaming.open.values()} == {
        "server-0",
        "server-1",
        "server-2",
    }
    for room in rooms[:4]:
        await listening.tells(room)


async def test_more_mailbox_servers_than_connections(listening: Listening) -> None:
    """What finds no connection is polled, and the reason is told."""
    rooms = [f"r{number:02}@rooms.example" for number in range(CONNECTIONS_MAX + 1)]
    for room in rooms:
        listening.fake.site.open(room)
        listening.fake.streaming.places[room] = f"server of {room}".replace(" ", "-")
    listening.want(*rooms)
    await until(lambda: any("are open already" in listening.server.deaf(room) for room in rooms))
    await until(lambda: listening.fake.streaming.hanging == CONNECTIONS_MAX)


async def test_a_killed_stream_begins_anew(listening: Listening) -> None:
    """Every connection is dropped in the middle: subscribed again, heard again."""
    await listening.heard(ROOM_EMAIL)
    for task in list(listening.fake.wire._open):
        task.cancel()
    await until(lambda: listening.fake.count("Subscribe") >= 2)
    await listening.heard(ROOM_EMAIL)
    await listening.tells()


async def test_a_server_that_starts_anew_is_found_again(listening: Listening) -> None:
    """Away for a while and without its subscriptions: rooms are heard again, nobody has to do anything."""
    fake = listening.fake
    await listening.heard(ROOM_EMAIL)
    await fake.stop()
    await until(lambda: bool(listening.server.deaf(ROOM_EMAIL)))
    await fake.start(port=fake.wire.port)
    await listening.heard(ROOM_EMAIL)
    await listening.tells()


async def test_lost_subscriptions_are_made_again_and_the_room_is_looked_at(listening: Listening) -> None:
    """ErrorSubscriptionNotFound: what was told meanwhile is lost, so the room is woken once to be sure."""
    await listening.heard(ROOM_EMAIL)
    listening.fake.streaming.forget()
    await until(lambda: listening.woken == {ROOM_EMAIL: 1})
    await listening.heard(ROOM_EMAIL)
    await listening.tells()


@pytest.mark.parametrize(
    "noise",
    [
        b"\x00\xff nonsense </Envelope>",
        b"<html><body>504</body></html></s:Envelope>",
        b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY y 'z'>]><Envelope>&y;</Envelope>",
        soap.fault("ErrorWhatever"),
        soap.envelope("<m:Else/>"),
        soap.response("GetStreamingEvents", soap.failure("GetStreamingEvents", "ErrorWhatever")),
    ],
)
async def test_nonsense_in_a_stream_ends_it_and_no_more(listening: Listening, noise: bytes) -> None:
    """Nothing in such a stream is believed; another one begins."""
    await listening.heard(ROOM_EMAIL)
    listening.fake.streaming.noise = noise
    await until(lambda: listening.fake.count("Subscribe") >= 2)
    await listening.heard(ROOM_EMAIL)
    await listening.tells()


async def test_a_silent_stream_is_given_up(fake: FakeExchange) -> None:
    """A half-open connection shows by the missing sign of life, not by an error."""
    listening = Listening(fake, Pace(gather_s=0.0, rest_s_min=0.02, rest_s_max=0.1, silence_s=0.5))
    fake.streaming.heartbeat_s = None
    listening.want(ROOM_EMAIL)
    await until(lambda: fake.count("GetStreamingEvents") >= 3)
    assert listening.server.deaf(ROOM_EMAIL) or fake.count("Subscribe") >= 3
    await listening.server.leave()


async def test_an_orderly_end_keeps_the_subscriptions(fake: FakeExchange) -> None:
    """The connection's time is over: the next one listens to the same subscriptions."""
    fake.streaming.minute_s = 0.01
    listening = Listening(fake)
    listening.want(ROOM_EMAIL)
    await until(lambda: fake.count("GetStreamingEvents") >= 3)
    assert fake.count("Subscribe") == 1
    await listening.server.leave()


async def test_a_refused_subscription_harms_no_pass(listening: Listening) -> None:
    """Passes go on, the doctor says why nothing is told, and later it is tried again."""
    listening.fake.streaming.subscriptions_max = 0
    source = source_of(listening.server)
    source.listen(lambda: None)
    held = await Held().follow(source)
    await until(lambda: "ErrorExceededSubscriptionCount" in listening.server.deaf(ROOM_EMAIL))
    assert "exchange.notify" in {one.code for one in await source.doctor()}
    listening.fake.streaming.subscriptions_max = 10
    async with asyncio.timeout(PATIENCE_S):
        while not listening.fake.streaming.hanging:
            await held.follow(source)
    assert "exchange.notify" not in {one.code for one in await source.doctor()}
    await source.close()


async def test_an_odd_mailbox_costs_itself_alone(listening: Listening) -> None:
    """Whatever is answered for one room, the other one is heard."""
    listening.fake.site.open("odd@rooms.example")

    async def odd(_request: Request, asked: soap.Asked | None) -> Reply | None:
        strange = asked is not None and asked.name == "Subscribe" and asked.acting_as == "odd@rooms.example"
        return Reply(200, b"<html>Welcome</html>", content_type="text/html") if strange else None

    listening.fake.trick = odd
    listening.want("odd@rooms.example", ROOM_EMAIL)
    await until(lambda: bool(listening.server.deaf("odd@rooms.example")))
    await listening.heard(ROOM_EMAIL)
    await listening.tells()
    assert listening.woken == {ROOM_EMAIL: 1}


async def test_a_mistake_of_ours_is_told_and_not_for_ever(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group that dies unforeseen is forgotten, the doctor says so, and later its rooms are heard after all."""

    def dies(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as broken:
        broken.setattr(Hints, "_listen", dies)
        listening.want(ROOM_EMAIL)
        await until(lambda: "report this" in listening.server.deaf(ROOM_EMAIL))
    await listening.heard(ROOM_EMAIL)
    assert not listening.server.deaf(ROOM_EMAIL)
    await listening.tells()


async def test_a_busy_server_is_not_asked_by_ears_either(listening: Listening) -> None:
    """The pause that a subscription is told of holds for every room, and the ear comes back after it."""
    listening.fake.busy, listening.fake.back_off_ms = 1, 300
    listening.want(ROOM_EMAIL)
    await until(lambda: "ErrorServerBusy" in listening.server.deaf(ROOM_EMAIL))
    await listening.heard(ROOM_EMAIL)
    await listening.tells()


async def test_whoever_stops_waits_for_no_stream(fake: FakeExchange) -> None:
    """While a stream hangs, and while the answer to a subscription does: leaving takes no time, threads end."""
    listening = Listening(fake)
    await listening.heard(ROOM_EMAIL)
    assert threads()
    began = time.monotonic()
    await listening.server.leave()
    assert time.monotonic() - began < 5
    await until(lambda: not threads())

    async def hangs(_request: Request, asked: soap.Asked | None) -> Reply | None:
        if asked is not None and asked.name == "Subscribe":
            await asyncio.sleep(3_600)
        return None

    fake.trick = hangs
    waiting = Listening(fake)
    waiting.want(ROOM_EMAIL)
    await until(lambda: bool(threads()))
    await waiting.server.leave()
    assert all(one.daemon for one in threads())
    await fake.stop()
    await until(lambda: not threads())
    await fake.start()


LEAVES = f"""
import asyncio, sys
from meetkeeper.calendars.exchange.hints import Pace
from meetkeeper.calendars.exchange.server import EwsServer
from meetkeeper.calendars.exchange.terms import Secrets
from meetkeeper.core.configuration import ExchangeServer

async def listen():
    config = ExchangeServer(id="mail", url=sys.argv[1], auth="basic", username={USER!r})
    server = EwsServer(config, Secrets({PASSWORD!r}), pace=Pace(gather_s=0.0))
    server.join()
    server.listen({ROOM_EMAIL!r}, lambda: None)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)

asyncio.run(listen())
"""


async def test_a_process_ends_beside_a_stream_that_hangs(fake: FakeExchange) -> None:
    """Even where nobody lets go of the server: no thread keeps an interpreter from its end."""
    fake.streaming.heartbeat_s = None
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LEAVES, fake.url, stdin=asyncio.subprocess.PIPE
    )
    try:
        await until(lambda: fake.streaming.hanging == 1)
        async with asyncio.timeout(PATIENCE_S / 2):  # the silence that is borne lasts longer
            await process.communicate(b"\n")
        assert process.returncode == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_nobody_listens_where_it_is_switched_off(fake: FakeExchange) -> None:
    """`notify` false: no connection hangs."""
    listening = Listening(fake, notify=False)
    source = source_of(listening.server)
    source.listen(lambda: None)
    await Held().follow(source)
    assert not listening.server._hints._groups
    await source.close()
    await listening.server.leave()


# --- the stream as bytes ----------------------------------------------------------------------------------------------


def test_documents_are_cut_wherever_the_pieces_break() -> None:
    """Byte by byte or all at once: the same documents."""
    news = "<m:Notifications><m:Notification><t:SubscriptionId>s</t:SubscriptionId><t:CreatedEvent/></m:Notification>"
    first = soap.response(
        "GetStreamingEvents", soap.success("GetStreamingEvents", f"{news}</m:Notifications>")
    )
    last = soap.success("GetStreamingEvents", "<m:ConnectionStatus>Closed</m:ConnectionStatus>")
    text = first + b"\r\n" + soap.response("GetStreamingEvents", last)
    cutter = stream.Cutter()
    slowly = [one for at in range(len(text)) for one in cutter.feed(text[at : at + 1])]
    assert slowly == list(stream.Cutter().feed(text))
    assert [stream.told_in(one) for one in slowly] == [
        stream.Told(changed=frozenset({"s"})),
        stream.Told(closed=True),
    ]


def test_signs_of_life_and_lost_subscriptions() -> None:
    """A StatusEvent is no change; an error names who is lost, or nobody; any other error is the connection's."""
    name = "GetStreamingEvents"

    def told(message: str) -> stream.Told:
        return stream.told_in(soap.response(name, message))

    alive = "<m:Notification><t:SubscriptionId>s</t:SubscriptionId><t:StatusEvent/></m:Notification>"
    assert told(soap.success(name, f"<m:Notifications>{alive}</m:Notifications>")) == stream.Told()
    ids = "<m:ErrorSubscriptionIds><m:SubscriptionId>s</m:SubscriptionId></m:ErrorSubscriptionIds>"
    assert told(soap.failure(name, "ErrorSubscriptionNotFound", ids)).lost == {"s"}
    assert told(soap.failure(name, "ErrorInvalidSubscription")).lost_all
    with pytest.raises(Fault, match="ErrorServerBusy"):
        told(soap.failure(name, "ErrorServerBusy"))


def test_a_document_without_end_is_given_up() -> None:
    """What never ends is not kept."""
    cutter = stream.Cutter()
    assert not cutter.feed(b"x" * stream.DOCUMENT_BYTES_MAX)
    with pytest.raises(TheirMistake, match="more than"):
        cutter.feed(b"x")
