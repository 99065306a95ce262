"""The database: State in memory, frames on disk, and the one door between them.

Place in the journey: the core decides a plan, `commit` encodes it once, chains it, lets it wait for the disk and
applies it, so that the next decision sees it; `take_batch` and `flush` make it durable; only what is up to `kept` may
be told to anyone. Rules:

- `commit`, `follow` and `open_reign` belong to one thread; `take_batch`, `flush` and `rest` to one, perhaps another;
- a failed flush is final: every later call raises the same error, the server drops its role and exits;
- a reign's epoch is higher than any in the journal and any promised, and is promised durably before its first frame.
"""

import gc
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import suppress
from threading import Condition

from msgspec import Struct

from meetkeeper.codec import frame, record, snapshot
from meetkeeper.codec.frame import Frame, Why
from meetkeeper.core.errors import MeetkeeperError, OurMistake, Refused
from meetkeeper.core.plan import Plan, apply_plan
from meetkeeper.core.state import State
from meetkeeper.ha.words import ORIGIN, Position
from meetkeeper.ports.disk import Disk
from meetkeeper.store import checkpoint, cuts, journal, promises, recovery
from meetkeeper.store.checkpoint import Checkpoint, Extent
from meetkeeper.store.journal import Batch, Journal
from meetkeeper.store.trouble import damaged, steadily, translated

RECENT = 4_096
LOCK = "local/lock"
FREEZE_MEETINGS_MIN = 10_000
"""From so many meetings on, what was loaded is kept out of the garbage collector's sight."""


class Limits(Struct, frozen=True):
    """Sizes a test may shrink."""

    segment_bytes_max: int = journal.SEGMENT_BYTES_MAX


LIMITS = Limits()


