"""`meetkeeper pair` and `init --join` on two homes: where each server says that people reach it."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from meetkeeper.app.commands import build
from meetkeeper.app.home import Home
from meetkeeper.app.pairing import reached_at


def say(*words: str | Path) -> str:
    """The command's output; it has to go well."""
    done = CliRunner().invoke(build(), [*map(str, words)])
    assert done.exit_code == 0, done.output
    return done.output


def url_of(home: Path) -> str:
    """Where this home says that people reach it."""
    pair = Home(home).node().pair
    assert pair is not None
    return pair.url


@pytest.mark.parametrize(
    ("listens", "line", "tls", "reached"),
    [
        ("192.0.2.11", "10.0.0.1:7500", False, "http://192.0.2.11:8080"),
        ("0.0.0.0", "10.0.0.1:7500", False, "http://10.0.0.1:8080"),
        ("127.0.0.1", "10.0.0.1:7500", True, "https://10.0.0.1:8080"),
        ("::", "[2001:db8::1]:7500", False, "http://[2001:db8::1]:8080"),
        ("localhost", "north.example:7500", False, "http://north.example:8080"),
        ("127.0.0.1", "127.0.0.1:7500", False, "http://127.0.0.1:8080"),
    ],
)
def test_a_server_is_known_by_an_address_that_leads_to_it(
    listens: str, line: str, *, tls: bool, reached: str
) -> None:
    """Listening everywhere or on itself alone, a server is known by its line's host."""
    assert reached_at(listens, 8080, line, tls=tls) == reached


def test_both_servers_of_a_pair_lead_to_each_other(tmp_path: Path) -> None:
    """As the README makes them; one that only its own host reaches is told so, an address that is said counts."""
    north, south = tmp_path / "north", tmp_path / "south"
    say("init", north, "--name", "north")
    made = say("pair", north, "--with", "south=192.0.2.12:7500", "--line", "192.0.2.11:7500")
    assert "which nobody else reaches" in made
    assert url_of(north) == "http://192.0.2.11:8080"
    invitation = north / "local" / "pair" / "invitation-south.json"
    joined = say("init", south, "--join", invitation, "--listen", "0.0.0.0:8081")
    assert "nobody else reaches" not in joined
    assert url_of(south) == "http://192.0.2.12:8081"
    said = tmp_path / "said"
    say("init", said, "--join", invitation, "--public-url", "https://meet.example")
    assert url_of(said) == "https://meet.example"
