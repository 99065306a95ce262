"""What every `ports.peer.PeerLink` must do, the one in memory and the one over TLS.

To use it, inherit `PeerContract` and give it the fixture `pair`: two links that can reach each other, not started yet,
and the levers of the network between them.
"""

from collections.abc import Callable
from typing import Protocol

from meetkeeper.ha.words import ORIGIN, PROTOCOL, Frames, Have, Hello, Leaving, Message, Position, Role
from meetkeeper.ports.peer import PeerLink

BLOCK = b"x" * (256 * 1024)


class Recorder:
    """An owner that writes down what its link tells it, and may act on it at once.

    `said` has it in order: ("linked", name), ("heard", message), ("unlinked", why).
    """

    def __init__(self, name: str, to: str) -> None:
        self.name, self.to = name, to
        self.cluster = "cluster-one"
        self.instance = f"instance-of-{name}"
        self.hellos_asked = 0
        self.links: list[Hello] = []
        self.messages: list[Message] = []
        self.breaks: list[str] = []
        self.said: list[tuple[str, object]] = []
        self.on_linked: Callable[[], object] | None = None
        self.on_heard: Callable[[Message], object] | None = None

    def hello(self) -> Hello:
        """Who this is."""
        self.hellos_asked += 1
        return Hello(
            protocol=PROTOCOL,
            cluster=self.cluster,
            name=self.name,
            instance=self.instance,
            to=self.to,
            role=Role.PASSIVE,
            epoch=1,
            position=ORIGIN,
        )

    def linked(self, hello: Hello) -> None:
        """Somebody is there."""
        self.links.append(hello)
        self.said.append(("linked", hello.name))
        if self.on_linked is not None:
            self.on_linked()

    def heard(self, message: Message) -> None:
        """It speaks."""
        self.messages.append(message)
        self.said.append(("heard", message))
        if self.on_heard is not None:
            self.on_heard(message)

    def unlinked(self, why: str) -> None:
        """It is gone."""
        self.breaks.append(why)
        self.said.append(("unlinked", why))


class PeerPair(Protocol):
    """Two links and the network between them."""

    @property
    def one(self) -> PeerLink:
        """The end that dials."""
        ...

    @property
    def other(self) -> PeerLink:
        """The end that is dialled."""
        ...

    @property
    def at_one(self) -> Recorder:
        """Who owns `one`."""
        ...

    @property
    def at_other(self) -> Recorder:
        """Who owns `other`."""
        ...

    def start(self) -> None:
        """Start both."""
        ...

    async def until(self, true: Callable[[], bool]) -> None:
        """Let everything go on until this is so; fails after a long while."""
        ...

    def cut(self) -> None:
        """The network breaks the connection; a new one can be made."""
        ...

    def stall(self) -> None:
        """Nothing gets through any more, and nobody is told."""
        ...

    def flow(self) -> None:
        """It gets through again, and what waited too."""
        ...


def numbered(number: int) -> Have:
    """A small message that differs from the others."""
    return Have(Position(1, number, "a" * 32), 1)


