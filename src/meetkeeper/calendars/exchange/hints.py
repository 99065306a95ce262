"""Streaming notifications as a hint: who is listened for, in which group, and what happens when a stream ends.

Whatever a stream tells ends in an ordinary look at the room. Polling goes on as ever, so a stream that is refused, cut,
silent or full of nonsense costs latency and nothing else: it is left alone for a while and begun anew, with new
subscriptions. None is given back: they end by themselves half an hour after the last word (Exchange's default).

Microsoft's bounds: 200 subscriptions on a connection, which have to live on one mailbox server; ten hanging connections
for an account (HangingConnectionLimit; three on Exchange 2013). Which mailboxes share a server is not asked of
Autodiscover: a mailbox that its group's server refuses is tried in the next group.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Protocol, TypeVar

import structlog
from msgspec import Struct

from meetkeeper.calendars.exchange.faults import to_error
from meetkeeper.calendars.exchange.soap import Fault
from meetkeeper.calendars.exchange.stream import Told
from meetkeeper.core.errors import MeetkeeperError, OurMistake, TheirMistake, Unavailable

log = structlog.get_logger("calendars")
T = TypeVar("T")

GROUP_MAX = 200
CONNECTIONS_MAX = 10


class Pace(Struct, frozen=True, kw_only=True):
    """How long, in seconds: a connection (in minutes, at most 30), a silence, rests, gathering what comes together."""

    connection_min: int = 29
    silence_s: float = 120.0
    """Exchange sends a sign of life about every 45 s."""
    gather_s: float = 5.0
    """Mailboxes that come within so long are subscribed together."""
    lull_s: float = 1.0
    """One booking is several events; they are one hint."""
    rest_s_min: float = 5.0
    rest_s_max: float = 600.0
    again_s: float = 600.0
    """A mailbox that was refused is tried again so much later."""


PACE = Pace()


class Hearing(Protocol):
    """One hanging connection (`ear.Ear`); its calls block."""

    anchor: str

    def subscribe(self, mailbox: str) -> str:
        """The subscription's id."""
        ...

    def listen(self, names: list[str], minutes: int, tell: Callable[[Told], bool]) -> None:
        """Hang until the connection ends."""
        ...

    def hang_up(self) -> None:
        """End what hangs."""
        ...


class Gate(Protocol):
    """What hints need of the server that everybody shares."""

    host: str

    def heed(self, fault: Fault) -> None:
        """Let everybody wait when the server says that it is too busy."""
        ...

    def mind_the_gate(self) -> None:
        """Raises `Unavailable` while the server wants a pause."""
        ...


class _Group:
    """Mailboxes on one connection, with the ids of their subscriptions ("" for none yet). The first is the anchor."""

    def __init__(self) -> None:
        self.members: dict[str, str] = {}
        self.grown = False
        self.ear: Hearing | None = None
        self.task: asyncio.Task[None] | None = None


