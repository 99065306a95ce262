"""EWS answers as bounded values: bytes → a tree → response messages, or the fault that was given instead. Pure.

Read strictly and within bounds (`bounded.xml`). Names are kept without their namespace, because servers disagree about
them. Both forms of faults are read: with the code in `detail`, and as the faultcode.
"""

from collections.abc import Iterator, Mapping

from msgspec import Struct

from meetkeeper.bounded import xml
from meetkeeper.core.errors import TheirMistake

CODE_CHARS_MAX = 80
SPEAKER = xml.Speaker("The Exchange server", remedy="look at that server", address="EWS", depth_max=64)


class Node(Struct, frozen=True):
    """An element: its name without namespace, its own text, the elements inside, its attributes."""

    name: str
    text: str
    inside: tuple["Node", ...] = ()
    attributes: Mapping[str, str] = xml.NOTHING

    def child(self, name: str) -> "Node | None":
        """The first element of this name directly inside."""
        for node in self.inside:
            if node.name == name:
                return node
        return None

    def all(self, name: str) -> Iterator["Node"]:
        """Elements of this name directly inside."""
        return (node for node in self.inside if node.name == name)

    def at(self, *path: str) -> "Node | None":
        """The element at the end of these names."""
        node: Node | None = self
        for name in path:
            node = None if node is None else node.child(name)
        return node

    def say(self, *path: str) -> str:
        """The trimmed text at the end of these names, or ""."""
        node = self.at(*path)
        return "" if node is None else node.text.strip()

    def find(self, name: str) -> "Node | None":
        """The first element of this name anywhere inside."""
        for node in self.inside:
            found = node if node.name == name else node.find(name)
            if found is not None:
                return found
        return None


class Fault(Exception):
    """The server's own code for what went wrong, its words, and the pause it asks for in seconds."""

    def __init__(self, code: str, text: str = "", back_off_s: float | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.text = text
        self.back_off_s = back_off_s


def parse(body: bytes) -> Node:
    """The root element. Raises `TheirMistake`."""
    return xml.parse(body, SPEAKER, Node, _bare)


def _bare(tag: str) -> str:
    return tag.rpartition("}")[2]


def messages_in(root: Node, operation: str) -> tuple[Node, ...]:
    """The response messages of an operation. Raises `Fault`, or `TheirMistake` for any other answer."""
    body = root.child("Body") if root.name == "Envelope" else None
    if body is None:
        raise _odd("no SOAP envelope")
    fault = body.child("Fault")
    if fault is not None:
        raise fault_in(fault)
    answer = body.child(f"{operation}Response")
    if answer is None:
        raise _odd(f"no answer to {operation}")
    wrapped = answer.child("ResponseMessages")
    if wrapped is None:
        raise _odd("no response messages")
    return tuple(wrapped.all(f"{operation}ResponseMessage"))


def check(message: Node) -> Node:
    """The message itself when it went well. Raises `Fault` with its code, `TheirMistake` when it has none."""
    code = message.say("ResponseCode")
    if message.attributes.get("ResponseClass") == "Success" and code == "NoError":
        return message
    if not code or code == "NoError":
        raise _odd("a response that is neither success nor error")
    raise Fault(_word(code), message.say("MessageText")[:200], _back_off(message.child("MessageXml")))


def fault_in(fault: Node) -> Fault:
    """The code from the detail, else from the faultcode with or without a prefix (gromox)."""
    detail = fault.child("detail") or fault.child("Detail")
    code = ""
    wait = None
    if detail is not None:
        code = detail.say("ResponseCode")
        wait = _back_off(detail.child("MessageXml"))
    if not code:
        code = (fault.say("faultcode") or fault.say("Code", "Value")).rpartition(":")[2]
    text = fault.say("faultstring") or fault.say("Reason", "Text")
    return Fault(_word(code), text[:200], wait)


def _word(code: str) -> str:
    word = code.strip()[:CODE_CHARS_MAX]
    return word if word.isascii() and word.isalnum() else "odd code"


def _back_off(xml: Node | None) -> float | None:
    """BackOffMilliseconds in seconds."""
    for value in [] if xml is None else xml.all("Value"):
        text = value.text.strip()
        if value.attributes.get("Name") == "BackOffMilliseconds" and text.isascii() and text.isdigit():
            return int(text[:12]) / 1000
    return None


def _odd(what: str) -> TheirMistake:
    return TheirMistake(
        "calendar.odd-answer", f"The Exchange server gave {what}; check that the address is that of EWS."
    )
