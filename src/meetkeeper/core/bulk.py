"""Many meetings at once: how a snapshot fills an empty State with the same result as one `put_meeting` after another.

Place in the journey: `codec.snapshot` loads through this, nobody else. Rows go into their tables block by block; the
indexes sorted by time are built at the end, one sort per room in place of a million searches.
"""

from collections import defaultdict
from operator import attrgetter
from typing import cast

from meetkeeper.core.agenda import Agenda, Spanning
from meetkeeper.core.state import Kept, State
from meetkeeper.core.words import Alias, RoomId, Step


class Bulk:
    """Meetings on their way into a State that holds none. Series and configuration are put before them.

    A table of a million keys outgrows the processor's caches: each is filled by itself, not in turn with others.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._rows: list[Kept] = []
        self._by_room: defaultdict[RoomId, list[Spanning]] = defaultdict(list)

    def add(self, rows: list[Kept]) -> None:
        """Take these rows, none of which the state knows yet."""
        by_room, cancelled = self._by_room, Step.CANCELLED
        self._rows += rows
        for row in rows:
            if row.step is not cancelled:
                for room in row.rooms:
                    by_room[room].append(row)

    def finish(self) -> None:
        """Fill the tables, then build what is sorted by time."""
        self._fill_tables()
        self._fill_rooms()
        self._rows.clear()
        self._by_room.clear()

    def _fill_tables(self) -> None:
        state, rows = self._state, self._rows
        of_series = state.series_by_alias
        ids = [row.id for row in rows]
        state.meetings.update(zip(ids, rows, strict=True))
        owners = [row for row in rows if row.numeric_id and row.alias and row.alias not in of_series]
        owner_ids = ids if len(owners) == len(rows) else [row.id for row in owners]
        # An owner has both; the casts cost nothing, a check of a million rows does.
        aliases = cast(list[Alias], [row.alias for row in owners])
        state.by_alias.update(zip(aliases, owner_ids, strict=True))
        numbers = cast(list[str], [row.numeric_id for row in owners])
        state.numeric_ids.update(zip(numbers, owner_ids, strict=True))
        for row in [row for row in rows if row.series]:
            assert row.series
            state.occurrences.setdefault(row.series, {})[row.id] = None
        state.due.watch_many((row.id, row.start_s, row.end_s, row.step) for row in rows)

    def _fill_rooms(self) -> None:
        state = self._state
        by_start = attrgetter("start_s")
        for room, rows in self._by_room.items():
            rows.sort(key=by_start)
            agenda = state.agendas.get(room)
            if agenda is None:
                agenda = state.agendas[room] = Agenda()
            agenda.fill(rows)
            state.occupancy.fill(room, rows)
