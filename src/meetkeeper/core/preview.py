"""What reading a room's calendar from the beginning would do, before anything is done: a dry run of the core itself.

`picture` takes a copy of what concerns the room, small enough to be taken between two decisions; `preview` lets the
very steps of the real path decide on that copy: pages, settling, and everything that follows while all neighbours say
yes. Nothing of it is kept. Meetings whose calendars have yet to settle are settled in it too, as they would be.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Literal, assert_never

from msgspec import Struct

from meetkeeper.core import keeper, seen
from meetkeeper.core.drafting import Draft
from meetkeeper.core.effects import AnnotateItem, Announce, EnsureVmr, RetireVmr, SendMail, WriteItem, key_of
from meetkeeper.core.events import Done, EffectReported, Event, PageSeen
from meetkeeper.core.plan import Plan, apply_plan
from meetkeeper.core.reconcile import horizon_s
from meetkeeper.core.state import OutboxRow, RoomNews, State, Status
from meetkeeper.core.words import OPEN_STEPS, EffectKey, Meeting, MeetingId, RoomId, Step, Uid

ROUNDS_MAX = 1_000_000
"""Decisions of one dry run: more is a circle."""

What = Literal["create", "change", "delete"]


class Line(Struct, frozen=True, kw_only=True):
    """One meeting that would be made, changed or cancelled. `new_uri`: its door would differ; it ought not."""

    what: What
    meeting: Meeting
    new_uri: bool = False


class Preview(Struct, frozen=True, kw_only=True):
    """What would happen, the nearest meeting first. `same` meetings stay as they are.

    `held` items would be held by the brake (those held already included); `mails` are (address, REQUEST or CANCEL);
    `written` and `retired` count items written into calendars and VMRs taken off their bridge.
    """

    items: int
    problems: tuple[tuple[str, str], ...]
    lines: tuple[Line, ...]
    same: int
    held: int
    mails: tuple[tuple[str, str], ...]
    written: int
    retired: int

    @property
    def uris_changed(self) -> int:
        """Meetings whose door would differ."""
        return sum(line.new_uri for line in self.lines)


def picture(state: State, room: RoomId, uids: Iterable[Uid], now_s: float) -> State:
    """A state of its own that holds all that concerns these UIDs and the room's items, and who holds which door."""
    copy = State()
    copy.lineage, copy.epoch = state.lineage, state.epoch
    copy.deploy(state.config_revision, state.config_body)
    # Doors are chosen by looking at everybody's; what follows below puts the concerned ones in their place.
    copy.by_alias = state.by_alias.copy()
    copy.series_by_alias = state.series_by_alias.copy()
    copy.numeric_ids = state.numeric_ids.copy()
    copy.tombstones = state.tombstones.copy()
    copy.outbox = state.outbox.copy()
    copy.rooms_news = state.rooms_news.copy()
    copy.cookies = {room: state.cookies.get(room, "")}
    copy.live_at_s = state.live_at_s.copy()
    copy.due.seen_s = state.due.seen_s
    copy.rolled_until_s = max(state.rolled_until_s, horizon_s(state, now_s))
    concerned = {row.uid for row in state.items.get(room, {}).values()}.union(uids)
    for row in state.items.get(room, {}).values():
        copy.put_item(row)
    for uid in concerned:
        for row in state.items_of(uid):
            copy.put_item(row)
        series = state.series.get(uid)
        if series is not None:
            copy.put_series(series)
        for kept in state.meetings_of(uid):
            copy.put_meeting(kept)
    return copy


def preview(state: State, pages: Sequence[PageSeen], now_s: float) -> Preview:
    """Let the core decide about a complete pass. `state` is a `picture`, and is of no further use afterwards."""
    before = {row.id: (row.step, state.decode(row)) for row in state.meetings.values()}
    known = set(state.outbox)
    for page in pages:
        _decide(state, page, now_s)
    settled_s = _settle(state, now_s)
    _carry_out(state, known, settled_s)
    lines, same = _compare(state, before)
    fresh = [row for key, row in state.outbox.items() if key not in known]
    mails = [row.effect for row in fresh if isinstance(row.effect, SendMail)]
    return Preview(
        items=sum(len(page.items) for page in pages),
        problems=tuple(problem for page in pages for problem in page.problems),
        lines=lines,
        same=same,
        held=sum(state.rooms_news.get(room, RoomNews()).held for room in {page.room for page in pages}),
        mails=tuple((mail.to, mail.method) for mail in mails),
        written=sum(isinstance(row.effect, WriteItem | AnnotateItem) for row in fresh),
        retired=sum(isinstance(row.effect, RetireVmr) for row in fresh),
    )


def _decide(state: State, event: Event, now_s: float) -> Plan:
    plan = keeper.step(state, event, now_s).plan
    apply_plan(state, plan)
    return plan


def _settle(state: State, now_s: float) -> float:
    """Let everything settle, as `Ticked` would once its time has come; answers with that time."""
    at_s = max([now_s, *state.unsettled.values()])
    for _ in range(ROUNDS_MAX):
        draft = Draft(state, at_s)
        seen.settle_due(state, draft)
        plan = draft.plan()
        if plan.empty:
            return at_s
        apply_plan(state, plan)
    raise AssertionError("a dry run settles for ever")


def _carry_out(state: State, known: set[EffectKey], now_s: float) -> None:
    """Whoever is asked says yes: what follows from that is wanted too. Mails stay where they can be counted."""
    to_do = deque(key for key in state.outbox if key not in known)
    for _ in range(ROUNDS_MAX):
        if not to_do:
            return
        row = state.outbox.get(to_do.popleft())
        if row is not None and _leads_on(row):
            plan = _decide(state, EffectReported(row.key, Done("a dry run")), now_s)
            to_do.extend(key_of(effect) for effect in plan.effects)
    raise AssertionError("a dry run has effects without end")


def _leads_on(row: OutboxRow) -> bool:
    match row.effect:
        case EnsureVmr() | Announce():
            return row.status in (Status.OPEN, Status.WAITING)
        case SendMail() | RetireVmr() | WriteItem() | AnnotateItem():
            return False
        case _ as never:
            assert_never(never)


def _compare(state: State, before: dict[MeetingId, tuple[Step, Meeting]]) -> tuple[tuple[Line, ...], int]:
    lines: list[Line] = []
    same = 0
    for row in state.meetings.values():
        after = state.decode(row)
        step, known = before.get(row.id, (None, None))
        if known is None or step not in OPEN_STEPS:
            if row.step in OPEN_STEPS:
                moved = known is not None and known.vmr is not None and known.vmr != after.vmr
                lines.append(Line(what="create", meeting=after, new_uri=moved))
        elif row.step not in OPEN_STEPS:
            lines.append(Line(what="delete", meeting=known))
        elif after.revision != known.revision or after.vmr != known.vmr:
            lines.append(
                Line(what="change", meeting=after, new_uri=known.vmr is not None and after.vmr != known.vmr)
            )
        else:
            same += 1
    lines.sort(key=lambda line: (line.meeting.start_s, line.meeting.id))
    return tuple(lines), same
