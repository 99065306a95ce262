"""The end of a pair's world: nothing goes wrong any more, and within seconds all is as it ought to be."""

from typing import TYPE_CHECKING

from meetkeeper.core.effects import Phase
from meetkeeper.core.words import Step
from meetkeeper.ha.words import Role
from meetkeeper.testing.world.happenings import Violation

if TYPE_CHECKING:
    from meetkeeper.testing.pairworld.process import Process
    from meetkeeper.testing.pairworld.run import World

LATE_S = 3.0


def judge(world: "World") -> None:
    """One active, both in sync, the same on both, and every meeting that is due is open."""
    processes = world.processes()
    acting = [one for one in processes if one.began and one.heart.view.role is Role.ACTIVE]
    if len(processes) != 2 or len(acting) != 1:
        roles = ", ".join(f"{one.name} {one.heart.view.role}" for one in processes)
        raise Violation(f"healed, and {len(acting)} servers act: {roles or 'nobody runs'}; {_why(processes)}")
    active = acting[0]
    passive = next(one for one in processes if one is not active)
    record = active.heart.view.record
    if record is None or record.in_sync != world.names:
        raise Violation(f"healed, and in sync are {record and record.in_sync}; {_why(processes)}")
    _same(world, active, passive)
    _doors(world, active)


def is_quiet(world: "World") -> bool:
    """No frame is on its way: what is decided on one server is kept on both."""
    tips = {(one.database.position, one.database.kept) for one in world.processes()}
    return len(tips) == 1 and all(position == kept for position, kept in tips)


def _why(processes: "list[Process]") -> str:
    return "; ".join(f"{one.name}: {one.heart.view}" for one in processes)


def _same(world: "World", active: "Process", passive: "Process") -> None:
    if passive.database.kept != active.database.kept:
        raise Violation(
            f"healed, and {active.name} has {active.database.kept}, {passive.name} {passive.database.kept}"
        )
    for one in (active, passive):
        world.judges.read_back(one)
    world.judges.same(active.database.state, passive.database.state)


def _doors(world: "World", active: "Process") -> None:
    """Meetings that were acknowledged and are due now are open, under the door that was made once."""
    state, now_s = active.database.state, world.now_s()
    for meeting_id, start_s in world.crowd.ours.items():
        if start_s is None or not start_s + LATE_S < now_s < start_s + 200:
            continue
        meeting = state.meeting(meeting_id)
        if meeting is None:
            if world.judges.losses:
                continue
            raise Violation(f"{meeting_id} was acknowledged and is not known")
        if meeting.vmr is None or state.meetings[meeting_id].step is Step.CANCELLED:
            continue
        stands = world.bridge.fake.vmrs.get(meeting.vmr.alias)
        if stands is None or stands.phase is not Phase.OPEN:
            raise Violation(f"{meeting_id} began {now_s - start_s:.0f} s ago and its door is not open")
        made = [one for one in world.bridge.fake.calls if one.alias == meeting.vmr.alias and one.created]
        if len(made) != 1:
            raise Violation(f"the door of {meeting_id} was made {len(made)} times")
