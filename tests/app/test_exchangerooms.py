"""Exchange rooms in the configuration: what the page shows works, one server is shared, and logins stay private."""

import re

import msgspec
import pytest

from meetkeeper.app import configfile
from meetkeeper.app.wiring import build_neighbours
from meetkeeper.calendars.exchange.client import ExchangeSource
from meetkeeper.core.configuration import (
    ClusterConfig,
    Config,
    ExchangeCalendar,
    ExchangeServer,
    RoomConfig,
    Secret,
)
from meetkeeper.core.errors import TheirMistake, Unavailable
from meetkeeper.testing.fakes.exchange.server import FakeExchange
from tests.house.source import ROOT

CLUSTER = ClusterConfig(secret="s" * 32)


async def test_the_example_of_the_page_is_a_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """What docs/operating/exchange.md shows can be deployed, and gives a source for its room."""
    text = (ROOT / "docs/operating/exchange.md").read_text(encoding="utf-8")
    shown = re.search(r"```json\n(.*?)```", text, re.DOTALL)
    assert shown is not None
    monkeypatch.setenv("MEETKEEPER_EXCHANGE_PASSWORD", "hush")
    tree = msgspec.json.decode(shown[1]) | {"cluster": {"secret": "s" * 32}}
    config = configfile.read(msgspec.json.encode(tree))
    (calendar,) = build_neighbours(config).calendars
    assert (calendar.room, calendar.poll_s, calendar.server) == ("oslo", 60.0, "mail")
    assert calendar.name == "https://mail.corp.example/EWS/Exchange.asmx#oslo@corp.example"
    assert isinstance(calendar.source, ExchangeSource)
    await calendar.source.close()


async def test_rooms_of_one_server_share_its_patience() -> None:
    """Two rooms of a configuration: when one is told that the server is busy, the other does not even ask."""
    fake = FakeExchange()
    fake.logins["svc"] = "hush"
    rooms = tuple(
        RoomConfig(id=name, email=f"{name}@rooms.example", calendar=ExchangeCalendar(server="mail"))
        for name in ("a", "b")
    )
    for room in rooms:
        fake.site.open(room.email)
    await fake.start()
    server = ExchangeServer(
        id="mail", url=fake.url, auth="basic", username="svc", password=Secret(value="hush")
    )
    first, second = build_neighbours(
        Config(cluster=CLUSTER, rooms=rooms, calendar_servers=(server,))
    ).calendars
    assert "0 items" in await first.source.probe()
    fake.busy, fake.back_off_ms = 1, 60_000
    asked = len(fake.requests)
    for calendar in (first, second):
        with pytest.raises(Unavailable):
            await calendar.source.probe()
    assert len(fake.requests) == asked
    for calendar in (first, second):
        await calendar.source.close()
    await fake.stop()


def test_a_login_is_not_sent_where_anybody_can_listen() -> None:
    """Plain http is refused, but for this very host."""
    config = Config(
        cluster=CLUSTER,
        calendar_servers=(
            ExchangeServer(id="far", url="http://mail.example/EWS/Exchange.asmx", auth="kerberos"),
            ExchangeServer(id="near", url="http://127.0.0.1:8080/EWS/Exchange.asmx", auth="kerberos"),
        ),
    )
    assert [problem.sentence() for problem in configfile.check(config)] == [
        "config.json: calendar_servers[0].url: Use https: what goes there opens every room's calendar."
    ]


def test_a_room_without_its_server_gets_no_source() -> None:
    """A configuration that was never checked is refused when it is put into force."""
    room = RoomConfig(id="a", email="a@rooms.example", calendar=ExchangeCalendar(server="none"))
    with pytest.raises(TheirMistake, match="none"):
        build_neighbours(Config(cluster=CLUSTER, rooms=(room,)))


def test_secrets_are_masked() -> None:
    """Neither password nor client secret is shown."""
    server = ExchangeServer(
        id="mail",
        url="https://mail.example/EWS/Exchange.asmx",
        password=Secret(value="hush"),
        client_secret=Secret(value="hushhush"),
    )
    shown = configfile.masked(Config(cluster=CLUSTER, calendar_servers=(server,)))
    assert b"hush" not in shown
