"""config.json: what is wrong is said with its place; what is secret stays so."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meetkeeper.app import configfile
from meetkeeper.app.home import pretty
from meetkeeper.core.configuration import (
    CaldavCalendar,
    ClusterConfig,
    Config,
    ExchangeCalendar,
    ExchangeServer,
    LinkBridge,
    RoomConfig,
    Secret,
)
from meetkeeper.core.errors import TheirMistake

SECRET = "x" * 40


def test_a_mistyped_key_is_named_with_line_column_and_the_nearest_one() -> None:
    """Every unknown key is reported, not the first alone."""
    text = b"""{
  "cluster": {"secret": "%s", "pubic_url": "http://x"},
  "rooms": [
    {"id": "oslo", "calender": {"kind": "none"}}
  ]
}""" % SECRET.encode()
    config, problems = configfile.parse(text)
    assert config is None
    said = [problem.sentence() for problem in problems]
    assert said == [
        "config.json:2:69: cluster.pubic_url: Nobody knows 'pubic_url'. Did you mean 'public_url'?",
        "config.json:4:20: rooms[0].calender: Nobody knows 'calender'. Did you mean 'calendar'?",
    ]


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        (b'{"cluster": {"secret": 3}}', 1, 24),
        (b'{\n "cluster": {"secret": "short"}}', 2, 24),
        (b'{"cluster": {"secret": "%s"},\n "rooms": [{"id": "A B"}]}' % SECRET.encode(), 2, 19),
        (b'{"cluster": }', 1, 13),
        (b"{} trailing", 1, 4),
        (b"\xff", 1, 1),
    ],
)
def test_a_wrong_value_is_named_with_its_place(text: bytes, line: int, column: int) -> None:
    """Malformed JSON, wrong types and values out of bounds say where they stand."""
    config, problems = configfile.parse(text)
    assert config is None
    assert [(problem.line, problem.column) for problem in problems] == [(line, column)]


@given(st.binary(max_size=200) | st.text(alphabet='{}[]":,ab1 \n', max_size=60).map(str.encode))
def test_no_text_is_too_strange(text: bytes) -> None:
    """Any bytes give a configuration or problems, never an exception."""
    config, problems = configfile.parse(text)
    assert (config is None) == bool(problems)


def config_with_everything() -> Config:
    """A configuration that uses most of what there is."""
    room = RoomConfig(
        id="oslo",
        calendar=CaldavCalendar(url="http://dav.example/", username="u", password=Secret(value="hidden one")),
    )
    return Config(
        cluster=ClusterConfig(secret=SECRET),
        rooms=(room,),
        bridges=(LinkBridge(id="link", url="http://x/{alias}"),),
    )


def test_what_is_shown_holds_no_secret() -> None:
    """Neither the cluster's secret nor a password is in the masked text, and it is JSON all the same."""
    shown = configfile.masked(config_with_everything()).decode()
    assert SECRET not in shown
    assert "hidden one" not in shown
    assert msgspec.json.decode(shown)["rooms"][0]["calendar"]["username"] == "u"


def test_what_is_written_reads_back() -> None:
    """The file shows exactly what is in force."""
    config = config_with_everything()
    assert configfile.read(pretty(config)) == config


def test_references_to_nothing_are_found() -> None:
    """Ids used twice, bridges and zones nobody knows and secrets that can't be had are all named at once."""
    room = RoomConfig(id="oslo", bridge="lonk", time_zone="Europe/Osl")
    config = msgspec.structs.replace(config_with_everything(), rooms=(room, RoomConfig(id="oslo")))
    said = " ".join(problem.sentence() for problem in configfile.check(config))
    for word in ("used twice", "Did you mean 'link'", "Europe/Osl"):
        assert word in said
    with pytest.raises(TheirMistake):
        configfile.read(pretty(config))


def test_a_difference_names_no_secret() -> None:
    """A changed password is a difference that does not show it."""
    config = config_with_everything()
    other = msgspec.structs.replace(config, cluster=ClusterConfig(secret="y" * 40))
    assert configfile.diff(config, other) == ["only secrets differ"]
    renamed = msgspec.structs.replace(config, cluster=ClusterConfig(secret=SECRET, name="other"))
    assert any(line.startswith("+") and "other" in line for line in configfile.diff(config, renamed))


def test_the_schema_takes_what_we_write() -> None:
    """The schema beside the file names every part."""
    tree = msgspec.json.decode(configfile.schema())
    assert {"cluster", "rooms", "bridges", "mail"} <= set(tree["$defs"]["Config"]["properties"])


def test_a_room_names_a_calendar_server_that_is_there_and_complete() -> None:
    """An Exchange room without its server or address, and a server without its login, are named with their places."""
    config = Config(
        cluster=ClusterConfig(secret=SECRET),
        rooms=(
            RoomConfig(id="a", email="a@x.example", calendar=ExchangeCalendar(server="mail")),
            RoomConfig(id="b", email="b@x.example", calendar=ExchangeCalendar(server="mial")),
            RoomConfig(id="c", calendar=ExchangeCalendar(server="mail")),
        ),
        calendar_servers=(
            ExchangeServer(
                id="mail", url="https://mail.example/EWS/Exchange.asmx", auth="oauth", ca_file="/none"
            ),
            ExchangeServer(
                id="mail",
                url="https://x/EWS/Exchange.asmx",
                username="svc",
                password=Secret(env="NOT_THERE_EWS"),
            ),
        ),
    )
    said = [problem.sentence() for problem in configfile.check(config)]
    assert said == [
        "config.json: calendar_servers[1].id: The id 'mail' is used twice. Ids are unique.",
        "config.json: rooms[1].calendar.server: There is no calendar server 'mial' of this kind. Did you mean 'mail'?",
        "config.json: rooms[2].calendar.mailbox: Give the mailbox's address here or as the room's email.",
        "config.json: calendar_servers[0].ca_file: There is no such file.",
        "config.json: calendar_servers[0].tenant: A login with oauth needs it.",
        "config.json: calendar_servers[0].client_id: A login with oauth needs it.",
        "config.json: calendar_servers[0].client_secret: A login with oauth needs it.",
        (
            "config.json: calendar_servers[1].password: "
            "The environment has no variable 'NOT_THERE_EWS'. Set it before the server starts."
        ),
    ]
