"""The proof of stop: on the disk before it is said, and kept by every node that starts afterwards."""

import errno
import random
from pathlib import Path

import msgspec
import pytest

from meetkeeper.agent.proving import GIVEN_MAX, LOCK, PROOFS, Given, Prover
from meetkeeper.agent.words import EPOCH_AHEAD_MAX
from meetkeeper.core.errors import Corrupt, MeetkeeperError, Refused, Unavailable
from meetkeeper.core.plan import Plan
from meetkeeper.ha.words import Mode, Outcome, Position, Proof, Record, Unknown, Witness
from meetkeeper.host.disk import RealDisk
from meetkeeper.ports.disk import Disk
from meetkeeper.registers.standing import CHANGES_MAX, StandingRegister
from meetkeeper.store import promises
from meetkeeper.store.database import Database
from meetkeeper.testing.disk import CrashDisk
from tests.codec.plans import meeting_kept

EPOCH = 3


def sealed(proof: Proof) -> Proof:
    """A seal that is no signature: real ones are tried over TLS."""
    return msgspec.structs.replace(proof, seal="sealed")


def prover_of(disk: Disk) -> Prover:
    """A prover for server a."""
    return Prover(disk, "a", sealed, lambda: 1_000.0)


def stopped_home(disk: CrashDisk) -> Position:
    """A home whose node has reigned and is gone; how far it came."""
    database = Database.open(disk)
    database.open_reign(EPOCH)
    for number in range(5):
        database.commit(Plan(float(number), (meeting_kept(number),)))
        database.flush_now()
    database.close()
    return database.kept


def stands(disk: Disk, active: str, epoch: int) -> Record:
    """What a node of server a keeps as standing, where there is no third place."""
    record = Record("cluster", epoch, active, ("a", "b"), Mode.SYNC, active, "test", 1.0)
    register = StandingRegister(disk, no_grant, me="a")
    assert register.remember(record, epoch * CHANGES_MAX + 1)
    return record


async def no_grant(_: int, __: Record) -> Outcome:
    """Nobody is asked."""
    return Unknown("nobody there")


def test_it_says_how_far_the_journal_came() -> None:
    """Server, epoch, witness, position and reason stand in the proof, and it is sealed."""
    disk = CrashDisk()
    kept = stopped_home(disk)
    proof = prover_of(disk).prove(EPOCH, "b", "its node has ended with code -9")
    assert proof == Proof(
        "a", EPOCH, Witness.AGENT, kept, None, "its node has ended with code -9", 1_000.0, seal="sealed"
    )


@pytest.mark.parametrize("asked", [0, EPOCH, EPOCH + 1, 50])
def test_no_node_reigns_at_or_below_it_again(asked: int) -> None:
    """The promise binds the next node: the epochs of the proof are refused, the one above is open."""
    disk = CrashDisk()
    stopped_home(disk)
    proof = prover_of(disk).prove(asked, "b", "gone")
    assert proof.epoch == max(asked, EPOCH)
    database = Database.open(disk)
    for epoch in (1, EPOCH, proof.epoch):
        with pytest.raises(Refused, match="not above"):
            database.open_reign(epoch)
    database.open_reign(proof.epoch + 1)
    database.close()


def test_a_reign_without_a_frame_is_not_opened_again() -> None:
    """The node died between its promise and its first frame: that reign is proven to be over as well."""
    disk = CrashDisk()
    stopped_home(disk)
    promises.write(disk, 9)
    proof = prover_of(disk).prove(9, "b", "gone")
    database = Database.open(disk)
    with pytest.raises(Refused, match="not above"):
        database.open_reign(9)
    database.close()
    assert proof.epoch == 9


def test_no_frame_of_a_proven_epoch_is_kept_again() -> None:
    """Whoever goes on alone by the proof does not wait for this disk, so it may not take part in that reign again."""
    active, passive = CrashDisk(), CrashDisk()
    stopped_home(active)
    source = Database.open(active)
    lines = b"".join(one.line for one in source.frames())
    source.close()
    first = lines.index(b"\n") + 1
    database = Database.open(passive)
    database.follow(lines[:first], EPOCH)
    database.flush_now()
    database.close()
    prover_of(passive).prove(EPOCH, "b", "gone")
    database = Database.open(passive)
    with pytest.raises(Refused, match="below"):
        database.follow(lines[first:], EPOCH)
    database.close()


