"""Where in a JSON text a value or key stands, so that an error can say line and column."""

import json
import re
from typing import Any

_WS = re.compile(r"[ \t\n\r]*")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """1-based line and column of an offset."""
    return text.count("\n", 0, offset) + 1, offset - (text.rfind("\n", 0, offset) + 1) + 1


def steps(path: str) -> list[str | int]:
    """`$.rooms[0].id` as its steps. Wildcards, which stand for "some element", end it."""
    found: list[str | int] = []
    for match in _STEP.finditer(path.removeprefix("$")):
        if match.group(1) is not None:
            found.append(match.group(1))
        elif match.group(2).isdigit():
            found.append(int(match.group(2)))
        else:
            break
    return found


def locate(text: str, path: list[str | int], *, key: bool = False) -> int:
    """The offset of the value at `path` (with `key`, of its name); of the deepest part of the path that exists."""
    at = _skip(text, 0)
    found = at
    for number, step in enumerate(path):
        inside = _member(text, at, step) if isinstance(step, str) else _element(text, at, step)
        if inside is None:
            return found
        key_at, at = inside
        found = key_at if key and number == len(path) - 1 else at
    return found


def _skip(text: str, at: int) -> int:
    match = _WS.match(text, at)
    return at if match is None else match.end()


def _value_end(text: str, at: int) -> int:
    decoder = json.JSONDecoder()
    _, end = decoder.raw_decode(text, at)
    return int(end)


def _member(text: str, at: int, name: str) -> tuple[int, int] | None:
    if text[at : at + 1] != "{":
        return None
    at = _skip(text, at + 1)
    while text[at : at + 1] == '"':
        key_at = at
        key, at = _scan(text, at)
        at = _skip(text, _skip(text, at) + 1)
        if key == name:
            return key_at, at
        at = _skip(text, _value_end(text, at))
        if text[at : at + 1] != ",":
            return None
        at = _skip(text, at + 1)
    return None


def _element(text: str, at: int, index: int) -> tuple[int, int] | None:
    if text[at : at + 1] != "[":
        return None
    at = _skip(text, at + 1)
    for _ in range(index):
        if text[at : at + 1] in ("]", ""):
            return None
        at = _skip(text, _value_end(text, at))
        if text[at : at + 1] != ",":
            return None
        at = _skip(text, at + 1)
    return (at, at) if text[at : at + 1] not in ("]", "") else None


def _scan(text: str, at: int) -> tuple[str, int]:
    """The string whose opening quote stands at `at`, and where it ends."""
    value: Any
    value, end = json.JSONDecoder().raw_decode(text, at)
    return str(value), int(end)
