"""The weather of one pair's world, drawn from its seed: each fault wholly off, mild or extreme (swarm testing).

A rate is a mean time between two events in simulated seconds, 0 for never; a chance is a probability per opportunity.
"""

from random import Random

from msgspec import Struct
from msgspec.structs import replace

from meetkeeper.ha.words import Mode

MILD = 0.35
EXTREME = 0.2


class Weather(Struct, frozen=True, kw_only=True):
    """What may go wrong, and how often."""

    mode: Mode = Mode.SYNC
    third_place: bool = True
    fence: bool = False
    failover_after_s: float = 0.0
    # processes and hosts
    kill_rate: float = 0.0
    power_rate: float = 0.0
    freeze_rate: float = 0.0
    freeze_s: float = 2.0
    stop_rate: float = 0.0
    backoff_s: float = 0.5
    crash_in_disk: float = 0.0
    # disks
    flush_s: float = 0.002
    slow_flush: float = 0.0
    flush_fails: float = 0.0
    full_rate: float = 0.0
    checkpoint_rate: float = 0.0
    # clocks
    drift: float = 0.0
    wall_rate: float = 0.0
    # the line
    latency_s: float = 0.002
    cut_rate: float = 0.0
    block_rate: float = 0.0
    one_way_rate: float = 0.0
    block_s: float = 5.0
    break_s: float = 2.5
    crowded_bytes: int = 1 << 22
    chunk_bytes: int = 1 << 20
    # the register
    away_rate: float = 0.0
    away_s: float = 5.0
    answer_lost: float = 0.0
    late: float = 0.0
    place_slow_s: float = 0.005
    # agents
    proof_s: float = 0.05
    proof_lost: float = 0.0
    # people
    book_rate: float = 2.0
    read_rate: float = 2.0
    switchover_rate: float = 0.0
    force_rate: float = 0.0
    maintenance_rate: float = 0.0
    # bridge
    bridge_slow_s: float = 0.05
    bridge_lost: float = 0.0

    @property
    def drifts_too_much(self) -> bool:
        """The clocks run apart faster than the lease allows for: it keeps neither calls nor reads apart any more."""
        return self.drift > 0.009


CALM = Weather()
"""Nothing goes wrong."""

_RATES = {
    "kill_rate": (60.0, 12.0),
    "power_rate": (80.0, 15.0),
    "freeze_rate": (60.0, 10.0),
    "stop_rate": (90.0, 20.0),
    "full_rate": (120.0, 40.0),
    "checkpoint_rate": (30.0, 6.0),
    "wall_rate": (60.0, 10.0),
    "cut_rate": (40.0, 5.0),
    "block_rate": (60.0, 12.0),
    "one_way_rate": (60.0, 12.0),
    "away_rate": (60.0, 12.0),
    "switchover_rate": (40.0, 8.0),
    "force_rate": (90.0, 20.0),
    "maintenance_rate": (120.0, 40.0),
}
_CHANCES = {
    "crash_in_disk": (0.3, 0.9),
    "slow_flush": (0.02, 0.2),
    "flush_fails": (0.002, 0.02),
    "answer_lost": (0.1, 0.5),
    "late": (0.1, 0.5),
    "proof_lost": (0.1, 0.6),
    "bridge_lost": (0.05, 0.3),
}


def draw(dice: Random, **fixed: object) -> Weather:
    """The weather of one world; `fixed` fields are not left to the dice, whose other throws stay the same."""
    drawn: dict[str, object] = {}
    for name, (mild, extreme) in [*_RATES.items(), *_CHANCES.items()]:
        strength = dice.random()
        if strength < EXTREME:
            drawn[name] = extreme
        elif strength < EXTREME + MILD:
            drawn[name] = mild
    drawn["mode"] = dice.choice((Mode.SYNC, Mode.SYNC, Mode.SYNC, Mode.SYNC, Mode.STRICT, Mode.ASYNC))
    drawn["third_place"] = dice.random() < 0.65
    drawn["fence"] = dice.random() < 0.3
    drawn["failover_after_s"] = dice.choice((0.0, 0.0, 0.0, 4.0, 10.0))
    drawn["freeze_s"] = dice.choice((0.3, 2.0, 3.5, 8.0))
    drawn["backoff_s"] = dice.choice((0.1, 0.5, 2.0, 10.0))
    drawn["flush_s"] = dice.choice((0.0005, 0.002, 0.02, 0.3))
    drawn["drift"] = dice.choice((0.0, 0.0, 0.004, 0.009, 0.05))
    drawn["latency_s"] = dice.choice((0.0005, 0.002, 0.02, 0.3))
    drawn["block_s"] = dice.choice((1.0, 4.0, 12.0))
    drawn["break_s"] = dice.choice((0.2, 2.5, 2.5, 8.0))
    drawn["crowded_bytes"] = dice.choice((2_000, 1 << 22))
    drawn["chunk_bytes"] = dice.choice((500, 1 << 20))
    drawn["away_s"] = dice.choice((2.0, 6.0, 20.0))
    drawn["place_slow_s"] = dice.choice((0.002, 0.02, 0.5))
    drawn["proof_s"] = dice.choice((0.02, 0.1, 1.0))
    drawn["book_rate"] = dice.choice((0.5, 1.0, 3.0))
    drawn["read_rate"] = dice.choice((0.5, 2.0))
    drawn["bridge_slow_s"] = dice.choice((0.01, 0.1, 1.0))
    return Weather(**(drawn | fixed))  # type: ignore[arg-type]


def shown(weather: Weather) -> str:
    """Everything that differs from calm, on one line."""
    return ", ".join(
        f"{name} {getattr(weather, name)}"
        for name in weather.__struct_fields__
        if getattr(weather, name) != getattr(CALM, name)
    )


def healed(weather: Weather) -> Weather:
    """Nothing goes wrong any more; what was chosen stays."""
    return replace(
        CALM,
        mode=weather.mode,
        third_place=weather.third_place,
        fence=weather.fence,
        drift=weather.drift,
        crowded_bytes=weather.crowded_bytes,
        chunk_bytes=weather.chunk_bytes,
    )