class Database:
    """One server's kept state. Made by `open` or `inspect`."""

    def __init__(
        self, disk: Disk, found: recovery.Found, limits: Limits, *, promised: int, cut_back: bool = False
    ) -> None:
        self.state: State = found.state
        self.position: Position = found.position
        """After the last committed plan, durable or not."""
        self.kept: Position = found.position
        """After the last durable plan."""
        self.promised = promised
        """The highest epoch seen or promised."""
        self.cut_back = cut_back
        """Frames that had been kept were cut for damage, and are not back."""
        self.recent: deque[Position] = deque([found.position], maxlen=RECENT)
        """Positions of the newest frames: where two histories part is looked for here first."""
        self.remarks: tuple[str, ...] = tuple(found.remarks)
        """What recovery had to mend, in sentences."""
        self._disk = disk
        self._epoch: int | None = None
        self._broken: OurMistake | None = None
        self._journal = Journal(disk, limits.segment_bytes_max)
        if found.last is not None and found.goes_on:
            self._journal.resume(found.last.first_seq, found.last_size)
        self._kept_moved = Condition()
        self._good = [found.snapshot_seq] if found.snapshot_seq else []
        self._written = Extent(found.since_bytes, found.since_frames)
        self._covered = Extent()
        self._snapshot_bytes = found.snapshot_bytes

    # --- opening -----------------------------------------------------------------------------------------------------

    @classmethod
    def open(cls, disk: Disk, limits: Limits = LIMITS, *, repairs: bool = False) -> "Database":
        """Take the folder, read it, mend what a crash left. `repairs`: another server has the frames too, so damage at
        the journal's end is cut, and fetched again by following (`cut_back`).

        Raises `Refused` (`store.locked`) while another process has it, `Corrupt` for damage and gaps, `TheirMistake`
        for records of a newer release, `Unavailable` or `Refused` for a disk that does not do its work.
        """
        with translated(disk, "making the home folder", "databases"):
            for folder in (journal.FOLDER, checkpoint.FOLDER, "local"):
                disk.make_folder("open:make", folder)
            holder = disk.lock("open:lock", LOCK)
        if holder is not None:
            raise Refused(
                "store.locked",
                f"This folder is in use: {holder} holds {LOCK}. Stop that server first, or look at the right folder.",
            )
        opened = False
        try:
            with translated(disk, "flushing the home folder", "databases"):
                for folder in ("databases", "local", ""):
                    disk.flush_folder("open:folder", folder)
            promised = promises.read(disk)
            found = recovery.read(disk, repairs=repairs)
            recovery.mend(disk, found)
            cut_back = cuts.stands(disk)
            opened = True
        finally:
            if not opened:
                disk.unlock("open:unlock", LOCK)
        if len(found.state.meetings) >= FREEZE_MEETINGS_MIN:
            gc.freeze()
        promised = max(promised, found.position.epoch)
        return cls(disk, found, limits, promised=promised, cut_back=cut_back)

    @classmethod
    def inspect(cls, disk: Disk) -> "Database":
        """Read the folder and write nothing, not even a lock; such a database commits nothing."""
        found = steadily(lambda: recovery.read(disk))
        return cls(disk, found, LIMITS, promised=max(promises.read(disk), found.position.epoch))

    def close(self) -> None:
        """Close the segment and let go of the folder. What was not flushed is lost."""
        self._journal.rest()
        self._disk.unlock("close:unlock", LOCK)

    # --- deciding side -----------------------------------------------------------------------------------------------

    def open_reign(self, epoch: int) -> None:
        """From here on frames carry `epoch`. Durable before it returns.

        Raises `Refused` (`epoch.stale`) when the journal knows this epoch, or a higher one is known or promised. An
        epoch that was promised may be opened: whoever claims it promises it first, and it is won by one server alone.
        """
        if epoch < self.promised or epoch <= self.position.epoch:
            raise Refused(
                "epoch.stale",
                f"Epoch {epoch} is not above {max(self.promised, self.position.epoch)}, which this server has seen; "
                "take a higher one.",
            )
        self.promise(epoch)
        self._epoch = epoch

    def heal(self) -> None:
        """What was cut for damage is here again, or counts for nothing any more. Durable before it returns."""
        if self.cut_back:
            cuts.clear(self._disk)
            self.cut_back = False

    def promise(self, epoch: int) -> None:
        """Never again write or take frames of a lower epoch. Durable before it returns; a lower one changes nothing."""
        if epoch > self.promised:
            promises.write(self._disk, epoch)
            self.promised = epoch

    def commit(self, plan: Plan) -> Position:
        """Let the plan wait for the disk and apply it; the position to watch `kept` for.

        Raises `OurMistake` without a reign, `TheirMistake` (`frame.too_long`) for a plan too large, and what a failed
        flush raised; nothing has changed then.
        """
        if self._epoch is None or self._epoch < self.promised:
            raise OurMistake("reign.none", "This server does not reign, so it decides nothing.")
        made = frame.encode(self.position, self._epoch, record.encode(plan, self.kept.seq))
        return self._take(made, plan)

    def follow(self, data: bytes, under: int) -> Position:
        """Take frames as the server that reigns `under` this epoch holds them: the same bytes, applied.

        They must follow `position`; older ones of the same history carry the epochs they were written in. Raises
        `Corrupt` when they do not follow, `Refused` (`epoch.stale`) when the reign is below the promise.
        """
        if under < self.promised:
            raise Refused(
                "epoch.stale", f"Frames came under epoch {under}, below the promised {self.promised}."
            )
        scan = frame.scan(data, self.position)
        if scan.why is not Why.END:
            raise damaged(f"{scan.said}. Ask for it again.", "received", seq=scan.position.seq + 1)
        for one in scan.frames:
            self._take(one, record.decode(one.body).plan)
        self._epoch = None
        return self.position

    def _take(self, made: Frame, plan: Plan) -> Position:
        if self._broken is not None:
            raise self._broken
        if self._journal.failed is not None:
            raise self._journal.failed
        applied = False
        try:
            apply_plan(self.state, plan)
            applied = True
        finally:
            if not applied:
                self._broken = OurMistake(
                    "plan.broken",
                    "A plan could not be applied whole; restart this server, nothing of it was kept.",
                )
        self._journal.append(made)
        self.position = made.position
        self.recent.append(made.position)
        if made.position.epoch > self.promised:
            self.promised = made.position.epoch
        self._written.bytes += len(made.line)
        self._written.frames += 1
        return made.position

    # --- flushing side -----------------------------------------------------------------------------------------------

    def take_batch(self) -> Batch | None:
        """Everything committed and not yet taken, once."""
        return self._journal.take()

    def flush(self, batch: Batch) -> Position:
        """Make the batch durable and move `kept`. Batches are flushed in the order they were taken.

        Raises `Unavailable` or `Refused`, for good: see `store.trouble`.
        """
        if batch.first_seq != self.kept.seq + 1:
            raise OurMistake("batch.order", f"Batch of seq {batch.first_seq} after seq {self.kept.seq}.")
        try:
            self._journal.write_and_flush(batch)
            self.kept = batch.last
        finally:
            with self._kept_moved:
                self._kept_moved.notify_all()
        return batch.last

    def flush_now(self) -> Position:
        """For those who wait: everything committed is durable when it returns."""
        batch = self.take_batch()
        return self.kept if batch is None else self.flush(batch)

    def abandon(self, error: MeetkeeperError) -> None:
        """Whoever flushes has failed for good: every later call raises this, and nobody waits for it any longer."""
        self._journal.failed = self._journal.failed or error
        with self._kept_moved:
            self._kept_moved.notify_all()

    def rest(self) -> None:
        """A quiet moment: close the open segment, so that file tools carry it."""
        self._journal.rest()

    # --- checkpoints -------------------------------------------------------------------------------------------------

    @property
    def checkpoint_due(self) -> bool:
        """True when a snapshot would pay; it stays true until one has been finished."""
        written, covered = self._written, self._covered
        return checkpoint.is_due(
            written.bytes - covered.bytes, written.frames - covered.frames, self._snapshot_bytes
        )

    def begin_checkpoint(self) -> Checkpoint:
        """Take the picture, in the deciding thread; `finish_checkpoint` writes it, from any thread, one at a time."""
        self._journal.begin_segment_at(self.position.seq + 1)
        picture = snapshot.image(self.state, self.position)
        begun = Checkpoint(self._disk, picture, self._good, self.wait_kept)
        begun.covers = Extent(self._written.bytes, self._written.frames)
        return begun

    def finish_checkpoint(self, begun: Checkpoint) -> None:
        """Write the snapshot, remove what it makes needless. Raises `Unavailable` or `Refused`: nothing is lost."""
        self._good = begun.write()
        self._snapshot_bytes = begun.bytes
        self._covered = begun.covers

    def checkpoint(self) -> None:
        """For those who wait: flush, take the picture, write it."""
        self.flush_now()
        self.finish_checkpoint(self.begin_checkpoint())

    def wait_kept(self, seq: int) -> None:
        """Return when the frame of this seq is durable. Raises what the flush raised."""
        with self._kept_moved:
            while self.kept.seq < seq:
                if self._journal.failed is not None:
                    raise self._journal.failed
                self._kept_moved.wait()

    # --- reading back ------------------------------------------------------------------------------------------------

    def frames(self) -> Iterator[Frame]:
        """Every durable frame the journal still holds, oldest first. Raises `Corrupt` for damage."""
        kept = self.kept
        segments = recovery.segments_of(self._disk)
        first = segments[0].first_seq - 1 if segments else kept.seq
        return self._frames_between(segments, first, kept)

    def frames_since(self, seq: int) -> Iterator[Frame]:
        """Durable frames after `seq`, in order.

        Raises `Refused` (`journal.gone`) when the journal no longer reaches back that far, `Corrupt` for damage.
        """
        kept = self.kept
        segments = recovery.segments_of(self._disk)
        if seq < kept.seq and (not segments or segments[0].first_seq > seq + 1):
            raise _gone(seq)
        return self._frames_between(segments, seq, kept)

    def positions(self, seqs: Collection[int]) -> dict[int, Position]:
        """Positions of these frames, as far as memory and journal know them. Reads the disk for older ones."""
        found = {one.seq: one for one in tuple(self.recent) if one.seq in seqs}
        older = sorted(seq for seq in seqs if seq not in found and 0 < seq <= self.kept.seq)
        if 0 in seqs:
            found[0] = ORIGIN
        segments = recovery.segments_of(self._disk)
        for index, segment in enumerate(segments):
            end = segments[index + 1].first_seq if index + 1 < len(segments) else self.kept.seq + 1
            here = {seq for seq in older if segment.first_seq <= seq < end}
            if here:
                before = segment.first_seq - 1
                frames = self._frames_between([segment], before, Position(0, min(end - 1, self.kept.seq), ""))
                with suppress(Refused):  # What a snapshot covers may have gaps: those are not known.
                    found.update(
                        (one.position.seq, one.position) for one in frames if one.position.seq in here
                    )
        return found

    def waypoints(self) -> tuple[Position, ...]:
        """Positions of this journal, newest first, ever farther apart, back to where it begins. Reads the disk."""
        newest, gap, seqs = self.kept.seq, 1, []
        seq = newest
        while seq > 0:
            seqs.append(seq)
            seq, gap = seq - gap, gap * 2
        found = self.positions(set(seqs))
        return tuple(found[seq] for seq in seqs if seq in found)

    def _frames_between(self, segments: list[recovery.Segment], seq: int, kept: Position) -> Iterator[Frame]:
        for index, segment in enumerate(segments):
            if index + 1 < len(segments) and segments[index + 1].first_seq <= seq + 1:
                continue
            if seq >= kept.seq or segment.first_seq > seq + 1:
                break
            with translated(self._disk, "reading the journal", segment.path):
                try:
                    data = self._disk.read("frames:segment", segment.path)
                except FileNotFoundError:
                    break
            scan = frame.scan(data, Position(0, segment.first_seq - 1, ""))
            for one in scan.frames:
                if seq < one.position.seq <= kept.seq:
                    seq = one.position.seq
                    yield one
            if scan.why is not Why.END and seq < kept.seq:
                raise damaged(
                    f"{scan.said}. Restore this file from the other server or from a backup.",
                    segment.path,
                    offset=scan.good_length,
                    seq=seq + 1,
                )
        if seq < kept.seq:
            raise _gone(seq)


def _gone(seq: int) -> Refused:
    return Refused(
        "journal.gone", f"The journal no longer holds seq {seq + 1}; begin from the newest snapshot."
    )
