"""A body becomes a record, or every reason why it can't is told at once.

The happy way is one decoder call. Only when that fails is the body read again field by field, so that a caller who
sent three wrong fields learns of three. Unknown fields are refused and the nearest known name is offered.
"""

import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import msgspec

from meetkeeper.api.problems import FieldError, Invalid
from meetkeeper.core.errors import TheirMistake

BODY_BYTES_MAX = 1 << 20
"""Largest request body taken."""
ERRORS_MAX = 50
"""Field errors told at once."""

T = TypeVar("T")
_PATH = re.compile(r" - at `\$?(?P<path>[^`]*)`$")
_WORDS = {
    "`str`": "text",
    "`int`": "a whole number",
    "`float`": "a number",
    "`bool`": "true or false",
    "`array`": "a list",
    "`object`": "an object",
    "`null`": "null",
}


_decoders: dict[type[Any], Callable[[bytes], Any]] = {}


def decoder_of(model: type[T]) -> Callable[[bytes], T]:
    """One decoder for each record, made once."""
    decode_one = _decoders.get(model)
    if decode_one is None:
        decode_one = _decoders[model] = msgspec.json.Decoder(model).decode
    return decode_one


def decode(body: bytes, model: type[T]) -> T:
    """The body as a record.

    Raises `TheirMistake` (`malformed-json`) when it is no JSON, `Invalid` with every field error when it does not fit.
    """
    try:
        return decoder_of(model)(body)
    except msgspec.ValidationError as error:
        raise explain(body, model, error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(error) from None


def malformed(error: Exception) -> TheirMistake:
    """The refusal of a body that is no JSON."""
    return TheirMistake("malformed-json", f"The body is not JSON: {error}. Send one JSON object in UTF-8.")


def explain(body: bytes, model: type[Any], first: msgspec.ValidationError) -> TheirMistake:
    """Everything wrong with a body that is not this record."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return malformed(error)
    errors = list(_struct_errors(value, model, ""))
    return Invalid(errors[:ERRORS_MAX] or [_field_error("", str(first))])


def nearest(word: str, known: Iterable[str]) -> tuple[str, ...]:
    """Known words that look like this one, most similar first, at most three."""
    by_lower = {one.lower(): one for one in known}
    return tuple(by_lower[one] for one in get_close_matches(word.lower(), by_lower, n=3, cutoff=0.55))


def did_you_mean(near: tuple[str, ...]) -> str:
    """` Did you mean "a" or "b"?`, or nothing."""
    return f" Did you mean {' or '.join(near)}?" if near else ""


def _struct_errors(value: object, model: type[Any], path: str) -> Iterable[FieldError]:
    if not isinstance(value, dict):
        yield FieldError(path or "(body)", "expects an object with named fields.")
        return
    fields = {field.encode_name: field for field in msgspec.structs.fields(model)}
    for name in value.keys() - fields.keys():
        near = nearest(str(name), fields)
        known = did_you_mean(near) or f" Known are {', '.join(sorted(fields))}."
        yield FieldError(_join(path, str(name)), f"is not a field here.{known}", near)
    for name, field in fields.items():
        if name in value:
            yield from _value_errors(value[name], field.type, _join(path, name))
        elif field.required:
            yield FieldError(_join(path, name), "is missing.")


def _value_errors(value: object, kind: Any, path: str) -> Iterable[FieldError]:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        item, record = _item_of(kind), _record_of(kind)
        inner: list[FieldError] = []
        if record is not None and isinstance(value, dict):
            inner = list(_struct_errors(value, record, path))
        elif item is not None and isinstance(value, list):
            for index, one in enumerate(value):
                inner += _value_errors(one, item, f"{path}[{index}]")
        if inner:
            yield from inner
        else:
            yield _field_error(path, str(error))


def _choices(kind: Any) -> tuple[Any, ...]:
    """The types a union allows, bounds taken off; one type is a union of itself."""
    if hasattr(kind, "__metadata__"):
        kind = get_args(kind)[0]
    if isinstance(kind, UnionType) or get_origin(kind) is Union:
        return tuple(choice for one in get_args(kind) for choice in _choices(one))
    return (kind,)


def _item_of(kind: Any) -> Any:
    """The type of a list's items; None when it is not a list."""
    return next((get_args(one)[0] for one in _choices(kind) if get_origin(one) in (tuple, list)), None)


def _record_of(kind: Any) -> type[msgspec.Struct] | None:
    """The record this may be; None when it can't be one."""
    for one in _choices(kind):
        if isinstance(one, type) and issubclass(one, msgspec.Struct):
            return one
    return None


def _field_error(path: str, message: str) -> FieldError:
    found = _PATH.search(message)
    if found:
        path, message = path + found["path"], message[: found.start()]
    return FieldError(path or "(body)", _plain(message))


def _plain(message: str) -> str:
    for word, plain in _WORDS.items():
        message = message.replace(word, plain)
    return message[:1].lower() + message[1:] + "."


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
