"""What is answered: frozen records, made from the core's words, spelled for people and programs alike.

Times carry the meeting's own offset. A record here is a promise: fields are added, never renamed or removed.
"""

from msgspec import Struct

from meetkeeper.api import times
from meetkeeper.core import vmr as vmrs
from meetkeeper.core.configuration import ClusterConfig
from meetkeeper.core.words import Foreign, Meeting, Person, Step, Uid, Vmr

API = "/api/v1"


class _View(Struct, frozen=True, kw_only=True, gc=False):
    pass


class PersonView(_View, frozen=True, kw_only=True):
    """Somebody with a mailbox; `name` may be empty."""

    name: str
    email: str


class VmrView(_View, frozen=True, kw_only=True):
    """How to get in."""

    alias: str
    join_url: str
    sip_uri: str
    numeric_id: str
    pin: str
    bridge: str


class ForeignView(_View, frozen=True, kw_only=True):
    """The way in on another platform: `url` for a browser, `dial` for a video system (empty: none).

    `rule` is the rule that found it, `source` where: link, location or body.
    """

    platform: str
    url: str
    dial: str
    rule: str
    source: str


class Links(_View, frozen=True, kw_only=True):
    """Where to go from a meeting."""

    self: str
    explain: str
    join: str | None = None


class MeetingView(_View, frozen=True, kw_only=True):
    """A meeting. `series` is the UID its occurrences share; `original_start` the start the series gave this one."""

    id: str
    revision: int
    state: str
    rooms: tuple[str, ...]
    subject: str
    organizer: PersonView
    invitees: tuple[PersonView, ...]
    start: str
    end: str
    time_zone: str
    description: str
    all_day: bool
    private: bool
    origin: str
    uid: str
    series: str | None
    original_start: str | None
    vmr: VmrView | None
    links: Links
    foreign: ForeignView | None = None


class MeetingPage(_View, frozen=True, kw_only=True):
    """Some meetings, by start; `next` is the cursor of the page after this one."""

    meetings: tuple[MeetingView, ...]
    next: str | None = None


def vmr_view(vmr: Vmr, cluster: ClusterConfig) -> VmrView:
    """A VMR with its addresses spelled out."""
    return VmrView(
        alias=vmr.alias,
        join_url=vmrs.join_url(cluster, vmr.alias),
        sip_uri=vmrs.sip_uri(cluster, vmr.alias),
        numeric_id=vmr.numeric_id,
        pin=vmr.pin,
        bridge=vmr.bridge,
    )


def foreign_view(foreign: Foreign) -> ForeignView:
    """A way in on another platform as it is answered."""
    return ForeignView(
        platform=foreign.platform,
        url=foreign.url,
        dial=foreign.dial,
        rule=foreign.rule,
        source=foreign.source,
    )


def meeting_view(meeting: Meeting, step: Step, series: Uid | None, cluster: ClusterConfig) -> MeetingView:
    """A meeting as it is answered."""
    zone = times.display_zone(meeting.time_zone, cluster.time_zone)
    vmr = None if meeting.vmr is None else vmr_view(meeting.vmr, cluster)
    original_s = meeting.original_start_s
    return MeetingView(
        id=meeting.id,
        revision=meeting.revision,
        state=step.value,
        rooms=meeting.rooms,
        subject=meeting.subject,
        organizer=_person(meeting.organizer),
        invitees=tuple(map(_person, meeting.invitees)),
        start=times.iso(meeting.start_s, zone),
        end=times.iso(meeting.end_s, zone),
        time_zone=meeting.time_zone,
        description=meeting.description,
        all_day=meeting.all_day,
        private=meeting.private,
        origin=meeting.origin,
        uid=meeting.uid,
        series=series,
        original_start=None if original_s is None else times.iso(original_s, zone),
        vmr=vmr,
        links=Links(
            self=f"{API}/meetings/{meeting.id}",
            explain=f"{API}/explain/{meeting.id}",
            join=None if vmr is None else vmr.join_url,
        ),
        foreign=None if meeting.foreign is None else foreign_view(meeting.foreign),
    )


def _person(person: Person) -> PersonView:
    return PersonView(name=person.name, email=person.email)


def etag(revision: int) -> str:
    """A meeting's revision as an entity tag."""
    return f'"{revision}"'
