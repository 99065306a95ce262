"""Records of a history that lost: reported booking by booking, booked again by the ordinary way, or decided against.

Place in the journey: recovery, retreat and failback set bytes aside under `local/set-aside` (bytes and a manifest);
`app` hands this to the door as `api.asides.AsideHooks`. Rules: nothing is decided without a person, except that what is
in force anyway needs no decision; what collides is left; each decision is on disk with who and why; nothing is removed
before thirty days have passed since everything in it was decided, and never while anything is open.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from meetkeeper.api.asides import (
    AsideBooking,
    AsideDetail,
    AsideItem,
    AsideOutcome,
    AsideReplay,
    unknown_aside,
)
from meetkeeper.api.gate import Engine
from meetkeeper.api.moments import iso_utc
from meetkeeper.core.errors import Corrupt, NotFound, Refused, Stale, TheirMistake
from meetkeeper.core.state import State
from meetkeeper.ops.asiderows import OPEN_VERDICTS, Judged, Told, command_for, judge, shown, told_by
from meetkeeper.ops.durable import Hands, read_record
from meetkeeper.ops.means import moment
from meetkeeper.store.recovery import SET_ASIDE, Manifest

DECISIONS = "local/set-aside-decisions"
KEPT_S = 30 * 86_400
"""How long decided records stay."""
SUFFIX = ".tail"


class Decided(Struct, frozen=True):
    """What somebody decided about one booking. `what` is `replayed` or `discarded`."""

    meeting: str
    what: str
    why: str
    by: str
    at_s: float

    @property
    def said(self) -> str:
        """For people."""
        return f"{self.what} by {self.by}, {moment(self.at_s)}: {self.why}"


class Decisions(Struct, frozen=True):
    """Everything decided about one item."""

    rows: tuple[Decided, ...] = ()

    def about(self, meeting: str) -> Decided | None:
        """The newest decision about a booking."""
        return next((one for one in reversed(self.rows) if one.meeting == meeting), None)


class Records(Struct, frozen=True):
    """One item as the disk has it. `at_s` is when it was set aside."""

    name: str
    path: Path
    manifest: Manifest
    at_s: float
    told: tuple[Told, ...]
    frames: int
    decisions: Decisions


class Aside:
    """`api.asides.AsideHooks` over a home folder and the engine."""

    def __init__(self, home: Path, engine: Engine, hands: Hands | None = None) -> None:
        self._home = home
        self._engine = engine
        self._hands = hands or Hands()

    async def items(self) -> Sequence[AsideItem]:
        """All of them, oldest first."""
        found = await asyncio.to_thread(self._all)
        now_s = self._engine.now_s()
        return await self._engine.read(
            lambda state: [_item(one, _judged(state, one, now_s)) for one in found]
        )

    async def show(self, name: str) -> AsideDetail:
        """One of them, booking by booking. Raises `NotFound`."""
        records = await self._records(name)
        now_s = self._engine.now_s()
        return await self._engine.read(lambda state: _detail(state, records, now_s))

    async def replay(self, name: str, meeting: str, by: str) -> AsideReplay:
        """Book again what is missing; with `meeting` that one alone, even where it differs or was cancelled.

        What is refused, because a room is taken or a rule has changed, is left and says why. Raises `NotFound`.
        """
        records = await self._records(name)
        now_s = self._engine.now_s()
        judged = await self._engine.read(lambda state: _judged(state, records, now_s))
        outcomes = []
        for one in _chosen(judged, meeting, records):
            if not meeting and (records.decisions.about(one.told.id) or one.verdict not in OPEN_VERDICTS):
                continue
            if not meeting and one.verdict != "missing":
                outcomes.append(AsideOutcome(one.told.id, "left", one.says))
                continue
            outcomes.append(await self._again(records, one, by))
        return AsideReplay(tuple(outcomes), (await self.show(records.name)).item)

    async def discard(self, name: str, meeting: str, why: str, by: str) -> AsideItem:
        """Decide that the open rest, or one meeting, is not wanted. Raises `NotFound`."""
        records = await self._records(name)
        now_s = self._engine.now_s()
        judged = await self._engine.read(lambda state: _judged(state, records, now_s))
        rows = [
            Decided(one.told.id, "discarded", why, by, now_s)
            for one in _chosen(judged, meeting, records)
            if meeting or _is_open(records, one)
        ]
        if rows:
            await asyncio.to_thread(self._decide, records.name, rows)
        return (await self.show(records.name)).item

    def prune(self, now_s: float, state: State) -> list[str]:
        """Remove what was decided long ago; the names. At the start of a server: nobody else is looking.

        A folder that can't be read hinders nobody from starting: nothing is removed then.
        """
        removed: list[str] = []
        try:
            found = self._all()
        except (OSError, Corrupt):
            return removed
        for records in found:
            until_s = _kept_until_s(records, _judged(state, records, now_s))
            if until_s is not None and until_s < now_s:
                self._hands.remove(records.path)
                self._hands.remove(_manifest_of(records.path))
                self._hands.remove(self._decisions_of(records.name))
                removed.append(records.name)
        return removed

    async def _again(self, records: Records, one: Judged, by: str) -> AsideOutcome:
        """Bring one booking about by the ordinary way."""
        command = await self._engine.read(lambda state: command_for(state, one, records.name))
        if command is None:
            return AsideOutcome(one.told.id, "left", one.says)
        try:
            decision = await self._engine.submit(command)
        except (Refused, TheirMistake, Stale) as refused:
            return AsideOutcome(one.told.id, "left", refused.message)
        said = _replayed(one, decision.answer)
        row = Decided(one.told.id, "replayed", said, by, self._engine.now_s())
        await asyncio.to_thread(self._decide, records.name, [row])
        return AsideOutcome(one.told.id, "replayed", said)

    def _decide(self, name: str, rows: list[Decided]) -> None:
        known = self._decisions(name)
        self._hands.write_record(self._decisions_of(name), Decisions((*known.rows, *rows)))

    def _decisions(self, name: str) -> Decisions:
        found = read_record(self._decisions_of(name), Decisions)
        return found if isinstance(found, Decisions) else Decisions()

    def _decisions_of(self, name: str) -> Path:
        return self._home / DECISIONS / f"{name}.json"

    async def _records(self, name: str) -> Records:
        found = await asyncio.to_thread(self._all)
        named = [one for one in found if one.name == name or one.name.lstrip("0") == name.lstrip("0")]
        if len(named) != 1:
            raise unknown_aside(name)
        return named[0]

    def _all(self) -> list[Records]:
        folder = self._home / SET_ASIDE
        if not folder.is_dir():
            return []
        found = (self._read(path) for path in sorted(folder.glob(f"*{SUFFIX}")))
        return [one for one in found if one is not None]

    def _read(self, path: Path) -> Records | None:
        """One item; None for bytes without their manifest, which a crash leaves and the next start writes again."""
        try:
            manifest = msgspec.json.decode(_manifest_of(path).read_bytes(), type=Manifest)
            data, at_s = path.read_bytes(), path.stat().st_mtime
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        told, frames = told_by(data)
        name = path.name.removesuffix(SUFFIX)
        return Records(name, path, manifest, at_s, tuple(told), frames, self._decisions(name))


def _manifest_of(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _judged(state: State, records: Records, now_s: float) -> list[Judged]:
    return [judge(state, told, now_s) for told in records.told]


def _is_open(records: Records, one: Judged) -> bool:
    return one.verdict in OPEN_VERDICTS and records.decisions.about(one.told.id) is None


def _chosen(judged: list[Judged], meeting: str, records: Records) -> list[Judged]:
    """All, or the named one. Raises `NotFound` where it is not among them."""
    if not meeting:
        return judged
    named = [one for one in judged if one.told.id == meeting]
    if not named:
        raise NotFound(
            "unknown-meeting",
            f"No meeting {meeting[:64]!r} is among {records.name}. `meetkeeper set-aside show {records.name}` lists "
            "them.",
        )
    return named


def _replayed(one: Judged, answer: str) -> str:
    if one.verdict == "cancelled":
        return "cancelled here too"
    if one.verdict == "differs":
        return "changed to what it was there"
    return "booked again" if answer == one.told.id else f"its caller had booked it again already, as {answer}"


def _kept_until_s(records: Records, judged: list[Judged]) -> float | None:
    """When it may be removed; None while anything is open."""
    if any(_is_open(records, one) for one in judged):
        return None
    return max([records.at_s, *(row.at_s for row in records.decisions.rows)]) + KEPT_S


def _item(records: Records, judged: list[Judged]) -> AsideItem:
    until_s = _kept_until_s(records, judged)
    return AsideItem(
        id=records.name.lstrip("0"),
        at=iso_utc(records.at_s),
        why=records.manifest.why,
        seq=records.manifest.seq,
        frames=records.frames,
        bytes=records.manifest.bytes,
        bookings=len(judged),
        open=sum(_is_open(records, one) for one in judged),
        kept_until="" if until_s is None else iso_utc(until_s),
    )


def _detail(state: State, records: Records, now_s: float) -> AsideDetail:
    judged = _judged(state, records, now_s)
    rows: list[AsideBooking] = []
    for one in judged:
        decided = records.decisions.about(one.told.id)
        rows.append(shown(state, one, "" if decided is None else decided.said))
    return AsideDetail(_item(records, judged), tuple(rows))
