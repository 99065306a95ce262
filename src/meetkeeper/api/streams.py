"""Kept decisions as server-sent events: each carries its number as id, so a stream that broke goes on where it was.

A reader who asks for what is no longer remembered is told so by one `reset` event and reads everything anew. Streams
end at once when the server stops.
"""

from collections.abc import AsyncIterator

import msgspec

from meetkeeper.api import times
from meetkeeper.api.desk import Desk
from meetkeeper.api.gate import KeptFrame
from meetkeeper.api.serverviews import FrameEvent
from meetkeeper.core.changes import (
    ConfigDeployed,
    CookieKept,
    EffectMoved,
    EffectOpen,
    ItemForgotten,
    ItemKept,
    MeetingForgotten,
    MeetingKept,
    MeetingStepped,
    RoomTold,
)
from meetkeeper.core.effects import key_of

HEARTBEAT_S = 15.0
"""A comment is sent this often, so that proxies keep the connection and a dead one is noticed."""
RETRY_MS = 2_000
_encode = msgspec.json.Encoder().encode


async def events(desk: Desk, after: int | None) -> AsyncIterator[bytes]:
    """The stream's bytes from `after` on (None: from now on), until the server stops acting or the reader leaves."""
    follower, stop = desk.follower, desk.gate.stop
    desk.counts.streams += 1
    try:
        yield f"retry: {RETRY_MS}\n\n".encode()
        seq = follower.seq if after is None else after
        while not stop.is_set() and desk.gate.acts():
            frames = follower.since(seq)
            if frames is None:
                seq = follower.seq
                yield _event("reset", seq, b'{"seq":%d}' % seq)
            elif frames:
                for frame in frames:
                    yield _event("frame", frame.seq, _encode(frame_event(frame)))
                seq = frames[-1].seq
            elif not await follower.wait_news(seq, HEARTBEAT_S):
                yield b": still here\n\n"
    finally:
        desk.counts.streams -= 1


def last_seen(header: str | None) -> int | None:
    """The number in a Last-Event-ID header; None when there is none, -1 (long forgotten) for nonsense."""
    if not header:
        return None
    return int(header) if header.isascii() and header.isdigit() and len(header) < 19 else -1


def frame_event(frame: KeptFrame) -> FrameEvent:
    """What a frame touched."""
    meetings: dict[str, str] = {}
    rooms: dict[str, None] = {}
    effects = {str(key_of(effect)): "open" for effect in frame.plan.effects}
    revision: int | None = None
    for change in frame.plan.changes:
        match change:
            case MeetingKept() | MeetingStepped():
                meetings[change.id] = change.step.value
            case MeetingForgotten():
                meetings[change.id] = "forgotten"
            case EffectMoved() | EffectOpen():
                effects[change.key] = change.status.value
            case ItemKept() | ItemForgotten() | CookieKept() | RoomTold():
                rooms[change.room] = None
            case ConfigDeployed():
                revision = change.revision
            case _:
                pass
        if isinstance(change, MeetingKept):
            rooms.update(dict.fromkeys(change.rooms))
    return FrameEvent(
        seq=frame.seq,
        epoch=frame.epoch,
        at=times.iso_utc(frame.plan.at_s),
        meetings=meetings,
        rooms=tuple(rooms),
        effects=effects,
        config=revision,
        notes=tuple(f"{note.code} {note.about}: {note.why}" for note in frame.plan.notes),
    )


def _event(name: str, seq: int, data: bytes) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (seq, name.encode(), data)
