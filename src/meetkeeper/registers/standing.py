"""Where a pair has no third place: each server keeps what stands itself, in `local/standing.json`.

Within its reign the active changes what stands by itself: nobody can take over behind its back, because a new reign
needs the other server's consent, or a proof that the other has stopped, which carries the last record it knew.

Versions are ordered on both servers alike: epoch · 1,000,000,000 + the number of the change in that reign, from 1. Only
the one active of an epoch makes them, so the same version is the same record on both.

Rules of this file: every method that changes the standing has it on the disk, written aside, flushed, renamed, folder
flushed, before it answers. A damaged file is refused, never taken for an empty one. Sync methods are short and may be
called on the event loop; a lock keeps them apart from the writes of `change`, which run in a thread.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable

from msgspec import Struct

from meetkeeper.core.errors import MeetkeeperError, OurMistake
from meetkeeper.ha.words import Empty, Found, Lost, Outcome, Proof, Reading, Record, Unknown, Unreachable, Won
from meetkeeper.ports.disk import Disk
from meetkeeper.registers.careful import verdict
from meetkeeper.registers.sheet import Damaged, seal, unseal
from meetkeeper.store.trouble import damaged, translated

PATH = "local/standing.json"
_PART = PATH + ".part"
CHANGES_MAX = 1_000_000_000
"""Versions of one reign."""

Grant = Callable[[int, Record], Awaitable[Outcome]]
"""Asks the other server (expected, record): `Won` it consents, `Lost` it refuses, `Unknown` no answer."""


class NeedsGrant(Struct, frozen=True):
    """A new reign that the other server has to consent to first."""

    expected: int
    record: Record


class _Ours(Struct, frozen=True):
    """A change that is ours to make."""

    version: int


class StandingRegister:
    """This server's own standing."""

    arbitrates = False
    place = "No third place: the two servers keep what stands themselves"

    def __init__(
        self,
        disk: Disk,
        grant: Grant,
        *,
        me: str,
        founds: bool = False,
        consents: bool = False,
        deadline_s: float = 2.0,
    ) -> None:
        """Reads the file. `founds`: may found a pair by itself where nothing stands. `deadline_s` is for the grant.

        `consents`: this host's agent vouches that nobody was given a proof against us since our last reign: it may be
        taken up again once, without the other server.

        Raises `Corrupt` when the file is damaged, and what `trouble.meaning` makes of one that can't be read.
        """
        self._disk, self._grant, self._me, self._founds = disk, grant, me, founds
        self._deadline_s, self._consents = deadline_s, consents
        self._lock = threading.RLock()
        self._own = _load(disk)
        self._proof: Proof | None = None
        self._asked: NeedsGrant | None = None

    # --- the port ------------------------------------------------------------------------------------------------

    async def read(self) -> Reading:
        """Own standing, read from the disk."""
        return await asyncio.to_thread(self.read_now)

    async def change(self, expected: int, record: Record) -> Outcome:
        """Change what stands in our reign, or begin a reign with the other's consent or proof of stop.

        Raises `OurMistake` for a record that makes another server active.
        """
        reading = await self.read()
        if isinstance(reading, Unreachable):
            return Unknown(f"{reading.why} Nothing was changed.")
        step = self._decide(expected, record)
        if isinstance(step, _Ours):
            return await asyncio.to_thread(self._commit, expected, record, step.version)
        if not isinstance(step, NeedsGrant):
            return step
        answer: Outcome = Unknown("The other server was not asked to the end.")
        try:
            async with asyncio.timeout(self._deadline_s):
                answer = await self._grant(expected, record)
        except TimeoutError:
            answer = Unknown(f"The other server gave no consent within {self._deadline_s:g} s.")
        finally:
            step = self._answered(step, answer)
        if isinstance(step, _Ours):
            return await asyncio.to_thread(self._commit, expected, record, step.version)
        return step

    async def close(self) -> None:
        """Nothing to let go of."""

    # --- the same at once ----------------------------------------------------------------------------------------

    def read_now(self) -> Reading:
        """As `read`."""
        with self._lock:
            try:
                found = _load(self._disk)
                if found.version > self._own.version and isinstance(found, Found):
                    # A write that we could not be sure of, and are now.
                    _keep(self._disk, found)
                    self._own = found
            except MeetkeeperError as error:
                return Unreachable(error.message)
            if found != self._own:
                return Unreachable(
                    f"{PATH} was rolled back from version {self._own.version} to {found.version}, or changed, while "
                    "this server was running. Find out who did it, and restart this server with the newer contents."
                )
            return found

    def prepare(self, expected: int, record: Record) -> Outcome | NeedsGrant:
        """The first half of `change`: done or refused at once, or the other server has to be asked."""
        reading = self.read_now()
        if isinstance(reading, Unreachable):
            return Unknown(f"{reading.why} Nothing was changed.")
        step = self._decide(expected, record)
        return self._commit(expected, record, step.version) if isinstance(step, _Ours) else step

    def finish(self, asked: NeedsGrant, answer: Outcome) -> Outcome:
        """The second half: what the other's answer means. Call it once for each `NeedsGrant`, also without answer."""
        step = self._answered(asked, answer)
        if isinstance(step, _Ours):
            return self._commit(asked.expected, asked.record, step.version)
        return step

    # --- what the other server says ------------------------------------------------------------------------------

    def adopt(self, proof: Proof) -> Reading:
        """Take a verified proof of the other's stop, in memory alone; answers what stands after it.

        The stopped server's last record becomes what stands where it is newer: of a higher epoch, or of its own reign.
        """
        with self._lock:
            if proof.server == self._me:
                return self._own
            record = proof.record
            try:
                if record is not None and self._is_news(record, proof.server):
                    self._keep(record, self._next(record.epoch))
            except MeetkeeperError as error:
                return Unreachable(error.message)
            if self._proof is None or proof.epoch >= self._proof.epoch:
                self._proof = proof
            return self._own

    def gave_word(self) -> None:
        """This server is about to say that it has stopped: what its agent vouched for is older than that word."""
        with self._lock:
            self._consents = False

    def consent(self, expected: int, record: Record, *, acting: bool) -> tuple[bool, Found | Empty]:
        """The other server asks for a new reign: whether it may, and what stands here now.

        Refused while this server acts, when more or a higher epoch is known here, and when this server asks for the
        same itself and comes first by its name. A yes is binding: our own question under way has
        lost by it. The caller has promised the epoch durably before it passes on a yes.
        """
        with self._lock:
            own = self._own
            if acting:
                return False, own
            if isinstance(own, Found) and own.record == record:
                return True, own
            if own.version > expected or record.epoch <= _epoch(own) or record.active == self._me:
                return False, own
            if self._asked is not None:
                ours = self._asked.record
                if (ours.epoch, record.active) > (record.epoch, self._me):
                    return False, own
            try:
                self._keep(record, self._next(record.epoch))
            except MeetkeeperError:
                return False, own
            return True, self._own

    def remember(self, record: Record, version: int) -> bool:
        """Mirror what the other server says stands; True when it was newer and is kept here now."""
        with self._lock:
            own = self._own
            if version // CHANGES_MAX != record.epoch or version <= own.version:
                return False
            if (
                isinstance(own, Found)
                and own.record.epoch == record.epoch
                and own.record.active != record.active
            ):
                return False  # two actives of one epoch: no record of theirs is worth more than ours
            try:
                self._keep(record, version)
            except MeetkeeperError:
                return False
            return True

    def mirror(self, record: Record) -> bool:
        """Where a third place decides: keep what it said, for the next start and for proofs. True when it is kept."""
        with self._lock:
            if isinstance(self._own, Found) and self._own.record.same_rights(record):
                return True
            if record.epoch < _epoch(self._own):
                return False
            try:
                self._keep(record, self._next(record.epoch))
            except MeetkeeperError:
                return False
            return True

    # --- deciding and keeping ------------------------------------------------------------------------------------

    def _decide(self, expected: int, record: Record) -> Outcome | NeedsGrant | _Ours:
        if record.active != self._me:
            raise OurMistake(
                "standing.not_me",
                f"A record that makes {record.active} active was to be kept as {self._me}'s own. Report this.",
            )
        with self._lock:
            own = self._own
            if own.version != expected:
                return verdict(own, record)
            if isinstance(own, Found) and record.epoch == own.record.epoch:
                full = (own.version + 1) % CHANGES_MAX == 0
                return Lost(own) if full or own.record.active != self._me else _Ours(own.version + 1)
            if record.epoch <= _epoch(own):
                return Lost(own)
            founding = isinstance(own, Empty) and self._founds and record.in_sync == (self._me,)
            resumes = self._consents and isinstance(own, Found) and own.record.active == self._me
            if founding or resumes or self._has_stopped(record.epoch):
                self._consents = False
                return _Ours(self._next(record.epoch))
            self._asked = NeedsGrant(expected, record)
            return self._asked

    def _answered(self, asked: NeedsGrant, answer: Outcome) -> Outcome | _Ours:
        with self._lock:
            if self._asked is asked:
                self._asked = None
            if isinstance(answer, Lost) and isinstance(answer.found, Found):
                self.remember(answer.found.record, answer.found.version)
            if self._own.version != asked.expected or isinstance(answer, Lost):
                return verdict(self._own, asked.record)
            return _Ours(self._next(asked.record.epoch)) if isinstance(answer, Won) else answer

    def _commit(self, expected: int, record: Record, version: int) -> Outcome:
        with self._lock:
            if self._own.version != expected:
                return verdict(self._own, record)
            try:
                self._keep(record, version)
            except MeetkeeperError as error:
                return Unknown(error.message)
            self._consents = False  # it was about the reign before this one
            return Won(version)

    def _keep(self, record: Record, version: int) -> None:
        found = Found(record, version)
        _keep(self._disk, found)
        self._own = found

    def _next(self, epoch: int) -> int:
        return max(self._own.version, epoch * CHANGES_MAX) + 1

    def _is_news(self, record: Record, of: str) -> bool:
        own = self._own
        if isinstance(own, Empty) or record.epoch > own.record.epoch:
            return True
        # In its own reign nobody knows better than the one who reigned.
        return record.epoch == own.record.epoch and record.active == of and record != own.record

    def _has_stopped(self, epoch: int) -> bool:
        proof = self._proof
        return proof is not None and _epoch(self._own) <= proof.epoch < epoch


def _epoch(standing: Found | Empty) -> int:
    return standing.record.epoch if isinstance(standing, Found) else 0


def _load(disk: Disk) -> Found | Empty:
    with translated(disk, "reading who stands as active", PATH):
        try:
            data = disk.read("standing:read", PATH)
        except FileNotFoundError:
            return Empty()
    try:
        found = unseal(data)
        if found.version // CHANGES_MAX != found.record.epoch:
            raise Damaged("has a version of another epoch than its record's")
    except Damaged as wrong:
        raise damaged(
            f"what this server knows of who is active {wrong}. Restore the file; or remove it if the other server runs "
            "as active, or has stopped for good: it is made again from what that one says or from a proof of its stop.",
            PATH,
        ) from None
    return found


def _keep(disk: Disk, found: Found) -> None:
    with translated(disk, "writing who stands as active", PATH):
        disk.write_new("standing:write", _PART, seal(found.record, found.version))
        disk.rename("standing:rename", _PART, PATH)
        disk.flush_folder("standing:folder", "local")
