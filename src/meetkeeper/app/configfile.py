"""config.json: read, checked with line and column, compared, written out. Staged → checked → deployed → rolled back.

The file shows what is in force. Deploying is a frame like any other change; the file is written after the frame is
kept. A hand edit is never lost and never in force by itself: it is set aside as `staged.json`, `config check` says what
is wrong with it, `config diff` what it would change, `config deploy` puts it in force.
"""

import difflib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Struct

from meetkeeper.app.home import Home, pretty, write_private
from meetkeeper.app.jsonplace import line_and_column, locate, steps
from meetkeeper.core.configuration import (
    CaldavCalendar,
    CalendarServer,
    Config,
    ExchangeCalendar,
    ExchangeServer,
    GraphCalendar,
    GraphServer,
    IcsCalendar,
    JanusBridge,
    Secret,
    WebHook,
)
from meetkeeper.core.errors import TheirMistake
from meetkeeper.core.links import rule_problem

FILE_BYTES_MAX = 16 * 1024 * 1024
MASK = "••••••"


class Problem(Struct, frozen=True):
    """One thing wrong with a configuration. `line` and `column` are 1-based, 0 where no place can be named."""

    text: str
    path: str = ""
    line: int = 0
    column: int = 0

    def sentence(self, name: str = "config.json") -> str:
        """As people read it."""
        place = f"{name}:{self.line}:{self.column}: " if self.line else f"{name}: "
        return f"{place}{self.path + ': ' if self.path else ''}{self.text}"


def parse(data: bytes) -> tuple[Config | None, list[Problem]]:
    """The configuration, or what keeps it from being one: malformed JSON, unknown keys, wrong types and values."""
    if len(data) > FILE_BYTES_MAX:
        return None, [
            Problem(f"The file is larger than {FILE_BYTES_MAX} bytes. It is no configuration of ours.")
        ]
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as wrong:
        line = data[: wrong.start].count(b"\n") + 1
        return None, [Problem("The text is not UTF-8. Save it as UTF-8.", line=line, column=1)]
    try:
        tree = msgspec.json.decode(data)
    except msgspec.DecodeError:
        return None, [_malformed(text)]
    problems = list(_unknown_keys(text, tree, Config, []))
    if problems:
        return None, problems
    try:
        return msgspec.json.decode(data, type=Config), []
    except msgspec.ValidationError as wrong:
        return None, [_misfit(text, str(wrong))]


