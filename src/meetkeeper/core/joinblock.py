"""The block that tells in a calendar item's body how to join: written between markers, found again, taken out.

Whatever a calendar does to a body on its way (other line ends, wrapped lines, mark-up around and inside, dashes made
longer), the markers stay recognisable by their words and the meeting's reference between brackets. A marker whose
counterpart is missing is text like any other. Everything here is linear in the length of the text.
"""

import re
from html import escape

from msgspec import Struct

BLOCK_CHARS_MAX = 4_000
"""A longer stretch between two markers is not ours."""
SPACE = r"(?:\s|\u00a0|&nbsp;|&#160;|&#xa0;|=20)"
_MARKER = re.compile(
    rf"[-–—\u2010-\u2015]{{2,8}}{SPACE}{{1,6}}(?P<what>Join online|End){SPACE}{{1,6}}"
    rf"\[(?P<ref>[a-z0-9]{{1,40}})\]{SPACE}{{1,6}}[-–—\u2010-\u2015]{{2,8}}"
)
_OPENING = re.compile(r"<(?:p|div|span|font|td)\b[^<>]{0,300}>\s{0,40}\Z", re.IGNORECASE)
_CLOSING = re.compile(r"\s{0,40}</(?:p|div|span|font|td)>", re.IGNORECASE)
_AROUND_CHARS_MAX = 400
_TAGS = re.compile(r"<[^<>]*+>")
WAITS = "How to join follows: this entry will be updated by itself."


class JoinBlock(Struct, frozen=True, gc=False):
    """The block for one item, as text (lines ended by a line feed) and as HTML. `ref` names the meeting."""

    ref: str
    text: str
    html: str


def block_of(ref: str, lines: list[tuple[str, str]]) -> JoinBlock:
    """The block with these lines, (label, value) each; a web address becomes a link. Values are one line each."""
    begin, end = f"---- Join online [{ref}] ----", f"---- End [{ref}] ----"
    said = [f"{label}: {value}" if label else value for label, value in lines]
    shown = [f"{escape(label)}: {_shown(value)}" if label else _shown(value) for label, value in lines]
    text = "\n".join([begin, *said, end, ""])
    return JoinBlock(ref, text, f"<p>{'<br>'.join([begin, *shown, end])}</p>")


def _shown(value: str) -> str:
    safe = escape(value)
    return f'<a href="{safe}">{safe}</a>' if value.startswith(("https://", "http://")) else safe


def without_block(text: str) -> str:
    """The text without any join block of ours: calendars send back what was once written into them."""
    text = text.replace("\r\n", "\n")
    spans = _spans(text)
    if not spans:
        return text.strip()
    kept: list[str] = []
    at = 0
    for start, end in spans:
        line = max(text.rfind("\n", at, start) + 1, at)
        alone = not text[line:start].strip(" \t>\u00a0")  # nothing but a quote's marks before it on its line
        kept.append(text[at : line if alone else start])
        at = end
        while at < len(text) and text[at] in " \t\u00a0":
            at += 1
        if at < len(text) and text[at] == "\n":
            at += 1
    kept.append(text[at:])
    rest = "".join(kept).strip()
    if "<" in rest and not _TAGS.sub("", rest).strip():
        return ""
    return rest if not _spans(rest) else without_block(rest)


def with_block(text: str, block: JoinBlock | None) -> str:
    """The text with this block at its end, and no other of ours; None takes ours out."""
    plain = without_block(text)
    if block is None:
        return plain
    return f"{plain}\n\n{block.text.strip()}" if plain else block.text.strip()


def html_without_block(html: str) -> str:
    """HTML without any join block of ours, and without the elements that held nothing else."""
    at = 0
    kept: list[str] = []
    for begin, end in _spans(html):
        start, opened = begin, 0
        while (match := _OPENING.search(html, max(at, start - _AROUND_CHARS_MAX), start)) is not None:
            start, opened = match.start(), opened + 1
        kept.append(html[at:start])
        at = end
        while opened and (close := _CLOSING.match(html, at)) is not None:
            at, opened = close.end(), opened - 1
    return "".join([*kept, html[at:]])


def html_with_block(html: str, block: JoinBlock | None) -> str:
    """HTML with this block before the end of its body, and no other of ours; everything else stays as it is."""
    plain = html_without_block(html)
    if block is None:
        return plain
    found = plain.lower().rfind("</body>")
    place = found if found >= 0 else len(plain)
    return plain[:place] + block.html + plain[place:]


def blocks_in(text: str) -> tuple[str, ...]:
    """The references of our blocks in a text or in HTML, in order."""
    if "Join online" not in text:
        return ()
    found = (_MARKER.search(text, start, end) for start, end in _spans(text))
    return tuple(match["ref"] for match in found if match is not None)


def _spans(text: str) -> list[tuple[int, int]]:
    """Where our blocks stand: from a beginning to the next end of the same reference, none inside another."""
    open_at: dict[str, int] = {}
    found: list[tuple[int, int]] = []
    for match in _MARKER.finditer(text):
        ref = match["ref"]
        if match["what"] != "End":
            open_at.setdefault(ref, match.start())
            if match.start() - open_at[ref] > BLOCK_CHARS_MAX:
                open_at[ref] = match.start()
        elif ref in open_at and match.end() - open_at[ref] <= BLOCK_CHARS_MAX:
            found.append((open_at[ref], match.end()))
            open_at.clear()
    return found
