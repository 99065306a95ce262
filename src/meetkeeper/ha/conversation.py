"""How two servers begin to talk: each says a hello, and each checks the other's before anything else counts.

The one that dialled speaks first; the other answers with its own hello only after it has accepted. Whoever refuses
says so in a `Refusal`, whose text names the server at fault and what to do, and the conversation is over. Nothing that
a refused server said has any effect. Pure: bytes, sockets and certificates are `codec.wire`'s and `replication`'s.
"""

from collections.abc import Callable
from enum import StrEnum

from msgspec import Struct

from meetkeeper.ha.words import Hello, Message, Refusal

PROTOCOLS_APART_MAX = 1
"""A server understands the release before its own, so that a pair can be upgraded one by one."""
TEXT_CHARS_MAX = 1000
"""Longest text of a refusal."""


def accept(mine: Hello, theirs: Hello, known: str = "") -> Refusal | None:
    """None when the two may talk, else why not. `mine.to` is the peer that is configured here.

    `known` is the peer's instance as this server saw it before; empty: never seen. A server that has just been set up
    anew (it holds nothing and belongs to no pair) may take the place of the known one.
    """
    for check in (_protocol, _names, _instances, _cluster):
        refusal = check(mine, theirs)
        if refusal is not None:
            return _tamed(refusal)
    if known and theirs.instance != known and not is_new(theirs):
        return _tamed(
            Refusal(
                "peer.other_instance",
                f"Another home ({theirs.instance}) calls itself {theirs.name}, which {mine.name} knows as {known}. "
                "Two servers have one name, or node.json was copied to a second host: stop the wrong one, and set it "
                "up with `meetkeeper init` under a name of its own.",
            )
        )
    return None


def is_new(hello: Hello) -> bool:
    """True for a server that holds nothing and knows of no reign: it can't contradict anybody."""
    return hello.epoch == 0 and hello.position.seq == 0 and hello.record is None


def _tamed(refusal: Refusal) -> Refusal:
    """Foreign names go into logs and onto screens: one line, and not without end."""
    code, text = (
        "".join(sign if sign.isprintable() else "?" for sign in said[:TEXT_CHARS_MAX])
        for said in (refusal.code, refusal.text)
    )
    return Refusal(code, text)


def _protocol(mine: Hello, theirs: Hello) -> Refusal | None:
    if abs(mine.protocol - theirs.protocol) <= PROTOCOLS_APART_MAX:
        return None
    older = mine if mine.protocol < theirs.protocol else theirs
    return Refusal(
        "peer.protocol",
        f"{mine.name} speaks protocol {mine.protocol}, {theirs.name} speaks {theirs.protocol}; they may differ by "
        f"{PROTOCOLS_APART_MAX}. Upgrade {older.name}, release by release.",
    )


def _names(mine: Hello, theirs: Hello) -> Refusal | None:
    if theirs.name == mine.name and theirs.instance == mine.instance:
        return Refusal(
            "peer.itself",
            f"{mine.name} has reached itself: the peer's address in its node.json is its own, or a copy of its home "
            "runs there. Correct the address; remove the copy.",
        )
    if theirs.name == mine.name:
        return Refusal(
            "peer.own_name",
            f"Both servers are called {mine.name}. Give one of them another name in its node.json, and a certificate "
            "for that name.",
        )
    if theirs.name != mine.to:
        return Refusal(
            "peer.other_name",
            f"{theirs.name} has called {mine.name}, whose peer is {mine.to}. Correct the peer's name in node.json of "
            f"{mine.name}, or the address in node.json of {theirs.name}.",
        )
    if theirs.to != mine.name:
        return Refusal(
            "peer.not_me",
            f"{theirs.name} wants to talk to {theirs.to} and has reached {mine.name}. Correct the peer in node.json "
            f"of {theirs.name}.",
        )
    return None


def _instances(mine: Hello, theirs: Hello) -> Refusal | None:
    if theirs.instance and theirs.instance != mine.instance:
        return None
    return Refusal(
        "peer.copied_home",
        f"The homes of {mine.name} and {theirs.name} have the same instance: one is a copy of the other, or has none. "
        f"Make a home of its own with `meetkeeper init` for the one that was set up last.",
    )


def _cluster(mine: Hello, theirs: Hello) -> Refusal | None:
    if not mine.cluster and not theirs.cluster:
        return Refusal(
            "peer.no_cluster",
            f"Neither {mine.name} nor {theirs.name} belongs to a pair: found it on one, and let the other join.",
        )
    if mine.cluster and theirs.cluster and mine.cluster != theirs.cluster:
        return Refusal(
            "peer.other_cluster",
            f"{theirs.name} belongs to the pair {theirs.cluster}, {mine.name} to {mine.cluster}. Correct the peer's "
            "address in node.json, or set the one that is to join up anew with `meetkeeper init`.",
        )
    return None


# --- one conversation ---------------------------------------------------------------------------------------


class Stage(StrEnum):
    """How far a conversation has come."""

    OPENING = "opening"
    LINKED = "linked"
    ENDED = "ended"


class Linked(Struct, frozen=True):
    """The other server's hello is accepted. `answer` has to be sent before anything else, if there is one."""

    hello: Hello
    answer: Hello | None


class Heard(Struct, frozen=True):
    """It said something that counts."""

    message: Message


class Ended(Struct, frozen=True):
    """It is over. `answer` is the last word to send; None: the other server has said the last word, `refusal`."""

    refusal: Refusal
    answer: Refusal | None


Turn = Linked | Heard | Ended


class Conversation:
    """One connection's words, from the first to the last. Sans-IO: the owner carries messages to and fro.

    `hello` is asked for when it is needed, so that it says how things stand then; `known` is as in `accept`.
    """

    def __init__(self, hello: Callable[[], Hello], known: Callable[[], str], *, dialled: bool) -> None:
        self._hello, self._known = hello, known
        self._said: Hello | None = None
        self._dialled = dialled
        self.stage = Stage.OPENING

    def opening(self) -> Hello | None:
        """What to say before anything was heard: a hello from the one that dialled, nothing from the other."""
        if self._dialled and self._said is None:
            self._said = self._hello()
            return self._said
        return None

    def hear(self, message: Message) -> Turn:
        """Take what the other server said."""
        if self.stage is Stage.ENDED:
            return Ended(Refusal("peer.ended", "This conversation has ended; connect again."), None)
        if isinstance(message, Refusal):
            self.stage = Stage.ENDED
            return Ended(_tamed(message), None)
        if self.stage is Stage.LINKED:
            return self._refuse(_SECOND_HELLO) if isinstance(message, Hello) else Heard(message)
        if not isinstance(message, Hello):
            return self._refuse(_NO_HELLO)
        mine = self._said or self._hello()
        refusal = accept(mine, message, self._known())
        if refusal is not None:
            return self._refuse(refusal)
        self.stage = Stage.LINKED
        answer = mine if self._said is None else None
        self._said = mine
        return Linked(message, answer)

    def _refuse(self, refusal: Refusal) -> Ended:
        self.stage = Stage.ENDED
        return Ended(refusal, refusal)


_NO_HELLO = Refusal(
    "peer.no_hello", "The other end spoke before its hello: it is no meetkeeper. Check the peer's address."
)
_SECOND_HELLO = Refusal(
    "peer.second_hello",
    "The other end said a second hello on one connection. Check the releases on both servers.",
)
