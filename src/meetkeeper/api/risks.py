"""What may go wrong, before it does: every row names the meeting or neighbour, the reason, and what to do.

Pure over the state and the server's own status; the same rows feed `meetkeeper risk`, the web page and the API.
"""

from collections.abc import Iterator
from typing import Literal, assert_never

from msgspec import Struct

from meetkeeper.api import queries, times
from meetkeeper.api.standing import bridge_standing, mail_standing
from meetkeeper.core.asking import open_questions
from meetkeeper.core.configuration import ClusterConfig
from meetkeeper.core.effects import AnnotateItem, Announce, Effect, EnsureVmr, RetireVmr, SendMail, WriteItem
from meetkeeper.core.state import Kept, OutboxRow, State, Status
from meetkeeper.core.words import MeetingId, RoomId, Step
from meetkeeper.engine.status import EngineStatus, PairStatus

SOON_S = 3_600
"""A meeting this close without a confirmed VMR is at risk …"""
NOW_S = 900
"""… and this close it is an alarm."""
AHEAD_S = 86_400
"""How far ahead meetings are looked at."""
LATE_S = 15
"""A meeting that ought to be live for this long and is not has failed its promise."""
CALENDAR_SILENT_S = 300
SILENT_S = 5.0
"""A line between servers that carried nothing for so long …"""
_NEVER_HEARD_S = 1e6
"""… unless it has yet to carry the first word of this reign."""
ROWS_MAX = 200
REASONS_MAX = 2
"""Why the passive server is not ready: the worst; `standby check` tells all."""

Level = Literal["red", "amber"]
Kind = Literal[
    "server",
    "mail",
    "pair",
    "standby",
    "settings",
    "brake",
    "audit",
    "calendar",
    "item",
    "bridge",
    "meeting",
    "outbox",
]


class Risk(Struct, frozen=True, kw_only=True):
    """Something that may go wrong. `at` is when it bites, None for now; `about` is what to ask `explain` for."""

    level: Level
    kind: Kind
    about: str
    at: str | None
    room: str
    subject: str
    text: str
    do: str
    at_s: float | None = None


class RiskList(Struct, frozen=True, kw_only=True):
    """All of them, what bites first comes first."""

    risks: tuple[Risk, ...]


def risks(state: State, status: EngineStatus, now_s: float) -> tuple[Risk, ...]:
    """Everything that may go wrong from now on."""
    cluster = state.settings().cluster
    found = [
        *_server(status),
        *_pair(status),
        *_settings(state),
        *_brakes(state),
        *_hidden(state),
        *_calendars(state, status, now_s),
        *_bridges(status),
    ]
    found += [*_meetings(state, cluster, now_s), *_stuck(state, cluster)]
    found.sort(key=lambda risk: (risk.at_s or 0.0, risk.level != "red", _RANKS.get(risk.kind, 9), risk.about))
    return tuple(found[:ROWS_MAX])


def _server(status: EngineStatus) -> Iterator[Risk]:
    if status.failed:
        yield _now(
            "red", "server", status.server, status.failed, "Start the server again; its journal is safe."
        )
    standing = mail_standing(status.mail)
    if standing == "none":
        yield _now(
            "amber",
            "mail",
            "mail",
            "No mail server is configured: invitees are not told.",
            "Set mail.host in the configuration and deploy it.",
        )
    if standing == "failing":
        waiting = status.mail.queued + status.mail.waiting
        yield _now(
            "red" if waiting else "amber",
            "mail",
            "mail",
            f"The mail server does not answer: {status.mail.text}. {waiting} mails wait.",
            "Look at the mail server; what waits is sent when it answers.",
        )


_RANKS = {kind: rank for rank, kind in enumerate(("server", "pair", "standby", "bridge", "mail", "brake"))}
"""What concerns every meeting comes before what concerns a room: sixty rooms of one calendar server hide nothing."""
_STANDBY: dict[str, Level] = {"not ready": "red", "at risk": "amber"}
_ALARMED: dict[str, Level] = {"catching-up": "amber", "lagging": "amber"}


