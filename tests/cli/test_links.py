"""The rule tester: what it says about an invitation, with no server and with one that is away."""

import json
from pathlib import Path

from click.testing import CliRunner

from meetkeeper.cli.main import build_cli

ZOOM = "Join: https://acme.zoom.us/j/98765432101\nPasscode: 482913\n"
ITEM = """BEGIN:VCALENDAR
VERSION:2.0
BEGIN:VEVENT
UID:1
DTSTART:20261201T100000Z
DTEND:20261201T110000Z
LOCATION:Oslo 3
URL:https://nowhere.example/room
DESCRIPTION:https://meet.google.com/abc-defg-hij
END:VEVENT
END:VCALENDAR
"""


def test_the_built_in_rules_need_no_server(tmp_path: Path) -> None:
    """A text is tried as it is; the answer names platform, rule and dial string, for people and for programs."""
    done = CliRunner().invoke(build_cli(), ["links", "test", "-"], input=ZOOM)
    assert done.exit_code == 0, done.output
    assert "98765432101.482913@zoomcrc.com" in done.stdout
    file = tmp_path / "item.ics"
    file.write_text(ITEM, encoding="utf-8")
    done = CliRunner().invoke(build_cli(), ["links", "test", str(file), "--json"])
    tried = json.loads(done.stdout)["tried"]
    assert [one["foreign"]["platform"] for one in tried] == ["meet"]
    assert tried[0]["unmatched"] == ["https://nowhere.example/room"]


def test_nothing_found_is_told_and_counts_as_failed() -> None:
    """An invitation without a link is told as that, with exit code 1 for scripts."""
    done = CliRunner().invoke(build_cli(), ["links", "test", "-"], input="See https://wiki.example.org")
    assert done.exit_code == 1
    assert "nothing" in done.stdout
    assert "https://wiki.example.org" in done.stdout


def test_a_server_that_is_away_leaves_the_built_in_rules(tmp_path: Path) -> None:
    """With a home in which no server runs the built-in rules are tried, and stderr says why."""
    done = CliRunner().invoke(build_cli(), ["--home", str(tmp_path), "links", "test", "-"], input=ZOOM)
    assert done.exit_code == 0, done.output
    assert "built-in rules alone" in done.stderr


def test_an_item_that_cannot_be_read_is_one_sentence() -> None:
    """A damaged calendar item is refused with the reason."""
    done = CliRunner().invoke(build_cli(), ["links", "test", "-"], input=ITEM.replace("END:VEVENT\n", ""))
    assert done.exit_code == 1
    assert "can't be read" in done.stderr
