"""A simulated server's disk at work, as `engine.journals`: what is applied is flushed, compared, set back, replaced by
a snapshot; and the journal's reader for the other server.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from meetkeeper.core.errors import MeetkeeperError, Refused
from meetkeeper.engine.flow import Chunk
from meetkeeper.ha import lineage, words
from meetkeeper.ha.words import Position, Role
from meetkeeper.store import transfer
from meetkeeper.store.database import Database
from meetkeeper.store.journal import Batch
from meetkeeper.store.retreat import retreat

if TYPE_CHECKING:
    from meetkeeper.testing.pairworld.process import Process


class Papers:
    """The database of one process, and what is done with its files."""

    def __init__(self, process: "Process") -> None:
        self._process = process
        self.committing = True
        """False while an acting engine flushes by itself."""
        self._in_flight: Batch | None = None
        self._flushing = False
        self._checkpointing = False
        self._gathering = 0

    # --- hands: the disk --------------------------------------------------------------------------------------

    def wake(self) -> None:
        """See `Hands`."""
        if self._flushing or not self.committing:
            return
        database = self._process.database
        batch = database.take_batch()
        if batch is None:
            return
        self._flushing = True

        def flush() -> None:
            self._flushing = False
            if batch.first_seq != database.kept.seq + 1:
                return  # Somebody flushed everything meanwhile, as a committer does when it is stopped.
            database.flush(batch)
            self._process.world.judges.durable(self._process.name, database.kept)
            self._process.soon(kept)

        def kept() -> None:
            if self.committing and database is self._process.database:
                self._process.heart.kept()
                self.wake()

        self._in_flight = batch
        self._process.at(
            self._process.world.flush_s(self._process.host), lambda: self._process.or_fail(flush)
        )

    def stop(self) -> None:
        """Flush what waits; from here on somebody else flushes."""
        self.committing = False
        if self._flushing:
            self._flushing = False
            batch = self._in_flight
            assert batch is not None
            if batch.first_seq == self._process.database.kept.seq + 1:
                self._process.database.flush(batch)
        self._process.database.flush_now()
        self._process.world.judges.durable(self._process.name, self._process.database.kept)

    def checkpoint(self) -> None:
        """Write a snapshot, as an acting or a passive server does when it pays."""
        if self._process.actor is not None:
            if self._process.began:
                self._process.actor.checkpoint()
            return
        database = self._process.database
        if self._checkpointing or not self.committing or database.kept != database.position:
            return
        self._checkpointing = True
        begun = database.begin_checkpoint()

        def finish() -> None:
            self._checkpointing = False
            if database is self._process.database:
                with suppress(MeetkeeperError):
                    database.finish_checkpoint(begun)

        self._process.at(self._process.world.flush_s(self._process.host), finish)

    def retreat(self, to: Position) -> None:
        """See `Hands`."""
        self._process.soon(lambda: self._reopen(lambda: self._go_back(to)))

    def _go_back(self, to: Position) -> None:
        self._process.database.close()
        try:
            retreat(self._process.host.disk, to)
        except Refused:
            transfer.set_aside(self._process.host.disk, self._stamp(to.seq))

    def _stamp(self, seq: int) -> str:
        return f"{int(self._process.host.clock.now_s())}-{seq}"

    def _reopen(self, work: Callable[[], None]) -> None:
        def do() -> None:
            if self._process.over:
                return
            self.stop()
            was = self._process.database.kept
            self._process.world.judges.going_back.add(self._process.name)
            work()
            opened = Database.open(self._process.host.disk, self._process.world.limits, repairs=True)
            self._process.world.judges.set_back(self._process.name, was, opened.kept, self._process.host.disk)
            self._process.soon(lambda: use(opened))

        def use(opened: Database) -> None:
            self._process.database = opened
            self.committing = True
            self._process.heart.reopened(opened)

        self._process.or_fail(do)

    def find_common(self, waypoints: tuple[Position, ...], tell: Callable[[Position | None], None]) -> None:
        """See `Hands`."""

        def find() -> None:
            known = self._process.database.positions({one.seq for one in waypoints})
            common = lineage.common_of(waypoints, known)
            self._process.soon(lambda: tell(common))

        self._process.soon(lambda: self._process.guarded(find))

    def read_chunk(self, after: int, tell: Callable[[Chunk | None], None]) -> None:
        """See `Hands`."""

        def read() -> None:
            try:
                chunk = self._read_chunk(after)
            except Refused:
                self._process.soon(lambda: tell(None))
                return
            self._process.soon(lambda: tell(chunk))

        # As long as a flush takes: more is kept while a chunk is being read.
        self._process.at(self._process.world.weather.flush_s, lambda: self._process.guarded(read))

    def _read_chunk(self, after: int) -> Chunk:
        lines: list[bytes] = []
        size, last = 0, None
        for one in self._process.database.frames_since(after):
            lines.append(one.line)
            size += len(one.line)
            last = one.position
            if size >= self._process.world.weather.chunk_bytes:
                break
        return Chunk(b"".join(lines), last)

    # --- hands: snapshots -------------------------------------------------------------------------------------

    def offer_snapshot(self) -> None:
        """See `Hands`."""

        def offer() -> None:
            found = transfer.newest(self._process.host.disk)
            if found is None and self._process.actor is not None:
                database = self._process.database
                if database.kept != database.position:
                    # A real server's thread waits here for the flush; in a world of one thread it would wait for ever.
                    self._process.at(self._process.world.weather.flush_s, self.offer_snapshot)
                    return
                database.checkpoint()
                found = transfer.newest(self._process.host.disk)
            if found is not None:
                epoch = self._process.heart.view.epoch
                self._process.say(words.Begin(self._process.database.kept, epoch, *found))

        self._process.soon(lambda: self._process.guarded(offer))

    def heard_bulk(self, message: words.Piece | words.WantSnapshot | words.Begin) -> None:
        """See `Hands`."""
        match message:
            case words.Begin():
                self._process.soon(lambda: self._process.guarded(lambda: self._want(message.snapshot_seq)))
            case words.WantSnapshot():
                self._process.soon(lambda: self._process.guarded(lambda: self._send_piece(message)))
            case words.Piece():
                self._process.soon(lambda: self._process.guarded(lambda: self._gather(message)))

    def _want(self, seq: int) -> None:
        self._gathering = seq
        self._process.say(words.WantSnapshot(seq, transfer.gathered(self._process.host.disk, seq)))

    def _send_piece(self, wanted: words.WantSnapshot) -> None:
        piece = transfer.piece(self._process.host.disk, wanted.seq, wanted.offset)
        if piece is None:
            self._process.relink("the snapshot that was asked for is gone; a newer one is offered")
        else:
            self._process.say(piece)

    def _gather(self, piece: words.Piece) -> None:
        if piece.seq != self._gathering or self._process.heart.view.role is not Role.PASSIVE:
            return
        have = transfer.gather(self._process.host.disk, piece)
        if not piece.last:
            self._process.say(words.WantSnapshot(piece.seq, have))
            return
        self._gathering = 0

        def install() -> None:
            self._process.database.close()
            transfer.install(self._process.host.disk, piece.seq, self._stamp(piece.seq))

        self._process.soon(lambda: self._reopen(install))
