"""What happened to a meeting, room, alias or effect, read from the journal: frames, changes and whys."""

import msgspec

from meetkeeper.codec import record
from meetkeeper.core.changes import EffectMoved, IdempotencyKept, ItemKept, MeetingKept, MeetingStepped
from meetkeeper.core.effects import key_of
from meetkeeper.core.plan import Plan
from meetkeeper.engine.status import HistoryLine, HistoryRow
from meetkeeper.store.database import Database

_HIDDEN_FIELDS = ("kind", "body", "item", "cookie")


def find_history(database: Database, about: str, limit: int) -> list[HistoryRow]:
    """The newest `limit` kept frames that name `about` anywhere, newest first. Reads the disk: call it in a thread."""
    needle = about.encode()
    rows: list[HistoryRow] = []
    for frame in database.frames():
        if needle not in frame.body:
            continue
        rows.append(_row(frame.position.epoch, frame.position.seq, record.decode(frame.body).plan, about))
        if len(rows) > 2 * limit:
            del rows[:limit]
    return rows[-limit:][::-1]


def _row(epoch: int, seq: int, plan: Plan, about: str) -> HistoryRow:
    lines = [HistoryLine(_kind(change), _words(change)) for change in plan.changes if _names(change, about)]
    named = [effect for effect in plan.effects if about in key_of(effect)]
    named += [effect for effect in plan.effects if about not in key_of(effect) and _names(effect, about)]
    lines += [HistoryLine("effect", f"{key_of(effect)} is to be done") for effect in named]
    notes = tuple(
        f"{note.code} {note.about}: {note.why}" for note in plan.notes if about in (note.about, "*")
    )
    return HistoryRow(epoch, seq, plan.at_s, tuple(lines), notes)


def _names(change: msgspec.Struct, about: str) -> bool:
    return about.encode() in msgspec.json.encode(change)


def _kind(change: msgspec.Struct) -> str:
    return str(change.__struct_config__.tag)


def _words(change: msgspec.Struct) -> str:
    match change:
        case MeetingStepped():
            return f"{change.id} is {change.step}"
        case MeetingKept():
            return f"{change.id} in {', '.join(change.rooms)}, {change.step}"
        case ItemKept():
            gone = ", gone" if change.gone else ""
            held = ", held by the brake" if change.held else ""
            settles = ", still settling" if change.settle_at_s is not None else ""
            return f"{change.href} in the calendar of {change.room}{gone}{held}{settles}"
        case EffectMoved():
            tries = f", try {change.tries}" if change.tries > 1 else ""
            reason = f": {change.reason}" if change.reason else ""
            return f"{change.key} is {change.status}{tries}{reason}"
        case IdempotencyKept():
            return f"a request said twice is answered once, with {change.answer}"
        case _:
            shown = (name for name in change.__struct_fields__ if name not in _HIDDEN_FIELDS)
            return ", ".join(
                f"{name} {getattr(change, name)}" for name in shown if getattr(change, name) not in (None, "")
            )
