"""The window: the newer word counts on both servers, clocks may differ, a restart forgets nothing, it ends."""

from pathlib import Path

from meetkeeper.ha.words import Facts
from meetkeeper.ops.maintenance import FILE, LEFT_S_MAX, Maintenance


def test_the_newer_word_counts_on_both_servers(tmp_path: Path) -> None:
    """Said to one it reaches the other, whose clock is an hour ahead; closed there it is closed here."""
    one, other = Maintenance(tmp_path / "a"), Maintenance(tmp_path / "b")
    one.put(10, "a new kernel", "kari", 1000.0)
    assert other.hear(one.said(Facts(), 1060.0), 4660.0)
    assert other.window.left_s(4660.0) == 540.0
    assert (other.window.why, other.window.by) == ("a new kernel", "kari")
    assert not other.hear(one.said(Facts(), 1061.0), 4661.0)
    assert not one.hear(other.said(Facts(), 4661.0), 1061.0)
    other.put(0, "", "kari", 4700.0)
    assert one.hear(other.said(Facts(), 4700.0), 1100.0)
    assert one.window.left_s(1100.0) == 0.0


def test_a_clock_that_is_behind_still_has_the_last_word(tmp_path: Path) -> None:
    """What a person says on the server whose clock is behind counts after what was said on the other one."""
    one, other = Maintenance(tmp_path / "a"), Maintenance(tmp_path / "b")
    one.put(10, "", "kari", 9000.0)
    other.hear(one.said(Facts(), 9000.0), 1000.0)
    other.put(0, "", "ola", 1001.0)
    assert one.hear(other.said(Facts(), 1002.0), 9002.0)
    assert one.window.left_s(9002.0) == 0.0


def test_it_is_kept_over_a_restart_and_ends_by_itself(tmp_path: Path) -> None:
    """Read from its file; nothing is left of it when its time is over; nobody makes it last for ever."""
    Maintenance(tmp_path).put(10, "why", "kari", 1000.0)
    again = Maintenance(tmp_path)
    assert again.window.left_s(1300.0) == 300.0
    assert again.window.left_s(1601.0) == 0.0
    assert again.hear(Facts(maintenance_left_s=1e12, maintenance_set_s=2000.0), 2000.0)
    assert again.window.left_s(2000.0) == LEFT_S_MAX


def test_a_file_that_is_no_window_is_none(tmp_path: Path) -> None:
    """Policy, not safety: garbage means that no window is open."""
    path = tmp_path / FILE
    path.parent.mkdir()
    path.write_bytes(b"\xff{")
    assert Maintenance(tmp_path).window.left_s(0.0) == 0.0


def test_a_server_that_was_never_told_says_nothing(tmp_path: Path) -> None:
    """Its facts are as they were."""
    assert Maintenance(tmp_path).said(Facts(release="1"), 5.0) == Facts(release="1")
