"""A copied home is noticed."""

import shutil
from pathlib import Path

import pytest

from meetkeeper.app.original import MARK, check_is_original
from meetkeeper.core.errors import Refused


def test_a_home_is_its_own_original(tmp_path: Path) -> None:
    """However often it is started, and when it was renamed."""
    home = tmp_path / "home"
    for _ in range(3):
        check_is_original(home)
    check_is_original(home.rename(tmp_path / "moved"))


def test_a_copy_is_refused_until_a_person_answers_for_it(tmp_path: Path) -> None:
    """Copied or restored it does not start; with the mark removed it is an original."""
    home, copy = tmp_path / "home", tmp_path / "copy"
    check_is_original(home)
    shutil.copytree(home, copy)
    with pytest.raises(Refused, match=r"remove .*original\.json"):
        check_is_original(copy)
    check_is_original(home)
    (copy / MARK).unlink()
    check_is_original(copy)


@pytest.mark.parametrize("said", ["", "{}", "7", '{"inode": 1', '{"inode": "x"}'])
def test_a_mark_that_says_nothing_is_no_original(tmp_path: Path, said: str) -> None:
    """Damaged or emptied, it is not believed."""
    (tmp_path / "local").mkdir()
    (tmp_path / MARK).write_text(said)
    with pytest.raises(Refused):
        check_is_original(tmp_path)
