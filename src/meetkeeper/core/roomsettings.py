"""What a room's settings do to its calendar: each wrong one, its symptom, and the command that mends it.

`SETTINGS` holds what Exchange's booking attendant does to a room's items (MicrosoftDocs, `Set-CalendarProcessing`;
alike on Exchange Server and Online unless `online_only` says so). A setting can be read by an adapter (`judge`), or its
symptom be seen in the items alone (`diagnose`), which needs no right but that of reading the calendar.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct

from meetkeeper.core.words import CalendarItem, Entry

Level = Literal["good", "note", "amber", "red"]
ENOUGH = 5
"""So few meetings say nothing about a setting."""
NEARLY_ALL = 0.95
MOST = 0.6
SLOW_S = 10.0
"""A whole read that takes longer per thousand items is worth knowing."""
REFUSED_SHARE = 0.1


class Finding(Struct, frozen=True, kw_only=True):
    """One thing about a room. `code` is stable; `text` says what is so, `symptom` what it causes, `mend` what to do.

    `level`: `good` (looked at and right), `note` (worth knowing), `amber` (costs something), `red` (does not work).
    """

    code: str
    level: Level
    text: str
    symptom: str = ""
    mend: str = ""


class Examined(Struct, frozen=True, kw_only=True):
    """All that a doctor found, and how many items the calendar holds."""

    findings: tuple[Finding, ...]
    items: int


class Setting(Struct, frozen=True, kw_only=True):
    """One parameter of a room mailbox. `good` values need nothing; any other has this symptom at this level.

    `advice`: the value to set, empty where it is the owner's policy and only worth knowing.
    """

    name: str
    good: tuple[str, ...]
    level: Level
    symptom: str
    advice: str = ""
    online_only: bool = False


SETTINGS = (
    Setting(
        name="AutomateProcessing",
        good=("AutoAccept",),
        level="red",
        symptom="Invitations stay tentative: nobody answers them, and no meeting gets its virtual room.",
        advice="AutoAccept",
    ),
    Setting(
        name="DeleteSubject",
        good=("False",),
        level="amber",
        symptom="The room's copy has no subject: meetings are named after their organizer.",
        advice="$false",
    ),
    Setting(
        name="AddOrganizerToSubject",
        good=("False",),
        level="amber",
        symptom="The subject is the organizer's name: meetings are called after people.",
        advice="$false",
    ),
    Setting(
        name="DeleteComments",
        good=("False",),
        level="amber",
        symptom="The body is emptied: join links of other platforms in it can't be found.",
        advice="$false",
    ),
    Setting(
        name="RemovePrivateProperty",
        good=("False",),
        level="amber",
        symptom="Private meetings look public: their subject is shown and mailed.",
        advice="$false",
    ),
    Setting(
        name="ProcessExternalMeetingMessages",
        good=("True",),
        level="note",
        symptom="Invitations from outside the organization are not answered: the room is not booked by them.",
        advice="$true",
    ),
    Setting(
        name="AllowConflicts",
        good=("False",),
        level="note",
        symptom="Two meetings may hold the room at one time: each gets its own virtual room.",
        advice="$false",
    ),
    Setting(
        name="ConflictPercentageAllowed",
        good=("0",),
        level="note",
        symptom="Single occurrences of a series may be declined: they are missing from the room alone.",
    ),
    Setting(
        name="EnforceSchedulingHorizon",
        good=("True",),
        level="note",
        symptom="A series that goes beyond the booking window is cut short in the room only.",
        advice="$true",
    ),
    Setting(
        name="BookingWindowInDays",
        good=("180",),
        level="note",
        symptom="Meetings that begin beyond this window are declined.",
    ),
    Setting(
        name="MaximumDurationInMinutes",
        good=("1440",),
        level="note",
        symptom="Longer meetings are declined.",
    ),
    Setting(
        name="RemoveCanceledMeetings",
        good=("True", "False"),
        level="note",
        symptom="Cancelled meetings leave the calendar at once; otherwise they stay as Canceled.",
        online_only=True,
    ),
    Setting(
        name="EnableAutoRelease",
        good=("False",),
        level="note",
        symptom="The room is freed in mid-meeting when nobody checks in: the conference itself goes on.",
        online_only=True,
    ),
)


def judge(mailbox: str, settings: Mapping[str, str]) -> tuple[Finding, ...]:
    """What settings that were read from a mailbox mean; `settings` by name, values as Exchange prints them."""
    found: list[Finding] = []
    for one in SETTINGS:
        value = settings.get(one.name)
        if value is None:
            continue
        if value.strip().lower() in (good.lower() for good in one.good):
            found.append(Finding(code=one.name, level="good", text=f"{one.name} is {value}."))
        else:
            text = f"{one.name} is {value or 'empty'}."
            found.append(
                Finding(
                    code=one.name, level=one.level, text=text, symptom=one.symptom, mend=_mend(mailbox, one)
                )
            )
    return tuple(found)


def reading(items: int, problems: int, took_s: float, passes: int, refused: int) -> tuple[Finding, ...]:
    """What a whole read of the calendar says about the way there; `passes` and `refused` cookies of this reign."""
    slow = took_s > SLOW_S * max(1.0, items / 1_000)
    found = [
        Finding(
            code="read",
            level="note" if slow else "good",
            text=f"The calendar was read whole: {items} items in {took_s:.1f} s.",
            symptom="A resync of all rooms takes long." if slow else "",
            mend="Look at the calendar server's load and at the network in between." if slow else "",
        )
    ]
    if problems:
        found.append(
            Finding(
                code="unreadable",
                level="amber",
                text=f"{problems} items can't be read.",
                symptom="They are kept as last seen; nobody learns of their changes.",
                mend="meetkeeper rooms names them; open and save each in the calendar.",
            )
        )
    if refused and refused > passes * REFUSED_SHARE:
        found.append(
            Finding(
                code="cookies",
                level="amber",
                text=f"{refused} sync cookies were refused in {passes} polls.",
                symptom="Every refusal costs a full read of the calendar.",
                mend="Look at the calendar server: it forgets what it has said. Polling less often makes it worse.",
            )
        )
    return tuple(found)


def diagnose(items: Sequence[CalendarItem], email: str) -> tuple[Finding, ...]:
    """What the items alone give away. `email` is the room's own address; its own bookings are left out."""
    entries = [item.master for item in items if item.master is not None and not item.master.cancelled]
    invited = [one for one in entries if one.organizer is not None and one.organizer.email != email.lower()]
    found: list[Finding] = []
    if len(entries) < ENOUGH:
        few = f"The calendar shows {len(entries)} meetings: too few to tell its settings by."
        return (Finding(code="few", level="note", text=few),)
    for name, text, share in _signs(entries, invited):
        if share >= (NEARLY_ALL if name != "AddOrganizerToSubject" else MOST):
            setting = next(one for one in SETTINGS if one.name == name)
            percent = int(share * 100)
            found.append(
                Finding(
                    code=name,
                    level=setting.level,
                    text=f"{percent} % of the meetings {text}: {name} is probably on.",
                    symptom=setting.symptom,
                    mend=_mend(email, setting),
                )
            )
    found.extend(_people(entries, invited, email))
    return tuple(found) or (Finding(code="items", level="good", text="The meetings look as they should."),)


