"""The three-way diff: last seen (`State.items`), theirs (a calendar page), ours (meetings and series).

How `core.keeper` uses it. Every function reads State and returns values; nothing is written here.

1. `PageSeen` → `digest_page(state, page, now_s)`: put `findings.changes` and `findings.notes` into the plan. They are
   item rows (each with the instant at which it counts as settled), the room's brake and the sealed cookie.
2. `Ticked` → for each of `due_uids(state, now_s)`, the soonest meeting first, as many as fit a plan:
   `settle(state, uid, now_s)`. Its `items` go into the plan as they are; `series` and `meetings` become `SeriesKept`,
   `MeetingKept`, `MeetingStepped` and effects. One UID per plan or several: they do not touch each other.
3. `Ticked`, once a day: for each series with `expanded_until_s < horizon_s(state, now_s)` → `roll(state, uid, now_s)`:
   new occurrences only, nobody is told. After new zone data: `settle` for every series, which finds moved occurrences.
4. `ReleaseBrake` → `release_brake(state, room, how, now_s)`.

Rules. A fingerprint decides whether an item changed, never an etag. A sweep needs a listing. Deletions come last and
wait for the settle time, so that "deleted and made again" is one change. Past meetings are never made, changed or
cancelled. A meeting is in every room whose copy shows it; its content comes from the newest copy. The same calendars
give the same meetings, whatever order, repetition or failure the pages came in.
"""

from typing import Literal

from meetkeeper.core.events import PageSeen
from meetkeeper.core.findings import PageFindings, UidFindings
from meetkeeper.core.state import State
from meetkeeper.core.words import RoomId, Uid


def digest_page(state: State, page: PageSeen, now_s: float) -> PageFindings:
    """What the page changes in what was last seen of the room; nothing for a page that says what is known."""
    raise NotImplementedError


def release_brake(state: State, room: RoomId, how: Literal["gone", "kept"], now_s: float) -> PageFindings:
    """A person has decided about the vanished items that the brake holds in the room."""
    raise NotImplementedError


def due_uids(state: State, now_s: float) -> tuple[Uid, ...]:
    """UIDs with items that have settled, the soonest meeting first."""
    raise NotImplementedError


def horizon_s(state: State, now_s: float) -> int:
    """Until when occurrences become meetings: whole days, so that it moves once a day."""
    raise NotImplementedError


def settle(state: State, uid: Uid, now_s: float) -> UidFindings:
    """What all rooms' items with this UID mean for our meetings. Apply it, ask again: nothing is found."""
    raise NotImplementedError


def roll(state: State, uid: Uid, now_s: float) -> UidFindings:
    """Occurrences of an unchanged series that the horizon has reached: new meetings only, nobody is told."""
    raise NotImplementedError
