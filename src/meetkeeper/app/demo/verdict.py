"""What the demonstration saw, as numbers: from the API, the mails that arrived and the journals on disk."""

from collections import Counter
from statistics import median
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
"""How late a door may open when a server acts, or after one acts again."""
FAILOVER_S_MAX = 5.0
OUR_OWN_BUSY = 1.0
"""So many of the processes that want a core are the demonstration's own. Where others crowd the cores too, what is
promised for a machine with time to spare takes as many times longer."""
SWITCHOVER_S_MAX = 1.0


def judge(story: Story) -> dict[str, Any]:
    """Compare; whatever broke a promise is named in `broken`. Both servers must be down: their databases are read."""
    databases = [Database.inspect(RealDisk(one.home.path)) for one in story.servers.both]
    database, state = databases[0], databases[0].state
    lives, lags = _openings(database)
    started = {meeting_id for meeting_id, times in lives.items() if times}
    twice = sorted(meeting_id for meeting_id, times in lives.items() if times > 1)
    grace = {one: _grace_s(story, state.meetings[MeetingId(one)].start_s) for one in lags}
    punctual = sorted(lag for one, lag in lags.items() if grace[one] == 0)
    late = {one: lag for one, lag in lags.items() if lag > grace[one] + LAG_MAX_S * _crowding(story)}
    lost = [
        meeting_id
        for meeting_id, (alias, pin) in story.acknowledged.items()
        for one in databases
        if not _has_door(one.state.meeting(MeetingId(meeting_id)), alias, pin)
    ]
    mails = _mails(story, database)
    dual = story.lookout.dual()
    story.expect("no acknowledged booking is lost on either server", not lost)
    story.expect("no URI or PIN changed", not story.uris_changed)
    story.expect("every meeting that was due has started", story.must_run <= started)
    story.expect("no meeting started twice", not twice)
    story.expect("every door opens on time, or as soon as a server acts", not late)
    story.expect("never two servers acted at once", dual == 0)
    story.expect("no request is lost by a client that honours 307 and 503", story.requests_lost == 0)
    story.expect("both servers hold the same journal, to the last frame", alike(story))
    story.expect("both servers hold the same configuration", _same_configuration(story))
    return {
        "bridge": "janus" if story.parts.janus is not None else "link",
        "meetings_acknowledged": len(story.acknowledged),
        "acknowledged_lost": len(set(lost)),
        "requests_sent": story.requests_sent,
        "requests_lost": story.requests_lost,
        "meetings_started": len(started),
        "meetings_started_twice": len(twice),
        "meetings_missed": len(story.must_run - started),
        "start_lag_ms_p50": _ms(percentile(punctual, 0.5)),
        "start_lag_ms_p99": _ms(percentile(punctual, 0.99)),
        "start_lag_after_outage_ms": _ms(lags.get(story.late, 0.0)),
        "starts_in_an_outage": len(lags) - len(punctual),
        "late_starts": len(late),
        "uris_changed": len(set(story.uris_changed)),
        **mails,
        **_availability(story),
        "dual_active": dual,
        "looks": sum(len(one.looks) for one in story.lookout.seen.values()),
        "processes_per_core": round(story.busy, 1),
        "kills": story.kills,
        "freezes": story.freezes,
        "restart_s": story.restart_s,
        "cookies_damaged": story.cookies_damaged,
        "read_when_killed": story.read_at_kill,
        "frames": database.kept.seq,
        "broken": story.broken,
    }


def _availability(story: Story) -> dict[str, Any]:
    """How long it took each time: the worst as one number, and every one by kind."""
    took: dict[str, list[float]] = {"killed": [], "frozen": [], "switched": []}
    for one in story.handovers:
        took[one.kind].append(round(one.took_s, 3))
    failovers = took["killed"] + took["frozen"]
    waited = {kind: [_ms(one) for one in values] for kind, values in story.unavailable_s.items()}
    story.expect("every kind of handover was seen", all(took.values()))
    story.expect(
        f"another server acts within {FAILOVER_S_MAX} s", max(failovers, default=0) <= FAILOVER_S_MAX
    )
    wait_s_max = FAILOVER_S_MAX * _crowding(story)
    story.expect(
        f"no booking waits longer than {wait_s_max:.1f} s for a failover",
        max(story.unavailable_s["killed"] + story.unavailable_s["frozen"], default=0.0) <= wait_s_max,
    )
    switch_s_max = SWITCHOVER_S_MAX * _crowding(story)
    story.expect(
        f"no booking waits longer than {switch_s_max:.1f} s for a switchover",
        max(story.unavailable_s["switched"], default=0.0) <= switch_s_max,
    )
    return {
        "failover_s": max(failovers, default=None),
        "failover_killed_s": _spread(took["killed"]),
        "failover_frozen_s": _spread(took["frozen"]),
        "switchover_s": max(took["switched"], default=None),
        "switchovers_s": _spread(took["switched"]),
        "unavailable_ms": max((one for values in waited.values() for one in values), default=None),
        "unavailable_ms_by_kind": waited,
    }


def _crowding(story: Story) -> float:
    """How many times longer than on a machine with time to spare."""
    return max(1.0, story.busy - OUR_OWN_BUSY)


def _spread(values: list[float]) -> dict[str, Any]:
    if not values:
        return {"median": None, "worst": None, "all": []}
    return {"median": median(values), "worst": max(values), "all": values}


def _grace_s(story: Story, start_s: float) -> float:
    """How long after this instant a server acted again; 0 when one did."""
    outage = story.outage_at(start_s)
    return 0.0 if outage is None else max(0.001, outage[1] - start_s)


def alike(story: Story) -> bool:
    """True when both journals end at the same position: the chain hash covers everything before."""
    one, other = (Database.inspect(RealDisk(server.home.path)).kept for server in story.servers.both)
    return one == other


def _same_configuration(story: Story) -> bool:
    one, other = (server.home.config_file.read_bytes() for server in story.servers.both)
    return one == other


def _mails(story: Story, database: Database) -> dict[str, int]:
    mails = story.sink.sink.mails() if story.sink.sink is not None else []
    copies = Counter((mail.message_id, recipient) for mail in mails for recipient in mail.recipients)
    unknown = _unknown_fates(database)
    again = sum(count - 1 for (message_id, _), count in copies.items() if message_id in unknown)
    duplicates = sum(count - 1 for count in copies.values()) - again
    missing = _untold(copies)
    ends = story.kills + story.freezes + story.stops
    story.expect("no mail came twice", duplicates == 0)
    story.expect("a reign's end leaves at most one mail whose fate is unknown", len(unknown) <= ends)
    story.expect("everybody was told", not missing)
    return {
        "mails_sent": len(mails),
        "mails_duplicate": duplicates,
        "mails_fate_unknown": len(unknown),
        "mails_sent_again_under_the_same_id": again,
        "mails_missing": len(missing),
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


def _untold(copies: Counter[tuple[str, str]]) -> list[str]:
    """People who got no mail at all although they were invited to something."""
    reached = {recipient for _, recipient in copies}
    return [address for address in (ORGANIZER["email"], *GUESTS) if address not in reached]


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of the sorted values do not exceed."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def _ms(seconds: float) -> float:
    return round(seconds * 1_000, 1)
