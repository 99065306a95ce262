"""What the mails look like, about a made-up meeting: for `meetkeeper mail preview` and `config check`."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from meetkeeper.core.configuration import Config
from meetkeeper.core.errors import TheirMistake
from meetkeeper.core.invitation import Invitation, Kind, of_meeting, zone_name
from meetkeeper.core.words import Alias, Meeting, MeetingId, Person, RoomId, Uid, Vmr
from meetkeeper.mail.templates import Problem, Rendered, Templates

SAMPLE_AT = datetime(2030, 5, 14, 10, 0)  # noqa: DTZ001 - a wall time, in whatever zone the cluster has


class Preview(Struct, frozen=True, gc=False):
    """A mail about the made-up meeting, and what is wrong with the templates that should have written it."""

    mail: Rendered
    problems: tuple[Problem, ...]


def preview(config: Config, kind: str = Kind.NEW) -> Preview:
    """The mail of one kind. Raises `TheirMistake` for a kind that is none."""
    try:
        wanted = Kind(kind)
    except ValueError as error:
        kinds = ", ".join(Kind)
        raise TheirMistake("mail.kind", f"There is no kind of mail {kind!r}. Say one of {kinds}.") from error
    templates = Templates(config.mail.templates)
    return Preview(templates.render(sample(config, wanted)), templates.problems)


def check_templates(config: Config) -> tuple[Problem, ...]:
    """What is wrong with the user's templates, found by writing a mail of every kind; () when all is well."""
    found: dict[str, Problem] = {}
    for kind in Kind:
        for problem in preview(config, kind).problems:
            found.setdefault(problem.file, problem)
    return tuple(found[file] for file in sorted(found))


def sample(config: Config, kind: Kind) -> Invitation:
    """An invitation to a meeting that nobody has booked, in the cluster's own zone and first rooms."""
    zone = zone_name(config.cluster.time_zone)
    start = SAMPLE_AT.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    rooms = tuple(RoomId(room.id) for room in config.rooms[:2]) or (RoomId("fjord"),)
    meeting = Meeting(
        id=MeetingId("samplesamplesamp"),
        uid=Uid("sample"),
        subject="Planning the summer: dates & places",
        organizer=Person("kari.nordmann@example.com", "Kari Nordmann"),
        rooms=rooms,
        start_s=int(start.timestamp()),
        end_s=int((start + timedelta(hours=1)).timestamp()),
        time_zone=zone,
        revision=1 if kind is Kind.NEW else 2,
        vmr=Vmr(Alias(config.vmr.prefix + "sample0000"), "12345678903", "314159", "sample"),
    )
    old = msgspec.structs.replace(meeting, start_s=meeting.start_s - 3_600, end_s=meeting.end_s - 3_600)
    words = "Please bring your calendars.\nCoffee is served from half past nine."
    shown = of_meeting(config, meeting, kind, description=words, old=old if kind is Kind.MOVED else None)
    if kind is Kind.CHANGED:
        return msgspec.structs.replace(
            shown, repeats="Every 2 weeks on Tuesday, until Tuesday 31 December 2030."
        )
    return shown
