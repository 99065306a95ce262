"""The pair's protocol as a small model, searched completely: every order of everything that can happen, no clock.

Two servers, a register, a line that loses, repeats and reorders (`Bounds.in_flight` > 0) or delivers at once. The rules
R1 to R7 are written here once more, apart from the machine that lives by them, and as small as they can be. What must
hold is checked in every state that can be reached within the bounds. Small scope: evidence, not proof.

A mutant leaves one rule out; the search must find what goes wrong. One that finds nothing would be blind.
"""

from collections import deque
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct


class Mutant(StrEnum):
    """One rule left out."""

    DROP_WITHOUT_REGISTER = "goes on alone without asking the register"
    ADMIT_TOO_EARLY = "admits the peer before it holds everything"
    PROMOTE_ANYONE = "promotes a server that is not in sync"
    NO_EPOCH_CHECK = "takes frames of an epoch below the promised one"
    SHORTEN_SAME_EPOCH = "shortens frames of the same epoch"
    BELIEVE_A_READ = "takes a read for the end of a change that may still arrive"


class Bounds(Struct, frozen=True, kw_only=True):
    """How far to search. `in_flight` 0: a message is delivered when it is sent, or lost."""

    writes: int
    epochs: int
    crashes: int
    in_flight: int = 0
    late: bool = False
    """A change of the register may arrive after its sender has stopped waiting for it."""


class Found(Struct, frozen=True):
    """How many states were reached, and the way to the first bad one, if there is any."""

    states: int
    wrong: str = ""
    way: tuple[str, ...] = ()


class Server(NamedTuple):
    """One server. `log` and `promised` are on its disk. `reign` is the epoch it acts under, 0 when it does not."""

    up: bool
    reign: int
    needs_peer: bool
    """It acknowledges nothing that the peer has not acknowledged to it."""
    doubt: bool
    """It does not know how its last change of the register ended."""
    peer_has: int
    log: tuple[tuple[int, int], ...]
    """(epoch, id), in order."""
    promised: int


class Register(NamedTuple):
    """The third place. `in_sync` is a set of servers as bits."""

    epoch: int
    active: int
    in_sync: int


class Message(NamedTuple):
    """Frames (`log` is all of it) to the passive, or an acknowledgement (`length`) to the active. Never both."""

    to: int
    epoch: int
    length: int
    log: tuple[tuple[int, int], ...] | None


class State(NamedTuple):
    """Everything."""

    register: Register
    servers: tuple[Server, Server]
    messages: frozenset[Message]
    late: int
    """The servers in sync that a change on its way brings, if it still finds the version it compares with; 0: none."""
    written: int
    acked: int
    """Acknowledged ids as bits."""
    ackers: tuple[int, ...]
    """For each epoch the servers that have acknowledged in it, as bits."""
    crashes: int


BOTH = 0b11
Step = tuple[str, State]


def start(bounds: Bounds) -> State:
    """Server 0 is active in epoch 1, both are in sync, nothing is written."""
    active = Server(True, 1, True, False, 0, (), 1)
    passive = Server(True, 0, False, False, 0, (), 1)
    ackers = (0,) * (bounds.epochs + 1)
    return State(Register(1, 0, BOTH), (active, passive), frozenset(), 0, 0, 0, ackers, 0)


def wrong_in(state: State) -> str:
    """What does not hold; "" when everything does."""
    electable = state.register.in_sync | 1 << state.register.active
    if state.acked:
        for number, server in enumerate(state.servers):
            if electable >> number & 1:
                held = 0
                for _, entry in server.log:
                    held |= 1 << entry
                if state.acked & ~held:
                    return f"server {number} may be promoted and does not hold everything acknowledged"
    if BOTH in state.ackers:
        return f"two servers acknowledge in epoch {state.ackers.index(BOTH)}"
    return ""


def search(
    bounds: Bounds, mutant: Mutant | None = None, *, wrong_in: Callable[[State], str] = wrong_in
) -> Found:
    """Every state within the bounds, breadth first, until one is wrong: the way to it is a shortest one."""
    model = Model(bounds, mutant)
    first = start(bounds)
    came: dict[State, tuple[str, State] | None] = {first: None}
    waiting = deque((first,))
    while waiting:
        state = waiting.popleft()
        for name, after in model.steps(state):
            if after in came:
                continue
            came[after] = (name, state)
            wrong = wrong_in(after)
            if wrong:
                return Found(len(came), wrong, _way(came, after))
            waiting.append(after)
    return Found(len(came))