def check(config: Config) -> list[Problem]:
    """What a well-formed configuration gets wrong: names used twice, references to nothing, secrets not to be had."""
    problems = [*_twice("rooms", [room.id for room in config.rooms])]
    problems += _twice("bridges", [bridge.id for bridge in config.bridges])
    problems += _twice("calendar_servers", [server.id for server in config.calendar_servers])
    problems += _calendar_problems(config)
    bridges = {bridge.id for bridge in config.bridges}
    zones = [("cluster.time_zone", config.cluster.time_zone)]
    for number, room in enumerate(config.rooms):
        if room.bridge and room.bridge not in bridges:
            near = difflib.get_close_matches(room.bridge, bridges, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            problems.append(Problem(f"There is no bridge {room.bridge!r}.{hint}", f"rooms[{number}].bridge"))
        if room.time_zone:
            zones.append((f"rooms[{number}].time_zone", room.time_zone))
    problems += _twice("links.rules", [rule.name for rule in config.links.rules])
    for number, rule in enumerate(config.links.rules):
        if wrong := rule_problem(rule):
            problems.append(Problem(wrong, f"links.rules[{number}]"))
    for path, zone in zones:
        if not _zone_known(zone):
            problems.append(Problem(f"There is no time zone {zone!r}. Use an IANA name.", path))
    for path, secret in secrets_of(config):
        wrong = _secret_problem(secret)
        if wrong:
            problems.append(Problem(wrong, path))
    if config.mail.templates and not Path(config.mail.templates).is_dir():
        problems.append(Problem("There is no such folder.", "mail.templates"))
    return problems


def _calendar_problems(config: Config) -> Iterator[Problem]:
    """What rooms' calendars and the servers they name get wrong."""
    servers = {server.id: server for server in config.calendar_servers}
    for number, room in enumerate(config.rooms):
        path = f"rooms[{number}].calendar"
        match room.calendar:
            case IcsCalendar(folder=folder) if not os.path.isabs(folder):
                yield Problem("Give the folder as an absolute path.", f"{path}.folder")
            case ExchangeCalendar() | GraphCalendar() as boxed:
                kind = ExchangeServer if isinstance(boxed, ExchangeCalendar) else GraphServer
                if not isinstance(servers.get(boxed.server), kind):
                    yield _no_server(boxed.server, servers, f"{path}.server")
                if not boxed.mailbox and not room.email:
                    yield Problem(
                        "Give the mailbox's address here or as the room's email.", f"{path}.mailbox"
                    )
            case _:
                pass
    for number, server in enumerate(config.calendar_servers):
        yield from _server_problems(server, f"calendar_servers[{number}]")
        if (
            isinstance(server, GraphServer)
            and server.notify
            and not config.cluster.public_url.startswith("https:")
        ):
            why = "Notifications need cluster.public_url to be an https address that the service can reach."
            yield Problem(why, f"calendar_servers[{number}].notify")


def _no_server(name: str, servers: Iterable[str], path: str) -> Problem:
    near = difflib.get_close_matches(name, list(servers), n=1)
    hint = f" Did you mean {near[0]!r}?" if near and near[0] != name else ""
    return Problem(f"There is no calendar server {name!r} of this kind.{hint}", path)


def _server_problems(server: CalendarServer, path: str) -> Iterator[Problem]:
    if server.ca_file and not Path(server.ca_file).is_file():
        yield Problem("There is no such file.", f"{path}.ca_file")
    if isinstance(server, GraphServer):
        yield from _graph_problems(server, path)
        return
    yield from _overheard(server, ("url", "authority"), path)
    needed = {
        "basic": ("username", "password"),
        "ntlm": ("username", "password"),
        "kerberos": (),
        "oauth": ("tenant", "client_id", "client_secret"),
    }
    for name in needed[server.auth]:
        if not getattr(server, name):
            yield Problem(f"A login with {server.auth} needs it.", f"{path}.{name}")


def _graph_problems(server: GraphServer, path: str) -> Iterator[Problem]:
    if (server.client_secret is None) == (not server.certificate_file):
        yield Problem("Give either client_secret, or certificate_file and key_file.", path)
    if bool(server.certificate_file) != bool(server.key_file):
        yield Problem("A certificate and its key belong together.", f"{path}.key_file")
    for name in ("certificate_file", "key_file"):
        file = getattr(server, name)
        if file and not Path(file).is_file():
            yield Problem("There is no such file.", f"{path}.{name}")
    yield from _overheard(server, ("endpoint", "authority"), path)


def _overheard(server: CalendarServer, names: Iterable[str], path: str) -> Iterator[Problem]:
    for name in names:
        place = urlsplit(getattr(server, name))
        if place.scheme != "https" and place.hostname not in ("localhost", "127.0.0.1", "::1"):
            yield Problem("Use https: what goes there opens every room's calendar.", f"{path}.{name}")


def read(data: bytes) -> Config:
    """Parse and check. Raises `TheirMistake` with every problem in its message."""
    config, problems = parse(data)
    if config is not None:
        problems = check(config)
    if config is None or problems:
        listed = "\n".join(problem.sentence() for problem in problems)
        raise TheirMistake(
            "config",
            f"The configuration can't be used:\n{listed}",
            detail={"problems": [p.sentence() for p in problems]},
        )
    return config


def secrets_of(config: Config) -> Iterator[tuple[str, Secret]]:
    """Every secret in the configuration, with its path."""
    for number, room in enumerate(config.rooms):
        if isinstance(room.calendar, CaldavCalendar) and room.calendar.password is not None:
            yield f"rooms[{number}].calendar.password", room.calendar.password
    for number, server in enumerate(config.calendar_servers):
        if isinstance(server, ExchangeServer) and server.password is not None:
            yield f"calendar_servers[{number}].password", server.password
        if server.client_secret is not None:
            yield f"calendar_servers[{number}].client_secret", server.client_secret
    for number, bridge in enumerate(config.bridges):
        if isinstance(bridge, JanusBridge):
            yield f"bridges[{number}].admin_secret", bridge.admin_secret
            yield f"bridges[{number}].admin_key", bridge.admin_key
            if bridge.client_secret is not None:
                yield f"bridges[{number}].client_secret", bridge.client_secret
    if config.mail.password is not None:
        yield "mail.password", config.mail.password
    for number, hook in enumerate(config.pair.hooks):
        if isinstance(hook, WebHook) and hook.token is not None:
            yield f"pair.hooks[{number}].token", hook.token


def reveal(secret: Secret) -> str:
    """The secret's text. Raises `TheirMistake` when it can't be had."""
    wrong = _secret_problem(secret)
    if wrong:
        raise TheirMistake("secret", wrong)
    if secret.env is not None:
        return os.environ[secret.env]
    if secret.file is not None:
        return Path(secret.file).read_text().splitlines()[0].strip()
    return secret.value or ""


def masked(config: Config) -> bytes:
    """The configuration as it may be shown: no secret, no password hash."""
    tree: dict[str, Any] = msgspec.to_builtins(config)
    tree["cluster"]["secret"] = MASK
    for operator in tree.get("access", {}).get("operators", ()):
        operator["password_hash"] = MASK
    for path, secret in secrets_of(config):
        if secret.value is not None:
            node: Any = tree
            for step in steps("$." + path):
                node = node[step]
            node["value"] = MASK
    return msgspec.json.format(msgspec.json.encode(tree), indent=2) + b"\n"


def diff(in_force: Config, staged: Config) -> list[str]:
    """What deploying would change, as a unified diff without secrets; a changed secret is named."""
    before = masked(in_force).decode().splitlines()
    after = masked(staged).decode().splitlines()
    lines = list(difflib.unified_diff(before, after, "in force", "staged", lineterm="", n=2))
    if not lines and in_force != staged:
        lines = ["only secrets differ"]
    return lines


def write_out(home: Home, config: Config) -> None:
    """Show on disk what is in force, and its schema beside it."""
    write_private(home.config_file, pretty(config))
    write_private(home.schema_file, schema())


def schema() -> bytes:
    """The JSON Schema (2020-12) of config.json."""
    tree = msgspec.json.schema(Config)
    tree["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    tree["title"] = "meetkeeper configuration"
    return msgspec.json.format(msgspec.json.encode(tree), indent=2) + b"\n"


def _malformed(text: str) -> Problem:
    import json  # its decoder says where, msgspec's says it fast

    try:
        json.loads(text)
    except json.JSONDecodeError as wrong:
        return Problem(f"This is not JSON: {wrong.msg}.", line=wrong.lineno, column=wrong.colno)
    return Problem("This is not JSON that can be read: it holds a number or text beyond all bounds.")


def _misfit(text: str, message: str) -> Problem:
    what, _, path = message.partition(" - at `")
    path = path.rstrip("`")
    line, column = line_and_column(text, locate(text, steps(path)))
    return Problem(f"{what}.", path.removeprefix("$."), line, column)


def _unknown_keys(text: str, tree: object, expected: object, path: list[str | int]) -> Iterator[Problem]:
    """Keys that nobody knows, everywhere at once, with the nearest known one."""
    for kind in _structs(expected, tree):
        known = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
        config = kind.__struct_config__
        if config.tag_field:
            known[config.tag_field] = str
        if not isinstance(tree, dict):
            return
        for name, value in tree.items():
            if name in known:
                yield from _unknown_keys(text, value, known[name], [*path, name])
                continue
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f" Did you mean {near[0]!r}?" if near else f" Known here: {', '.join(sorted(known))}."
            line, column = line_and_column(text, locate(text, [*path, name], key=True))
            yield Problem(f"Nobody knows {name!r}.{hint}", _dotted([*path, name]), line, column)
        return
    if isinstance(tree, list):
        for number, value in enumerate(tree):
            yield from _unknown_keys(text, value, _element_type(expected), [*path, number])


def _structs(expected: object, tree: object) -> list[type[Struct]]:
    """The struct that is expected here; of a tagged union the one the text names, else the first."""
    found: list[type[Struct]] = []
    for one in _alternatives(expected):
        if isinstance(one, type) and issubclass(one, Struct):
            found.append(one)
    if len(found) > 1 and isinstance(tree, dict):
        tagged = [
            one
            for one in found
            if tree.get(one.__struct_config__.tag_field or "") == one.__struct_config__.tag
        ]
        return tagged[:1]
    return found[:1]


def _alternatives(expected: object) -> tuple[object, ...]:
    arguments = getattr(expected, "__args__", None)
    origin = getattr(expected, "__origin__", None)
    if arguments is None or origin in (tuple, list, dict):
        return (expected,)
    return tuple(arguments)


def _element_type(expected: object) -> object:
    arguments = getattr(expected, "__args__", ())
    return arguments[0] if arguments else object


def _dotted(path: list[str | int]) -> str:
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".")


def _twice(what: str, names: list[str]) -> list[Problem]:
    seen: set[str] = set()
    problems = []
    for number, name in enumerate(names):
        if name in seen:
            problems.append(
                Problem(f"The id {name!r} is used twice. Ids are unique.", f"{what}[{number}].id")
            )
        seen.add(name)
    return problems


def _zone_known(zone: str) -> bool:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _secret_problem(secret: Secret) -> str:
    given = [name for name in ("value", "env", "file") if getattr(secret, name) is not None]
    if len(given) != 1:
        return "Give exactly one of value, env and file."
    if secret.env is not None and secret.env not in os.environ:
        return f"The environment has no variable {secret.env!r}. Set it before the server starts."
    if secret.file is not None:
        try:
            if not Path(secret.file).read_text().strip():
                return f"{secret.file} is empty. Put the secret into its first line."
        except (OSError, UnicodeDecodeError) as wrong:
            return f"{secret.file} can't be read: {wrong}."
    return ""
