"""One JSON file per meeting: the plain way to keep every change on disk before anyone is told."""

import os
import threading
from pathlib import Path
from typing import Final

from bench.clients import run_threads
from bench.figures import Figures

FOLDERS: Final = 256


class FilePerMeeting:
    """Written aside, flushed, renamed over the old one, folder flushed; one thread a client."""

    name = "one file per meeting"
    does = (
        "each meeting its own file in one of 256 folders: written aside, fsync, rename, fsync of the folder; "
        "one thread a client"
    )

    def __init__(self) -> None:
        self._folders = list[Path]()
        self._flushes = list[int]()

    def start(self, folder: Path) -> None:
        self._folders = [folder / f"{number:02x}" for number in range(FOLDERS)]
        for path in self._folders:
            path.mkdir(parents=True)
        self._flushes = [os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in self._folders]

    def run(self, clients: int, seconds: float) -> Figures:
        return run_threads(self._commit, clients, seconds)

    def stop(self) -> None:
        for file in self._flushes:
            os.close(file)
        self._flushes.clear()

    def _commit(self, key: int, body: bytes) -> None:
        shard = key % FOLDERS
        folder = self._folders[shard]
        aside = folder / f".{key}.{threading.get_ident()}"
        file = os.open(aside, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        try:
            os.write(file, body)
            os.fsync(file)
        finally:
            os.close(file)
        aside.rename(folder / f"{key}.json")
        os.fsync(self._flushes[shard])
