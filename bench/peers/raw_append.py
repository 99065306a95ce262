"""The limit of this disk: ready-made bytes appended to one file by a group committer, one fdatasync a group."""

import os
from pathlib import Path

from bench.clients import AsyncCommit, run_async
from bench.figures import Figures
from bench.group import Batch, GroupCommitter


class RawAppend:
    """No keys, no checksums, no memory of what was written: nothing that keeps records can be expected to beat it."""

    name = "raw append + fdatasync (the limit)"
    does = (
        "1,490 ready bytes and a line end appended to one open file; a committer thread joins all that is queued into "
        "one write and one fdatasync"
    )

    def __init__(self) -> None:
        self._file = -1
        self._committer: GroupCommitter | None = None

    def start(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._file = os.open(folder / "log", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)

    def run(self, clients: int, seconds: float) -> Figures:
        os.ftruncate(self._file, 0)
        os.fsync(self._file)
        return run_async(self._open, self._close, clients, seconds)

    def stop(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    async def _open(self) -> AsyncCommit:
        self._committer = GroupCommitter(self._write)
        return self._committer.commit

    async def _close(self) -> None:
        if self._committer is not None:
            await self._committer.close()

    def _write(self, batch: Batch) -> None:
        data = b"\n".join(body for _, body in batch) + b"\n"
        written = os.write(self._file, data)
        if written != len(data):
            raise OSError(f"short write: {written} of {len(data)} bytes")
        os.fdatasync(self._file)
