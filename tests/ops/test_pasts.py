"""What a server remembers of changes: newest first, bounded, whatever stands in the file; and what it estimates."""

from pathlib import Path

from meetkeeper.ops.pasts import ESTIMATE_OF, FIGURES_S, FILE, KEPT_MAX, Move, Pasts, Took


def test_an_estimate_is_the_median_of_the_newest(tmp_path: Path) -> None:
    """Before anything was measured it is a figure and says so; kinds are kept apart."""
    pasts = Pasts(tmp_path)
    assert pasts.estimate("switchover") == (FIGURES_S["switchover"], 0)
    for number in range(ESTIMATE_OF + 5):
        pasts.note(Took(float(number), "switchover", "b", 9.0 if number < 5 else 0.1 * (number % 3 + 1)))
    pasts.note(Took(99.0, "failover", "b", 2.0))
    seconds, count = pasts.estimate("switchover")
    assert (round(seconds, 3), count) == (0.2, ESTIMATE_OF)
    assert pasts.estimate("failover") == (2.0, 1)


def test_it_is_remembered_over_restarts_and_stays_small(tmp_path: Path) -> None:
    """The newest lines, in order; a torn or foreign line is passed over."""
    pasts = Pasts(tmp_path)
    for number in range(KEPT_MAX * 2 + 10):
        pasts.note(Move(float(number), 31, "claiming", "active"))
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"kind":"from a later release"}\n{"kind":"mo')
    again = Pasts(tmp_path).moves()
    assert again[0].at_s == KEPT_MAX * 2 + 9
    assert len(again) <= KEPT_MAX
    assert len((tmp_path / FILE).read_bytes().splitlines()) <= KEPT_MAX * 2 + 2


def test_a_disk_that_refuses_costs_the_memory_alone(tmp_path: Path) -> None:
    """Nothing is raised: what is remembered is for people."""
    (tmp_path / "local").write_text("no folder")
    pasts = Pasts(tmp_path)
    pasts.note(Took(1.0, "failover", "b", 0.5))
    assert pasts.took()[0].seconds == 0.5
