"""The line between the two servers: a stream in each direction that is slow, stalls, breaks, and is made again.

As with TCP nothing is reordered, lost or repeated within one connection; delivery may stop after any message, and the
two ends may learn of the break at different times. Each way can be blocked by itself: what is sent waits, and after
`break_s` both ends give the connection up, each in its own time. Words travel as values; their bytes are tested apart.
"""

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Protocol

from meetkeeper.ha.conversation import Conversation, Ended, Heard, Linked
from meetkeeper.ha.words import Frames, Message, Piece
from meetkeeper.ports.peer import PeerEvents
from meetkeeper.testing.pairworld.weather import Weather

RETRY_S = 0.2
HELLO_S_MAX = 2.0


class Sky(Protocol):
    """The world, as the line needs it."""

    weather: Weather

    def at(self, delay_s: float, call: Callable[[], None]) -> None:
        """Call after so many seconds of true time."""
        ...

    def now_s(self) -> float:
        """True time."""
        ...


class End(Protocol):
    """The process at one end."""

    name: str

    @property
    def heart(self) -> PeerEvents:
        """What is told."""
        ...

    def let(self, call: Callable[[], None]) -> None:
        """Have the process do something: now, when it goes on, or never if it is gone."""
        ...


class _Side:
    """One process's side of one connection."""

    def __init__(self, end: End, *, dialled: bool) -> None:
        self.end = end
        self.conversation = Conversation(end.heart.hello, lambda: "", dialled=dialled)
        self.linked = False
        self.over = False
        self.waiting: deque[tuple[float, int, Message]] = deque()
        """What was sent and has not arrived: when it may, its size, the words."""
        self.bytes = 0
        self.free_calls: list[Callable[[], None]] = []
        self.delivering = False


class Connection:
    """One connection, from the dial until both ends know that it is over."""

    def __init__(self, wire: "Wire", dials: End, accepts: End) -> None:
        self.wire = wire
        self.dead = False
        """Nothing arrives any more."""
        self.sides = {
            dials.name: _Side(dials, dialled=True),
            accepts.name: _Side(accepts, dialled=False),
        }
        self.greeted = False

    def other(self, side: _Side) -> _Side:
        """The other one."""
        return next(one for one in self.sides.values() if one is not side)

    def write(self, side: _Side, message: Message) -> None:
        """Put it behind what waits."""
        size = len(message.data) if isinstance(message, Frames | Piece) else 100
        sky, wire = self.wire.sky, self.wire
        side.waiting.append((sky.now_s() + wire.latency_s(), size, message))
        side.bytes += size
        self.go_on(side)

    def go_on(self, side: _Side) -> None:
        """Let the next message arrive in its time, if the way is free."""
        if side.delivering or not side.waiting or self.dead or self.wire.blocked[side.end.name]:
            return
        side.delivering = True
        delay_s = max(0.0, side.waiting[0][0] - self.wire.sky.now_s())
        self.wire.sky.at(delay_s, lambda: self._arrive(side))

    def _arrive(self, side: _Side) -> None:
        side.delivering = False
        if self.dead or not side.waiting or self.wire.blocked[side.end.name]:
            return
        _, size, message = side.waiting.popleft()
        side.bytes -= size
        taker = self.other(side)
        taker.end.let(lambda: self._hear(taker, message))
        if side.free_calls and side.bytes <= self.wire.sky.weather.crowded_bytes // 4:
            calls, side.free_calls = side.free_calls, []
            for call in calls:
                side.end.let(call)
        self.go_on(side)

    def _hear(self, side: _Side, message: Message) -> None:
        if side.over:
            return
        turn = side.conversation.hear(message)
        match turn:
            case Linked(hello, answer):
                if answer is not None:
                    self.write(side, answer)
                self.wire.took_place(self, side)
                side.linked = True
                self.greeted = self.greeted or all(one.linked for one in self.sides.values())
                side.end.heart.linked(hello)
            case Heard(said):
                side.end.heart.heard(said)
            case Ended(refusal, _):
                self.wire.refused.append(refusal.text)
                self.hang_up(side, refusal.text)

    def hang_up(self, side: _Side, why: str) -> None:
        """This process ends it: what it sent still arrives, then the other one is told."""
        self.close(side, why)
        taker = self.other(side)
        last_s = max((one[0] for one in side.waiting), default=self.wire.sky.now_s())
        delay_s = max(0.0, last_s - self.wire.sky.now_s()) + self.wire.latency_s()
        if self.wire.blocked[side.end.name]:
            delay_s += self.wire.sky.weather.break_s
        self.wire.sky.at(delay_s, lambda: taker.end.let(lambda: self.close(taker, "the other hung up")))

    def close(self, side: _Side, why: str) -> None:
        """This end learns that it is over."""
        if side.over:
            return
        side.over = True
        was_linked, side.linked = side.linked, False
        if was_linked:
            side.end.heart.unlinked(why)
        calls, side.free_calls = side.free_calls, []
        for call in calls:
            call()

    def cut(self, why: str, after_s: dict[str, float]) -> None:
        """Nothing arrives from here on; each end learns it in its own time."""
        self.dead = True
        for name, side in self.sides.items():
            self.wire.sky.at(
                after_s[name],
                lambda side=side: side.end.let(lambda: self.close(side, why)),  # type: ignore[misc]
            )


