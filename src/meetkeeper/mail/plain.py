"""Calendar bodies made harmless: whatever a foreign system calls a description comes out as plain text. Pure.

Exchange and others hand over HTML, and anybody can send a room an invitation. No mark-up survives: nh3 drops every
tag, with the content of scripts and styles, and what the templates then write is escaped again.
"""

import html
import re

import nh3

CHARS_MAX = 8_000
"""Longest description that is passed on; a longer one is cut and says so."""
_LOOKS_LIKE_HTML = re.compile(
    r"<(?:!doctype|html|head|body|p|div|span|br|a|b|i|table|ul|ol|font|style|script|img)\b", re.I
)
_LINE_BREAKS = re.compile(r"<br\s*/?>|</(?:p|div|tr|li|h[1-6])\s*>", re.I)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_BLANK_LINES = re.compile(r"\n\s*\n\s*\n+")


def plain_text(body: str) -> str:
    """The body as text with line breaks: no tags, no control characters, no more than `CHARS_MAX` characters."""
    text = body
    if _LOOKS_LIKE_HTML.search(text):
        text = _LINE_BREAKS.sub("\n", re.sub(r"\s*\n\s*", " ", text))
        text = html.unescape(
            nh3.clean(text, tags=set(), clean_content_tags={"script", "style", "title", "head"})
        )
        text = text.replace("\xa0", " ")
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n").replace("\u2029", "\n")
    text = _CONTROL.sub("", text)
    text = "\n".join(line.rstrip() for line in text.split("\n"))
    text = _BLANK_LINES.sub("\n\n", text).strip()
    return text if len(text) <= CHARS_MAX else text[:CHARS_MAX].rstrip() + " …"