def _signs(entries: list[Entry], invited: list[Entry]) -> list[tuple[str, str, float]]:
    """Settings that show in the items: (name, what is seen, share of meetings that show it)."""
    named = [one for one in invited if one.organizer is not None and one.organizer.name]
    by_name = [one for one in named if one.organizer is not None and _is_named_after(one, one.organizer.name)]
    stripped = [one for one in entries if not one.subject.strip() and not one.private]
    bare = [one for one in entries if not one.description.strip()]
    return [
        ("DeleteSubject", "have no subject", len(stripped) / len(entries)),
        (
            "AddOrganizerToSubject",
            "are called after their organizer",
            len(by_name) / len(named) if len(named) >= ENOUGH else 0.0,
        ),
        ("DeleteComments", "have no text", len(bare) / len(entries)),
    ]


def _is_named_after(entry: Entry, name: str) -> bool:
    """Exchange writes the organizer's name before what is left of the subject, mostly nothing but a space."""
    subject = entry.subject.strip().casefold()
    return bool(subject) and subject.startswith(name.strip().casefold())


def _people(entries: list[Entry], invited: list[Entry], email: str) -> list[Finding]:
    found: list[Finding] = []
    nameless = sum(one.organizer is None or not one.organizer.email for one in entries)
    if nameless:
        found.append(
            Finding(
                code="organizers",
                level="amber",
                text=f"{nameless} of {len(entries)} meetings name no organizer.",
                symptom="Nobody is told of their virtual room, unless mail.fallback_organizer is set.",
                mend="Set mail.fallback_organizer and deploy the configuration.",
            )
        )
    if len(invited) >= ENOUGH * 10 and not any(one.private for one in entries):
        setting = next(one for one in SETTINGS if one.name == "RemovePrivateProperty")
        found.append(
            Finding(
                code=setting.name,
                level="note",
                text=f"None of {len(entries)} meetings is private: RemovePrivateProperty may be on.",
                symptom=setting.symptom,
                mend=_mend(email, setting),
            )
        )
    return found


def _mend(mailbox: str, setting: Setting) -> str:
    who = mailbox or "ROOM@DOMAIN"
    if not setting.advice:
        return (
            f"Get-CalendarProcessing {who} | Format-List {setting.name} shows it; it is the owner's policy."
        )
    where = " (Exchange Online only)" if setting.online_only else ""
    return f"Set-CalendarProcessing {who} -{setting.name} {setting.advice}{where}"
