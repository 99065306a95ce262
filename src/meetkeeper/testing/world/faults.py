"""What goes wrong in a world, by its weather: power, disks, clocks, neighbours that are away, strangers, total loss.

Each fault is a small act on the world; `let_in` schedules all of them until everything heals.
"""

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from meetkeeper.core import vmr as vmrs
from meetkeeper.core.commands import Deploy
from meetkeeper.core.vmr import Scope
from meetkeeper.core.words import Uid
from meetkeeper.testing.disk import CrashDisk
from meetkeeper.testing.world import happenings as seen
from meetkeeper.testing.world.outside import SimulatedBridge

if TYPE_CHECKING:
    from meetkeeper.testing.world.run import World

FULL = ("journal:append", "recover:rewrite", "promise:write", "snapshot:append")
"""The calls that find a full disk."""


class Crash(BaseException):
    """The power is gone in the middle of a disk call."""


def let_in(world: "World") -> None:
    """Let all the weather in."""
    weather, editors = world.weather, world.editors
    acts: list[tuple[float, Callable[[], None]]] = [
        (weather.crash_rate, lambda: crash(world)),
        (weather.checkpoint_rate, lambda: checkpoint(world)),
        (weather.disk_full_rate, lambda: _for_a_while(world, lambda full: fill_disk(world, full=full))),
        (weather.clock_rate, lambda: set_clock(world)),
        (weather.lineage_rate, world.lose_everything),
        (weather.redeploy_rate, lambda: redeploy(world)),
        (weather.read_back_rate, world.read_back),
        (weather.bridge_restart_rate, lambda: restart_bridge(world)),
        (weather.bridge_away_rate, lambda: _for_a_while(world, _set(_bridge(world).fake, "away"))),
        (weather.bridge_silent_rate, lambda: _for_a_while(world, _set(_bridge(world).fake, "silent"))),
        (weather.mail_away_rate, lambda: _for_a_while(world, _set(world.post, "away"))),
        (weather.calendar_away_rate, lambda: _calendar_away(world)),
        (weather.calendar_rate, editors.act),
        (weather.emptied_rate, editors.empty),
    ]
    for mean_s, act in acts:
        world.every(mean_s, act)


# --- the server ------------------------------------------------------------------------------------------------------


def crash(world: "World") -> None:
    """The process is killed, the power goes, or it goes in one of the next calls to the disk."""
    if world.chance(world.weather.crash_in_disk):
        arm(world.disk, world.dice.randrange(1, 12))
    elif world.server is not None:
        world.crash("killed", power=world.chance(world.weather.power_lost))


def arm(disk: CrashDisk, calls: int) -> None:
    """The power goes before the disk has done so many more calls."""
    left = calls

    def look(_: str) -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            raise Crash

    disk.on_point = look


def fill_disk(world: "World", *, full: bool) -> None:
    """Nothing more fits, or everything again."""
    world.disk_is_full = full
    if full:
        for label in FULL:
            world.disk.fail(label, errno.ENOSPC)
    else:
        world.disk.heal()


def set_clock(world: "World") -> None:
    """Somebody sets the server's clock: wrong, or right again."""
    if world.chance(0.3):
        world.clock.offset_s = 0.0
    else:
        most_s = world.weather.clock_jump_s * world.setting.pace
        world.clock.offset_s += world.dice.uniform(-most_s, most_s)


def checkpoint(world: "World") -> None:
    """The server writes a snapshot, and gives its file a rest."""
    if world.server is not None and world.server.ready:
        world.server.checkpoint()


def redeploy(world: "World") -> None:
    """An operator deploys other times."""
    if world.server is not None and world.server.ready:
        body = world.setting.redrawn(world.dice)
        world.server.submit(Deploy(body, "an operator"), lambda answer: None)


# --- neighbours ------------------------------------------------------------------------------------------------------


def restart_bridge(world: "World") -> None:
    """A bridge restarts; mostly it forgets everything."""
    fake = _bridge(world).fake
    forget = world.chance(0.7)
    if forget:
        world.happened(seen.Forgot(frozenset(fake.vmrs)))
    fake.restart(forget=forget)


def settle_stranger(world: "World", uid: Uid) -> None:
    """Somebody else takes the alias that this UID would get, if it is free; perhaps not for long."""
    if not world.chance(world.weather.stranger):
        return
    bridge = _bridge(world)
    alias = vmrs.derive(world.setting.config, Scope(uid), bridge.name, 0).alias
    if alias in bridge.fake.vmrs:
        return
    bridge.fake.taken[alias] = "a stranger's room"

    def leave() -> None:
        bridge.fake.taken.pop(alias, None)

    if world.chance(0.5):
        world.at(world.dice.expovariate(1.0 / (300.0 * world.setting.pace)), leave)


def _bridge(world: "World") -> SimulatedBridge:
    return world.dice.choice(list(world.bridges.values()))


def _calendar_away(world: "World") -> None:
    sources = list(world.sources_by_room.values())
    if sources:
        _for_a_while(world, world.dice.choice(sources).away)


def _for_a_while(world: "World", switch: Callable[[bool], None]) -> None:
    switch(True)
    mean_s = world.dice.choice((5.0, 60.0, 300.0)) * world.setting.pace
    world.at(world.dice.expovariate(1.0 / mean_s), lambda: switch(False))


def _set(thing: object, name: str) -> Callable[[bool], None]:
    return lambda value: setattr(thing, name, value)
