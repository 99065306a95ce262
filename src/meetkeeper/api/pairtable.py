"""The pair's table as plain values, for the command line: every row that decides who may act, and what is ignored."""

from typing import Any

from meetkeeper.ha.table import IGNORED, ROWS


def rows() -> list[dict[str, Any]]:
    """Number, role, event, when, then, does, why; the first that fits is taken."""
    return [
        {
            "number": row.number,
            "role": row.role.value,
            "event": row.event.__name__,
            "when": row.when,
            "then": None if row.then is None else row.then.value,
            "does": row.does,
            "why": row.why,
        }
        for row in ROWS
    ]


def ignored() -> list[dict[str, Any]]:
    """Role, event, why."""
    return [{"role": one.role.value, "event": one.event.__name__, "why": one.why} for one in IGNORED]
