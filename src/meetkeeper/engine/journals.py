"""A passive server's disk at work: what it applied is flushed, compared, set back, replaced by a snapshot; and the
journal's reader for the other server. Threads do what takes time; answers come back on the event loop.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Protocol

import structlog

from meetkeeper.codec.frame import Frame
from meetkeeper.core.errors import MeetkeeperError, Refused
from meetkeeper.engine.bell import Bell
from meetkeeper.engine.flow import CHUNK_BYTES, Chunk
from meetkeeper.ha import lineage
from meetkeeper.ha.words import Piece, Position, WantSnapshot
from meetkeeper.ports.clock import Clock
from meetkeeper.ports.disk import Disk
from meetkeeper.store import transfer
from meetkeeper.store.committer import Committer
from meetkeeper.store.database import Database
from meetkeeper.store.retreat import keep_aside, retreat

log = structlog.get_logger("pair")


class Owner(Protocol):
    """The pair."""

    def kept(self) -> None:
        """More is on disk."""
        ...

    def reopened(self, database: Database) -> None:
        """The database was opened anew."""
        ...

    def fail(self, error: MeetkeeperError) -> None:
        """The disk can't be used."""
        ...


class Home(Protocol):
    """What `app` gives."""

    disk: Disk
    clock: Clock

    def open_database(self) -> Database:
        """Open this home's database."""
        ...


class Journals:
    """The database of a server of a pair, and what is done with its files while nobody acts here."""

    def __init__(self, owner: Owner, home: Home, database: Database) -> None:
        self._owner, self._home = owner, home
        self.database = database
        self.set_aside: list[str] = []
        self._loop = asyncio.get_running_loop()
        self._committer: Committer | None = None
        self._bell: Bell | None = None
        self._reader: tuple[int, Iterator[Frame]] | None = None
        self._checkpointing: asyncio.Task[None] | None = None
        self._gathering = 0

    # --- flushing -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Flush what is applied from here on."""
        loop = self._loop
        self._committer = Committer(
            self.database,
            lambda _: _ignore(loop.call_soon_threadsafe(self._kept)),
            lambda error: _ignore(loop.call_soon_threadsafe(self._owner.fail, error)),
        )
        self._bell = Bell(self._committer.wake)
        self._committer.start()

    async def stop(self) -> None:
        """Flush what waits; from here on somebody else flushes."""
        committer, self._committer, self._bell = self._committer, None, None
        if committer is not None:
            await asyncio.to_thread(committer.stop)
        if self._checkpointing is not None:
            await asyncio.wait({self._checkpointing})

    def wake(self) -> None:
        """Something was applied."""
        if self._bell is not None:
            self._bell.ring()

    def _kept(self) -> None:
        if self._committer is None:
            return
        self._owner.kept()
        if self.database.checkpoint_due and self._checkpointing is None:
            self._checkpointing = self._loop.create_task(self._checkpoint())

    async def _checkpoint(self) -> None:
        begun = self.database.begin_checkpoint()
        try:
            await asyncio.to_thread(self.database.finish_checkpoint, begun)
            log.info("checkpoint.written", seq=begun.seq)
        except MeetkeeperError as trouble:
            log.warning("checkpoint.failed", code=trouble.code, text=trouble.message)
        finally:
            self._checkpointing = None

    # --- going back -----------------------------------------------------------------------------------------------

    async def retreat(self, to: Position) -> None:
        """Set aside what is held after `to`, and open again."""

        def go_back() -> list[str]:
            self.database.close()
            try:
                return retreat(self._home.disk, to)
            except Refused as unknown:
                log.warning("pair.no-way-back", text=unknown.message)
                lost = keep_aside(self._home.disk, to)
                transfer.set_aside(self._home.disk, self._stamp(to.seq))
                return lost

        await self._reopen(go_back, f"what came after seq {to.seq} lost the race")

    async def _reopen(self, work: Callable[[], list[str]], why: str) -> None:
        await self.stop()
        try:
            aside = await asyncio.to_thread(work)
            self.database = await asyncio.to_thread(self._home.open_database)
        except MeetkeeperError as error:
            self._owner.fail(error)
            return
        self.set_aside += aside
        self._reader = None
        for path in aside:
            log.warning("pair.set-aside", path=path, why=why)
        self.start()
        self._owner.reopened(self.database)

    def _stamp(self, seq: int) -> str:
        return f"{int(self._home.clock.now_s())}-{seq}"

    # --- reading for the other server -----------------------------------------------------------------------------

    async def find_common(
        self, waypoints: tuple[Position, ...], tell: Callable[[Position | None], None]
    ) -> None:
        """The newest waypoint that our journal holds."""
        known = await asyncio.to_thread(self.database.positions, {one.seq for one in waypoints})
        tell(lineage.common_of(waypoints, known))

    async def read_chunk(self, after: int, tell: Callable[[Chunk | None], None]) -> None:
        """Kept frames after this seq; None when the journal no longer reaches back that far."""
        try:
            chunk = await asyncio.to_thread(self._read_chunk, after)
        except Refused:
            tell(None)
            return
        tell(chunk)

    def _read_chunk(self, after: int) -> Chunk:
        """One reader goes through the journal from chunk to chunk: each segment is read and scanned once."""
        reader, self._reader = self._reader, None
        goes_on = reader is not None and reader[0] == after
        frames = reader[1] if reader is not None and goes_on else self.database.frames_since(after)
        lines: list[bytes] = []
        size, last = 0, None
        for one in frames:
            lines.append(one.line)
            size += len(one.line)
            last = one.position
            if size >= CHUNK_BYTES:
                self._reader = (last.seq, frames)
                break
        if last is None and goes_on:
            return self._read_chunk(after)
        return Chunk(b"".join(lines), last)

    # --- snapshots ------------------------------------------------------------------------------------------------

    async def offer(self, *, acts: bool) -> tuple[int, int] | None:
        """The newest snapshot, seq and bytes; one is written where there is none."""
        found = await asyncio.to_thread(transfer.newest, self._home.disk)
        if found is None and acts:
            begun = self.database.begin_checkpoint()
            await asyncio.to_thread(self.database.finish_checkpoint, begun)
            found = await asyncio.to_thread(transfer.newest, self._home.disk)
        return found

    async def want(self, seq: int) -> WantSnapshot:
        """What to ask for: from where on."""
        self._gathering = seq
        have = await asyncio.to_thread(transfer.gathered, self._home.disk, seq)
        log.info("snapshot.wanted", seq=seq, have_bytes=have)
        return WantSnapshot(seq, have)

    async def piece(self, wanted: WantSnapshot) -> Piece | None:
        """What was asked for; None when the file is gone."""
        return await asyncio.to_thread(transfer.piece, self._home.disk, wanted.seq, wanted.offset)

    async def gather(self, piece: Piece) -> WantSnapshot | None:
        """Keep a piece: what to ask for next; None when it was the last one, and the snapshot is in its place."""
        disk = self._home.disk
        if piece.seq != self._gathering:
            return None
        have = await asyncio.to_thread(transfer.gather, disk, piece)
        if not piece.last:
            return WantSnapshot(piece.seq, have)
        self._gathering = 0

        def install() -> list[str]:
            self.database.close()
            aside = transfer.install(disk, piece.seq, self._stamp(piece.seq))
            return [] if aside is None else [aside]

        await self._reopen(install, "it was too far behind: the other server's snapshot took its place")
        return None


def _ignore(_: object) -> None:
    """A callback answers nothing."""
