"""The command line against a real server: every command says what happened, and what to do when it did not."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from meetkeeper.app.commands import build
from meetkeeper.app.demo.servers import end
from meetkeeper.app.home import pretty
from meetkeeper.core.configuration import IcsCalendar, RoomConfig
from meetkeeper.testing.contracts.calendar import text_of
from tests.app.running import Running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for all of them."""
    running = Running(tmp_path_factory.mktemp("cli"))
    running.start()
    yield running
    end(running.process)


def say(server: Running, *words: str) -> Result:
    """Run one command on the server's machine."""
    return CliRunner().invoke(build(), ["--home", str(server.home.path), *words])


def book(server: Running, start: str) -> str:
    """Book and return the id."""
    words = ["--room", "oslo", "--subject", "Board", "--organizer", "kari@demo.example", "--start", start]
    done = say(server, "book", *words, "--minutes", "30", "--json")
    assert done.exit_code == 0, done.output
    return str(json.loads(done.stdout)["id"])


def test_a_meeting_is_booked_shown_moved_explained_and_cancelled(server: Running) -> None:
    """The life of a meeting in commands; its door stays through the move."""
    meeting = book(server, "2089-01-01T10:00")
    before = json.loads(say(server, "meeting", meeting, "--json").stdout)
    assert "Board" in say(server, "meetings").output
    moved = say(server, "move", meeting, "--start", "2089-01-01T12:00")
    assert moved.exit_code == 0, moved.output
    after = json.loads(say(server, "meeting", meeting, "--json").stdout)
    assert after["vmr"] == before["vmr"]
    assert after["start"].startswith("2089-01-01T12:00")
    assert say(server, "extend", meeting, "15").exit_code == 0
    assert "Board" in say(server, "mail", "preview", meeting).output
    assert "Cancelled" in say(server, "cancel", meeting).output
    explained = say(server, "explain", meeting)
    assert "because meeting.cancelled" in explained.output


@pytest.mark.parametrize("command", ["status", "today", "risk", "rooms", "meetings", "outbox"])
def test_every_reading_command_speaks_json(server: Running, command: str) -> None:
    """With --json the answer is JSON and nothing else; without, it is text."""
    assert isinstance(json.loads(say(server, command, "--json").stdout), dict)
    plain = say(server, command)
    assert plain.exit_code == 0, plain.output
    assert plain.output.strip()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["meeting", "nope"], "no meeting"),
        (["explain", "nope"], "nope"),
        (["outbox", "release", "nope", "--done"], "nope"),
        (["resync", "osl"], "osl"),
        (["token", "revoke", "nobody"], "nobody"),
        (["config", "rollback", "--to", "99"], "99"),
    ],
)
def test_a_refusal_is_one_sentence_and_exit_code_one(server: Running, words: list[str], said: str) -> None:
    """What was asked for in vain is named."""
    done = say(server, *words)
    assert done.exit_code == 1
    assert said in done.stderr
    assert done.stderr.startswith("meetkeeper: ")


def test_without_a_server_it_says_so(tmp_path: object) -> None:
    """An address where nobody answers, a folder where nothing runs, and nothing at all: three different sentences."""
    runner = CliRunner()
    away = runner.invoke(build(), ["--url", "http://127.0.0.1:9", "--token", "x", "status"])
    assert away.exit_code == 4
    assert "No server answers" in away.stderr
    empty = runner.invoke(build(), ["--home", str(tmp_path), "status"])
    assert "No server has run" in empty.stderr
    nothing = runner.invoke(build(), ["status"], env={"MEETKEEPER_HOME": "", "MEETKEEPER_URL": ""})
    assert "Which server?" in nothing.stderr


