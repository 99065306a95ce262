"""What the documentation tells people to type is understood: every command, option and argument of it is there."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from meetkeeper.app.commands import build
from tests.house.source import ROOT

CONSOLE = re.compile(r"^(?:[ab]?[$#] )?meetkeeper (.*)$")
SPOKEN = re.compile(r"`meetkeeper ([^`\n]+)`")
FENCE = re.compile(r"^```(?:console|sh|bash)\n(.*?)^```", re.MULTILINE | re.DOTALL)
OPTIONAL = re.compile(r"\[([^\]]*)\]")


def _pages() -> list[Path]:
    docs = (ROOT / "docs").rglob("*.md")
    return sorted({ROOT / "README.md", *(path for path in docs if "decisions" not in path.parts)})


def _commands(text: str) -> Iterator[str]:
    for block in FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            if found := CONSOLE.match(line):
                yield found[1]
    for found in SPOKEN.finditer(FENCE.sub("", text)):
        yield found[1]


def _words(command: str) -> list[str]:
    """As the shell gives them; what is in square brackets is typed too, what follows `|`, `<` or `>` is not."""
    plain = OPTIONAL.sub(r"\1", command)
    return shlex.split(re.split(r"\s(?:[|<>]|&&)\s?|…$|\.\.\.$", plain)[0], comments=True)


DOCUMENTED = sorted({(path.name, command) for path in _pages() for command in _commands(path.read_text())})


@pytest.mark.parametrize(("page", "command"), DOCUMENTED)
def test_a_documented_command_is_understood(page: str, command: str) -> None:
    """The words lead to a command, and it takes the options and arguments that stand behind it."""
    group: click.Command = build()
    words = _words(command)
    context = click.Context(group, info_name="meetkeeper")
    while isinstance(group, click.Group) and words:
        name, found, words = group.resolve_command(context, words)
        assert found is not None, (page, name)
        group, context = found, click.Context(found, info_name=name, parent=context)
    spoken = not words or isinstance(group, click.Group)
    try:
        group.make_context(context.info_name, words, parent=context.parent, resilient_parsing=spoken)
    except click.BadParameter as wrong:
        # EPOCH is no number, and /mnt/b does not stand here: values are the reader's. A missing one is our mistake.
        if isinstance(wrong, click.MissingParameter):
            raise


def test_there_are_many() -> None:
    """The pages are found and read."""
    assert len(DOCUMENTED) > 60
