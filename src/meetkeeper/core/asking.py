"""Which way in a meeting ought to have: a foreign one that its calendar names, a VMR of ours if asked for, or none.

Rules. A foreign way in goes before a VMR of ours. A VMR once given stays when nobody asks for it any more, because
people were told of it. Where a rule needs the internal domains and there are none, it keeps nothing from anybody, and
`open_questions` says so: an alarm and no silent stop.
"""

from msgspec import Struct

from meetkeeper.core.configuration import Config, RoomConfig
from meetkeeper.core.links import finder_for, sources_of
from meetkeeper.core.state import Series, State
from meetkeeper.core.words import Entry, Foreign, Meeting


class Way(Struct, frozen=True, gc=False):
    """What an entry says about its way in. `unmatched` are links in its fields and location that no rule knows."""

    foreign: Foreign | None = None
    asked: bool = False
    unmatched: tuple[str, ...] = ()


def way_of(config: Config, entry: Entry) -> Way:
    """What this entry names and asks for."""
    asked = _asks(config, entry)
    if not config.links.use:
        return Way(asked=asked)
    finder, sources = finder_for(config), sources_of(entry)
    foreign = finder.search(sources).foreign
    if foreign is not None or not (entry.links or entry.location):
        return Way(foreign, asked)
    return Way(None, asked, finder.search(sources[:-1]).unmatched)


def _asks(config: Config, entry: Entry) -> bool:
    vmr = config.vmr
    if vmr.trigger_mailboxes:
        invited = {person.email for person in entry.attendees} | set(entry.resources)
        if any(mailbox.lower() in invited for mailbox in vmr.trigger_mailboxes):
            return True
    if not vmr.keywords:
        return False
    text = "\n".join((entry.subject, entry.location, entry.description)).casefold()
    return any(keyword.casefold() in text for keyword in vmr.keywords)


def wants_vmr(state: State, told: Meeting | Series) -> bool:
    """True when it ought to get a VMR of ours, if it has none: everything needs a bridge to stand on."""
    config = state.settings()
    if not config.bridges or told.foreign is not None:
        return False
    if _is_all_day(told) and not config.vmr.all_day:
        return False
    if config.vmr.organizers == "internal" and not _is_internal(config, told.organizer.email):
        return False
    rooms = [state.rooms[room] for room in told.rooms if room in state.rooms]
    return told.asked or not rooms or any(_calls(config, room) for room in rooms)


def gains_vmr(state: State, before: Meeting | Series, after: Meeting | Series) -> bool:
    """A known meeting or series of a calendar that has no VMR and ought to have one, as things are now.

    A series whose occurrences have VMRs of their own gets none itself.
    """
    if before.vmr is not None or before.origin == "api":
        return False
    if isinstance(before, Series) and (before.own_vmrs or state.settings().vmr.each_occurrence):
        return False
    return wants_vmr(state, after)


def _is_all_day(told: Meeting | Series) -> bool:
    if isinstance(told, Series):
        master = told.item.master
        return master is not None and master.all_day
    return told.all_day


def _calls(config: Config, room: RoomConfig) -> bool:
    """A meeting in this room gets a VMR whatever else is said."""
    if room.video or (room.trigger or config.vmr.trigger) == "always":
        return True
    mailboxes = {mailbox.lower() for mailbox in config.vmr.trigger_mailboxes}
    return bool(room.email) and room.email.lower() in mailboxes


def _is_internal(config: Config, email: str) -> bool:
    """The address is in an internal domain or below one; without any domain nobody is kept out."""
    domains = [domain.lower().lstrip("@.") for domain in config.links.internal_domains]
    domain = email.rpartition("@")[2].lower()
    return not domains or any(domain == one or domain.endswith(f".{one}") for one in domains)


def open_questions(config: Config) -> tuple[str, ...]:
    """Settings that need the internal domains while there are none, a sentence each."""
    if config.links.internal_domains:
        return ()
    found = []
    if config.vmr.organizers == "internal":
        found.append(
            "vmr.organizers is internal and links.internal_domains is empty: everybody's meetings get a VMR until the "
            "own mail domains are named."
        )
    if config.links.bare_numbers:
        found.append(
            "links.bare_numbers is on and links.internal_domains is empty: a colleague's mailbox with a number for a "
            "name may be taken for something to dial until the own mail domains are named."
        )
    return tuple(found)