class PeerContract:
    """The suite."""

    async def _link(self, pair: PeerPair, times: int = 1) -> None:
        await pair.until(lambda: len(pair.at_one.links) == times and len(pair.at_other.links) == times)

    async def test_both_learn_who_is_there(self, pair: PeerPair) -> None:
        """Each is told the other's hello once; before that nothing can be sent."""
        pair.start()
        assert not pair.one.send(numbered(1))
        await self._link(pair)
        assert [hello.name for hello in pair.at_one.links] == [pair.at_other.name]
        assert [hello.name for hello in pair.at_other.links] == [pair.at_one.name]
        assert pair.one.send(numbered(1))

    async def test_a_server_of_another_pair_is_not_linked(self, pair: PeerPair) -> None:
        """A hello that is not acceptable links nobody, however often it is said; mended, it does."""
        pair.at_one.cluster = "cluster-two"
        pair.start()
        await pair.until(lambda: pair.at_one.hellos_asked >= 2)
        assert not pair.at_one.said
        assert not pair.at_other.said
        assert not pair.one.send(numbered(1))
        pair.at_one.cluster = pair.at_other.cluster
        await self._link(pair)

    async def test_order_is_kept_both_ways(self, pair: PeerPair) -> None:
        """Small and large messages arrive as they were sent, in their order, in both directions."""
        pair.start()
        await self._link(pair)
        sent: list[Message] = []
        for number in range(300):
            sent += [numbered(number), Frames(b"%d " % number * (number * 7))]
        for message in sent:
            assert pair.one.send(message)
            assert pair.other.send(message)
        await pair.until(lambda: len(pair.at_one.messages) == len(pair.at_other.messages) == len(sent))
        assert pair.at_one.messages == sent
        assert pair.at_other.messages == sent

    async def test_linked_comes_before_anything_heard(self, pair: PeerPair) -> None:
        """What one says the moment it is linked is heard by the other after its own `linked`."""
        pair.at_one.on_linked = lambda: pair.one.send(numbered(1))
        pair.at_other.on_linked = lambda: pair.other.send(numbered(2))
        pair.start()
        await pair.until(lambda: bool(pair.at_one.messages and pair.at_other.messages))
        assert pair.at_one.said == [("linked", pair.at_other.name), ("heard", numbered(2))]
        assert pair.at_other.said == [("linked", pair.at_one.name), ("heard", numbered(1))]

    async def test_a_dropped_connection_is_made_again(self, pair: PeerPair) -> None:
        """After `drop` nothing can be sent; both are told once, and then linked again."""
        pair.start()
        await self._link(pair)
        pair.other.drop("a test")
        assert not pair.other.send(numbered(1))
        assert not pair.at_other.breaks, "told within the call"
        await self._link(pair, times=2)
        assert pair.at_other.breaks == ["a test"]
        assert len(pair.at_one.breaks) == 1
        assert [what for what, _ in pair.at_one.said] == ["linked", "unlinked", "linked"]

    async def test_nothing_is_heard_after_a_drop(self, pair: PeerPair) -> None:
        """An owner that drops while it listens hears nothing more of that connection."""
        pair.start()
        await self._link(pair)
        pair.at_other.on_heard = lambda _: pair.other.drop("heard enough")
        for number in range(50):
            pair.one.send(numbered(number))
        await self._link(pair, times=2)
        assert pair.at_other.messages == [numbered(0)]
        assert [what for what, _ in pair.at_other.said] == ["linked", "heard", "unlinked", "linked"]

    async def test_a_cut_is_told_and_mended(self, pair: PeerPair) -> None:
        """A connection that the network breaks is told as gone on both ends, and made again."""
        pair.start()
        await self._link(pair)
        for times in (2, 3):
            pair.cut()
            await self._link(pair, times=times)
        assert len(pair.at_one.breaks) == len(pair.at_other.breaks) == 2
        assert pair.one.send(numbered(7))
        await pair.until(lambda: pair.at_other.messages == [numbered(7)])

    async def test_a_crowded_line_says_when_it_is_free(self, pair: PeerPair) -> None:
        """`send` never waits; `crowded` says when to hold back, and `when_free` calls once when room is there."""
        pair.start()
        await self._link(pair)
        calls: list[str] = []
        pair.one.when_free(lambda: calls.append("at once"))
        assert calls == ["at once"]
        pair.stall()
        sent = 0
        while not pair.one.crowded:
            assert pair.one.send(Frames(b"%08d" % sent + BLOCK))
            sent += 1
        pair.one.when_free(lambda: calls.append("room"))
        assert calls == ["at once"]
        assert pair.one.send(numbered(1)), "a small word still goes behind the rest"
        pair.flow()
        await pair.until(lambda: len(pair.at_other.messages) == sent + 1)
        assert calls == ["at once", "room"]
        assert not pair.one.crowded
        heads = [int(one.data[:8]) for one in pair.at_other.messages if isinstance(one, Frames)]
        assert heads == list(range(sent))

    async def test_who_waits_for_room_is_called_when_the_line_breaks(self, pair: PeerPair) -> None:
        """A line that breaks while it is crowded calls those who wait, after it was told as gone."""
        pair.start()
        await self._link(pair)
        pair.stall()
        while not pair.one.crowded:
            pair.one.send(Frames(BLOCK))
        found: list[tuple[int, bool]] = []
        pair.one.when_free(lambda: found.append((len(pair.at_one.breaks), pair.one.send(numbered(1)))))
        pair.cut()
        pair.flow()
        await pair.until(lambda: bool(found))
        assert found == [(1, False)]
        assert not pair.one.crowded

    async def test_what_was_handed_over_leaves_before_the_end(self, pair: PeerPair) -> None:
        """`close` lets everything arrive that was handed over, tells the owner once, and the end is final."""
        pair.start()
        await self._link(pair)
        for number in range(20):
            assert pair.one.send(Frames(b"%08d" % number + BLOCK))
        assert pair.one.send(Leaving("a test", 1.0))
        await pair.one.close()
        assert len(pair.at_one.breaks) == 1
        assert not pair.one.send(numbered(1))
        await pair.until(lambda: bool(pair.at_other.breaks))
        assert len(pair.at_other.messages) == 21
        assert pair.at_other.messages[-1] == Leaving("a test", 1.0)
