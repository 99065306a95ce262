"""Facts about to be true: a closed union. `apply` below is the only hand that writes `State`.

A change carries results, never requests, so a server that only follows needs no rule, no zone table and no clock to
come to the same state. A snapshot is a list of these same changes.
"""

from typing import assert_never

import msgspec
from msgspec import Raw, Struct

from meetkeeper.core.effects import Effect
from meetkeeper.core.state import (
    IdempotencyRow,
    ItemRow,
    Kept,
    OutboxRow,
    RoomNews,
    SeriesRow,
    State,
    Status,
    TokenRow,
    Tombstone,
)
from meetkeeper.core.words import Alias, CalendarItem, EffectKey, MeetingId, RoomId, Step, Uid


class Founded(Struct, frozen=True, gc=False, tag_field="kind", tag="founded"):
    """The first frame of a database: `lineage` names this history, so that bridges can tell ours from a lost one."""

    lineage: str


class ReignOpened(Struct, frozen=True, gc=False, tag_field="kind", tag="reign"):
    """A server begins to act under `epoch`. Release and zone data are named: they explain later differences."""

    epoch: int
    server: str
    release: str
    tzdata: str


class ConfigDeployed(Struct, frozen=True, gc=False, tag_field="kind", tag="config"):
    """The configuration from here on; `body` is config.json as JSON."""

    revision: int
    by: str
    body: Raw


class MeetingKept(Struct, frozen=True, gc=False, tag_field="kind", tag="meeting"):
    """A meeting as it is from here on, new or changed. `body` is `words.Meeting` as JSON, decoded on demand."""

    id: MeetingId
    start_s: int
    end_s: int
    rooms: tuple[RoomId, ...]
    step: Step
    body: Raw
    alias: Alias | None = None
    numeric_id: str | None = None
    series: Uid | None = None


class MeetingStepped(Struct, frozen=True, gc=False, tag_field="kind", tag="step"):
    """A meeting reached its next step at `at_s` (wall clock of the active server)."""

    id: MeetingId
    step: Step
    at_s: float


class MeetingForgotten(Struct, frozen=True, gc=False, tag_field="kind", tag="forgotten"):
    """A meeting over for `time.keep_days` is no longer kept."""

    id: MeetingId


class SeriesKept(Struct, frozen=True, gc=False, tag_field="kind", tag="series"):
    """A series as it is from here on; its occurrences follow as meetings. `body` is `state.Series` as JSON."""

    uid: Uid
    expanded_until_s: int
    body: Raw
    alias: Alias | None = None
    numeric_id: str | None = None


class SeriesForgotten(Struct, frozen=True, gc=False, tag_field="kind", tag="series-forgotten"):
    """Nothing of the series is left."""

    uid: Uid


class ItemKept(Struct, frozen=True, gc=False, tag_field="kind", tag="item"):
    """A room's calendar shows this item. `item` is dropped once a single meeting has been made from it.

    `settle_at_s` is set while nothing has been done about it yet; `held` while the brake holds its disappearance.
    """

    room: RoomId
    href: str
    uid: Uid
    etag: str
    fingerprint: str
    item: CalendarItem | None = None
    settle_at_s: float | None = None
    gone: bool = False
    held: bool = False


class ItemForgotten(Struct, frozen=True, gc=False, tag_field="kind", tag="item-gone"):
    """A room's calendar no longer shows this item, and what followed from that is done."""

    room: RoomId
    href: str


class CookieKept(Struct, frozen=True, gc=False, tag_field="kind", tag="cookie"):
    """A source's progress mark for one room, in our own envelope (`core.cookie`). Empty: start over."""

    room: RoomId
    cookie: str


class EffectMoved(Struct, frozen=True, gc=False, tag_field="kind", tag="effect"):
    """An effect's next state in the outbox. `done` takes it out."""

    key: EffectKey
    status: Status
    tries: int = 0
    again_at_s: float = 0.0
    reason: str = ""


class VmrRetired(Struct, frozen=True, gc=False, tag_field="kind", tag="tombstone"):
    """The alias is not given out again before `until_s`."""

    alias: Alias
    until_s: int
    uid: Uid


class RoomTold(Struct, frozen=True, gc=False, tag_field="kind", tag="room"):
    """What we know of a room's calendar from outside the items: its brake."""

    room: RoomId
    news: RoomNews