class Model:
    """What can happen next."""

    def __init__(self, bounds: Bounds, mutant: Mutant | None) -> None:
        self._bounds = bounds
        self._mutant = mutant

    def steps(self, state: State) -> Iterator[Step]:
        """Every step from here, by name."""
        for me in (0, 1):
            server = state.servers[me]
            if not server.up:
                yield f"{me} starts", _with(state, me, server._replace(up=True))
                continue
            if state.crashes < self._bounds.crashes:
                down = Server(False, 0, False, False, 0, server.log, server.promised)
                yield f"{me} crashes", _with(state, me, down)._replace(crashes=state.crashes + 1)
            if server.reign:
                yield from self._client(state, me)
                yield from self._replicate(state, me)
                yield from self._drop(state, me)
                yield from self._admit(state, me)
                yield from self._read_again(state, me)
            else:
                yield from self._claim(state, me)
        for message in state.messages:
            yield "a message is lost", state._replace(messages=state.messages - {message})
            yield from self._deliver(state, message)
        if state.late:
            yield "a late change arrives", _put(state, state.register._replace(in_sync=state.late))

    # --- the active and its clients --------------------------------------------------------------------------------

    def _client(self, state: State, me: int) -> Iterator[Step]:
        server = state.servers[me]
        if state.written < self._bounds.writes:
            log = (*server.log, (server.reign, state.written))
            yield (
                f"{me} writes {state.written}",
                _with(state, me, server._replace(log=log))._replace(written=state.written + 1),
            )
        sure = server.peer_has if server.needs_peer else len(server.log)
        for _, entry in server.log[:sure]:
            if not state.acked >> entry & 1:
                ackers = list(state.ackers)
                ackers[server.reign] |= 1 << me
                yield (
                    f"{me} acknowledges {entry}",
                    state._replace(acked=state.acked | 1 << entry, ackers=tuple(ackers)),
                )

    # --- the line --------------------------------------------------------------------------------------------------

    def _replicate(self, state: State, me: int) -> Iterator[Step]:
        server = state.servers[me]
        message = Message(1 - me, server.reign, 0, server.log)
        if self._bounds.in_flight:
            if len(state.messages) < self._bounds.in_flight and message not in state.messages:
                yield f"{me} sends", state._replace(messages=state.messages | {message})
            return
        peer = state.servers[1 - me]
        taken = self._taken(peer, message) if peer.up else None
        if taken is not None:
            there = _with(state, 1 - me, taken)
            if there != state:
                yield f"{me} sends, no answer", there
            has = max(server.peer_has, len(server.log))
            yield f"{me} sends, and hears", _with(there, me, server._replace(peer_has=has))

    def _deliver(self, state: State, message: Message) -> Iterator[Step]:
        server = state.servers[message.to]
        if not server.up:
            return
        if message.log is None:
            if server.reign == message.epoch and message.length > server.peer_has:
                yield (
                    f"{message.to} hears {message.length}",
                    _with(state, message.to, server._replace(peer_has=message.length)),
                )
            return
        taken = self._taken(server, message)
        if taken is None:
            return
        there = _with(state, message.to, taken)
        yield f"{message.to} takes {len(message.log)}, no answer", there
        answer = Message(1 - message.to, message.epoch, len(message.log), None)
        if answer not in state.messages:
            # The frames may come again as long as there is room for the answer beside them.
            if len(state.messages) < self._bounds.in_flight:
                yield (
                    f"{message.to} takes {len(message.log)}, answers",
                    there._replace(messages=state.messages | {answer}),
                )
            yield (
                f"{message.to} takes {len(message.log)} for the last time, answers",
                there._replace(messages=state.messages - {message} | {answer}),
            )

    def _taken(self, server: Server, message: Message) -> Server | None:
        """R6: the server with these frames on its disk; None when it refuses them. What it cuts it has set aside."""
        assert message.log is not None
        if message.epoch < server.promised and self._mutant is not Mutant.NO_EPOCH_CHECK:
            return None
        if server.reign >= message.epoch:
            return None
        common = 0
        for ours, theirs in zip(server.log, message.log, strict=False):
            if ours != theirs:
                break
            common += 1
        log = message.log
        if common < len(server.log) and server.log[common][0] >= message.epoch:
            if common < len(log):
                return None
            if self._mutant is not Mutant.SHORTEN_SAME_EPOCH:
                log = server.log
        promised = max(server.promised, message.epoch)
        return Server(True, 0, False, False, 0, log, promised)

    # --- the register ----------------------------------------------------------------------------------------------

    def _drop(self, state: State, me: int) -> Iterator[Step]:
        """R2: alone only after the register has said so."""
        server = state.servers[me]
        if not server.needs_peer or server.doubt:
            return
        alone = server._replace(needs_peer=False)
        if self._mutant is Mutant.DROP_WITHOUT_REGISTER:
            yield f"{me} goes on alone", _with(state, me, alone)
        yield from self._change(state, me, 1 << me, ("drops", server, alone))

    def _admit(self, state: State, me: int) -> Iterator[Step]:
        """R4: the peer holds everything, and its acknowledgements are needed from before the change on."""
        server = state.servers[me]
        if server.needs_peer or server.doubt:
            return
        if server.peer_has < len(server.log) and self._mutant is not Mutant.ADMIT_TOO_EARLY:
            return
        needs = server._replace(needs_peer=True)
        yield from self._change(state, me, BOTH, ("admits", needs, needs))

    def _change(
        self, state: State, me: int, in_sync: int, words: tuple[str, Server, Server]
    ) -> Iterator[Step]:
        """R5: with the answer lost, no right follows and every duty does (`unsure`); with it, the change is ours."""
        name, unsure, sure = words
        register = state.register
        unsure = unsure._replace(doubt=True)
        if register.epoch != unsure.reign:
            yield f"{me} has lost the reign", _with(state, me, _stopped(sure))
            return
        done = _put(state, register._replace(in_sync=in_sync))
        yield f"{me} {name} the peer", _with(done, me, sure)
        yield f"{me} {name} the peer, answer lost", _with(done, me, unsure)
        yield f"{me} {name} the peer, question lost", _with(state, me, unsure)
        if self._bounds.late and not state.late:
            yield f"{me} {name} the peer, on its way", _with(state._replace(late=in_sync), me, unsure)

    def _read_again(self, state: State, me: int) -> Iterator[Step]:
        """After an unknown outcome. Such a read is final: the register's version moves on (`registers.careful`)."""
        server, register = state.servers[me], state.register
        if not server.doubt:
            return
        if register.epoch != server.reign:
            yield f"{me} reads that it has lost", _with(state, me, _stopped(server))
            return
        needs = bool(register.in_sync >> 1 - me & 1)
        known = _with(state, me, server._replace(needs_peer=needs, doubt=False))
        if self._mutant is Mutant.BELIEVE_A_READ:
            yield f"{me} reads", known
        else:
            yield f"{me} reads for good", _put(known, register)

    def _claim(self, state: State, me: int) -> Iterator[Step]:
        """R3: promoted while in sync, after the promise. R7: whoever was active needs a new epoch as well."""
        server, register = state.servers[me], state.register
        epoch = max(register.epoch, server.promised) + 1
        if epoch > self._bounds.epochs:
            return
        again = register.active == me
        if not again and not register.in_sync >> me & 1 and self._mutant is not Mutant.PROMOTE_ANYONE:
            return
        in_sync = register.in_sync if again else 1 << me
        promised = server._replace(promised=epoch)
        yield f"{me} promises {epoch}", _with(state, me, promised)
        done = _put(state, Register(epoch, me, in_sync))
        yield f"{me} claims {epoch}, answer lost", _with(done, me, promised)
        reigns = Server(True, epoch, in_sync == BOTH, False, 0, server.log, epoch)
        yield f"{me} reigns in {epoch}", _with(done, me, reigns)


def _put(state: State, register: Register) -> State:
    """A new version stands: a change that compares with the one before comes too late."""
    return state._replace(register=register, late=0)


def _stopped(server: Server) -> Server:
    return Server(True, 0, False, False, 0, server.log, server.promised)


def _with(state: State, number: int, server: Server) -> State:
    servers = (server, state.servers[1]) if number == 0 else (state.servers[0], server)
    return state._replace(servers=servers)


def _way(came: dict[State, tuple[str, State] | None], state: State) -> tuple[str, ...]:
    way: list[str] = []
    at = came[state]
    while at is not None:
        way.append(at[0])
        at = came[at[1]]
    return tuple(reversed(way))