def is_silent(pair: PairStatus) -> bool:
    """True when the line stands and has carried nothing for so long that the other server must be standing still."""
    return pair.linked and SILENT_S < pair.heard_s < _NEVER_HEARD_S


def _pair(status: EngineStatus) -> Iterator[Risk]:
    """What is wrong with the pair: alarms, and a passive server that could not take over well."""
    pair = status.pair
    if pair is None:
        return
    silent = is_silent(pair)
    if silent:
        alone = " An answer given now is on one disk alone." if pair.durability == "local" else ""
        text = (
            f"{pair.peer} has said nothing for {pair.heard_s:.0f} s, though its connection stands: it hangs, or its "
            f"host does.{alone}"
        )
        yield _now(
            "red", "pair", pair.peer, text, f"Look at {pair.peer}; its agent ends a server that hangs."
        )
    for name, text in pair.alarms:
        if silent and name == "catching-up":
            continue  # the same, said worse
        yield _now(
            _ALARMED.get(name, "red"), "pair", name, text, "meetkeeper status, meetkeeper standby check"
        )
    if not (pair.linked or pair.alarms or pair.maintenance_left_s):
        alone = " An answer given now is on one disk alone." if pair.durability == "local" else ""
        text = f"{pair.peer} is not there.{alone}"
        yield _now(
            "amber", "pair", pair.peer, text, f"Look at {pair.peer}; it follows by itself when it is back."
        )
    level = _STANDBY.get(pair.ready)
    if level is not None and pair.linked and not (pair.alarms or silent):
        passive = pair.me if pair.role == "passive" else pair.peer
        text = f"{passive} is {pair.ready}: {' '.join(pair.reasons[:REASONS_MAX])}"
        yield _now(level, "standby", passive, text, "meetkeeper standby check")


def _settings(state: State) -> Iterator[Risk]:
    """Settings that lack something they need."""
    for text in open_questions(state.settings()):
        yield _now(
            "amber", "settings", "links.internal_domains", text, "Set links.internal_domains and deploy it."
        )


def _brakes(state: State) -> Iterator[Risk]:
    for room, news in state.rooms_news.items():
        if news.held:
            yield _now(
                "red",
                "brake",
                room,
                f"{news.held} items vanished at once from the calendar of {_named(state, room)}. None was cancelled.",
                f"Look at the calendar, then: meetkeeper brake {room} --kept (or: --gone)",
                room=room,
            )


def _hidden(state: State) -> Iterator[Risk]:
    for room, news in state.rooms_news.items():
        if news.unreported and room in state.rooms:
            yield _now(
                "red",
                "audit",
                room,
                f"The last audit of the calendar of {_named(state, room)} found {news.unreported} changes that its "
                "server had never reported. They are mended.",
                f"Look at the calendar server (was it restored from a backup?); meetkeeper explain {room}",
                room=room,
            )


def _calendars(state: State, status: EngineStatus, now_s: float) -> Iterator[Risk]:
    for room in status.rooms:
        silent_s = now_s - room.last_pass_s if room.last_pass_s else 0.0
        if room.error:
            level: Level = "red" if silent_s > CALENDAR_SILENT_S or not room.last_pass_s else "amber"
            yield _now(
                level,
                "calendar",
                room.room,
                f"The calendar of {_named(state, room.room)} can't be read: {room.error}",
                "Look at the calendar server and the room's credentials.",
                room=room.room,
            )
        for problem in room.problems:
            yield _now(
                "amber",
                "item",
                room.room,
                f"An item in the calendar of {_named(state, room.room)} can't be read: {problem}",
                "Open the item in the calendar and save it again, or delete it.",
                room=room.room,
            )


def _bridges(status: EngineStatus) -> Iterator[Risk]:
    for bridge in status.bridges:
        if bridge_standing(bridge) == "failing":
            yield _now(
                "red",
                "bridge",
                bridge.id,
                f"The bridge {bridge.id} does not answer: {bridge.text}",
                "Look at the bridge; VMRs are made as soon as it answers.",
            )