class Wire:
    """Everything between the two hosts. `blocked[name]`: what this server sends does not arrive."""

    def __init__(self, sky: Sky, dice: Random, names: tuple[str, str]) -> None:
        self.sky = sky
        self.dice = dice
        self.blocked = dict.fromkeys(names, False)
        self.refused: list[str] = []
        self._blocks = 0
        self._connections: list[Connection] = []
        self._ends: dict[str, End] = {}
        self._dials = 0

    def latency_s(self) -> float:
        """How long a message travels."""
        return self.sky.weather.latency_s * (0.5 + self.dice.random())

    # --- processes come and go --------------------------------------------------------------------------------

    def join(self, end: End) -> None:
        """A process listens, or dials."""
        self._ends[end.name] = end
        self._dial_soon()

    def leave(self, end: End, *, host_died: bool) -> None:
        """A process is gone. With its host nobody tells the other one."""
        self._ends.pop(end.name, None)
        for connection in self._connections:
            side = connection.sides.get(end.name)
            if side is None or side.end is not end:
                continue
            side.over, side.linked, side.free_calls = True, False, []
            side.linked, side.free_calls = False, []
            if host_died:
                side.over = True
                side.waiting.clear()
                silent_s = self.sky.weather.break_s * (1 + self.dice.random())
                connection.cut("nothing is heard any more", dict.fromkeys(connection.sides, silent_s))
            else:
                connection.hang_up(side, "its process ended")

    def _dial_soon(self) -> None:
        self._dials += 1
        number = self._dials
        self.sky.at(RETRY_S * self.dice.random(), lambda: self._dial(number))

    def _dial(self, number: int) -> None:
        if number != self._dials or len(self._ends) < 2:
            return
        accepts, dials = (self._ends[name] for name in sorted(self._ends))
        current = self._side_of(dials)
        self._dial_soon()
        if current is not None or any(self.blocked.values()):
            return

        def begin() -> None:
            if self._side_of(dials) is not None:
                return
            connection = Connection(self, dials, accepts)
            self._connections = [one for one in self._connections if not self._is_over(one)]
            self._connections.append(connection)
            side = connection.sides[dials.name]
            opening = side.conversation.opening()
            assert opening is not None
            connection.write(side, opening)
            self.sky.at(HELLO_S_MAX, lambda: self._give_up(connection))

        dials.let(begin)

    def _is_over(self, connection: Connection) -> bool:
        return all(side.over for side in connection.sides.values())

    def _give_up(self, connection: Connection) -> None:
        if not connection.greeted and not connection.dead:
            connection.cut("no hello in time", dict.fromkeys(connection.sides, 0.0))

    def _side_of(self, end: End) -> _Side | None:
        for connection in self._connections:
            side = connection.sides.get(end.name)
            if side is not None and side.end is end and not side.over:
                return side
        return None

    def took_place(self, newer: Connection, side: _Side) -> None:
        """An older connection of this end gives way."""
        for connection in self._connections:
            older = connection.sides.get(side.end.name)
            if connection is not newer and older is not None and not older.over:
                connection.close(older, "a newer connection took its place")

    # --- what a process does ----------------------------------------------------------------------------------

    def say(self, end: End, message: Message) -> bool:
        """Send; False when nobody is linked."""
        for connection in self._connections:
            side = connection.sides.get(end.name)
            if side is not None and side.end is end and side.linked:
                connection.write(side, message)
                return True
        return False

    def crowded(self, end: End) -> bool:
        """More waits than the line takes."""
        side = self._side_of(end)
        return side is not None and side.linked and side.bytes > self.sky.weather.crowded_bytes

    def when_free(self, end: End, call: Callable[[], None]) -> None:
        """Call when it takes more."""
        side = self._side_of(end)
        if side is None or not self.crowded(end):
            call()
        else:
            side.free_calls.append(call)

    def drop(self, end: End, why: str) -> None:
        """Break it: both begin anew."""
        for connection in self._connections:
            side = connection.sides.get(end.name)
            if side is not None and side.end is end and not side.over:
                connection.dead = True
                taker = connection.other(side)
                self.sky.at(0.0, lambda c=connection, s=side: s.end.let(lambda: c.close(s, why)))  # type: ignore[misc]
                self.sky.at(
                    self.latency_s(),
                    lambda c=connection, t=taker: t.end.let(lambda: c.close(t, "the other hung up")),  # type: ignore[misc]
                )

    # --- what goes wrong --------------------------------------------------------------------------------------

    def cut(self) -> None:
        """The connection breaks; sometimes one end notices late."""
        late_s = self.sky.weather.break_s if self.dice.random() < 0.3 else 0.0
        for connection in self._connections:
            if not connection.dead:
                names = list(connection.sides)
                after = {name: self.dice.random() * 0.05 for name in names}
                after[self.dice.choice(names)] += late_s
                connection.cut("the line broke", after)

    def block(self, names: tuple[str, ...], for_s: float) -> None:
        """What these servers send does not arrive for a while."""
        self._blocks += 1
        number = self._blocks
        for name in names:
            self.blocked[name] = True
        self.sky.at(
            self.sky.weather.break_s * (0.8 + 0.4 * self.dice.random()), lambda: self._broken_by(number)
        )
        self.sky.at(for_s, lambda: self.free() if number == self._blocks else None)

    def _broken_by(self, number: int) -> None:
        if number != self._blocks or not any(self.blocked.values()):
            return
        for connection in self._connections:
            if not connection.dead:
                after = {name: self.dice.random() for name in connection.sides}
                connection.cut("nothing is acknowledged any more", after)

    def free(self) -> None:
        """Every way is free."""
        self.blocked = dict.fromkeys(self.blocked, False)
        for connection in self._connections:
            for side in connection.sides.values():
                connection.go_on(side)
