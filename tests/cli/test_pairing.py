"""What the command line says of the pair's table, and on a server that has no partner."""

import json
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result

from meetkeeper.app.commands import build
from meetkeeper.app.demo.servers import end
from meetkeeper.ha.table import IGNORED, ROWS
from tests.app.running import Running


def say(*words: str) -> Result:
    """One command, no server named."""
    return CliRunner().invoke(build(), list(words), env={"MEETKEEPER_HOME": "", "MEETKEEPER_URL": ""})


def test_the_table_needs_no_server() -> None:
    """Every row with its number and its why, as text and as JSON."""
    told = json.loads(say("explain", "--ha", "--json").stdout)
    assert [one["number"] for one in told["rows"]] == [row.number for row in ROWS]
    assert len(told["ignored"]) == len(IGNORED)
    text = say("explain", "--ha").stdout
    assert all(f"{row.number:>4}  {row.event.__name__}" in text for row in ROWS)
    assert all(row.why in text for row in ROWS)


def test_explain_wants_to_know_what() -> None:
    """Neither a name nor --ha."""
    done = say("explain")
    assert done.exit_code == 2
    assert "--ha" in done.stderr


@pytest.fixture(scope="module")
def lone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server by itself."""
    running = Running(tmp_path_factory.mktemp("lone"))
    running.start()
    yield running
    end(running.process)


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["standby", "check"],
        ["switchover", "--dry-run"],
        ["failover", "--dry-run", "--proof", "off"],
        ["failback"],
        ["drill"],
        ["maintenance", "on", "--minutes", "5"],
        ["maintenance", "status"],
        ["register", "status"],
        ["register", "reset", "--why", "lost", "--yes"],
        ["history"],
    ],
)
def test_a_server_by_itself_says_that_it_has_no_partner(lone: Running, words: list[str]) -> None:
    """One sentence with what to do, and exit code 1."""
    done = CliRunner().invoke(build(), ["--home", str(lone.home.path), *words])
    assert done.exit_code == 1, done.output + done.stderr
    assert "no partner" in done.stderr
    assert "meetkeeper pair" in done.stderr


@pytest.mark.slow
def test_status_of_a_server_by_itself_is_as_before(lone: Running) -> None:
    """No line about a pair."""
    done = CliRunner().invoke(build(), ["--home", str(lone.home.path), "status"])
    assert done.exit_code == 0
    assert "in sync" not in done.stdout
