"""What may not stand in any file we keep: work left over, foreign addresses in screens, traces of one machine."""

import re
from pathlib import Path

from tests.house.source import PACKAGE, ROOT, shown, tracked_texts

# Spelled in two halves, so that this file does not find itself.
LEFT_OVER = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX"]) + r")\b")
REGISTRY_HOSTS = ["pypi" + ".org", "python" + "hosted.org", "npm" + "js.org", "npm" + "js.com"]
MACHINE_PATH = re.compile(r"(?<![\w.~$}-])/(home|Users|root|work|workspace)/[\w.-]+/")
FOREIGN_ADDRESS = re.compile(r"""(?:https?:)?//(?!www\.w3\.org/)[a-z0-9-]+(?:\.[a-z0-9-]+)+""", re.IGNORECASE)
SCREEN_SUFFIXES = {".html", ".jinja", ".j2", ".js", ".mjs", ".css", ".svg", ".webmanifest"}


def test_nothing_is_left_for_later() -> None:
    """No file carries a mark for work that somebody meant to do."""
    found = [
        f"{name}:{number}"
        for name, text in tracked_texts()
        for number, line in enumerate(text.splitlines(), start=1)
        if LEFT_OVER.search(line)
    ]
    assert not found, "\n".join(found)


def test_screens_load_nothing_from_elsewhere() -> None:
    """Templates, scripts and styles name no foreign address: a closed network shows the same pages."""
    found = []
    for path in sorted(PACKAGE.rglob("*")):
        if path.suffix not in SCREEN_SUFFIXES or "vendor" in path.parts:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if address := FOREIGN_ADDRESS.search(line):
                found.append(f"{shown(path)}:{number} {address.group()}")
    assert not found, "\n".join(found)


def test_no_file_remembers_the_machine_it_was_made_on() -> None:
    """No package registry's host and no path of one machine stands in any file, the lock files included."""
    here = {str(ROOT), str(Path.home())} - {"/"}
    found = []
    for name, text in tracked_texts():
        for number, line in enumerate(text.splitlines(), start=1):
            told = [word for word in [*REGISTRY_HOSTS, *here] if word in line]
            if told or MACHINE_PATH.search(line):
                found.append(f"{name}:{number} {line.strip()[:80]}")
    assert not found, "\n".join(found)
