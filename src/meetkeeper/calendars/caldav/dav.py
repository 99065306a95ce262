"""WebDAV's XML as bounded values (RFC 4918 section 14): bytes → a tree → the responses of a multistatus. Pure.

Read strictly and within bounds (`bounded.xml`). Whatever is not XML, or not what the protocol allows, is `TheirMistake`
with a sentence.
"""

from collections.abc import Iterator, Mapping

from msgspec import Struct

from meetkeeper.bounded import xml
from meetkeeper.core.errors import TheirMistake

SPEAKER = xml.Speaker(
    "The calendar server",
    remedy="split the calendar or look at that server",
    address="a CalDAV calendar",
    depth_max=32,
)
DAV = "{DAV:}"
CAL = "{urn:ietf:params:xml:ns:caldav}"


class Node(Struct, frozen=True):
    """An element: `{namespace}name`, its own text, the elements inside, and its `name` attribute if it has one."""

    tag: str
    text: str
    inside: tuple["Node", ...]
    name: str = ""

    def child(self, tag: str) -> "Node | None":
        """The first element of this name directly inside."""
        return next((node for node in self.inside if node.tag == tag), None)

    def all(self, tag: str) -> Iterator["Node"]:
        """Elements of this name directly inside."""
        return (node for node in self.inside if node.tag == tag)

    def href(self) -> str:
        """The text of the DAV:href inside, or ""."""
        node = self.child(f"{DAV}href")
        return "" if node is None else node.text.strip()


class Response(Struct, frozen=True):
    """One resource of a multistatus. `found` holds the properties that were given; `status` is about the resource.

    A resource none of whose properties were found has the status of the first property asked for.
    """

    href: str
    status: int
    found: Mapping[str, Node]

    def text(self, tag: str) -> str:
        """The text of a property, or ""."""
        node = self.found.get(tag)
        return "" if node is None else node.text.strip()


class Multistatus(Struct, frozen=True):
    """A 207 answer (RFC 4918 section 13; RFC 6578 section 6.4 for the token)."""

    responses: tuple[Response, ...]
    sync_token: str


def parse(body: bytes) -> Node:
    """The root element. Raises `TheirMistake`."""
    return xml.parse(body, SPEAKER, _node, str)


def _node(tag: str, text: str, inside: tuple[Node, ...], attributes: Mapping[str, str]) -> Node:
    return Node(tag, text, inside, attributes.get("name", ""))


def read_multistatus(root: Node | None) -> Multistatus:
    """The responses and the sync token. Raises `TheirMistake` for any other element."""
    if root is None or root.tag != f"{DAV}multistatus":
        raise TheirMistake(
            "calendar.not-dav",
            "The answer is no WebDAV multistatus; check that the address is that of a CalDAV calendar.",
        )
    token = root.child(f"{DAV}sync-token")
    return Multistatus(
        tuple(_response(node) for node in root.all(f"{DAV}response")),
        "" if token is None else token.text.strip(),
    )


def conditions(root: Node | None) -> tuple[str, ...]:
    """The preconditions that were not met, by element (RFC 4918 section 16): `valid-sync-token`, `no-uid-conflict`."""
    if root is None or root.tag != f"{DAV}error":
        return ()
    return tuple(node.tag.rpartition("}")[2][:64] for node in root.inside)


def _response(node: Node) -> Response:
    found: dict[str, Node] = {}
    statuses = [_status(node)] if node.child(f"{DAV}status") is not None else []
    for part in node.all(f"{DAV}propstat"):
        status = _status(part)
        statuses.append(status)
        prop = part.child(f"{DAV}prop")
        if status == 200 and prop is not None:
            found.update({one.tag: one for one in prop.inside})
    return Response(node.href(), 200 if found else next(iter(statuses), 200), found)


def _status(node: Node) -> int:
    """The number in `HTTP/1.1 404 Not Found`; 0 when there is none."""
    line = node.child(f"{DAV}status")
    words = [] if line is None else line.text.split()
    return (
        int(words[1])
        if len(words) > 1 and words[1].isascii() and words[1].isdigit() and len(words[1]) == 3
        else 0
    )
