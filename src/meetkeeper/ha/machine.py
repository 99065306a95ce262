"""One step of the pair's machine: what a server knows and what happened, to what it knows then and what it does."""

from msgspec import Struct
from msgspec.structs import replace

from meetkeeper.ha.happenings import Action, Event, MaintenanceSet
from meetkeeper.ha.table import IGNORED, ROWS, Row
from meetkeeper.ha.view import View
from meetkeeper.ha.words import Role


class Step(Struct, frozen=True):
    """What came of an event. `row` is None when the event is ignored in this role."""

    view: View
    actions: list[Action]
    row: Row | None


_ROWS: dict[tuple[Role, type], list[Row]] = {}
for _row in ROWS:
    _ROWS.setdefault((_row.role, _row.event), []).append(_row)
_IGNORED = {(one.role, one.event) for one in IGNORED}


def step(view: View, event: Event, now_s: float) -> Step:
    """Take the first row that fits. Pure; `now_s` is the steady clock's."""
    if isinstance(event, MaintenanceSet):
        return Step(replace(view, maintenance_until_s=event.until_s), [], None)
    for row in _ROWS.get((view.role, type(event)), ()):
        if row.guard is None or row.guard(view, event, now_s):
            after, actions = row.move(view, event, now_s)
            if row.then is not None:
                after = replace(after, role=row.then)
            return Step(after, actions, row)
    assert (view.role, type(event)) in _IGNORED, f"no row for {view.role} and {type(event).__name__}"
    return Step(view, [], None)