class Hints:
    """All listening to one server. Used in the loop's thread; only `_Group.ear` blocks, in a thread of its own."""

    def __init__(self, gate: Gate, make_ear: Callable[[float], Hearing], pace: Pace = PACE) -> None:
        """No I/O. `make_ear` is called with the silence that an ear bears, in a thread."""
        self._gate = gate
        self._make_ear = make_ear
        self._pace = pace
        self._wakes: dict[str, Callable[[], None]] = {}
        self._groups: list[_Group] = []
        self._misfits: dict[str, set[str]] = {}
        self._not_before: dict[str, float] = {}
        self._troubles: dict[str, str] = {}
        self._pending: set[str] = set()
        self._closed = False

    def want(self, mailbox: str, wake: Callable[[], None]) -> None:
        """Call `wake` soon after something has changed in the mailbox's calendar. May be said again at any time."""
        self._wakes[mailbox] = wake
        now = asyncio.get_running_loop().time()
        if self._closed or self._group_of(mailbox) or now < self._not_before.get(mailbox, 0.0):
            return
        self._place(mailbox)

    def trouble(self, mailbox: str) -> str:
        """Why nothing is heard of a mailbox; "" when all is well or it was not tried yet."""
        return self._troubles.get(mailbox, "")

    def name_of(self, mailbox: str) -> str:
        """The id of the mailbox's subscription, or ""."""
        group = self._group_of(mailbox)
        return "" if group is None else group.members[mailbox]

    def close(self) -> None:
        """Hear no more. Threads that hang wake up and end; nobody waits for them."""
        self._closed = True
        for group in self._groups:
            if group.task is not None:
                group.task.cancel()
            if group.ear is not None:
                group.ear.hang_up()
        self._groups.clear()

    # --- groups ------------------------------------------------------------------------------------------------------

    def _group_of(self, mailbox: str) -> _Group | None:
        return next((group for group in self._groups if mailbox in group.members), None)

    def _place(self, mailbox: str) -> None:
        """Into the first group that has not refused it, else into one of its own."""
        misfits = self._misfits.get(mailbox, set())
        for group in self._groups:
            if len(group.members) < GROUP_MAX and not misfits & {next(iter(group.members))}:
                group.members[mailbox] = ""
                group.grown = True
                return
        if len(self._groups) >= CONNECTIONS_MAX:
            self._refuse(mailbox, f"{CONNECTIONS_MAX} connections to {self._gate.host} are open already.")
            return
        group = _Group()
        group.members[mailbox] = ""
        self._groups.append(group)
        group.task = asyncio.create_task(self._follow(group), name=f"hints of {self._gate.host}")
        group.task.add_done_callback(partial(self._ended, group))

    def _ended(self, group: _Group, task: asyncio.Task[None]) -> None:
        """A group that ended by a mistake of ours is told and forgotten: its rooms are placed anew, later."""
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        log.error("hints.stumbled", error=repr(error), mailboxes=len(group.members))
        if group in self._groups:
            self._groups.remove(group)
        for mailbox in group.members:
            self._refuse(mailbox, _stumbled().message)

    def _refuse(self, mailbox: str, why: str) -> None:
        """Nothing is heard of it for a while; it may then be placed anywhere."""
        if self._troubles.get(mailbox) != why:
            log.info("hints.refused", mailbox=mailbox, text=why)
        self._troubles[mailbox] = why
        self._misfits.pop(mailbox, None)
        self._not_before[mailbox] = asyncio.get_running_loop().time() + self._pace.again_s

    async def _follow(self, group: _Group) -> None:
        """Subscribe and listen, again and again, until nobody is left in the group."""
        loop = asyncio.get_running_loop()
        quick = 0
        await asyncio.sleep(self._pace.gather_s)
        while group.members:
            began, asked_s = loop.time(), 0.0
            group.grown = False
            try:
                self._gate.mind_the_gate()
                await self._subscribe(group)
                if not group.members:
                    break
                await self._listen(group)
            except MeetkeeperError as trouble:
                if isinstance(trouble, Unavailable) and trouble.code == "calendar.busy":
                    asked_s = trouble.retry_after_s
                self._start_over(group, trouble)
            # However a connection ends: one that ends early again and again is left alone for longer and longer.
            early = loop.time() - began < self._pace.rest_s_max and not group.grown
            quick = quick + 1 if early else 0
            rest_s = min(self._pace.rest_s_min * 2.0 ** min(max(quick - 1, 0), 10), self._pace.rest_s_max)
            await asyncio.sleep(max(rest_s, asked_s))
        self._groups.remove(group)

    def _start_over(self, group: _Group, trouble: MeetkeeperError) -> None:
        """Whatever was agreed with the server is void: another session, other subscriptions."""
        log.info("hints.broken", mailboxes=len(group.members), code=trouble.code, text=trouble.message)
        if group.ear is not None:
            group.ear.hang_up()
            group.ear = None
        for mailbox in group.members:
            group.members[mailbox] = ""
            self._troubles[mailbox] = trouble.message

    async def _subscribe(self, group: _Group) -> None:
        """Subscribe those that are not. One that is refused leaves the group."""
        ear = group.ear
        if ear is None:
            ear = group.ear = await _in_thread(partial(self._make_ear, self._pace.silence_s))
        for mailbox in [one for one, name in group.members.items() if not name]:
            anchor = ear.anchor = next(iter(group.members))
            try:
                group.members[mailbox] = await _in_thread(partial(ear.subscribe, mailbox))
                self._troubles.pop(mailbox, None)
            except Fault as fault:
                self._gate.heed(fault)
                error = to_error(fault, f"{self._gate.host} for {mailbox}")
                if isinstance(error, Unavailable):
                    raise error from None
                del group.members[mailbox]
                if mailbox == anchor:
                    self._refuse(mailbox, error.message)
                else:
                    self._misfits.setdefault(mailbox, set()).add(anchor)
                    self._place(mailbox)
            except TheirMistake as odd:  # the mailbox's own trouble: the others are heard all the same
                del group.members[mailbox]
                self._refuse(mailbox, odd.message)

    async def _listen(self, group: _Group) -> None:
        """Hang on the subscriptions until the connection ends in good order."""
        assert group.ear is not None
        loop = asyncio.get_running_loop()
        mailboxes = {name: mailbox for mailbox, name in group.members.items() if name}

        def tell(told: Told) -> bool:
            """In the thread. Newcomers are taken in at the next sign of life, which comes within a minute."""
            loop.call_soon_threadsafe(self._heard, group, mailboxes, told)
            return not self._closed and not group.grown

        try:
            listen = partial(group.ear.listen, list(mailboxes), self._pace.connection_min, tell)
            await _in_thread(listen)
        except Fault as fault:
            self._gate.heed(fault)
            raise to_error(fault, self._gate.host) from None

    def _heard(self, group: _Group, mailboxes: dict[str, str], told: Told) -> None:
        for name in told.changed:
            if name in mailboxes:
                self._hint(mailboxes[name])
        for name in mailboxes if told.lost_all else told.lost:
            mailbox = mailboxes.get(name, "")
            if group.members.get(mailbox) == name:
                group.members[mailbox] = ""
                self._hint(mailbox)  # what was told meanwhile is lost

    def _hint(self, mailbox: str) -> None:
        if mailbox not in self._pending and not self._closed:
            self._pending.add(mailbox)
            asyncio.get_running_loop().call_later(self._pace.lull_s, self._wake, mailbox)

    def _wake(self, mailbox: str) -> None:
        self._pending.discard(mailbox)
        if not self._closed:
            self._wakes[mailbox]()


async def _in_thread(work: Callable[[], T]) -> T:
    """The result of blocking work in a thread that neither this process nor its loop waits for at their end."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: Exception | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(result)  # type: ignore[arg-type] # without an error there is a result
        else:
            done.set_exception(error)

    def run() -> None:
        outcome: tuple[T | None, Exception | None] = (None, _stumbled())
        try:
            outcome = (work(), None)
        except (MeetkeeperError, Fault) as known:
            outcome = (None, known)
        finally:  # also for what nobody foresaw, which the thread's own hook reports
            with suppress(RuntimeError):  # the loop is closed: nobody wants to know any more
                loop.call_soon_threadsafe(settle, *outcome)

    threading.Thread(target=run, name="ews-hints", daemon=True).start()
    return await done


def _stumbled() -> MeetkeeperError:
    return OurMistake("calendar.hints", "Listening to an Exchange server has stumbled; report this.")
