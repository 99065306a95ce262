"""A pair one of whose disks is an old copy: a virtual machine was set back, a volume restored. Nothing that was told is
lost: while the other server acts the copy is taken out and catches up; alone it never acts."""

import pytest

from meetkeeper.ha import view
from meetkeeper.ha.words import Mode, Role
from meetkeeper.testing.disk import CrashDisk
from meetkeeper.testing.pairworld.process import Process
from meetkeeper.testing.pairworld.run import World
from meetkeeper.testing.world.happenings import Violation

COPIED_S, SWITCHED_S, PUT_BACK_S, BACK_S = 10.0, 16.0, 32.0, 22.0
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
"""No agent proves that the server had ended: it is back before its lease has, and the register still counts on it."""
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


class Restoring(World):
    """A calm world in which somebody copies the passive's disk and puts the copy back later."""

    def __init__(self, seed: int, **fixed: object) -> None:
        self.copied = self.taken_out = ""
        super().__init__(seed, 60.0, **(dict.fromkeys(STORMS, 0.0) | CALM | fixed))
        self.copy: CrashDisk | None = None
        self.acted_alone: list[str] = []

    def passive(self) -> str:
        """Whoever follows."""
        (name,) = (one.name for one in self.processes() if one.heart.view.role is Role.PASSIVE)
        return name

    def make_copy(self) -> None:
        """As a snapshot of the machine does."""
        self.copied = self.passive()
        self.copy = self.hosts[self.copied].disk.killed()

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

    def watch(self) -> None:
        """Did it act while the other one was away?"""
        running = self.processes()
        if len(running) == 1 and running[0].name == self.copied and running[0].heart.view.role is Role.ACTIVE:
            self.acted_alone.append(self.copied)


def _watched(world: Restoring, from_s: float) -> None:
    for tenth in range(400):
        world.at(from_s + tenth / 10, world.watch)


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
        world.power_off(world.hosts[world.hosts[world.copied].other], "together with the other", BACK_S)

    world.at(PUT_BACK_S, fall)
    _watched(world, PUT_BACK_S + 1.0)


@pytest.mark.parametrize("seed", range(8))
def test_an_old_copy_alone_never_acts(seed: int) -> None:
    """The register says that it held more. When the other server is back everything that was told is there."""
    world = Restoring(seed)
    _both_fall(world)
    world.run()
    assert not world.acted_alone


@pytest.mark.parametrize("seed", range(3))
def test_without_the_register_s_word_an_old_copy_would_act(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The judges see it: bookings that people were told of would be gone."""
    monkeypatch.setattr(view, "was_set_back", lambda _: False)
    world = Restoring(seed)
    _both_fall(world)
    with pytest.raises(Violation, match="begins epoch"):
        world.run()
