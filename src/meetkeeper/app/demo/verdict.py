"""What the demonstration saw, as numbers: from the API, the mails that arrived and the journal on disk."""

from collections import Counter
from typing import Any

from meetkeeper.app.demo.actors import GUESTS, ORGANIZER
from meetkeeper.app.demo.story import Story
from meetkeeper.codec import record
from meetkeeper.core.changes import EffectMoved, MeetingStepped
from meetkeeper.core.effects import EnsureVmr, Phase, key_of
from meetkeeper.core.state import Status
from meetkeeper.core.words import EffectKey, MeetingId, Step
from meetkeeper.host.disk import RealDisk
from meetkeeper.mail.mime import message_id
from meetkeeper.store.database import Database

LAG_MAX_S = 1.0
"""How late a door may open when the server is up."""


def judge(story: Story) -> dict[str, Any]:
    """Compare; whatever broke a promise is named in `broken`. The server must be down: its database is read."""
    database = Database.inspect(RealDisk(story.parts.home.path))
    state = database.state
    lives, lags = _openings(database)
    started = {meeting_id for meeting_id, times in lives.items() if times}
    twice = sorted(meeting_id for meeting_id, times in lives.items() if times > 1)
    excused = {one for one in lags if story.was_down(state.meetings[MeetingId(one)].start_s)}
    punctual = sorted(lag for meeting_id, lag in lags.items() if meeting_id not in excused)
    late = {meeting_id: lag for meeting_id, lag in lags.items() if lag > LAG_MAX_S}
    lost = [
        meeting_id
        for meeting_id, (alias, pin) in story.acknowledged.items()
        if not _has_door(state.meeting(MeetingId(meeting_id)), alias, pin)
    ]
    mails = story.sink.sink.mails() if story.sink.sink is not None else []
    copies = Counter((mail.message_id, recipient) for mail in mails for recipient in mail.recipients)
    unknown = _unknown_fates(database)
    again = sum(count - 1 for (message_id, _), count in copies.items() if message_id in unknown)
    duplicates = sum(count - 1 for count in copies.values()) - again
    story.expect("no acknowledged booking is lost", not lost)
    story.expect("no URI or PIN changed", not story.uris_changed)
    story.expect("no mail came twice", duplicates == 0)
    story.expect("a crash leaves at most one mail whose fate is unknown", len(unknown) <= story.kills)
    story.expect("every meeting that was due has started", story.must_run <= started)
    story.expect("no meeting started twice", not twice)
    story.expect("doors open in time", not punctual or percentile(punctual, 0.99) <= LAG_MAX_S)
    story.expect("only meetings due during an outage were late", set(late) <= excused)
    missing = _untold(story, copies)
    story.expect("everybody was told", not missing)
    return {
        "bridge": "janus" if story.parts.janus is not None else "link",
        "meetings_acknowledged": len(story.acknowledged),
        "acknowledged_lost": len(lost),
        "meetings_started": len(started),
        "meetings_started_twice": len(twice),
        "meetings_missed": len(story.must_run - started),
        "start_lag_ms_p50": _ms(percentile(punctual, 0.5)),
        "start_lag_ms_p99": _ms(percentile(punctual, 0.99)),
        "start_lag_after_outage_ms": _ms(lags.get(story.late, 0.0)),
        "late_starts": len(late),
        "uris_changed": len(story.uris_changed),
        "mails_sent": len(mails),
        "mails_duplicate": duplicates,
        "mails_fate_unknown": len(unknown),
        "mails_sent_again_under_the_same_id": again,
        "mails_missing": len(missing),
        "kills": story.kills,
        "restart_s": story.restart_s,
        "cookies_damaged": story.cookies_damaged,
        "frames": database.kept.seq,
        "broken": story.broken,
    }


def _unknown_fates(database: Database) -> set[str]:
    """Message-IDs of mails that a crash caught while they were handed over."""
    config = database.state.settings()
    return {
        message_id(EffectKey(note.about), config.cluster.name, config.cluster.sip_domain)
        for frame in database.frames()
        if b"mail.fate-unknown" in frame.body
        for note in record.decode(frame.body).plan.notes
        if note.code == "mail.fate-unknown"
    }


def _openings(database: Database) -> tuple[dict[str, int], dict[str, float]]:
    """How often each meeting went live, and how long after its start its door was open (seconds)."""
    lives: Counter[str] = Counter()
    opening: dict[EffectKey, MeetingId] = {}
    lags: dict[str, float] = {}
    for frame in database.frames():
        plan = record.decode(frame.body).plan
        for effect in plan.effects:
            if isinstance(effect, EnsureVmr) and effect.phase is Phase.OPEN:
                opening[key_of(effect)] = effect.of
        for change in plan.changes:
            if isinstance(change, MeetingStepped) and change.step is Step.LIVE:
                lives[change.id] += 1
            if isinstance(change, EffectMoved) and change.status is Status.DONE and change.key in opening:
                meeting_id = opening.pop(change.key)
                row = database.state.meetings.get(meeting_id)
                if row is not None:
                    lags.setdefault(meeting_id, plan.at_s - row.start_s)
    return dict(lives), lags


def _has_door(meeting: Any, alias: str, pin: str) -> bool:
    return (
        meeting is not None
        and meeting.vmr is not None
        and (meeting.vmr.alias, meeting.vmr.pin) == (alias, pin)
    )


def _untold(story: Story, copies: Counter[tuple[str, str]]) -> list[str]:
    """People who got no mail at all although they were invited to something."""
    reached = {recipient for _, recipient in copies}
    return [address for address in (ORGANIZER["email"], *GUESTS) if address not in reached]


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of the sorted values do not exceed."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def _ms(seconds: float) -> float:
    return round(seconds * 1_000, 1)
