"""Meetings, series and a configuration for the tests of the mails."""

from datetime import datetime
from zoneinfo import ZoneInfo

from meetkeeper.core.configuration import ClusterConfig, Config, MailConfig, RoomConfig
from meetkeeper.core.effects import SendMail
from meetkeeper.core.identity import meeting_id
from meetkeeper.core.state import Series
from meetkeeper.core.words import Alias, CalendarItem, Entry, Meeting, Person, RoomId, Uid, Vmr

NOW_S = 1_790_000_000.0
"""2026-09-21 14:13:20 UTC."""
OLA = Person("ola@firm.example", "Ola Nordmann")
KARI = Person("kari@guests.example", "Kari Gjest")
PER = Person("per@guests.example")
DOOR = Vmr(Alias("3v60krenc1"), "88191864706", "909475", "janus")
CONFIG = Config(
    cluster=ClusterConfig(
        secret="0123456789abcdef0123456789abcdef",
        public_url="https://meet.example",
        sip_domain="meet.example",
        time_zone="Europe/Oslo",
    ),
    rooms=(
        RoomConfig(id="fjord", name="Fjord", email="fjord@firm.example"),
        RoomConfig(id="bay", name="Bay, 2nd floor"),
    ),
    mail=MailConfig(host="127.0.0.1", sender="meetings@meet.example", sender_name="Meetings"),
)


def at(text: str, zone: str = "Europe/Oslo") -> int:
    """Seconds since 1970 of a wall time: `at("2026-10-06 10:00")`."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp())


def wall(text: str) -> datetime:
    """A wall time: `wall("2026-10-06 10:00")`."""
    return datetime.fromisoformat(text)


def meeting(**fields: object) -> Meeting:
    """A meeting on Tuesday 6 October 2026 at 10 in Oslo, or as the fields say."""
    values: dict[str, object] = {
        "id": meeting_id(Uid("one@firm.example"), None),
        "uid": Uid("one@firm.example"),
        "subject": "Planning",
        "organizer": OLA,
        "rooms": (RoomId("bay"), RoomId("fjord")),
        "start_s": at("2026-10-06 10:00"),
        "end_s": at("2026-10-06 11:00"),
        "time_zone": "Europe/Oslo",
        "invitees": (KARI, PER),
        "vmr": DOOR,
        **fields,
    }
    return Meeting(**values)  # type: ignore[arg-type]


def entry(start: str, minutes: int = 60, **fields: object) -> Entry:
    """An entry of a calendar item in Oslo's time."""
    values: dict[str, object] = {
        "start": datetime.fromisoformat(start),
        "duration_s": minutes * 60,
        "zone": "Europe/Oslo",
        **fields,
    }
    return Entry(**values)  # type: ignore[arg-type]


def series(master: Entry | None, *overrides: Entry, **fields: object) -> Series:
    """A series of these entries."""
    uid = Uid("weekly@firm.example")
    values: dict[str, object] = {
        "uid": uid,
        "subject": "Weekly",
        "organizer": OLA,
        "invitees": (KARI,),
        "rooms": (RoomId("fjord"),),
        "time_zone": "Europe/Oslo",
        "vmr": DOOR,
        "item": CalendarItem(href="weekly.ics", uid=uid, fingerprint="", master=master, overrides=overrides),
        **fields,
    }
    return Series(**values)  # type: ignore[arg-type]


def request(of: Meeting | Series, to: Person = KARI) -> SendMail:
    """The outbox row that tells of this revision."""
    if isinstance(of, Meeting):
        return SendMail(to.email, of.revision, "REQUEST", meeting=of.id)
    return SendMail(to.email, of.revision, "REQUEST", series=of.uid)


def cancel(of: Meeting | Series, to: Person = KARI) -> SendMail:
    """The outbox row that takes it back."""
    if isinstance(of, Meeting):
        return SendMail(to.email, of.revision, "CANCEL", meeting=of.id)
    return SendMail(to.email, of.revision, "CANCEL", series=of.uid)
