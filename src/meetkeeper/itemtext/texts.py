"""Texts from outside made fit to keep: unescaped (RFC 5545 section 3.3.11), without control characters, bounded."""

import re

from meetkeeper.core.joinblock import without_block
from meetkeeper.core.words import DESCRIPTION_CHARS_MAX, LOCATION_CHARS_MAX, SUBJECT_CHARS_MAX

NAME_CHARS_MAX = 200
BLOCK_CHARS_MAX = 4_000
"""Room for our own block in a description that is as long as we keep them."""
_ESCAPED = re.compile(r"\\([\\;,:nN])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]+")
_SPACE = re.compile(r"\s+")


def clean_text(value: str, chars_max: int) -> str:
    """A TEXT value on one line, at most `chars_max` characters."""
    return one_line(unescaped(value), chars_max)


def one_line(text: str, chars_max: int) -> str:
    """Control characters dropped, runs of space made one, cut to `chars_max` characters."""
    return _SPACE.sub(" ", _CONTROLS.sub(" ", text)).strip()[:chars_max].strip()


def clean_subject(value: str) -> str:
    """A SUMMARY on one line."""
    return clean_text(value, SUBJECT_CHARS_MAX)


def clean_location(value: str) -> str:
    """A LOCATION on one line."""
    return clean_text(value, LOCATION_CHARS_MAX)


def clean_description(value: str) -> str:
    """A DESCRIPTION with its line breaks, without the block that we write into items ourselves."""
    return plain_description(unescaped(value)[: DESCRIPTION_CHARS_MAX + BLOCK_CHARS_MAX])


def plain_description(text: str) -> str:
    """The same for text that is not escaped; cleaning twice changes nothing."""
    plain = _CONTROLS.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return without_block(plain)[:DESCRIPTION_CHARS_MAX].strip()


def escaped(text: str) -> str:
    r"""As a TEXT value is written. The `icalendar` package would make a line break of the two characters `\N`."""
    plain = text.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")
    return plain.replace("\r\n", "\\n").replace("\n", "\\n")


def unescaped(value: str) -> str:
    """A TEXT value as it is meant (RFC 5545 section 3.3.11)."""
    return _ESCAPED.sub(lambda match: "\n" if match[1] in "nN" else match[1], value)
