"""How the server stands, as values: what `status`, the web page, the metrics and the health URLs all read."""

from typing import Literal

from msgspec import Struct

from meetkeeper.core.words import RoomId


class RoomStatus(Struct, frozen=True):
    """One room's calendar. `last_pass_s` is the end of the last pass that ended well, 0 for never.

    `passes`, `full_passes` and `refused` cookies are counted since this reign began here. `reading` are the items read
    so far by a pass under way, None between passes. `cookie` is empty unless there is something to say about it.
    `audited_s`, `unreported` and `mended` as in `core.state.RoomNews`.
    """

    room: RoomId
    source: str
    last_pass_s: float = 0.0
    last_change_s: float = 0.0
    error: str = ""
    held: int = 0
    problems: tuple[str, ...] = ()
    full_passes: int = 0
    passes: int = 0
    refused: int = 0
    reading: int | None = None
    cookie: str = ""
    audited_s: float = 0.0
    unreported: int = 0
    mended: int = 0


class BridgeStatus(Struct, frozen=True):
    """One bridge as last seen; `vmrs` are ours that stand on it."""

    id: str
    kind: str
    ok: bool
    text: str
    vmrs: int = 0


class MailStatus(Struct, frozen=True):
    """The mail server as last seen, and what waits for it."""

    ok: bool
    text: str
    queued: int = 0
    waiting: int = 0
    parked: int = 0
    unknown: int = 0


class PairStatus(Struct, frozen=True, kw_only=True):
    """How the pair stands, as this server knows it. Times are ages in seconds; `loss` counts acknowledged frames."""

    me: str
    peer: str
    role: str
    peer_role: str
    linked: bool
    heard_s: float
    """Since the other server was last heard."""
    mode: str
    epoch: int
    active: str
    """By the register; empty: not known."""
    in_sync: tuple[str, ...]
    register: str
    register_trouble: str
    position_seq: int
    peer_seq: int
    behind: int
    """Frames that the passive lacks."""
    loss: int
    """Acknowledged frames that would be lost if the active's host vanished now."""
    durability: Literal["both", "local"]
    """Where an answer given now is on disk."""
    ready: str
    reasons: tuple[str, ...]
    alarms: tuple[tuple[str, str], ...]
    rows: tuple[str, ...]
    """The latest decisions: row of the table, roles."""
    peer_url: str
    home: str = ""
    """The server that founded the pair: a failback leads there."""
    maintenance_left_s: float = 0.0
    """For so long no failover begins by itself; 0: no window is open."""


class EngineStatus(Struct, frozen=True):
    """The whole server. `role` is `active` while it may act; `failed` says why it may no longer."""

    role: Literal["active", "passive", "claiming", "yielding", "ended", "stopped"]
    server: str
    release: str
    epoch: int
    seq: int
    started_at_s: float
    rooms: tuple[RoomStatus, ...]
    bridges: tuple[BridgeStatus, ...]
    mail: MailStatus
    stopping: bool = False
    failed: str = ""
    pair: PairStatus | None = None


class HistoryLine(Struct, frozen=True):
    """One change or effect of a frame, in words."""

    kind: str
    text: str


class HistoryRow(Struct, frozen=True):
    """One frame that touches what was asked about."""

    epoch: int
    seq: int
    at_s: float
    lines: tuple[HistoryLine, ...]
    notes: tuple[str, ...]
