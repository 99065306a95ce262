"""The command line is there at once: what a server needs is not loaded to ask one a question."""

import subprocess
import sys

from click import unstyle

HEAVY = {
    "litestar",
    "uvicorn",
    "httpx2",
    "argon2",
    "jinja2",
    "prometheus_client",
    "icalendar",
    "cryptography",
}


def test_asking_a_server_loads_no_server() -> None:
    """Neither the web framework nor any adapter's library is imported by the commands that only ask."""
    code = "import sys, meetkeeper.cli.main as main; main.build_cli(); print(*{n.split('.')[0] for n in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert HEAVY & set(done.stdout.split()) == set()
    assert "meetkeeper" in done.stdout


def test_tables_fit_eighty_columns() -> None:
    """However long subjects and rooms are, no line of a table is longer than the screen; wide letters count twice."""
    from meetkeeper.cli.tables import Cell, cut, table, width_of

    rows: list[list[Cell | str]] = [
        ["a" * 30, Cell("live", "good"), "会議" * 40],
        ["b", "ended", "x" * 200],
        ["c", "", "line\nbreak\x1b[31m"],
    ]
    lines = unstyle(table(("room", "state", "subject"), rows)).splitlines()
    assert all(width_of(line) <= 80 for line in lines)
    assert "…" in lines[1]
    assert lines[3].endswith("line break [31m")
    assert width_of(cut("会議" * 10, 7)) <= 7
