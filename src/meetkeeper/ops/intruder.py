"""Notices that somebody else writes into an acting server's `databases/`: a file tool that was not stopped.

Place in the journey: in `files` mode a copy that arrives after the takeover puts old files over what was kept since.
A second later this server has seen it, stops acting and does not start again before a person has looked. What this
server does itself is known: the newest segment grows, newer ones come, older ones and snapshots go. Anything else is
somebody else's hand.
"""

from pathlib import Path

from msgspec import Struct

from meetkeeper.core.errors import Refused
from meetkeeper.ops import standing
from meetkeeper.ops.durable import Hands
from meetkeeper.ops.means import moment
from meetkeeper.ops.standing import Stance, Standing
from meetkeeper.store import journal

LOOK_S = 1.0


class _File(Struct, frozen=True):
    """A segment as the folder has it."""

    number: int
    size: int


class Intruder:
    """Looks at the journal's folder again and again. Call `look` from a thread."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._folder = home / journal.FOLDER
        self._known = self._listed()

    @staticmethod
    def is_needed(home: Path) -> bool:
        """True for a home that ever stood in `files` mode."""
        return (home / standing.FILE).exists()

    def look(self) -> str:
        """What somebody else did since the last look, as a sentence part; empty when nobody did."""
        now, before = self._listed(), self._known
        self._known = now
        for name, file in before.items():
            found = now.get(name)
            if found is None:
                if name == max(before):
                    return f"{name} was removed"
            elif found.number != file.number:
                return f"{name} was replaced"
            elif found.size < file.size or (found.size > file.size and name != max(before)):
                return f"{name} was changed"
        older = [name for name in now if name not in before and name < max(before, default="")]
        return f"{older[0]} was added" if older else ""

    def end(self, what: str, at_s: float) -> Refused:
        """Make this home a standby for good reason; the error that ends the server."""
        why = (
            f"on {moment(at_s)} somebody else wrote into its databases/ ({what}): a file tool was not stopped"
        )
        standing.write(self._home, Standing(Stance.STANDBY, why, at_s), Hands())
        return Refused(
            "files.overwritten",
            f"Somebody else writes into {self._folder}: {what}. This server stops before it loses more. Stop the file "
            "tool; bring back these files from the other server or a backup, or see what is left with "
            f'`meetkeeper check {self._home}`; then `meetkeeper start {self._home} --proof "…"`.',
        )

    def _listed(self) -> dict[str, _File]:
        found: dict[str, _File] = {}
        for path in self._folder.glob(f"*{journal.SUFFIX}"):
            if journal.first_seq_of(path.name) is None:
                continue
            try:
                stat = path.stat()
            except FileNotFoundError:
                continue
            found[path.name] = _File(stat.st_ino, stat.st_size)
        return found
