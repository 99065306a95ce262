"""A calm world of a pair, for stories in which one thing goes wrong that the weather does not bring."""

from meetkeeper.ha.words import Mode, Role
from meetkeeper.store.database import Limits
from meetkeeper.testing.pairworld.host import Host
from meetkeeper.testing.pairworld.run import World

CALM = {
    "third_place": True,
    "mode": Mode.SYNC,
    "failover_after_s": 0.0,
    "backoff_s": 0.3,
    "book_rate": 0.5,
    "drift": 0.0,
    "flush_s": 0.002,
    "latency_s": 0.002,
    "place_slow_s": 0.002,
    "bridge_slow_s": 0.01,
    "proof_lost": 1.0,
}
"""No agent proves that a server has ended: it is back before its lease has, and the register still counts on it."""
STORMS = (
    *("kill_rate", "power_rate", "freeze_rate", "stop_rate", "full_rate", "checkpoint_rate", "wall_rate"),
    *(
        "cut_rate",
        "block_rate",
        "one_way_rate",
        "away_rate",
        "switchover_rate",
        "force_rate",
        "maintenance_rate",
    ),
    *("crash_in_disk", "slow_flush", "flush_fails", "answer_lost", "late", "bridge_lost"),
)


class CalmPair(World):
    """People book; nothing goes wrong but what a test makes go wrong."""

    def __init__(self, seed: int, **fixed: object) -> None:
        self.alone: list[str] = []
        """Who acted while nobody else ran."""
        super().__init__(seed, 60.0, **(dict.fromkeys(STORMS, 0.0) | CALM | fixed))
        self.limits = Limits()

    def who(self, role: Role) -> Host:
        """The host whose server has this role."""
        (host,) = (one.host for one in self.processes() if one.heart.view.role is role)
        return host

    def watch(self, from_s: float, until_s: float) -> None:
        """Look ten times a second whether somebody acts alone."""
        for tenth in range(int((until_s - from_s) * 10)):
            self.at(from_s + tenth / 10, self._look)

    def _look(self) -> None:
        running = self.processes()
        if len(running) == 1 and running[0].heart.view.role is Role.ACTIVE:
            self.alone.append(running[0].name)
