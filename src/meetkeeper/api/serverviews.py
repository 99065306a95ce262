"""What is answered about the server itself: how it stands, its outbox, its history, its configuration, its tokens."""

from typing import Annotated

from msgspec import Meta, Raw, Struct, field

from meetkeeper.api import times
from meetkeeper.api.gate import EngineStatus, HistoryRow
from meetkeeper.api.risks import in_words, meeting_id_of
from meetkeeper.api.standing import bridge_standing, mail_standing
from meetkeeper.core.state import OutboxRow, TokenRow
from meetkeeper.engine.status import PairStatus


class _View(Struct, frozen=True, kw_only=True):
    pass


class BridgeView(_View, frozen=True, kw_only=True):
    """A bridge. `state`: `ok`, `failing` or `waiting`."""

    id: str
    kind: str
    state: str
    text: str
    vmrs: int


class MailView(_View, frozen=True, kw_only=True):
    """The mail server and what waits for it. `state`: `ok`, `failing`, `waiting` or `none`."""

    state: str
    text: str
    queued: int
    waiting: int
    parked: int
    unknown: int


class SyncView(_View, frozen=True, kw_only=True):
    """A room's calendar in the cluster's overview."""

    room: str
    source: str
    last_pass: str | None
    error: str
    held: int
    reading: int | None
    """Items read so far by a pass under way."""


class ClusterView(_View, frozen=True, kw_only=True):
    """The server as it stands. `now` is its clock."""

    server: str
    release: str
    role: str
    epoch: int
    seq: int
    started: str
    now: str
    stopping: bool
    failed: str
    config_revision: int
    calendars: tuple[SyncView, ...]
    bridges: tuple[BridgeView, ...]
    mail: MailView
    outbox: dict[str, int]
    meetings: dict[str, int]
    pair: PairStatus | None = None
    """How the pair stands, as this server knows it; null for a server by itself."""


class OutboxItem(_View, frozen=True, kw_only=True):
    """An effect and where it stands. `again` is when it is tried next."""

    key: str
    kind: str
    text: str
    status: str
    tries: int
    again: str | None
    reason: str
    meeting: str | None


class OutboxList(_View, frozen=True, kw_only=True):
    """Effects, the worst first; `total` counts those not shown too."""

    effects: tuple[OutboxItem, ...]
    total: int


class HistoryItem(_View, frozen=True, kw_only=True):
    """One decision: what changed and why."""

    epoch: int
    seq: int
    at: str
    changes: tuple[str, ...]
    why: tuple[str, ...]


class History(_View, frozen=True, kw_only=True):
    """What happened to something, newest first."""

    about: str
    rows: tuple[HistoryItem, ...]


class TokenView(_View, frozen=True, kw_only=True):
    """A token, without the token."""

    name: str
    scope: str
    issued: str


class TokenList(_View, frozen=True, kw_only=True):
    """All tokens by name."""

    tokens: tuple[TokenView, ...]


class IssuedToken(_View, frozen=True, kw_only=True):
    """A new token. It is shown this once and kept nowhere."""

    name: str
    scope: str
    token: str


class ConfigView(_View, frozen=True, kw_only=True):
    """The configuration in force, secrets masked; sent back masked, they stay as they are."""

    revision: int
    config: Raw


class Deployed(_View, frozen=True, kw_only=True):
    """A configuration that is in force now."""

    revision: int


class ConfigFindings(_View, frozen=True, kw_only=True):
    """What is wrong with a configuration, and what it would change; nothing has been deployed."""

    ok: bool
    problems: tuple[str, ...]
    changes: tuple[str, ...]


class RevisionView(_View, frozen=True, kw_only=True):
    """A configuration that was in force."""

    revision: int
    at: str
    by: str


class RevisionList(_View, frozen=True, kw_only=True):
    """Those that may be rolled back to, newest first."""

    revisions: tuple[RevisionView, ...]


class MailText(_View, frozen=True, kw_only=True):
    """A mail as it would be sent."""

    to: str
    subject: str
    text: str
    html: str
    calendar: str


class FrameEvent(_View, frozen=True, kw_only=True):
    """One kept decision in the event stream: which meetings and rooms it touched, which effects moved, and why."""

    seq: Annotated[int, Meta(ge=0)]
    epoch: int
    at: str
    meetings: dict[str, str] = field(default_factory=dict)
    rooms: tuple[str, ...] = ()
    effects: dict[str, str] = field(default_factory=dict)
    config: int | None = None
    notes: tuple[str, ...] = ()


def outbox_item(row: OutboxRow) -> OutboxItem:
    """An outbox row as it is answered."""
    return OutboxItem(
        key=row.key,
        kind=str(row.effect.__struct_config__.tag),
        text=in_words(row),
        status=row.status.value,
        tries=row.tries,
        again=times.iso_utc(row.again_at_s) if row.again_at_s and row.status.value == "waiting" else None,
        reason=row.reason,
        meeting=meeting_id_of(row.effect) or None,
    )


def history_item(row: HistoryRow) -> HistoryItem:
    """One frame as it is answered."""
    return HistoryItem(
        epoch=row.epoch,
        seq=row.seq,
        at=times.iso_utc(row.at_s),
        changes=tuple(f"{line.kind}: {line.text}" for line in row.lines),
        why=row.notes,
    )


def token_view(row: TokenRow) -> TokenView:
    """A token's row as it is answered."""
    return TokenView(name=row.name, scope=row.scope, issued=times.iso_utc(row.at_s))


def cluster_view(
    status: EngineStatus, *, now_s: float, revision: int, outbox: dict[str, int], meetings: dict[str, int]
) -> ClusterView:
    """The server as it is answered."""
    mail = status.mail
    return ClusterView(
        server=status.server,
        release=status.release,
        role=status.role,
        epoch=status.epoch,
        seq=status.seq,
        started=times.iso_utc(status.started_at_s),
        now=times.iso_utc(now_s),
        stopping=status.stopping,
        failed=status.failed,
        config_revision=revision,
        calendars=tuple(
            SyncView(
                room=room.room,
                source=room.source,
                last_pass=times.iso_utc(room.last_pass_s) if room.last_pass_s else None,
                error=room.error,
                held=room.held,
                reading=room.reading,
            )
            for room in status.rooms
        ),
        bridges=tuple(
            BridgeView(id=one.id, kind=one.kind, state=bridge_standing(one), text=one.text, vmrs=one.vmrs)
            for one in status.bridges
        ),
        mail=MailView(
            state=mail_standing(mail),
            text=mail.text,
            queued=mail.queued,
            waiting=mail.waiting,
            parked=mail.parked,
            unknown=mail.unknown,
        ),
        outbox=outbox,
        meetings=meetings,
        pair=status.pair,
    )
