"""What every register at a third place does alike: take turns, keep the deadline, believe nothing that goes back.

A place that is restored from a backup, emptied or put in another's place answers quietly with something older. Within
one process that is noticed here; across restarts the machine compares epochs.

A change whose outcome is unknown may still arrive later, after somebody has read that it is not there: held up in a
network, in a stopped server, in a worker that hangs in the kernel. Then a read alone decides nothing. So the version it
was to replace is kept as open, and a read that finds this very version puts the same record there once more: the
version moves on, and the change on its way can never find it again. A read after `Unknown` is thereby final.
Only nothing at all (version 0) can't be put there again; no right and no duty follows from nothing.
"""

import asyncio
from typing import Protocol

from meetkeeper.ha.words import Empty, Found, Lost, Outcome, Reading, Record, Unknown, Unreachable, Won

PutAnswer = Won | Found | Empty | Unknown | Unreachable
"""Done; or what stands instead; or nobody knows; or certainly not done, and why."""


class Place(Protocol):
    """A third place as it is, without memory. `until` is the event loop's time; never raises for a place away."""

    async def look(self, until: float) -> Reading:
        """What stands."""
        ...

    async def put(self, expected: int, record: Record, until: float) -> PutAnswer:
        """Put the record in the place of version `expected`, once."""
        ...


class CarefulRegister:
    """A place, and what was seen of it in this process. `name` and `silent` are for sentences about it."""

    def __init__(self, place: Place, *, name: str, deadline_s: float) -> None:
        self._place = place
        self._name = name
        self._deadline_s = deadline_s
        self._turn = asyncio.Lock()
        self._last: Found | None = None
        self._open_at: int | None = None

    async def read(self) -> Reading:
        """What stands; after an `Unknown`, for good."""
        until = self._until()
        try:
            async with asyncio.timeout_at(until), self._turn:
                standing = self._seen(await self._place.look(until))
                if isinstance(standing, Found) and self._open_at == standing.version:
                    return await self._settled(standing, until)
                return standing
        except TimeoutError:
            return Unreachable(self._silent())

    async def change(self, expected: int, record: Record) -> Outcome:
        """Look, then put the record there if version `expected` still stands."""
        until = self._until()
        try:
            async with asyncio.timeout_at(until), self._turn:
                standing = self._seen(await self._place.look(until))
                if isinstance(standing, Unreachable):
                    return Unknown(f"{standing.why} Nothing was changed.")
                if standing.version != expected:
                    return verdict(standing, record)
                return await self._put(expected, record, until)
        except TimeoutError:
            return Unknown(self._silent())

    def believe(self) -> None:
        """A person has looked: what stands there counts from now on, even if it is older than what was seen."""
        self._last = self._open_at = None

    async def _put(self, expected: int, record: Record, until: float) -> Outcome:
        before, self._open_at = self._open_at, expected
        answer = await self._place.put(expected, record, until)
        match answer:
            case Won(version):
                self._last, self._open_at = Found(record, version), None
                return answer
            case Unknown():
                return answer
            case Unreachable(why):
                self._open_at = before
                return Unknown(f"{why} Nothing was changed.")
            case Found() | Empty():
                standing = self._seen(answer)
                if isinstance(standing, Unreachable):
                    return Unknown(f"{standing.why} Nothing was changed.")
                return verdict(standing, record)

    async def _settled(self, standing: Found, until: float) -> Reading:
        """A change of ours may still arrive: put the same there again, so that it comes too late."""
        outcome = await self._put(standing.version, standing.record, until)
        match outcome:
            case Won(version):
                return Found(standing.record, version)
            case Lost(found):
                return found
            case Unknown(why):
                return Unreachable(f"{why} Until it can be, an earlier change may still arrive there.")

    def _seen(self, standing: Reading) -> Reading:
        """The same, or why it can't be believed."""
        if isinstance(standing, Unreachable):
            return standing
        last = self._last
        if last is not None and isinstance(standing, Found) and standing.record.epoch > last.record.epoch:
            last = None  # written anew, under an epoch that was not there before: what is old can't say that
        if last is not None and standing.version < last.version:
            there = f"version {standing.version}" if standing.version else "nothing at all"
            return Unreachable(
                f"{self._name} was rolled back from version {last.version} to {there}: it was restored from a backup, "
                "or emptied, or is another place. Bring the newer contents back, or stop both servers and decide by "
                "hand who is active."
            )
        if isinstance(standing, Empty):
            return standing
        if last is not None and standing.version == last.version and standing.record != last.record:
            return Unreachable(
                f"{self._name} holds another record under version {standing.version} than before: it was rolled back "
                "and written again, or somebody changed it. Stop both servers and decide by hand who is active."
            )
        self._last = standing
        if self._open_at is not None and standing.version > self._open_at:
            self._open_at = None
        return standing

    def _until(self) -> float:
        return asyncio.get_running_loop().time() + self._deadline_s

    def _silent(self) -> str:
        return f"{self._name} gave no answer within {self._deadline_s:g} s. Look at that place and the way there."


def verdict(standing: Found | Empty, record: Record) -> Outcome:
    """What it means for a change that this stands in its way: perhaps it is the very change, done before."""
    if isinstance(standing, Found) and record.nonce and standing.record == record:
        return Won(standing.version)
    return Lost(standing)
