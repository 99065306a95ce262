"""The help as a newcomer reads it."""

import rich_click as click
from click.testing import CliRunner

from meetkeeper.app.commands import build
from meetkeeper.cli.shelves import SHELVES


def test_every_command_stands_on_one_shelf() -> None:
    """None is forgotten when it is made, none stands twice, and a shelf names no command that has gone."""
    group = build()
    assert isinstance(group, click.Group)
    shown = sorted(name for name, command in group.commands.items() if not command.hidden)
    assert sorted(name for commands in SHELVES.values() for name in commands) == shown


def test_the_help_shows_the_shelves() -> None:
    """In the order of what one does first."""
    said = CliRunner().invoke(build(), ["--help"], prog_name="meetkeeper").output
    places = [said.index(name) for name in SHELVES]
    assert places == sorted(places)