def _meetings(state: State, cluster: ClusterConfig, now_s: float) -> Iterator[Risk]:
    wanted = queries.Wanted(from_s=int(now_s), until_s=int(now_s) + AHEAD_S, limit=queries.LIMIT_MAX)
    open_before_s = state.settings().time.open_before_s
    for found in queries.page(state, wanted).found:
        meeting, to_start_s = found.meeting, found.meeting.start_s - open_before_s - now_s
        if meeting.vmr is None or found.step not in (Step.SCHEDULED, Step.PROVISIONED):
            continue
        level: Level = "red"
        if to_start_s < -LATE_S:
            since = times.iso(now_s + to_start_s, times.display_zone(cluster.time_zone))[11:16]
            text = f"should be open since {since} and is not"
        elif found.step is Step.SCHEDULED and to_start_s < SOON_S:
            level = "red" if to_start_s < NOW_S else "amber"
            text = f"has no confirmed VMR on bridge {meeting.vmr.bridge or '(none)'} yet"
        else:
            continue
        zone = times.display_zone(meeting.time_zone, cluster.time_zone)
        yield Risk(
            level=level,
            kind="meeting",
            about=meeting.id,
            at=times.iso(meeting.start_s, zone),
            room=", ".join(meeting.rooms),
            subject=_subject(meeting.subject, private=meeting.private),
            text=f"The meeting {text}.",
            do=f"meetkeeper explain {meeting.id}",
            at_s=float(meeting.start_s),
        )


def _stuck(state: State, cluster: ClusterConfig) -> Iterator[Risk]:
    for row in state.outbox.values():
        if row.status not in (Status.PARKED, Status.UNKNOWN):
            continue
        kept = _meeting_of(state, row.effect)
        meeting = None if kept is None else state.decode(kept)
        zone = times.display_zone("" if meeting is None else meeting.time_zone, cluster.time_zone)
        yield Risk(
            level="red" if row.status is Status.PARKED else "amber",
            kind="outbox",
            about=row.key,
            at=None if meeting is None else times.iso(meeting.start_s, zone),
            room="" if meeting is None else ", ".join(meeting.rooms),
            subject="" if meeting is None else _subject(meeting.subject, private=meeting.private),
            text=f"{in_words(row)}: {row.reason}",
            do=f"meetkeeper outbox release '{row.key}' --retry (or: --done)",
            at_s=None if meeting is None else float(meeting.start_s),
        )


def in_words(row: OutboxRow) -> str:
    """What an effect is, for people."""
    suffix = {Status.PARKED: " is parked", Status.UNKNOWN: " may or may not have gone out"}
    return _effect_in_words(row.effect) + suffix.get(row.status, "")


def _effect_in_words(effect: Effect) -> str:
    match effect:
        case SendMail():
            return f"{'Mail' if effect.method == 'REQUEST' else 'Cancellation'} to {effect.to}"
        case EnsureVmr():
            return f"VMR {effect.alias} {effect.phase.value}"
        case RetireVmr():
            return f"VMR {effect.alias} taken down"
        case WriteItem():
            return f"Calendar of {effect.room}: {'remove' if effect.remove else 'write'} the meeting"
        case AnnotateItem():
            return f"Calendar of {effect.room}: write how to join"
        case Announce():
            return "Announcement"
        case _ as never:
            assert_never(never)


def meeting_id_of(effect: Effect) -> str:
    """The meeting or series an effect is about; empty when it is about neither."""
    match effect:
        case EnsureVmr():
            return effect.of
        case RetireVmr():
            return ""
        case Announce() | SendMail() | WriteItem() | AnnotateItem():
            return effect.meeting or effect.series or ""


def _meeting_of(state: State, effect: Effect) -> Kept | None:
    return state.meetings.get(MeetingId(meeting_id_of(effect)))


def _named(state: State, room: RoomId) -> str:
    """A room as people and commands call it."""
    configured = state.rooms.get(room)
    return f"{configured.name} ({room})" if configured is not None and configured.name else room


def _subject(subject: str, *, private: bool) -> str:
    return "Private meeting" if private else subject


def _now(level: Level, kind: Kind, about: str, text: str, do: str, *, room: str = "") -> Risk:
    return Risk(level=level, kind=kind, about=about, at=None, room=room, subject="", text=text, do=do)
