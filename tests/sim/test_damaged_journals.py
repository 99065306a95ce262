"""A pair one of whose journals is damaged where frames had been kept: by a power failure in mid-batch, or a bad sector.

Who has the other server at hand gets them from there; alone it never acts on less than people were told.
"""

import pytest

from meetkeeper.ha.words import Role
from meetkeeper.store import journal
from meetkeeper.store.database import Database
from meetkeeper.testing.disk import CrashDisk
from meetkeeper.testing.pairworld.host import Host
from meetkeeper.testing.world.happenings import Violation
from tests.sim.calm_pair import CalmPair

DAMAGED_S, AWAY_S = 32.0, 22.0
SEEDS = range(8)


def _damaged(disk: CrashDisk) -> CrashDisk:
    """The third frame from the end has a flipped bit; the two behind it say that it had been kept."""
    files = disk.files()
    path = max(name for name in files if name.startswith(f"{journal.FOLDER}/"))
    lines = files[path].splitlines(keepends=True)
    assert len(lines) > 4
    lines[-3] = lines[-3][:20] + bytes([lines[-3][20] ^ 0x04]) + lines[-3][21:]
    return CrashDisk.holding({**files, path: b"".join(lines)})


def _damage(world: CalmPair, host: Host) -> None:
    world.power_off(host, "and a sector of its disk is bad", 0.5)
    host.disk = _damaged(host.disk)
    world.judges.old_copy(host.name)


def _healed(world: CalmPair) -> bool:
    return not any(one.database.cut_back or one.heart.view.cut_back for one in world.processes())


@pytest.mark.parametrize("third_place", [True, False])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_passive_gets_back_what_was_damaged(seed: int, third_place: bool) -> None:
    """It starts, follows, has everything again, and may take over again."""
    world = CalmPair(seed, third_place=third_place)
    world.at(DAMAGED_S, lambda: _damage(world, world.who(Role.PASSIVE)))
    world.run()
    assert _healed(world)
    assert world.reigns == 1


@pytest.mark.parametrize("seed", SEEDS)
def test_an_active_gives_way_to_who_has_everything(seed: int) -> None:
    """The register names it; it does not act on what is left, and the other one, in sync, does."""
    world = CalmPair(seed, failover_after_s=10.0)
    was: list[str] = []

    def damage() -> None:
        was.append(world.who(Role.ACTIVE).name)
        _damage(world, world.hosts[was[0]])

    world.at(DAMAGED_S, damage)
    world.run()
    assert _healed(world)
    assert [world.who(Role.PASSIVE).name] == was


def _damage_with_the_other_away(world: CalmPair) -> None:
    def fall() -> None:
        active, passive = world.who(Role.ACTIVE), world.who(Role.PASSIVE)
        _damage(world, passive)
        world.power_off(active, "at the same time", AWAY_S)

    world.at(DAMAGED_S, fall)
    world.watch(DAMAGED_S, DAMAGED_S + AWAY_S)


@pytest.mark.parametrize("seed", SEEDS)
def test_alone_it_never_acts(seed: int) -> None:
    """In sync by the register, but not on its disk any more."""
    world = CalmPair(seed)
    _damage_with_the_other_away(world)
    world.run()
    assert not world.alone
    assert _healed(world)


@pytest.mark.parametrize("seed", range(3))
def test_if_the_cut_were_forgotten_people_would_lose_bookings(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The judges see it."""
    opened = Database.open

    def forgetful(*arguments: object, **more: object) -> Database:
        database = opened(*arguments, **more)  # type: ignore[arg-type]
        database.heal()
        return database

    monkeypatch.setattr(Database, "open", forgetful)
    world = CalmPair(seed)
    _damage_with_the_other_away(world)
    with pytest.raises(Violation, match="begins epoch"):
        world.run()
