"""Reading everything back and saying what is wrong: journal, snapshots, and the State they make.

Place in the journey: `meetkeeper check`, the restore drill and the tests call `check`. It writes nothing and needs no
lock; on the folder of a running server the last frames may be on their way, which is no finding. Rules: every finding
names file, byte and seq and ends with what to do; a silent check means that this folder opens, today and from each of
its bases, as one and the same State.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

from msgspec import Struct

from meetkeeper.codec import frame, record, snapshot
from meetkeeper.codec.frame import Frame
from meetkeeper.core.errors import Corrupt, TheirMistake
from meetkeeper.core.state import Kept, State
from meetkeeper.ha.words import Position
from meetkeeper.ports.disk import Disk
from meetkeeper.store import checkpoint, journal, promises, recovery
from meetkeeper.store.recovery import Found, Segment
from meetkeeper.store.trouble import steadily, translated


class Finding(Struct, frozen=True, order=True):
    """One thing that is not as it should be. `note` is for knowing, `warning` for looking, `error` for acting."""

    severity: Literal["error", "warning", "note"]
    file: str
    offset: int
    seq: int
    said: str


class _End(Struct, frozen=True):
    """Where a replay from one base came to."""

    base: str
    position: Position
    digest: str


def check(disk: Disk) -> list[Finding]:
    """Every finding, in the order of the files. Raises `Unavailable` or `Refused` when the disk does not answer."""
    return steadily(lambda: _check(disk))


def _check(disk: Disk) -> list[Finding]:
    findings: list[Finding] = []
    segments = recovery.segments_of(disk)
    hashes = _check_segments(disk, segments, findings)
    good = _check_snapshots(disk, hashes, findings)
    _check_gaps(segments, hashes, good, findings)
    _check_needless(segments, good, findings)
    _check_bases(disk, segments, good, findings, whole=len(hashes) == max(hashes, default=-1))
    _check_leftovers(disk, findings)
    try:
        promises.read(disk)
    except Corrupt as error:
        findings.append(Finding("error", promises.PATH, 0, 0, error.message))
    return findings


def faults_of(state: State) -> Iterator[str]:
    """Sentences about indexes that do not say what their rows say."""
    fresh = State()
    if state.config_body:
        fresh.deploy(state.config_revision, state.config_body)
    for series in state.series.values():
        fresh.put_series(series)
    for kept in state.meetings.values():
        fresh.put_meeting(kept)
    for rows in state.items.values():
        for item in rows.values():
            fresh.put_item(item)
    pairs: list[tuple[str, object, object]] = [
        ("agenda", _agendas(state), _agendas(fresh)),
        ("occupancy", _occupancy(state), _occupancy(fresh)),
        ("alias index", state.by_alias, fresh.by_alias),
        ("series alias index", state.series_by_alias, fresh.series_by_alias),
        ("numeric id index", state.numeric_ids, fresh.numeric_ids),
        ("occurrence index", state.occurrences, fresh.occurrences),
        ("item index", state.items_by_uid, fresh.items_by_uid),
        ("list of unsettled items", state.unsettled, fresh.unsettled),
    ]
    for name, found, wanted in pairs:
        if found != wanted:
            yield f"the {name} does not say what the records say; restart this server, and report it."
    yield from _due_faults(state)


# --- the journal -----------------------------------------------------------------------------------------------------


def _check_segments(disk: Disk, segments: list[Segment], findings: list[Finding]) -> dict[int, str]:
    """Walk all frames; the chain hash after each seq."""
    hashes: dict[int, str] = {}
    position: Position | None = None
    for index, segment in enumerate(segments):
        before = Position(0, segment.first_seq - 1, "")
        if position is not None and position.seq + 1 == segment.first_seq:
            before = position
        with translated(disk, "reading the journal", segment.path):
            data = disk.read("check:segment", segment.path)
        scan = frame.scan(data, before)
        _check_records(segment, scan.frames, findings)
        hashes.update((one.position.seq, one.position.hash) for one in scan.frames)
        position = scan.position if scan.frames else before
        offset, seq = scan.good_length, scan.position.seq + 1
        try:
            tail = recovery.tail_of(segment, data, scan, is_last=index + 1 == len(segments))
        except Corrupt as error:
            findings.append(Finding("error", segment.path, offset, seq, error.message))
            continue
        if tail is not None:
            said = f"{len(tail.data):,} bytes are no frame ({tail.why}); the next start sets them aside."
            findings.append(Finding("note", segment.path, offset, seq, said))
    return hashes


def _check_records(segment: Segment, frames: list[Frame], findings: list[Finding]) -> None:
    offset = 0
    for one in frames:
        try:
            record.decode(one.body)
        except (Corrupt, TheirMistake) as error:
            findings.append(Finding("error", segment.path, offset, one.position.seq, error.message))
        offset += len(one.line)


# --- snapshots -------------------------------------------------------------------------------------------------------


def _check_snapshots(disk: Disk, hashes: dict[int, str], findings: list[Finding]) -> list[int]:
    """Read every snapshot; the seqs of the whole ones."""
    good = []
    for seq in checkpoint.snapshots_of(disk):
        path = checkpoint.snapshot_path(seq)
        try:
            position = checkpoint.load(disk, seq).position
        except (Corrupt, TheirMistake) as error:
            findings.append(Finding("error", path, 0, seq, f"{error.message}; remove it or restore it."))
            continue
        if hashes.get(seq, position.hash) != position.hash:
            said = "snapshot and journal belong to different histories; restore both from one server."
            findings.append(Finding("error", path, 0, seq, said))
        good.append(seq)
    return good


def _check_gaps(
    segments: list[Segment], hashes: dict[int, str], good: list[int], findings: list[Finding]
) -> None:
    """Segments must follow each other from the older of the two newest snapshots on."""
    oldest = good[-checkpoint.KEEP :][0] if good else 0
    for segment in segments[1:]:
        gap_end = segment.first_seq - 1
        if gap_end not in hashes and gap_end > oldest:
            said = (
                f"the journal goes on here, but seq {gap_end} before it is in no segment; nothing is lost as long as a "
                "newer snapshot holds it, but an older one can't be used. The next two snapshots mend this."
            )
            findings.append(Finding("warning", segment.path, 0, gap_end, said))


def _check_needless(segments: list[Segment], good: list[int], findings: list[Finding]) -> None:
    if len(good) < checkpoint.KEEP:
        return
    for segment, following in pairwise(segments):
        if following.first_seq <= good[-checkpoint.KEEP] + 1:
            said = "two newer snapshots make this segment needless; the next snapshot removes it."
            findings.append(Finding("note", segment.path, 0, segment.first_seq, said))


def _check_bases(
    disk: Disk, segments: list[Segment], good: list[int], findings: list[Finding], *, whole: bool
) -> None:
    """From each base on, and from nothing if the journal is `whole`, it must lead to the same State."""
    bases = good[-checkpoint.KEEP :]
    if whole:
        bases = [0, *bases]
    ends = []
    for base in bases:
        name = checkpoint.snapshot_path(base) if base else "the journal's beginning"
        try:
            found = _replayed(disk, base, segments)
        except (Corrupt, TheirMistake) as error:
            findings.append(Finding("error", name, 0, base, error.message))
            continue
        ends.append(_End(name, found.position, snapshot.digest_of(found.state)))
        findings += [
            Finding("error", name, 0, base, f"From this base on, {said}") for said in faults_of(found.state)
        ]
    for one, other in pairwise(ends):
        if (one.position, one.digest) != (other.position, other.digest):
            said = (
                f"from here on the journal leads to another state (seq {one.position.seq}) than from {other.base} "
                f"(seq {other.position.seq}); keep the folder as it is and report it."
            )
            findings.append(Finding("error", one.base, 0, one.position.seq, said))


def _replayed(disk: Disk, base: int, segments: list[Segment]) -> Found:
    found = Found(State())
    if base:
        loaded = checkpoint.load(disk, base)
        found = Found(loaded.state, loaded.position)
    recovery.replay(disk, found, segments)
    return found


def _check_leftovers(disk: Disk, findings: list[Finding]) -> None:
    with translated(disk, "listing what was set aside", recovery.SET_ASIDE):
        aside = disk.listing("check:set-aside", recovery.SET_ASIDE)
    for name in aside:
        if name.endswith(".json"):
            said = "records were set aside here; look at them, replay or remove them."
            findings.append(Finding("note", f"{recovery.SET_ASIDE}/{name}", 0, 0, said))
    for folder in (journal.FOLDER, checkpoint.FOLDER):
        with translated(disk, "listing the database", folder):
            names = disk.listing("check:leftovers", folder)
        for name in names:
            if journal.first_seq_of(name) is None and checkpoint.seq_of(name) is None:
                said = "this file is none of ours or was left half-written; the server passes over it."
                findings.append(Finding("note", f"{folder}/{name}", 0, 0, said))


# --- indexes ---------------------------------------------------------------------------------------------------------


def _agendas(state: State) -> dict[str, list[tuple[int, str, int]]]:
    agendas: dict[str, list[tuple[int, str, int]]] = {}
    for room, agenda in state.agendas.items():
        rows: list[tuple[int, str, int]] = []
        for start_s, meeting in zip(agenda.starts, agenda.meetings, strict=False):
            same = state.meetings.get(meeting.id) is meeting and meeting.start_s == start_s
            rows.append((start_s, meeting.id if same else "", meeting.end_s))
        if rows:
            whole = len(agenda.starts) == len(agenda.meetings) and agenda.starts == sorted(agenda.starts)
            agendas[room] = sorted(rows) if whole else []
    return agendas


def _occupancy(state: State) -> dict[int, set[str]]:
    occupancy = state.occupancy
    return {
        slot: {room for room, bit in occupancy.bits.items() if bits & bit}
        for slot, bits in occupancy.busy.items()
    }


def _due_faults(state: State) -> Iterator[str]:
    watched = state.due.watched()
    never = 1 << 62
    late = [kept.id for kept in state.meetings.values() if watched.get(kept.id, never) > _due_s(state, kept)]
    if late:
        yield f"{len(late)} meetings, {late[0]} among them, are watched too late; restart this server, and report it."


def _due_s(state: State, kept: Kept) -> int:
    return state.due.act(kept.id, kept.start_s, kept.end_s, kept.step)[0]