class TokenKept(Struct, frozen=True, gc=False, tag_field="kind", tag="token"):
    """An API token: its SHA-256, never itself."""

    digest: str
    name: str
    scope: str
    at_s: float


class TokenRevoked(Struct, frozen=True, gc=False, tag_field="kind", tag="token-revoked"):
    """The token opens nothing from here on."""

    digest: str


class IdempotencyKept(Struct, frozen=True, gc=False, tag_field="kind", tag="idempotency"):
    """A request with this key has been answered with this meeting."""

    key: str
    request: str
    answer: str
    at_s: float


class IdempotencyForgotten(Struct, frozen=True, gc=False, tag_field="kind", tag="idempotency-gone"):
    """The key is older than a day."""

    key: str


class EffectOpen(Struct, frozen=True, gc=False, tag_field="kind", tag="effect-open"):
    """An effect put into the outbox in a given state: one that is to wait, or an outbox row in a snapshot."""

    key: EffectKey
    effect: Effect
    status: Status
    tries: int
    again_at_s: float
    reason: str


Change = (
    Founded
    | ReignOpened
    | ConfigDeployed
    | MeetingKept
    | MeetingStepped
    | MeetingForgotten
    | SeriesKept
    | SeriesForgotten
    | ItemKept
    | ItemForgotten
    | CookieKept
    | EffectMoved
    | EffectOpen
    | VmrRetired
    | RoomTold
    | TokenKept
    | TokenRevoked
    | IdempotencyKept
    | IdempotencyForgotten
)


def apply(state: State, change: Change) -> None:
    """Write one change into the state. Total: a change that `keeper.step` made never fails here."""
    match change:
        case MeetingKept():
            state.put_meeting(
                Kept(
                    change.id,
                    change.start_s,
                    change.end_s,
                    state.intern_rooms(change.rooms),
                    change.step,
                    bytes(change.body),
                    change.alias,
                    change.numeric_id,
                    change.series,
                )
            )
        case MeetingStepped():
            state.step_meeting(change.id, change.step, change.at_s)
        case EffectMoved():
            state.move_effect(change.key, change.status, change.tries, change.again_at_s, change.reason)
        case EffectOpen():
            state.put_effect(
                OutboxRow(
                    change.key, change.effect, change.status, change.tries, change.again_at_s, change.reason
                )
            )
        case ItemKept():
            state.put_item(
                ItemRow(
                    change.room,
                    change.href,
                    change.uid,
                    change.etag,
                    change.fingerprint,
                    change.item,
                    change.settle_at_s,
                    change.gone,
                    change.held,
                )
            )
        case ItemForgotten():
            state.drop_item(change.room, change.href)
        case CookieKept():
            state.cookies[change.room] = change.cookie
        case SeriesKept():
            state.put_series(
                SeriesRow(
                    change.uid, change.expanded_until_s, bytes(change.body), change.alias, change.numeric_id
                )
            )
        case SeriesForgotten():
            state.drop_series(change.uid)
        case MeetingForgotten():
            state.drop_meeting(change.id)
        case _:
            _apply_rare(state, change)


def _apply_rare(
    state: State,
    change: Founded
    | ReignOpened
    | ConfigDeployed
    | VmrRetired
    | RoomTold
    | TokenKept
    | TokenRevoked
    | IdempotencyKept
    | IdempotencyForgotten,
) -> None:
    match change:
        case Founded():
            state.lineage = change.lineage
        case ReignOpened():
            state.epoch = change.epoch
        case ConfigDeployed():
            state.deploy(change.revision, bytes(change.body))
        case VmrRetired():
            state.tombstones[change.alias] = Tombstone(change.until_s, change.uid)
        case RoomTold():
            state.rooms_news[change.room] = change.news
        case TokenKept():
            state.tokens[change.digest] = TokenRow(change.digest, change.name, change.scope, change.at_s)
        case TokenRevoked():
            state.tokens.pop(change.digest, None)
        case IdempotencyKept():
            state.idempotency[change.key] = IdempotencyRow(
                change.key, change.request, change.answer, change.at_s
            )
        case IdempotencyForgotten():
            state.idempotency.pop(change.key, None)
        case _ as never:
            assert_never(never)


def raw(value: object) -> Raw:
    """A record as JSON to be embedded in a change: encoded once, here, and never again."""
    return Raw(msgspec.json.encode(value))
