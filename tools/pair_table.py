"""The pair's table and its diagram as Markdown, from the rows that decide (`meetkeeper.ha.table`)."""

from meetkeeper.ha.table import IGNORED, ROWS
from meetkeeper.ha.words import Role

_TITLES = {
    Role.PASSIVE: "Passive",
    Role.CLAIMING: "Claiming",
    Role.ACTIVE: "Active",
    Role.YIELDING: "Yielding",
    Role.ENDED: "Ended",
}


def diagram() -> str:
    """Rows that change the role."""
    moves: dict[tuple[Role, Role], list[int]] = {}
    for row in ROWS:
        if row.then is not None and row.then is not row.role:
            moves.setdefault((row.role, row.then), []).append(row.number)
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> passive"]
    for (before, after), numbers in moves.items():
        lines.append(f"    {before} --> {after}: {', '.join(map(str, sorted(numbers)))}")
    lines += ["    ended --> [*]", "```"]
    return "\n".join(lines)


def table() -> str:
    """One table a role."""
    parts = []
    for role in Role:
        rows = [row for row in ROWS if row.role is role]
        parts.append(f"### {_TITLES[role]}\n")
        if rows:
            parts += ["| row | event | when | does | then | why |", "|--:|---|---|---|---|---|"]
        for row in rows:
            cells = (str(row.number), row.event.__name__, row.when, row.does, row.then or "", row.why)
            parts.append("| " + " | ".join(map(str, cells)) + " |")
        silent = [f"{one.event.__name__} ({one.why})" for one in IGNORED if one.role is role]
        if role is Role.ENDED:
            silent = ["everything: this process ends"]
        parts.append(f"\nIgnored: {'; '.join(silent)}.\n")
    return "\n".join(parts)
