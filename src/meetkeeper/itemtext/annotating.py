"""Writing how to join into an iCalendar object of somebody else's: its DESCRIPTION changes, nothing else moves a byte.

Between the outbox and the calendars that keep such objects. Pure. Every event in it gets the block, and an HTML body
beside the description (X-ALT-DESC) too, where there is one; a cancelled event gets none. Lines of other properties, of
alarms and of everything we do not know are put back as they came.
"""

import re
from collections.abc import Iterator

import nh3

from meetkeeper.core.joinblock import JoinBlock, html_with_block, with_block
from meetkeeper.itemtext.lines import ITEM_BYTES_MAX, Unreadable
from meetkeeper.itemtext.texts import escaped, unescaped

LINE_BYTES_MAX = 75
"""RFC 5545 section 3.1."""
_FOLD = re.compile(rb"\r?\n[ \t]")
_HEAD = re.compile(rb'[ \t]*([A-Za-z0-9-]{1,64})[ \t]*((?:;(?:"[^"]*+"|[^":])*+)?):')
_SAFE_TAGS = {"p", "br", "a"}


def annotated(data: bytes, block: JoinBlock | None) -> bytes:
    """The object with this block in every event that stands, or with none; as it was when it says so already.

    Raises `Unreadable` for what is no text or too large.
    """
    if len(data) > ITEM_BYTES_MAX:
        raise Unreadable(f"It is larger than {ITEM_BYTES_MAX // 1024} KiB; take attachments out of it.")
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unreadable("It is not UTF-8 text (RFC 5545 section 3.1.4).") from None
    end = b"\r\n" if b"\r\n" in data else b"\n"
    return b"".join(_events(_lines(data), block, end))


def would_mail(data: bytes, own_email: str) -> bool:
    """True when a scheduling server could mail people about a change: the room organizes it and others are asked.

    An attendee's change of its own copy is told nobody (RFC 6638 section 3.2.2); one marked SCHEDULE-AGENT=CLIENT or
    NONE is not told by the server (section 7.1).
    """
    organizer = asked = False
    for line in _lines(data):
        plain = _FOLD.sub(b"", line).decode("utf-8", "replace").strip().lower()
        own = bool(own_email) and f":mailto:{own_email}" in plain
        if plain.startswith(("organizer;", "organizer:")):
            organizer = organizer or own
        elif plain.startswith(("attendee;", "attendee:")) and not own:
            asked = asked or not re.search(r"schedule-agent=\"?(?:client|none)", plain)
    return organizer and asked


def _lines(data: bytes) -> Iterator[bytes]:
    """Whole content lines, each with its folds and its end as they stand."""
    begin = 0
    while begin < len(data):
        at = begin
        while True:
            newline = data.find(b"\n", at)
            at = len(data) if newline < 0 else newline + 1
            if at >= len(data) or data[at : at + 1] not in (b" ", b"\t"):
                break
        yield data[begin:at]
        begin = at


def _events(lines: Iterator[bytes], block: JoinBlock | None, end: bytes) -> Iterator[bytes]:
    """The same lines, the bodies of events changed."""
    stack: list[bytes] = []
    event: list[bytes] = []
    for line in lines:
        name, value = _named(line)
        if name == b"BEGIN":
            stack.append(value.strip().upper())
        if b"VEVENT" in stack:
            event.append(line)
        else:
            yield line
        if name == b"END" and stack and stack.pop() == b"VEVENT" and b"VEVENT" not in stack:
            yield from _event(event, block, end)
            event = []
    yield from event


def _event(lines: list[bytes], block: JoinBlock | None, end: bytes) -> Iterator[bytes]:
    depth = 0
    said = False
    wanted = None if any(_is_cancelled(line) for line in lines) else block
    for line in lines:
        name, value = _named(line)
        if name == b"BEGIN":
            depth += 1
        if name == b"END":
            if depth == 1 and wanted is not None and not said:
                yield _folded("DESCRIPTION:" + escaped(with_block("", wanted)), end)
            depth -= 1
        if depth == 1 and name == b"DESCRIPTION" and not said:
            said = True
            yield _changed(line, with_block(unescaped(value.decode()), wanted), value, end)
        elif depth == 1 and name == b"X-ALT-DESC" and _is_html(line):
            html = html_with_block(unescaped(value.decode()), None if wanted is None else safe_block(wanted))
            yield _changed(line, html, value, end)
        else:
            yield line


def _changed(line: bytes, text: str, before: bytes, end: bytes) -> bytes:
    """The line with another value, its parameters as they are; the very line when the value says the same."""
    if unescaped(before.decode()).strip() == text.strip():
        return line
    whole = _FOLD.sub(b"", line).decode()
    head = whole[: len(whole.rstrip("\r\n")) - len(before.decode())]
    return _folded(head + escaped(text.strip()), end)


def safe_block(block: JoinBlock) -> JoinBlock:
    """The block with nothing in its HTML but what we mean to write."""
    html = nh3.clean(block.html, tags=_SAFE_TAGS, attributes={"a": {"href"}}, link_rel=None)
    return JoinBlock(block.ref, block.text, html)


def _named(line: bytes) -> tuple[bytes, bytes]:
    """Name in upper case and value of a content line; an empty name for anything else."""
    whole = _FOLD.sub(b"", line).rstrip(b"\r\n")
    match = _HEAD.match(whole)
    return (b"", b"") if match is None else (match[1].upper(), whole[match.end() :])


def _is_html(line: bytes) -> bool:
    return b"text/html" in _FOLD.sub(b"", line)[:200].lower()


def _is_cancelled(line: bytes) -> bool:
    name, value = _named(line)
    return name == b"STATUS" and value.strip().upper() == b"CANCELLED"


def _folded(line: str, end: bytes) -> bytes:
    """A content line in lines of at most 75 bytes, no character cut in two."""
    parts: list[bytes] = []
    part = b""
    for char in line:
        piece = char.encode("utf-8", "replace")
        if len(part) + len(piece) > LINE_BYTES_MAX - (1 if parts else 0):
            parts.append(part)
            part = b""
        part += piece
    parts.append(part)
    return (end + b" ").join(parts) + end
