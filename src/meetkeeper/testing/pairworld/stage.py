"""What an acting server of the pair has around it: `world.outside.Outside`, by the process it lives in."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from meetkeeper.core.errors import MeetkeeperError
from meetkeeper.core.state import State
from meetkeeper.core.words import RoomId
from meetkeeper.ha.words import Position
from meetkeeper.testing.world import happenings as seen
from meetkeeper.testing.world.calendars import RoomSource
from meetkeeper.testing.world.outside import SimulatedBridge
from meetkeeper.testing.world.server import Server

if TYPE_CHECKING:
    from meetkeeper.testing.pairworld.process import Process


class Stage:
    """One reign's neighbours and time. Nothing happens here once the process is gone; while it is frozen, later."""

    tick_s = 1.0
    survey_s = 30.0

    def __init__(self, process: "Process") -> None:
        self._process = process
        self.clock = process.host.clock
        self.post = process.world.post

    def at(self, delay_s: float, call: Callable[[], None]) -> None:
        """Call after so many seconds of this host's clock."""
        self._process.at(delay_s, call)

    def chance(self, probability: float) -> bool:
        """Throw dice."""
        return self._process.world.chance(probability)

    def flush_s(self) -> float:
        """How long the disk takes this time."""
        return self._process.world.flush_s(self._process.host)

    def happened(self, happening: seen.Happening) -> None:
        """Let the judges see."""
        self._process.world.judges.happened(self._process, happening)

    def acts(self, epoch: int) -> None:
        """The reign's first frame may be spoken of."""
        self._process.acts(epoch)

    def decided(self, position: Position) -> None:
        """A frame that no event brought about."""
        self._process.world.judges.decided(self._process, position)

    def failed(self, server: object, error: MeetkeeperError) -> None:
        """The engine drops the role."""
        self._process.actor_failed(error)

    def bridge(self, bridge_id: str) -> SimulatedBridge:
        """The one bridge."""
        return self._process.world.bridge

    def sources(self, state: State) -> list[RoomSource]:
        """No calendars here."""
        return []

    def source(self, state: State, room: RoomId) -> RoomSource | None:
        """No calendars here."""
        return None


class Acting(Server):
    """A server that acts for its pair: says when it begins, and shows the judges every frame."""

    def _begin(self) -> None:
        super()._begin()
        assert isinstance(self._outside, Stage)
        assert self.epoch is not None
        self._outside.acts(self.epoch)

    def raise_reign(self, epoch: int) -> None:
        """Go on under a higher epoch."""
        before = self.node.database.position
        super().raise_reign(epoch)
        after = self.node.database.position
        if after != before:
            assert isinstance(self._outside, Stage)
            self._outside.decided(after)
