"""The table of settings in docs/configuration.md, read off `core.configuration`: names, types, defaults, meanings."""

import ast
import inspect
from pathlib import Path
from typing import Any

import msgspec

from meetkeeper.core import configuration

PARTS = (
    "Config",
    "ClusterConfig",
    "RoomConfig",
    "CaldavCalendar",
    "IcsCalendar",
    "ExchangeCalendar",
    "GraphCalendar",
    "NoCalendar",
    "ExchangeServer",
    "GraphServer",
    "JanusBridge",
    "LinkBridge",
    "VmrConfig",
    "TimeConfig",
    "BrakeConfig",
    "MailConfig",
    "AccessConfig",
    "Operator",
    "PairConfig",
    "MailHook",
    "WebHook",
    "ScriptHook",
    "Secret",
)
WHERE = {
    "Config": "config.json",
    "ClusterConfig": "cluster",
    "RoomConfig": "rooms[]",
    "CaldavCalendar": 'rooms[].calendar, kind "caldav"',
    "IcsCalendar": 'rooms[].calendar, kind "ics"',
    "ExchangeCalendar": 'rooms[].calendar, kind "exchange"',
    "GraphCalendar": 'rooms[].calendar, kind "graph"',
    "NoCalendar": 'rooms[].calendar, kind "none"',
    "ExchangeServer": 'calendar_servers[], kind "exchange"',
    "GraphServer": 'calendar_servers[], kind "graph"',
    "JanusBridge": 'bridges[], kind "janus"',
    "LinkBridge": 'bridges[], kind "link"',
    "VmrConfig": "vmr",
    "TimeConfig": "time",
    "BrakeConfig": "brake",
    "MailConfig": "mail",
    "AccessConfig": "access",
    "Operator": "access.operators[]",
    "PairConfig": "pair",
    "MailHook": 'pair.hooks[], kind "mail"',
    "WebHook": 'pair.hooks[], kind "webhook"',
    "ScriptHook": 'pair.hooks[], kind "script"',
    "Secret": "a secret, wherever one is asked for",
}


def settings() -> str:
    """Markdown: one section per part."""
    meanings = _meanings()
    return "\n\n".join(_section(name, meanings.get(name, {})) for name in PARTS)


def _section(name: str, meanings: dict[str, str]) -> str:
    part: type[msgspec.Struct] = getattr(configuration, name)
    lines = [f"### {WHERE[name]}", "", inspect.getdoc(part) or "", ""]
    rows = [_row(field, meanings.get(field.name, "")) for field in msgspec.structs.fields(part)]
    if rows:
        lines += ["| setting | default | meaning |", "|---|---|---|", *rows]
    return "\n".join(lines).rstrip()


def _row(field: Any, meaning: str) -> str:
    if field.required:
        default = "**required**"
    elif field.default is not msgspec.NODEFAULT:
        value = field.default
        default = "" if isinstance(value, msgspec.Struct) else f"`{msgspec.json.encode(value).decode()}`"
    else:
        default = ""
    return f"| `{field.encode_name}` | {default} | {' '.join(meaning.split())} |"


def _meanings() -> dict[str, dict[str, str]]:
    """The strings that stand under the fields."""
    tree = ast.parse(Path(inspect.getfile(configuration)).read_text(encoding="utf-8"))
    found: dict[str, dict[str, str]] = {}
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        name = ""
        for line in node.body:
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                name = line.target.id
            elif name and isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant):
                found.setdefault(node.name, {})[name] = str(line.value.value)
                name = ""
            else:
                name = ""
    return found
