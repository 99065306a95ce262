"""A judge of what is on disk: read back, the journal gives the very state in memory, and every index fits its rows."""

from meetkeeper.core.state import State
from meetkeeper.store.check import faults_of
from meetkeeper.testing.world import happenings as seen
from meetkeeper.testing.world.happenings import Violation

_TABLES = (
    "lineage",
    "epoch",
    "config_body",
    "config_revision",
    "meetings",
    "live_at_s",
    "series",
    "items",
    "cookies",
    "outbox",
    "tombstones",
    "rooms_news",
    "tokens",
    "idempotency",
    "unsettled",
    "by_alias",
    "series_by_alias",
    "numeric_ids",
)


class StateIsJournal:
    """State = apply(journal), in every table and index."""

    def on_read_back(self, happening: seen.ReadBack) -> None:
        """Compare."""
        live, found = happening.live, happening.found
        for table in _TABLES:
            if _comparable(live, table) != _comparable(found, table):
                raise Violation(f"read back from disk, {table} is {_differing(live, found, table)}")
        self._fits(live)
        self._fits(found)

    def on_booted(self, happening: seen.Booted) -> None:
        """What was found fits together."""
        self._fits(happening.database.state)

    def _fits(self, state: State) -> None:
        for fault in faults_of(state):
            raise Violation(fault)


def _comparable(state: State, table: str) -> object:
    value = getattr(state, table)
    if table == "items":
        return {room: rows for room, rows in value.items() if rows}
    return value


def _differing(live: State, found: State, table: str) -> str:
    ours, theirs = _comparable(live, table), _comparable(found, table)
    if not isinstance(ours, dict) or not isinstance(theirs, dict):
        return f"{theirs!r:.200} and not {ours!r:.200}"
    for key in [*ours, *theirs]:
        if ours.get(key) != theirs.get(key):
            return f"{theirs.get(key)!r:.300} and not {ours.get(key)!r:.300} for {key}"
    return "in another order"
