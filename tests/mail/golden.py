"""What the shipped templates write, kept in files that a reviewer reads as a diff.

`python -m tests.mail.golden --rewrite` writes them again after a change that was meant.
"""

import functools
import sys
from pathlib import Path

from meetkeeper.core.effects import SendMail
from meetkeeper.core.invitation import Kind
from meetkeeper.mail.compose import compose
from meetkeeper.mail.preview import preview
from meetkeeper.mail.templates import Templates
from tests.mail.itip import calendar_of
from tests.mail.samples import CONFIG, NOW_S, cancel, entry, meeting, request, series, wall

FOLDER = Path(__file__).with_name("golden")


@functools.cache
def texts() -> dict[str, str]:
    """Name of the file → what should stand in it."""
    found = {}
    for kind in Kind:
        mail = preview(CONFIG, kind).mail
        found[f"{kind}.txt"] = f"Subject: {mail.subject}\n\n{mail.text}"
        found[f"{kind}.html"] = mail.html
    one = meeting(description="Bring cake.")
    weekly = series(
        entry("2026-10-06 10:00", rrule="FREQ=WEEKLY;UNTIL=20261201", exdates=(wall("2026-10-13 10:00"),)),
        entry("2026-10-20 14:00", recurrence_id=wall("2026-10-20 10:00"), subject="Weekly, moved"),
    )
    for name, effect in (
        ("one", request(one)),
        ("one-cancelled", cancel(one)),
        ("weekly", request(weekly)),
        ("weekly-uninvited", SendMail("gone@guests.example", 2, "CANCEL", series=weekly.uid)),
    ):
        message = compose(CONFIG, effect, one, weekly, NOW_S, templates=Templates())
        found[f"{name}.ics"] = calendar_of(message).decode().replace("\r\n", "\n")
    return found


def main() -> None:
    """Write every file again."""
    FOLDER.mkdir(exist_ok=True)
    wanted = texts()
    for stale in FOLDER.iterdir():
        if stale.name not in wanted:
            stale.unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    print(f"{len(wanted)} files written into {FOLDER}")


if __name__ == "__main__":
    if sys.argv[1:] != ["--rewrite"]:
        sys.exit("usage: python -m tests.mail.golden --rewrite")
    main()
