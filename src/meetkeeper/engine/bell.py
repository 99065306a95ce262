"""The committer's bell: whatever one turn of the event loop has decided is flushed together.

Place in the journey: between a commit and `store.committer`. A flush costs more than the disk's time: two threads get
in each other's way, and in a pair a message goes out and an answer comes back. Where many are heard at once, that for
every few of them would be more work than they are.
"""

import asyncio
from collections.abc import Callable


class Bell:
    """Rung any number of times, in the event loop; heard once, when all that this turn has brought is decided."""

    __slots__ = ("_heard", "_rung")

    def __init__(self, heard: Callable[[], None]) -> None:
        self._heard = heard
        self._rung = False

    def ring(self) -> None:
        """Something was committed."""
        if not self._rung:
            self._rung = True
            asyncio.get_running_loop().call_soon(self._hear)

    def _hear(self) -> None:
        self._rung = False
        self._heard()
