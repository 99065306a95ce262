"""The configuration for other eyes: secrets out on the way out, back in on the way in."""

import msgspec

from meetkeeper.core.errors import TheirMistake

MASK = "********"
_SECRET_FIELDS = frozenset({"secret", "password_hash", "value"})
"""Plain texts that are secrets wherever they stand; `env` and `file` of a Secret only name one."""

Json = dict[str, object]


def masked(body: bytes) -> bytes:
    """config.json with every secret replaced by stars."""
    return msgspec.json.encode(_mask(msgspec.json.decode(body)))


def unmasked(sent: bytes, present: bytes) -> bytes:
    """What was sent, with stars replaced by the secrets that stand in the same place now.

    Lists are matched by `id`, `name` or `url`. A text without stars comes back as it is, so that what is wrong with it
    is said with its own lines. Raises `TheirMistake` for stars where there is no secret to keep, or for something that
    is no JSON object.
    """
    if MASK.encode() not in sent:
        return sent
    try:
        value = msgspec.json.decode(sent)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TheirMistake(
            "malformed-json", f"The configuration is not JSON: {error}. Send one JSON object."
        ) from None
    if not isinstance(value, dict):
        raise TheirMistake("config", "The configuration must be one JSON object.")
    return msgspec.json.encode(_unmask(value, msgspec.json.decode(present) if present else {}, "config"))


def differences(old: bytes, new: bytes) -> list[str]:
    """One line for each value that differs, secrets masked: `rooms[oslo-3].capacity: 8 → 10`; none for broken JSON."""
    try:
        before, after = _flat(_mask(msgspec.json.decode(old))), _flat(_mask(msgspec.json.decode(new)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    lines = []
    for path in sorted(before.keys() | after.keys()):
        if path not in after:
            lines.append(f"− {path}: {before[path]}")
        elif path not in before:
            lines.append(f"+ {path}: {after[path]}")
        elif before[path] != after[path]:
            lines.append(f"  {path}: {before[path]} → {after[path]}")
    if not lines and _flat(msgspec.json.decode(old)) != _flat(msgspec.json.decode(new)):
        lines.append("  a secret changes")
    return lines


def _mask(value: object) -> object:
    if isinstance(value, dict):
        return {
            name: MASK if name in _SECRET_FIELDS and isinstance(one, str) else _mask(one)
            for name, one in value.items()
        }
    return [_mask(one) for one in value] if isinstance(value, list) else value


def _unmask(value: object, present: object, path: str) -> object:
    if value == MASK:
        if not isinstance(present, str):
            raise TheirMistake(
                "config", f"{path} is masked, but there is no secret to keep. Write the secret itself."
            )
        return present
    if isinstance(value, dict):
        there = present if isinstance(present, dict) else {}
        return {name: _unmask(one, there.get(name), f"{path}.{name}") for name, one in value.items()}
    if isinstance(value, list):
        known = {_name(one): one for one in present} if isinstance(present, list) else {}
        return [_unmask(one, known.get(_name(one)), f"{path}[{_name(one)}]") for one in value]
    return value


def _name(value: object) -> object:
    if isinstance(value, dict):
        return str(value.get("id", value.get("name", value.get("url", ""))))
    return str(value)


def _flat(value: object, path: str = "") -> dict[str, str]:
    if isinstance(value, dict) and value:
        parts = [_flat(one, f"{path}.{name}" if path else str(name)) for name, one in value.items()]
        return {name: one for part in parts for name, one in part.items()}
    if isinstance(value, list) and value:
        parts = [_flat(one, f"{path}[{_name(one)}]") for one in value]
        return {name: one for part in parts for name, one in part.items()}
    return {path: msgspec.json.encode(value).decode()}
