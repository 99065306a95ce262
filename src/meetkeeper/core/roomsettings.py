"""What a room's settings do to its calendar: each wrong one, its symptom, and the command that mends it.

`SETTINGS` holds what Exchange's booking attendant does to a room's items (MicrosoftDocs, `Set-CalendarProcessing`;
on-premises and Online alike unless `where` says so). A setting can be read by an adapter (`Doctor`), or its symptom be
seen in the items alone, which is what `diagnose` does: it needs no right but that of reading the calendar.
"""

from typing import Literal

from msgspec import Struct

Level = Literal["good", "note", "amber", "red"]


class Finding(Struct, frozen=True, kw_only=True):
    """One thing about a room. `code` is stable; `text` says what is so, `symptom` what it causes, `mend` what to do.

    `level`: `good` (looked at and right), `note` (worth knowing), `amber` (costs something), `red` (does not work).
    """

    code: str
    level: Level
    text: str
    symptom: str = ""
    mend: str = ""