def test_the_configuration_is_checked_compared_deployed_and_rolled_back(server: Running) -> None:
    """From a file with a slip to one in force, and back."""
    file = server.home.path / "new.json"
    file.write_bytes(pretty(server.config).replace(b'"rooms"', b'"roms"'))
    wrong = say(server, "config", "check", str(file))
    assert wrong.exit_code == 1
    assert "Did you mean 'rooms'" in wrong.output
    assert "new.json:6:3" in wrong.output
    file.write_bytes(pretty(replace(server.config, rooms=(*server.config.rooms, RoomConfig(id="bergen")))))
    assert say(server, "config", "check", str(file)).exit_code == 0
    assert "bergen" in say(server, "config", "diff", str(file)).output
    assert "is in force" in say(server, "config", "deploy", str(file)).output
    assert "bergen" in say(server, "rooms").output
    assert len(json.loads(say(server, "config", "revisions", "--json").stdout)["revisions"]) >= 2
    assert "is in force" in say(server, "config", "rollback").output
    assert "bergen" not in say(server, "rooms").output


def test_an_edit_is_checked_by_the_name_of_the_file_it_waits_in(server: Running) -> None:
    """A moment after saving it stands in config.json still, then in staged.json: both are found, and named."""
    calm = say(server, "config", "check")
    assert (calm.exit_code, calm.output) == (0, "Nothing is wrong with config.json.\n")
    assert say(server, "config", "diff").output == "config.json changes nothing.\n"
    staged = server.home.staged_file
    staged.write_bytes(pretty(server.config).replace(b'"rooms"', b'"roms"'))
    try:
        assert "staged.json:6:3" in say(server, "config", "check").output
        assert "staged.json:6:3" in say(server, "config", "diff").output
    finally:
        staged.unlink()
    missing = say(server, "config", "check", "/nowhere/at-all.json")
    assert missing.exit_code == 1
    assert "at-all.json can't be read" in missing.stderr


def test_a_token_opens_the_door_until_it_is_revoked(server: Running) -> None:
    """An issued token works from elsewhere; a revoked one does not."""
    token = say(server, "token", "issue", "lobby").stdout.strip()
    elsewhere = ["--url", str(server.home.address()), "--token", token, "status"]
    assert CliRunner().invoke(build(), elsewhere).exit_code == 0
    assert "lobby" in say(server, "token", "list").output
    assert say(server, "token", "revoke", "lobby").exit_code == 0
    refused = CliRunner().invoke(build(), elsewhere)
    assert refused.exit_code == 1
    assert "token" in refused.stderr.lower()


def test_a_resync_is_previewed_then_done_and_the_room_examined(tmp_path: Path) -> None:
    """Nothing is done by the preview; the resync ends when the calendar was read; the doctor says what it found."""
    folder = tmp_path / "calendar"
    folder.mkdir()
    (folder / "a.ics").write_bytes(text_of("a", "Talk").replace(b"20261201", b"20890101"))
    calendar = IcsCalendar(folder=str(folder), poll_s=3_600.0)
    server = Running(tmp_path, rooms=(RoomConfig(id="oslo", calendar=calendar),))
    server.start()
    try:
        previewed = say(server, "resync", "oslo", "--preview")
        assert previewed.exit_code == 0, previewed.output
        assert "Nothing was done." in previewed.output
        found = json.loads(say(server, "resync", "oslo", "--preview", "--json").stdout)
        assert (found["items"], found["uris_changed"], found["mails"]) == (1, 0, 0)
        done = say(server, "resync", "oslo")
        assert "oslo was read from the beginning." in done.output
        examined = say(server, "room", "doctor", "oslo")
        assert examined.exit_code == 0, examined.output
        assert "read whole: 1 items" in examined.output
        assert "no calendar" in say(server, "room", "doctor", "bergen").output.replace(
            "no room", "no calendar"
        )
    finally:
        assert server.process is not None
        end(server.process)


def test_the_rule_tester_asks_the_servers_configuration(server: Running) -> None:
    """With a running server its own rules and domains count, and nothing is said about built-in rules alone."""
    link = "Join: https://acme.zoom.us/j/98765432101"
    done = CliRunner().invoke(build(), ["--home", str(server.home.path), "links", "test", "-"], input=link)
    assert done.exit_code == 0, done.output
    assert "98765432101@zoomcrc.com" in done.stdout
    assert "built-in rules alone" not in done.stderr
