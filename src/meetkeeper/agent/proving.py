"""The proof of stop: promised on the disk first, then said.

Place in the house: `listening` asks it while no node runs and none can be started (`watch.Held`). One proof is made so:

1. take the folder's lock: whoever holds it is a node that somebody else started, or one that is frozen; no proof then;
2. read how far the journal came, the highest promise, the record that stood;
3. promise the epoch above: `local/promises.json`, which every node reads before it reigns or follows. From here on no
   node of this home opens a reign under the proven epoch or a lower one, nor keeps a frame of one. A proof always
   covers the reigns this server knows of, whichever epoch was asked for;
4. write down what was proved to whom: `local/proofs.json`;
5. let go of the lock, and answer.

An answer that was lost on the way is given again, even when a node runs by then: what was promised holds for good.

A full disk is what ends a node most often, and then its stop must be provable: the agent keeps a little room in a file,
`local/reserve`, and gives it away for the promise. A disk that takes nothing at all leaves no proof.
"""

import os
from collections.abc import Callable
from contextlib import suppress

import msgspec
from msgspec import Struct

from meetkeeper.agent.words import EPOCH_AHEAD_MAX
from meetkeeper.core.errors import Corrupt, MeetkeeperError, Refused, Unavailable
from meetkeeper.ha.words import Found, Outcome, Position, Proof, Record, Unknown, Witness
from meetkeeper.ports.disk import Disk
from meetkeeper.store import promises, tail
from meetkeeper.store.trouble import translated

PROOFS = "local/proofs.json"
LOCK = "local/lock"
"""The lock of `store.database`: one process at a time acts in a home."""
_STANDING = "local/standing.json"
_PART = PROOFS + ".part"
RESERVE = "local/reserve"
RESERVE_BYTES = 64 * 1024
GIVEN_MAX = 16
"""How many proofs are remembered; older ones have done their duty."""


class Given(Struct, frozen=True):
    """One proof that was given, as it was said."""

    to: str
    proof: Proof


class _Proofs(Struct, frozen=True):
    given: tuple[Given, ...] = ()


class Prover:
    """Makes proofs about one home. Its methods touch the disk: call them in a thread."""

    def __init__(
        self, disk: Disk, name: str, seal: Callable[[Proof], Proof], now_s: Callable[[], float]
    ) -> None:
        self._disk, self._name, self._seal, self._now_s = disk, name, seal, now_s

    def given(self, epoch: int, to: str) -> Proof | None:
        """The newest proof given to this server that covers the epoch, if what it promises still stands."""
        for one in reversed(self._given()):
            if one.to == to and one.proof.epoch >= epoch:
                return one.proof if promises.read(self._disk) > one.proof.epoch else None
        return None

    def nothing_given(self) -> bool:
        """True when nobody holds a proof against this server's last reign: it may take that as its own consent.

        Only for a pair without a third place, where what stands is kept here. When that or the list of proofs can't be
        read, one may have been given. A promise above the reign may stand for the server's own word, a switchover's.
        """
        record, given = self._record(), self._read_given()
        if record is None or record.active != self._name or given is None:
            return False
        try:
            if promises.read(self._disk) > record.epoch:
                return False
        except MeetkeeperError:
            return False
        return all(one.proof.epoch < record.epoch for one in given)

    def reserve(self) -> None:
        """Keep room for a promise. A disk that is full already is no reason to fail."""
        with suppress(OSError):
            self._disk.make_folder("reserve:make", "local")
            if RESERVE.rpartition("/")[2] not in self._disk.listing("reserve:listing", "local"):
                # Nothing that a file system could store in less room.
                self._disk.write_new("reserve:write", RESERVE, os.urandom(RESERVE_BYTES))

    def prove(self, epoch: int, to: str, why: str) -> Proof:
        """A sealed proof for `epoch` and all below, durable before it returns. Only while this home has no node.

        Raises `Refused` (`agent.in_use`) while another process has the folder, (`agent.epoch`) for an epoch out of all
        proportion, and `Corrupt`, `Unavailable` or `TheirMistake` when promise, disk or certificate can't be used.
        """
        try:
            return self._locked(epoch, to, why)
        except Unavailable as trouble:
            if trouble.code != "disk.full" or not self._give_reserve_away():
                raise
        return self._locked(epoch, to, why)

    def _locked(self, epoch: int, to: str, why: str) -> Proof:
        with translated(self._disk, "taking the folder's lock", LOCK):
            self._disk.make_folder("proof:make", "local")
            holder = self._disk.lock("proof:lock", LOCK)
        if holder is not None:
            raise Refused(
                "agent.in_use",
                f"No proof of stop: {holder} has this server's folder, and this agent did not start it. Stop it first.",
            )
        try:
            return self._prove(epoch, to, why)
        finally:
            self._disk.unlock("proof:unlock", LOCK)

    def _prove(self, epoch: int, to: str, why: str) -> Proof:
        position, record = self._position(), self._record()
        promised = promises.read(self._disk)
        reigned = max(position.epoch if position else 0, record.epoch if record else 0)
        if epoch > max(promised, reigned) + EPOCH_AHEAD_MAX:
            raise Refused(
                "agent.epoch",
                f"No proof of stop for epoch {epoch}: this server has seen {max(promised, reigned)}. Look whether both "
                "servers belong together.",
            )
        epoch = max(epoch, reigned)
        said = why if position else f"{why}; its journal's end can't be read"
        proof = self._seal(Proof(self._name, epoch, Witness.AGENT, position, record, said, self._now_s()))
        if epoch + 1 > promised:
            promises.write(self._disk, epoch + 1)
        self._write((*self._given(), Given(to, proof))[-GIVEN_MAX:])
        return proof

    def _give_reserve_away(self) -> bool:
        try:
            self._disk.remove("reserve:remove", RESERVE)
            self._disk.flush_folder("reserve:folder", "local")
        except OSError:
            return False
        return True

    def _position(self) -> Position | None:
        try:
            return tail.last_position(self._disk)
        except Corrupt:
            return None

    def _record(self) -> Record | None:
        """What the server itself last knew to stand, where there is no third place."""
        from meetkeeper.registers.standing import StandingRegister

        try:
            self._disk.size("proof:standing", _STANDING)
            reading = StandingRegister(self._disk, _no_grant, me=self._name).read_now()
        except (OSError, MeetkeeperError):
            return None
        return reading.record if isinstance(reading, Found) else None

    def _given(self) -> tuple[Given, ...]:
        """What was given so far. A damaged list is begun anew: the promise is what binds, this only remembers."""
        return self._read_given() or ()

    def _read_given(self) -> tuple[Given, ...] | None:
        """None when the list is damaged or can't be read."""
        try:
            data = self._disk.read("proof:read", PROOFS)
        except FileNotFoundError:
            return ()
        except OSError:
            return None
        try:
            return msgspec.json.decode(data, type=_Proofs).given
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

    def _write(self, given: tuple[Given, ...]) -> None:
        with translated(self._disk, "writing the proofs", PROOFS):
            self._disk.write_new("proof:write", _PART, msgspec.json.encode(_Proofs(given)) + b"\n")
            self._disk.rename("proof:rename", _PART, PROOFS)
            self._disk.flush_folder("proof:folder", "local")


async def _no_grant(_: int, __: Record) -> Outcome:
    """For a reader: it changes nothing, so it asks nobody."""
    return Unknown("the agent changes nothing")
