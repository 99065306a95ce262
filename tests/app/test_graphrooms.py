"""Microsoft 365 in the configuration: what is checked, what is built from it, and the example of its page."""

import re
from pathlib import Path

import msgspec
import pytest
import trustme

from meetkeeper.app import configfile
from meetkeeper.app.graphrooms import graph_client
from meetkeeper.app.wiring import build_neighbours
from meetkeeper.calendars.graph.source import GraphSource
from meetkeeper.core.configuration import (
    ClusterConfig,
    Config,
    GraphCalendar,
    GraphServer,
    RoomConfig,
    Secret,
)
from meetkeeper.core.errors import TheirMistake
from tests.house.source import ROOT

CLUSTER = ClusterConfig(secret="s" * 32)
SECRET = Secret(value="hush")


def server(**fields: object) -> GraphServer:
    """A server that lacks nothing but what is said otherwise."""
    plain = GraphServer(id="m365", tenant="contoso.example", client_id="app", client_secret=SECRET)
    return msgspec.structs.replace(plain, **fields)


def said(config: Config) -> list[str]:
    """What is wrong with it."""
    return [problem.sentence() for problem in configfile.check(config)]


async def test_the_example_of_the_page_is_a_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """What docs/operating/microsoft365.md shows can be deployed, and gives a source for its room."""
    text = (ROOT / "docs/operating/microsoft365.md").read_text(encoding="utf-8")
    shown = re.search(r"```json\n(.*?)```", text, re.DOTALL)
    assert shown is not None
    monkeypatch.setenv("MEETKEEPER_M365_SECRET", "hush")
    tree = msgspec.json.decode(shown[1]) | {"cluster": {"secret": "s" * 32}}
    config = configfile.read(msgspec.json.encode(tree))
    (calendar,) = build_neighbours(config).calendars
    assert (calendar.room, calendar.poll_s) == ("atrium", 60.0)
    assert calendar.name == "https://graph.microsoft.com/v1.0#atrium@contoso.example"
    assert isinstance(calendar.source, GraphSource)
    await calendar.source.close()


def test_a_server_says_what_it_lacks(tmp_path: Path) -> None:
    """No proof or two, half a certificate, files that are not there and plain http are named with their places."""
    config = Config(
        cluster=CLUSTER,
        calendar_servers=(
            server(id="none", client_secret=None),
            server(id="two", certificate_file=str(tmp_path / "c"), key_file=str(tmp_path / "k")),
            server(id="half", client_secret=None, certificate_file=__file__),
            server(id="told", notify=True),
            server(id="plain", endpoint="http://graph.example/v1.0", authority="http://127.0.0.1:1"),
        ),
    )
    assert said(config) == [
        "config.json: calendar_servers[0]: Give either client_secret, or certificate_file and key_file.",
        "config.json: calendar_servers[1]: Give either client_secret, or certificate_file and key_file.",
        "config.json: calendar_servers[1].certificate_file: There is no such file.",
        "config.json: calendar_servers[1].key_file: There is no such file.",
        "config.json: calendar_servers[2].key_file: A certificate and its key belong together.",
        (
            "config.json: calendar_servers[3].notify: Notifications need cluster.public_url to be an https address "
            "that the service can reach."
        ),
        "config.json: calendar_servers[4].endpoint: Use https: what goes there opens every room's calendar.",
    ]


def test_a_room_names_a_server_of_its_kind_and_a_mailbox() -> None:
    """A room without its server, or without any address, is named."""
    config = Config(
        cluster=CLUSTER,
        calendar_servers=(server(),),
        rooms=(
            RoomConfig(id="a", email="a@x.example", calendar=GraphCalendar(server="m356")),
            RoomConfig(id="b", calendar=GraphCalendar(server="m365")),
            RoomConfig(id="c", calendar=GraphCalendar(server="m365", mailbox="c@x.example")),
        ),
    )
    assert said(config) == [
        "config.json: rooms[0].calendar.server: There is no calendar server 'm356' of this kind. Did you mean 'm365'?",
        "config.json: rooms[1].calendar.mailbox: Give the mailbox's address here or as the room's email.",
    ]


def test_the_secret_is_never_shown() -> None:
    """The client secret is masked wherever the configuration is shown."""
    config = Config(cluster=CLUSTER, calendar_servers=(server(),))
    assert b"hush" not in configfile.masked(config)


def test_certificates_and_keys_are_read_or_named(tmp_path: Path) -> None:
    """A PEM certificate with its key makes a client; anything else is one sentence about what to mend."""
    identity = trustme.CA(key_type=trustme.KeyType.RSA).issue_cert("app", key_type=trustme.KeyType.RSA)
    certificate, key, junk = tmp_path / "c.pem", tmp_path / "k.pem", tmp_path / "junk.pem"
    identity.cert_chain_pems[0].write_to_path(certificate)
    identity.private_key_pem.write_to_path(key)
    junk.write_text("junk")
    good = server(client_secret=None, certificate_file=str(certificate), key_file=str(key))
    assert graph_client(good).host == "graph.microsoft.com"
    for wrong, match in (
        ({"key_file": str(junk)}, "can't be read"),
        ({"certificate_file": str(junk)}, "can't be read"),
        ({"key_file": str(tmp_path / "none.pem")}, "none.pem: No such file"),
        ({"ca_file": str(junk)}, "holds no certificates"),
    ):
        with pytest.raises(TheirMistake, match=match):
            graph_client(msgspec.structs.replace(good, **wrong))
