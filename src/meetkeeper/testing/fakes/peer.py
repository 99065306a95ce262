"""A line between two servers in memory: nothing moves until the test says so. The words travel as bytes all the same.

line = FakeLine("alpha", "beta")
line.ends["alpha"].start(events); line.ends["beta"].start(others)
line.connect()                      one dials
line.deliver(1)                     one message arrives, the one that was sent first
line.run()                          connect where possible, and deliver until nothing is under way
line.cut("a test"); line.reachable = False
"""

from collections import deque
from collections.abc import Callable
from itertools import count

from meetkeeper.codec import wire
from meetkeeper.core.errors import TheirMistake
from meetkeeper.ha.conversation import Conversation, Ended, Heard, Linked
from meetkeeper.ha.words import Message, Refusal
from meetkeeper.ports.peer import PeerEvents

CROWDED_BYTES = 4 * 1024 * 1024
FREE_BYTES = 1024 * 1024


class FakeLink:
    """One end: `ports.peer.PeerLink`. `known` is the instance of the other server that this one knows."""

    def __init__(self, line: "FakeLine", name: str) -> None:
        self._line = line
        self.name = name
        self.known = ""
        self.events: PeerEvents | None = None
        self.closed = False
        self.refusals: list[Refusal] = []
        """Why conversations ended, whoever refused."""
        self._conversation: Conversation | None = None
        self._reader = wire.Reader()
        self._linked = False
        self._untold: list[str] = []
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._waiting_bytes = 0
        self._crowded = False
        self._free_calls: list[Callable[[], None]] = []

    # --- the port ---------------------------------------------------------------------------------------------

    def start(self, events: PeerEvents) -> None:
        """From here on `FakeLine.connect` finds this end."""
        self.events = events

    def send(self, message: Message) -> bool:
        """Hand over; False when nobody is linked."""
        if not self._linked:
            return False
        self._write(message)
        return True

    @property
    def crowded(self) -> bool:
        """True from more than 4 MiB that wait until no more than 1 MiB is left."""
        return self._linked and self._crowded

    def when_free(self, call: Callable[[], None]) -> None:
        """Call once there is room, or the line is gone."""
        if self.crowded:
            self._free_calls.append(call)
        else:
            call()

    def drop(self, why: str) -> None:
        """Break the connection; both are told at the next `deliver`."""
        if self._linked:
            self.leave(why)
            self._line.other(self).leave("the other server has hung up")

    async def close(self) -> None:
        """What was handed over arrives first, unless the line is stalled."""
        self.closed = True
        if self._linked:
            self._linked = False
            self._untold.append("closed on this side")
            while self._waiting and not self._line.stalled:
                self.arrive()
            self._line.other(self).leave("the other server has hung up")
            self.leave("closed on this side")
        self._line.tell()

    # --- for the line -----------------------------------------------------------------------------------------

    @property
    def linked(self) -> bool:
        """True when the other server's hello is accepted."""
        return self._linked

    def begin(self, *, dialled: bool) -> None:
        """A new connection."""
        assert self.events is not None
        self._conversation = Conversation(self.events.hello, lambda: self.known, dialled=dialled)
        self._reader = wire.Reader()
        opening = self._conversation.opening()
        if opening is not None:
            self._write(opening)

    @property
    def sent_first(self) -> int | None:
        """The number of the message that has waited longest."""
        return self._waiting[0][0] if self._waiting else None

    def arrive(self) -> None:
        """The message that has waited longest comes to the other end."""
        _, data = self._waiting.popleft()
        self._waiting_bytes -= len(data)
        self._line.other(self).take(data)
        if self._crowded and self._waiting_bytes <= FREE_BYTES:
            self._crowded = False
        while self._free_calls and self._linked and not self._crowded:
            self._free_calls.pop(0)()

    def take(self, data: bytes) -> None:
        """Bytes from the other end."""
        if self._conversation is None:
            return
        try:
            messages = self._reader.feed(data)
        except TheirMistake as wrong:
            self._end(Refusal(wrong.code, wrong.message))
            return
        for message in messages:
            self._hear(message)

    def leave(self, why: str) -> None:
        """The connection is gone; what waited with it."""
        self._conversation = None
        self._waiting.clear()
        self._waiting_bytes, self._crowded = 0, False
        if self._linked:
            self._linked = False
            self._untold.append(why)

    def tell(self) -> None:
        """Say that the connection is gone, if that was not said yet."""
        untold, self._untold = self._untold, []
        for why in untold:
            assert self.events is not None
            self.events.unlinked(why)
            calls, self._free_calls = self._free_calls, []
            for call in calls:
                call()

    def _write(self, message: Message) -> None:
        data = wire.encode(message)
        self._waiting.append((self._line.next_number(), data))
        self._waiting_bytes += len(data)
        self._crowded = self._crowded or self._waiting_bytes > CROWDED_BYTES

    def _hear(self, message: Message) -> None:
        if self._conversation is None or self.events is None:
            return
        turn = self._conversation.hear(message)
        match turn:
            case Heard(message=said):
                if self._linked:
                    self.events.heard(said)
            case Linked(hello=hello, answer=answer):
                if answer is not None:
                    self._write(answer)
                self._linked = True
                self.events.linked(hello)
            case Ended(refusal=refusal):
                self._end(refusal)

    def _end(self, refusal: Refusal) -> None:
        self.refusals.append(refusal)
        self.leave(refusal.text)
        other = self._line.other(self)
        if other.refusals[-1:] != [refusal]:
            other.refusals.append(refusal)
        other.leave(refusal.text)


class FakeLine:
    """Both ends and what lies between. `reachable` False: no new connection; `stalled` True: nothing arrives."""

    def __init__(self, first: str, second: str) -> None:
        self.ends = {name: FakeLink(self, name) for name in (first, second)}
        self.reachable = True
        self.stalled = False
        self._numbers = count(1)

    def other(self, end: FakeLink) -> FakeLink:
        """The far end."""
        return next(one for one in self.ends.values() if one is not end)

    def next_number(self) -> int:
        """Messages of both directions in the order they were sent."""
        return next(self._numbers)

    def tell(self) -> None:
        """Tell both ends of connections that are gone."""
        for end in self.ends.values():
            end.tell()

    def connect(self) -> bool:
        """Let the one whose name sorts later dial; an older connection gives way. False when that can't be."""
        if not self.reachable or any(end.events is None or end.closed for end in self.ends.values()):
            return False
        self.cut("a newer connection took its place")
        accepts, dials = (self.ends[name] for name in sorted(self.ends))
        accepts.begin(dialled=False)
        dials.begin(dialled=True)
        return True

    def cut(self, why: str) -> None:
        """The network breaks the connection; what was under way is lost."""
        for end in self.ends.values():
            end.leave(why)
        self.tell()

    def deliver(self, messages: int | None = None) -> int:
        """Let so many messages arrive (None: all, and what is said in answer); answers with how many did."""
        arrived = 0
        self.tell()
        while not self.stalled and (messages is None or arrived < messages):
            ready = [(end.sent_first, end) for end in self.ends.values() if end.sent_first is not None]
            if not ready:
                break
            min(ready, key=lambda one: one[0])[1].arrive()
            arrived += 1
            self.tell()
        return arrived

    def run(self) -> None:
        """Connect where nobody is linked, and deliver until nothing is under way."""
        if not all(end.linked for end in self.ends.values()):
            self.connect()
        self.deliver()
