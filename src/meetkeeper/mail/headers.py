"""Header values as they go out: encoded (RFC 2047), quoted and folded (RFC 5322) by our own hand. Pure.

The standard library's folding breaks long names apart, and takes what a person typed for an encoded word and decodes
it, line breaks and all. So a value is made fit here and handed over verbatim: the text between two line ends is what
somebody wrote, and never syntax.
"""

import base64
import re
from email.headerregistry import Address
from email.policy import EmailPolicy

LINE_CHARS_MAX = 76
WORD_CHARS_MAX = 60
"""A word longer than this can't be folded and is encoded instead, in pieces."""
_CHUNK_BYTES = 45
"""So many bytes are 60 characters of base64, an encoded word of 72 (RFC 2047 §2 allows 75)."""
_PLAIN = re.compile(r"[!-~]+(?: [!-~]+)*")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")


class VerbatimPolicy(EmailPolicy):
    """The policy of our mails: CRLF, and header values that are ready are neither parsed nor folded again."""

    def header_store_parse(self, name: str, value: object) -> tuple[str, str]:
        """Keep the value as it is. Raises `ValueError` for one with a line break that is no fold."""
        text = str(value)
        if re.search(r"[\r\n](?![ \t])", text.replace("\r\n", "\n")):
            raise ValueError(f"the header {name} holds a line break")
        return name, text


ASCII = VerbatimPolicy(linesep="\r\n", refold_source="none", cte_type="7bit")
UTF8 = ASCII.clone(utf8=True)


def text_value(name: str, text: str) -> str:
    """An unstructured value, such as a subject, for the header of this name."""
    words = text.split(" ")
    plain = (
        _PLAIN.fullmatch(text) is not None
        and "=?" not in text
        and all(len(w) <= WORD_CHARS_MAX for w in words)
    )
    return _folded(name, words if plain else _encoded(text))


def mailbox_value(name: str, address: Address) -> str:
    """A person with an address, for the header of this name."""
    where = f"<{address.addr_spec}>"
    said = address.display_name
    if not said:
        return address.addr_spec
    if (
        "=?" in said
        or not _PLAIN.fullmatch(said)
        or any(len(word) > WORD_CHARS_MAX for word in said.split(" "))
    ):
        return _folded(name, [*_encoded(said), where])
    if _ATOMS.fullmatch(said):
        return _folded(name, [*said.split(" "), where])
    quoted = '"' + re.sub(r'(["\\])', r"\\\1", said) + '"'
    return _folded(name, [*quoted.split(" "), where])


def _folded(name: str, tokens: list[str]) -> str:
    """The tokens with a space or a fold between them."""
    lines, length = [], len(name) + 2
    line: list[str] = []
    for token in tokens:
        if line and length + len(token) > LINE_CHARS_MAX:
            lines.append(" ".join(line))
            line, length = [], 1
        line.append(token)
        length += len(token) + 1
    return "\r\n ".join([*lines, " ".join(line)])


def _encoded(text: str) -> list[str]:
    """The text as encoded words, each of whole characters (RFC 2047 §5)."""
    words, chunk = [], b""
    for character in text:
        octets = character.encode("utf-8", "replace")
        if len(chunk) + len(octets) > _CHUNK_BYTES:
            words.append(chunk)
            chunk = b""
        chunk += octets
    if chunk:
        words.append(chunk)
    return [f"=?utf-8?b?{base64.b64encode(word).decode('ascii')}?=" for word in words]
