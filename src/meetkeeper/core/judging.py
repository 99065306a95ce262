"""What is known of a room's meetings was judged by rules: join links, what asks for a VMR, the room's own policy.

When they change (a configuration is deployed, a release brings other link rules) nothing in any calendar does, so each
room is read once more: `engine.poll` compares `rules_of` with what `RoomNews.judged` remembers, and its pages carry the
digest. `core.reconcile` then lets those items settle again that the rules see otherwise; all others are left in peace.
A settle finds what has changed for their people, so a false alarm here costs a comparison and no mail.
"""

import hashlib

import msgspec
from msgspec.structs import replace

from meetkeeper.core.asking import gains_vmr, way_of
from meetkeeper.core.configuration import Config
from meetkeeper.core.identity import meeting_id
from meetkeeper.core.link_rules import FACTS, RULES
from meetkeeper.core.state import RoomNews, Series, State
from meetkeeper.core.theirs import door_of
from meetkeeper.core.words import OPEN_STEPS, CalendarItem, Entry, Meeting, RoomId

_SPELLED = msgspec.json.Encoder(order="sorted")
_known: tuple[Config | None, bytes] = (None, b"")


def rules_of(state: State, room: RoomId) -> str:
    """A digest of everything that decides about the way into meetings in this room; "" for a room that is not ours.

    Who is mailed about it is left out, and how VMRs are named: nobody's door may change by that.
    """
    own = state.rooms.get(room)
    if own is None:
        return ""
    of_room = _SPELLED.encode((own.video, own.trigger, own.email.lower()))
    return hashlib.sha256(_of_all_rooms(state.settings()) + of_room).hexdigest()[:16]


def _of_all_rooms(config: Config) -> bytes:
    """Remembered for the configuration asked for last, which is nearly always the same."""
    global _known  # noqa: PLW0603 - a memory of one answer; the answer depends on the argument alone
    known, digest = _known
    if known is not config:
        vmr, links = config.vmr, replace(config.links, mail="none")
        asking = (vmr.all_day, vmr.trigger, vmr.keywords, vmr.trigger_mailboxes, vmr.organizers)
        spelled = _SPELLED.encode((RULES, FACTS, links, asking, bool(config.bridges)))
        digest = hashlib.sha256(spelled).digest()
        _known = (config, digest)
    return digest


def rules_to_judge_by(state: State, room: RoomId) -> str:
    """The digest of the room's rules as they are now, if its items have yet to be judged by them; else ""."""
    rules = rules_of(state, room)
    return "" if state.rooms_news.get(room, RoomNews()).judged == rules else rules


def is_judged_otherwise(state: State, item: CalendarItem, now_s: float) -> bool:
    """Whether the rules see another way into a known meeting than it has. `item` is shown and has not changed."""
    if not item.repeats and item.master is not None:
        row = state.meetings.get(meeting_id(item.uid, None))
        if row is None or row.step not in OPEN_STEPS or row.end_s <= now_s:
            return False
        return _differs(state, item.master, state.decode(row))
    series = state.one_series(item.uid)
    if series is None or series.over or series.origin == "api":
        return False
    if item.master is None or item.overrides or state.settings().vmr.each_occurrence:
        return True  # each of its meetings may have a way of its own
    return _differs(state, item.master, series)


def _differs(state: State, entry: Entry, told: Meeting | Series) -> bool:
    if told.origin == "api":
        return False
    way = way_of(state.settings(), entry)
    if door_of(told.foreign) != door_of(way.foreign):
        return True
    return gains_vmr(state, told, replace(told, foreign=way.foreign, asked=way.asked))
