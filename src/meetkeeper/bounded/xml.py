"""Somebody else's XML as a bounded tree of the caller's own nodes. Pure.

No DTD, no entities, a bounded number of elements and levels, and it must be whole: a recovering parser would read half
an answer as "nothing more changed".
"""

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar
from xml.parsers import expat

from msgspec import Struct

from meetkeeper.core.errors import TheirMistake

ELEMENTS_MAX = 500_000
HOSTILE = "calendar.hostile-xml"
NOT_XML = "calendar.not-xml"
"""Code of the error for an answer that is not well-formed; one odd item inside can be the cause."""
TOO_LARGE = "calendar.answer-too-large"
NOTHING: Mapping[str, str] = {}
_BETWEEN = "}"
"""Stands between an element's namespace and its name."""

N = TypeVar("N")
Make = Callable[[str, str, tuple[N, ...], Mapping[str, str]], N]
"""Makes a node of the name as it is kept, the element's own text, the nodes inside and its attributes."""


class Speaker(Struct, frozen=True):
    """Who answers, for the sentences of errors: "The Exchange server", "look at that server", "that of EWS"."""

    name: str
    remedy: str
    address: str
    depth_max: int


def parse(body: bytes, speaker: Speaker, make: Make[N], spell: Callable[[str], str]) -> N:
    """The root. `spell` says how `{namespace}name` is kept; it is asked once for each. Raises `TheirMistake`.

    Expat itself is asked, for everything between it and us costs more than it does. Without a DTD there are no entities
    but the five of XML; a document type declaration ends the reading, so nothing is ever expanded or fetched.
    """
    builder = _Builder(speaker, make, spell)
    parser = expat.ParserCreate(namespace_separator=_BETWEEN)
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = builder.refuse
    parser.StartElementHandler = builder.start
    parser.CharacterDataHandler = builder.data
    parser.EndElementHandler = builder.end
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, LookupError, ValueError):
        raise TheirMistake(
            NOT_XML,
            f"{speaker.name}'s answer is not XML; check that the address is that of {speaker.address}.",
        ) from None
    assert builder.root is not None
    return builder.root


class _Builder(Generic[N]):
    """The parser's handlers: they build nodes, count elements and levels. `root` is there at the end."""

    def __init__(self, speaker: Speaker, make: Make[N], spell: Callable[[str], str]) -> None:
        self.root: N | None = None
        self._speaker = speaker
        self._make = make
        self._spell = spell
        self._open: list[tuple[str, list[str], list[N], Mapping[str, str]]] = []
        self._count = 0
        self._names: dict[str, str] = {}

    def refuse(self, *_: object) -> None:
        raise TheirMistake(
            HOSTILE,
            f"{self._speaker.name}'s answer declares XML entities, which only an attack needs; look at that server.",
        )

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > ELEMENTS_MAX or len(self._open) >= self._speaker.depth_max:
            raise TheirMistake(
                TOO_LARGE,
                f"{self._speaker.name}'s answer has more than {ELEMENTS_MAX} elements or {self._speaker.depth_max} "
                f"levels; {self._speaker.remedy}.",
            )
        name = self._names.get(tag)
        if name is None:
            name = self._names[tag] = self._spell(f"{{{tag}" if _BETWEEN in tag else tag)
        self._open.append((name, [], [], attributes or NOTHING))

    def data(self, text: str) -> None:
        self._open[-1][1].append(text)

    def end(self, _tag: str) -> None:
        name, texts, inside, attributes = self._open.pop()
        node = self._make(name, "".join(texts), tuple(inside), attributes)
        if self._open:
            self._open[-1][2].append(node)
        else:
            self.root = node