def test_it_covers_the_reign_that_stands() -> None:
    """Where there is no third place the last record travels along, and its epoch is covered at once."""
    disk = CrashDisk()
    stopped_home(disk)
    standing = stands(disk, active="a", epoch=EPOCH + 4)
    proof = prover_of(disk).prove(EPOCH, "b", "gone")
    assert (proof.epoch, proof.record) == (EPOCH + 4, standing)


def test_a_damaged_record_is_no_record() -> None:
    """The proof is given without it."""
    disk = CrashDisk()
    stopped_home(disk)
    disk.write_new("test:write", "local/standing.json", b"{}")
    assert prover_of(disk).prove(EPOCH, "b", "gone").record is None


def test_what_was_said_survives_a_crash() -> None:
    """Once `prove` has returned, promise and list are on the disk, whatever the crash takes."""
    for seed in range(30):
        disk = CrashDisk()
        stopped_home(disk)
        proof = prover_of(disk).prove(7, "b", "gone")
        left = disk.crash(random.Random(seed))
        assert promises.read(left) == 8
        assert prover_of(left).given(7, "b") == proof


@pytest.mark.parametrize(
    "label", ["promise:write", "promise:rename", "promise:folder", "proof:write", "proof:folder"]
)
def test_a_disk_that_fails_gives_no_proof(label: str) -> None:
    """Whichever step the disk refuses, nothing is said; and the folder is let go of."""
    disk = CrashDisk()
    stopped_home(disk)
    disk.fail(label, errno.EIO)
    with pytest.raises(MeetkeeperError):
        prover_of(disk).prove(7, "b", "gone")
    disk.heal()
    assert disk.lock("test:lock", LOCK) is None


class FullDisk(RealDisk):
    """A real folder on a file system without room: what is written needs what was removed before."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.free_bytes = 0

    def remove(self, label: str, path: str) -> None:
        """Makes room."""
        self.free_bytes += self.size(label, path)
        super().remove(label, path)

    def lock(self, label: str, path: str) -> str | None:
        """Needs room for the holder's name."""
        if not self.free_bytes:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().lock(label, path)

    def write_new(self, label: str, path: str, data: bytes) -> None:
        """Needs room."""
        if len(data) > self.free_bytes:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.free_bytes -= len(data)
        super().write_new(label, path, data)


def test_a_full_disk_has_room_for_a_proof(tmp_path: Path) -> None:
    """The agent kept some, and gives it away: the promise is durable, and more than one proof fits."""
    prover_of(RealDisk(tmp_path)).reserve()
    full = FullDisk(tmp_path)
    prover = prover_of(full)
    for epoch in (5, 6, 7):
        assert prover.prove(epoch, "b", "gone").epoch == epoch
    assert promises.read(full) == 8


def test_a_full_disk_without_the_reserve_gives_no_proof(tmp_path: Path) -> None:
    """Nothing is said that is not kept; and to keep no reserve is no reason to fail."""
    prover = prover_of(FullDisk(tmp_path))
    prover.reserve()
    with pytest.raises(Unavailable, match="full"):
        prover.prove(5, "b", "gone")
    assert promises.read(RealDisk(tmp_path)) == 0


def test_the_promise_comes_before_the_list() -> None:
    """A list without its promise would be read as a proof that nothing holds: it is never seen."""
    disk = CrashDisk()
    stopped_home(disk)
    disk.fail("promise:folder", errno.EIO)
    with pytest.raises(MeetkeeperError):
        prover_of(disk).prove(7, "b", "gone")
    assert PROOFS not in disk.files()


def test_a_folder_in_use_is_not_proved(tmp_path: Path) -> None:
    """A node that somebody else started holds the lock: it may be acting, so nothing is said."""
    stranger = RealDisk(tmp_path)
    database = Database.open(stranger)
    with pytest.raises(Refused, match="process"):
        prover_of(RealDisk(tmp_path)).prove(1, "b", "gone")
    assert promises.read(stranger) == 0
    database.close()
    assert prover_of(RealDisk(tmp_path)).prove(1, "b", "gone").epoch == 1


def test_a_damaged_promise_gives_no_proof() -> None:
    """Nobody knows what this server has promised: a person has to look."""
    disk = CrashDisk()
    stopped_home(disk)
    disk.write_new("test:write", promises.PATH, b"{}")
    with pytest.raises(Corrupt):
        prover_of(disk).prove(7, "b", "gone")


def test_a_damaged_journal_has_no_position() -> None:
    """It is gone all the same: the proof says so, and that its end can't be read."""
    disk = CrashDisk()
    stopped_home(disk)
    path = "databases/journal/" + disk.listing("test:listing", "databases/journal")[0]
    data = bytearray(disk.read("test:read", path))
    data[12] ^= 1
    disk.write_new("test:write", path, bytes(data))
    proof = prover_of(disk).prove(7, "b", "gone")
    assert proof.position is None
    assert "can't be read" in proof.why


