"""The register as numbered files in a folder on a third host's share: `reg-<20 digits>.json`, no locks."""

from pathlib import Path

from meetkeeper.ha.words import Outcome, Reading, Record


class FileRegister:
    """A folder on a share, mounted without caches (NFS: `actimeo=0` or `noac`; SMB: `cache=none`)."""

    arbitrates = True

    def __init__(self, folder: str | Path, *, me: str, deadline_s: float = 2.0) -> None:
        """No I/O. `me` names this server; every call answers within `deadline_s`."""
        self._folder = Path(folder)
        self._me = me
        self._deadline_s = deadline_s

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return f"folder {self._folder}"

    async def read(self) -> Reading:
        """The newest number's record."""
        raise NotImplementedError

    async def change(self, expected: int, record: Record) -> Outcome:
        """Make the number after `expected`."""
        raise NotImplementedError

    async def close(self) -> None:
        """End the worker."""
