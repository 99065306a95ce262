"""The weather of one world, drawn from its seed: some faults wholly off, some mild, some extreme (swarm testing).

A rate is a mean time between two events in simulated seconds, 0 for never; a chance is a probability per opportunity.
All times are in units of the world's pace: a world with a tick of a minute has everything sixty times slower.
"""

from random import Random

from msgspec import Struct

MILD = 0.35
EXTREME = 0.15


class Weather(Struct, frozen=True, kw_only=True):
    """What may go wrong, and how often."""

    # the server
    crash_rate: float = 0.0
    crash_in_disk: float = 0.0
    power_lost: float = 0.0
    disk_full_rate: float = 0.0
    flush_fails: float = 0.0
    flush_s: float = 0.002
    checkpoint_rate: float = 300.0
    read_back_rate: float = 400.0
    clock_rate: float = 0.0
    clock_jump_s: float = 0.0
    lineage_rate: float = 0.0
    redeploy_rate: float = 0.0
    # bridges
    bridge_away_rate: float = 0.0
    bridge_silent_rate: float = 0.0
    bridge_slow_s: float = 0.05
    bridge_restart_rate: float = 0.0
    bridge_lost: float = 0.0
    stranger: float = 0.0
    # mail
    mail_away_rate: float = 0.0
    mail_later: float = 0.0
    mail_never: float = 0.0
    mail_unclear: float = 0.0
    mail_slow_s: float = 0.05
    # calendars
    calendar_away_rate: float = 0.0
    cookie_refused: float = 0.0
    silent_full: float = 0.0
    page_cut: float = 0.0
    problem: float = 0.0
    hides: float = 0.0
    emptied_rate: float = 0.0
    page_size: int = 50
    write_fails: float = 0.0
    # people
    api_rate: float = 20.0
    api_hasty: float = 0.0
    calendar_rate: float = 30.0


CALM = Weather()
"""Nothing goes wrong."""

_RATES = {
    "crash_rate": (900.0, 60.0),
    "disk_full_rate": (1_500.0, 300.0),
    "clock_rate": (1_200.0, 200.0),
    "lineage_rate": (3_000.0, 1_500.0),
    "redeploy_rate": (1_500.0, 300.0),
    "bridge_away_rate": (900.0, 200.0),
    "bridge_silent_rate": (900.0, 200.0),
    "bridge_restart_rate": (1_500.0, 240.0),
    "mail_away_rate": (900.0, 200.0),
    "calendar_away_rate": (900.0, 200.0),
    "emptied_rate": (1_800.0, 400.0),
}
"""Mean time between two events: (mild, extreme)."""
_CHANCES = {
    "crash_in_disk": (0.3, 0.9),
    "power_lost": (0.3, 1.0),
    "flush_fails": (0.001, 0.01),
    "bridge_lost": (0.05, 0.4),
    "stranger": (0.05, 0.4),
    "mail_later": (0.05, 0.5),
    "mail_never": (0.02, 0.2),
    "mail_unclear": (0.05, 0.3),
    "cookie_refused": (0.05, 0.5),
    "silent_full": (0.1, 1.0),
    "page_cut": (0.05, 0.4),
    "problem": (0.02, 0.2),
    "write_fails": (0.05, 0.4),
    "api_hasty": (0.05, 0.4),
}
"""Probability per opportunity: (mild, extreme)."""


def draw(dice: Random) -> Weather:
    """The weather of one world."""
    drawn: dict[str, float | int] = {}
    for name, (mild, extreme) in [*_RATES.items(), *_CHANCES.items()]:
        strength = dice.random()
        if strength < EXTREME:
            drawn[name] = extreme
        elif strength < EXTREME + MILD:
            drawn[name] = mild
    drawn["hides"] = Random(f"{sorted(drawn)}/hides").choice((0.0, 0.0, 0.05, 0.3))
    drawn["flush_s"] = dice.choice((0.0005, 0.002, 0.002, 0.02, 0.5, 3.0))
    drawn["clock_jump_s"] = dice.choice((2.0, 30.0, 600.0))
    drawn["bridge_slow_s"] = dice.choice((0.01, 0.05, 0.5, 5.0))
    drawn["mail_slow_s"] = dice.choice((0.01, 0.05, 0.5, 5.0))
    drawn["page_size"] = dice.choice((1, 2, 5, 50))
    drawn["api_rate"] = dice.choice((10.0, 20.0, 60.0))
    drawn["calendar_rate"] = dice.choice((15.0, 40.0, 120.0))
    return Weather(**drawn)  # type: ignore[arg-type]


def shown(weather: Weather) -> str:
    """Everything that differs from calm, on one line."""
    return ", ".join(
        f"{name} {getattr(weather, name):g}"
        for name in weather.__struct_fields__
        if getattr(weather, name) != getattr(CALM, name)
    )
