"""Text from invitations → words in which a join link may stand, each link unwrapped. Pure, and linear in the text.

Undone are what mail programs and gateways do to a text: soft line breaks of quoted-printable, HTML with its entities,
angle brackets with a broken line inside, and addresses wrapped by link scanners, several times over.
"""

import html
import re
from collections.abc import Iterator
from urllib.parse import parse_qs, unquote, urlsplit

from msgspec import Struct

from meetkeeper.core.link_rules import WRAPPERS

TEXT_CHARS_MAX = 132_000
"""As much of a text is looked at."""
WORD_CHARS_MAX = 2_000
"""Longer words are no links."""
WORDS_MAX = 20_000
UNWRAPPED_MAX = 5
"""An address wrapped more often than this is left as it is."""
_SOFT_BREAK = re.compile(r"=\r?\n")
_QUOTED = re.compile(r"=([0-9A-F]{2})")
_HREF = re.compile(r"""href\s{0,5}=\s{0,5}(?:"([^"<>]{1,2000})"|'([^'<>]{1,2000})')""", re.IGNORECASE)
_TAG = re.compile(r"<(?:[a-z/!][^<>]*+)>", re.IGNORECASE)
_BREAKS = re.compile(r"<(?:br|/p|/div|/tr|/li|/h[1-6])\b[^<>]*+>", re.IGNORECASE)
_HTML = re.compile(
    r"<(?:!doctype|html|head|body|p|div|span|br|a|b|table|ul|ol|font|style|td)\b", re.IGNORECASE
)
_HIDDEN = re.compile(r"<(script|style)\b[^<>]*+>", re.IGNORECASE)
_BROKEN = re.compile(r"<(https?://[^<>]{1,2000})>", re.IGNORECASE)
_FOLDED = re.compile(r"\r?\n[ \t]+(?=\S)")
_SPLIT = re.compile(r"[\s<>\"'`|\u00a0\u200b\u2028\u2029\[\](){}]+")
_SCHEME = re.compile(r"(?:conf:sip|sips?|h323|pexip|mailto|https?)(?=:)", re.IGNORECASE)
_PROOFPOINT = re.compile(r"/v3/__(?P<url>https?:/.{1,1900}?)__;", re.IGNORECASE)


class Word(Struct, frozen=True, gc=False):
    """Something between spaces: its scheme in lower case ("" for none) and what follows it."""

    scheme: str
    rest: str

    @property
    def text(self) -> str:
        """As it stood, unwrapped."""
        return f"{self.scheme}:{self.rest}" if self.scheme else self.rest

    @property
    def host(self) -> str:
        """The host of a link in lower case; "" for anything else."""
        try:
            return (urlsplit(self.text).hostname or "").lower() if self.is_web else ""
        except ValueError:
            return ""

    @property
    def is_web(self) -> bool:
        """A link for a browser."""
        return self.scheme in ("http", "https")


def lines_of(text: str) -> list[str]:
    """The text as lines without mark-up."""
    return [line.strip() for line in _plain(text).splitlines()]


def words_of(text: str) -> list[Word]:
    """Every word that may be a link or an address, in order: addresses of HTML links first, then what one reads."""
    cut = _whole(text)
    found: dict[Word, None] = {}
    if _HTML.search(cut):
        for match in _HREF.finditer(cut):
            found[_word(html.unescape(match[1] or match[2]))] = None
    for number, raw in enumerate(_SPLIT.split(_joined(_plain(text)))):
        if number >= WORDS_MAX:
            break
        trimmed = raw.strip(".,;!*_\\").rstrip(":?")
        if 3 < len(trimmed) <= WORD_CHARS_MAX and (":" in trimmed or "@" in trimmed or "##" in trimmed):
            found[_word(trimmed)] = None
    return list(found)


def unwrapped(url: str) -> str:
    """The address inside the wrappings of link scanners."""
    for _ in range(UNWRAPPED_MAX):
        inner = _inside(url)
        if inner is None:
            break
        url = inner
    return url


def _inside(url: str) -> str | None:
    try:
        split = urlsplit(url)
        host = (split.hostname or "").lower()
    except ValueError:
        return None
    if host.endswith("urldefense.com") and (
        match := _PROOFPOINT.match(split.path + ("?" + split.query) * bool(split.query))
    ):
        return match["url"]
    for wrapper, parameter in WRAPPERS:
        if host == wrapper or host.endswith(f".{wrapper}"):
            inner = parameters(split.query).get(parameter, "")
            if inner.lower().startswith(("http%3a", "https%3a")):
                inner = unquote(inner)
            if inner.lower().startswith(("http://", "https://")):
                return inner[:WORD_CHARS_MAX]
    return None


def parameters(query: str) -> dict[str, str]:
    """Query parameters, each with its first value; none for a query that is none."""
    try:
        return {name: values[0] for name, values in parse_qs(query, max_num_fields=100).items()}
    except ValueError:
        return {}


def _word(text: str) -> Word:
    match = _SCHEME.match(text)
    if match is None:
        return Word("", text)
    scheme, rest = match[0].lower(), text[match.end() + 1 :]
    if scheme == "mailto":
        return Word("", rest.partition("?")[0])
    if scheme in ("http", "https"):
        whole = unwrapped(f"{scheme}:{rest}")
        scheme, _, rest = whole.partition(":")
        return Word(scheme.lower(), rest)
    return Word(scheme, rest.removeprefix("//"))


def _whole(text: str) -> str:
    """As much as is looked at, with the remains of quoted-printable undone."""
    cut = text[:TEXT_CHARS_MAX]
    if "=3D" in cut or "=\n" in cut or "=\r\n" in cut:
        cut = _QUOTED.sub(_unquoted, _SOFT_BREAK.sub("", cut))
    return cut


def _unquoted(match: re.Match[str]) -> str:
    code = int(match[1], 16)
    return chr(code) if 32 <= code < 127 else match[0]


def _plain(text: str) -> str:
    """As `plain`, with the remains of quoted-printable undone."""
    return plain(_whole(text))


def plain(text: str) -> str:
    """The text without mark-up and entities; what a page hides is dropped."""
    cut = text
    if _HTML.search(cut):
        cut = "".join(_shown(cut))
        cut = _TAG.sub(" ", _BREAKS.sub("\n", cut))
    return html.unescape(html.unescape(cut)) if "&" in cut else cut


def _shown(text: str) -> Iterator[str]:
    """What stands outside of scripts and styles."""
    at, lower = 0, text.lower()
    while (match := _HIDDEN.search(text, at)) is not None:
        yield text[at : match.start()]
        end = lower.find(f"</{match[1].lower()}", match.end())
        if end < 0:
            return
        at = end
    yield text[at:]


def _joined(text: str) -> str:
    """With links put together again whose line was broken: inside angle brackets, and by folding."""
    text = _BROKEN.sub(lambda match: "<" + "".join(match[1].split()) + ">", text)
    return _FOLDED.sub(_fold, text) if "\n" in text else text


def _fold(match: re.Match[str]) -> str:
    """A folded line goes on in a link only where the line before ends inside of one."""
    start = max(match.string.rfind("\n", max(0, match.start() - WORD_CHARS_MAX), match.start()), 0)
    last = match.string[max(start, match.start() - WORD_CHARS_MAX) : match.start()].rsplit(maxsplit=1)[-1:]
    inside = (
        bool(last) and last[0].lower().startswith(("http://", "https://")) and match.start() - start >= 60
    )
    return "" if inside else match[0]
