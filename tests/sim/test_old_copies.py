"""A pair one of whose disks is an old copy: a virtual machine was set back, a volume restored. Nothing that was told is
lost: while the other server acts the copy is taken out and catches up; alone it never acts."""

import pytest

from meetkeeper.ha import view
from meetkeeper.ha.words import Mode, Role
from meetkeeper.testing.disk import CrashDisk
from meetkeeper.testing.pairworld.process import Process
from meetkeeper.testing.world.happenings import Violation
from tests.sim.calm_pair import CalmPair

COPIED_S, SWITCHED_S, PUT_BACK_S, AWAY_S = 10.0, 16.0, 32.0, 22.0


class Restoring(CalmPair):
    """Somebody copies the passive's disk and puts the copy back later."""

    def __init__(self, seed: int, **fixed: object) -> None:
        self.copied = self.taken_out = ""
        super().__init__(seed, **fixed)
        self.copy: CrashDisk | None = None

    def make_copy(self) -> None:
        """As a snapshot of the machine does."""
        host = self.who(Role.PASSIVE)
        self.copied, self.copy = host.name, host.disk.killed()

    def put_back(self) -> None:
        """The server is ended, and started on its old disk."""
        assert self.copy is not None
        host = self.hosts[self.copied]
        self.kill(host)
        host.disk = self.copy
        self.judges.old_copy(host.name)

    def told(self, process: Process | None, what: str) -> None:
        """Every step of the story: here every change of the register passes by."""
        super().told(process, what)
        record = self.place.record if self.place else None
        if record is not None and self.copied and self.copied not in record.in_sync:
            self.taken_out = record.why


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("mode", Mode)
def test_an_old_copy_is_taken_out_and_catches_up(seed: int, mode: Mode) -> None:
    """The active notices at once that less stands there than had been told, in every mode."""
    world = Restoring(seed, mode=mode)
    world.at(COPIED_S, world.make_copy)
    world.at(PUT_BACK_S, world.put_back)
    world.run()
    assert "had held" in world.taken_out
    assert world.reigns == 1


def _both_fall(world: Restoring) -> None:
    """A switchover makes the register be written, then both lose their power and one comes back on an old disk."""
    world.at(COPIED_S, world.make_copy)
    world.at(SWITCHED_S, world.crowd.switch_over)

    def fall() -> None:
        world.put_back()
        world.power_off(world.hosts[world.hosts[world.copied].other], "together with the other", AWAY_S)

    world.at(PUT_BACK_S, fall)
    world.watch(PUT_BACK_S, PUT_BACK_S + AWAY_S)


@pytest.mark.parametrize("seed", range(8))
def test_an_old_copy_alone_never_acts(seed: int) -> None:
    """The register says that it held more. When the other server is back everything that was told is there."""
    world = Restoring(seed)
    _both_fall(world)
    world.run()
    assert not world.alone


@pytest.mark.parametrize("seed", range(3))
def test_without_the_registers_word_an_old_copy_would_act(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The judges see it: bookings that people were told of would be gone."""
    monkeypatch.setattr(view, "was_set_back", lambda _: False)
    world = Restoring(seed)
    _both_fall(world)
    with pytest.raises(Violation, match="begins epoch"):
        world.run()