def test_an_epoch_out_of_all_proportion_is_refused() -> None:
    """A promise can't be taken back, so a question by mistake must not use up all epochs."""
    disk = CrashDisk()
    stopped_home(disk)
    with pytest.raises(Refused, match="belong together"):
        prover_of(disk).prove(EPOCH + EPOCH_AHEAD_MAX + 1, "b", "gone")
    assert promises.read(disk) == EPOCH


def test_a_lost_answer_is_given_again() -> None:
    """To the one who asked, for epochs it covers, as it was said; not to others, and not for higher ones."""
    disk = CrashDisk()
    stopped_home(disk)
    prover = prover_of(disk)
    assert prover.given(EPOCH, "b") is None
    proof = prover.prove(EPOCH, "b", "gone")
    assert prover_of(disk).given(EPOCH, "b") == proof
    assert prover.given(1, "b") == proof
    assert prover.given(EPOCH + 1, "b") is None
    assert prover.given(EPOCH, "c") is None


def test_without_its_promise_it_is_not_given_again() -> None:
    """Somebody has removed the promise: the old proof no longer holds, so it is not repeated."""
    disk = CrashDisk()
    stopped_home(disk)
    prover = prover_of(disk)
    prover.prove(EPOCH, "b", "gone")
    disk.remove("test:remove", promises.PATH)
    assert prover.given(EPOCH, "b") is None


def test_own_consent_ends_with_a_proof_and_returns_with_a_reign() -> None:
    """`nothing_given`: true without a proof, false after one, also for a later agent, true after a later reign."""
    disk = CrashDisk()
    stopped_home(disk)
    stands(disk, "a", EPOCH)
    assert prover_of(disk).nothing_given()
    proof = prover_of(disk).prove(EPOCH, "b", "gone")
    assert not prover_of(disk).nothing_given()
    database = Database.open(disk)
    database.promise(proof.epoch + 5)
    database.close()
    assert not prover_of(disk).nothing_given()
    stands(disk, "a", proof.epoch + 5)
    assert prover_of(disk).nothing_given()


def test_own_word_ends_own_consent() -> None:
    """A server that has handed over has promised the epoch above its reign: its agent vouches for nothing any more."""
    disk = CrashDisk()
    stopped_home(disk)
    stands(disk, "a", EPOCH)
    database = Database.open(disk)
    database.promise(EPOCH + 1)
    database.close()
    assert not prover_of(disk).nothing_given()


def test_who_was_not_active_has_nothing_to_consent_to() -> None:
    """Neither the passive server, nor one that knows of no record, nor one whose record or list is damaged."""
    disk = CrashDisk()
    stopped_home(disk)
    assert not prover_of(disk).nothing_given()
    stands(disk, "b", EPOCH)
    assert not prover_of(disk).nothing_given()
    stands(disk, "a", EPOCH + 1)
    assert prover_of(disk).nothing_given()
    disk.write_new("test:write", PROOFS, b"{")
    assert not prover_of(disk).nothing_given()
    disk.remove("test:remove", PROOFS)
    disk.write_new("test:write", "local/standing.json", b"{}")
    assert not prover_of(disk).nothing_given()


def test_nothing_is_consented_on_a_disk_that_does_not_answer() -> None:
    """When it can't be read whether a proof was given, one may have been."""
    disk = CrashDisk()
    stopped_home(disk)
    stands(disk, "a", EPOCH)
    disk.fail("proof:read", errno.EIO)
    assert not prover_of(disk).nothing_given()


def test_the_list_has_a_bound() -> None:
    """The newest proofs are kept; a damaged list is begun anew."""
    disk = CrashDisk()
    stopped_home(disk)
    prover = prover_of(disk)
    for epoch in range(10, 10 + GIVEN_MAX + 5):
        prover.prove(epoch, "b", "gone")
    kept = msgspec.json.decode(disk.read("test:read", PROOFS))["given"]
    assert [one["proof"]["epoch"] for one in kept] == list(range(15, 10 + GIVEN_MAX + 5))
    disk.write_new("test:write", PROOFS, b"{")
    proof = prover.prove(100, "b", "gone")
    kept = msgspec.json.decode(disk.read("test:read", PROOFS))["given"]
    assert msgspec.convert(kept, tuple[Given, ...]) == (Given("b", proof),)
