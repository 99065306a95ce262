"""Could this server take over now? Measured on the passive server itself, judged here: pure, from values to a verdict.

A check is `ok`; a `note` (named, harmless); `warn` (it would take over, and something would be missing); `bad` (it
could not take over); or `unknown` (not measured). The verdict is the worst of them, with a sentence for each reason.
"""

from typing import Literal

from msgspec import Struct

from meetkeeper.api.counted import counted

Ready = Literal["ready", "at risk", "not ready", "unknown"]
State = Literal["ok", "note", "warn", "bad", "unknown"]

READING_S_MAX = 30.0
"""An older reading says nothing about now."""
TRIED_S_MAX = 240.0
"""A neighbour that was tried longer ago than this is not known."""
CERTIFICATE_DAYS_MIN = 21.0
DISK_BYTES_MIN = 64 << 20
DISK_BYTES_LOW = 1 << 30
CLOCK_APART_S_MAX = 1.0
NEAR_FRAMES = 1_000
REASONS_MAX = 8
REASON_CHARS_MAX = 200
NAMED_MAX = 3


class Tried(Struct, frozen=True):
    """A neighbour as reached from this server: logged in, asked nothing, changed nothing. `at_s`: steady clock."""

    kind: Literal["calendar", "bridge", "mail"]
    id: str
    ok: bool
    text: str
    at_s: float


class Certificate(Struct, frozen=True):
    """`days` left; None when it can't be read, `trouble` says why."""

    name: str
    days: float | None
    trouble: str = ""


class Alike(Struct, frozen=True, kw_only=True):
    """What ought to be the same on both servers."""

    release: str
    tzdata: str
    time_zone: str
    config_revision: int


class Reading(Struct, frozen=True, kw_only=True):
    """Everything measured at one instant (`at_s`, steady clock). None: could not be measured."""

    at_s: float
    me: str
    peer: str
    linked: bool
    peer_acts: bool
    follows: bool
    """Frames come, and everything before them has been compared."""
    in_sync: bool
    behind: int
    same_hash: bool | None
    cookies: int
    cookies_damaged: tuple[str, ...]
    unusable: str
    """Why the configuration can't be used on this machine; empty when it can."""
    neighbours: int
    """How many there are to be tried."""
    tried: tuple[Tried, ...]
    certificates: tuple[Certificate, ...]
    disk_free_bytes: int | None
    clock_apart_s: float | None
    ntp: bool | None
    mine: Alike
    theirs: Alike | None
    register: str
    arbitrates: bool
    register_age_s: float
    register_trouble: str
    fence: str | None
    """None: no fence command. Empty: its test has passed. Else why it has not."""


class Check(Struct, frozen=True):
    """One thing, judged."""

    name: str
    state: State
    text: str


class Verdict(Struct, frozen=True):
    """What came of it. `at_s` is the reading's instant on the steady clock."""

    ready: Ready
    reasons: tuple[str, ...]
    at_s: float
    checks: tuple[Check, ...]


UNMEASURED = Verdict("unknown", ("Nothing has been measured yet.",), float("-inf"), ())


def aged(verdict: Verdict, now_s: float) -> Verdict:
    """The verdict as it counts now: an old one is none."""
    if now_s - verdict.at_s <= READING_S_MAX:
        return verdict
    if not verdict.checks:
        return UNMEASURED
    why = f"The last reading is {now_s - verdict.at_s:.0f} s old."
    return Verdict("unknown", (why,), verdict.at_s, verdict.checks)


def judge(reading: Reading) -> Verdict:
    """The verdict."""
    checks = (
        _link(reading),
        _data(reading),
        _cookies(reading),
        *_neighbours(reading),
        _certificates(reading),
        _disk(reading),
        _clock(reading),
        _ntp(reading),
        *_alike(reading),
        _register(reading),
        _fence(reading),
    )
    states = {check.state for check in checks}
    ready: Ready = "ready"
    if "bad" in states:
        ready = "not ready"
    elif "unknown" in states:
        ready = "unknown"
    elif "warn" in states:
        ready = "at risk"
    order = ("bad", "unknown", "warn")
    reasons = [check.text for state in order for check in checks if check.state == state]
    return Verdict(
        ready, tuple(one[:REASON_CHARS_MAX] for one in reasons[:REASONS_MAX]), reading.at_s, checks
    )


def _link(reading: Reading) -> Check:
    if not reading.linked:
        return Check("line", "bad", f"{reading.peer} is not there: nothing comes from it.")
    if not reading.peer_acts:
        return Check("line", "bad", f"{reading.peer} does not act: there is nobody to follow.")
    return Check("line", "ok", f"follows {reading.peer}")


def _data(reading: Reading) -> Check:
    if reading.same_hash is False:
        return Check("data", "bad", f"The journal differs from {reading.peer}'s; it is being compared anew.")
    if not reading.in_sync or not reading.follows:
        lacks = f"{counted(reading.behind, 'frame')} behind" if reading.behind else "nobody has let it in yet"
        return Check("data", "bad", f"{reading.me} does not count as holding everything: {lacks}.")
    if reading.behind > NEAR_FRAMES:
        return Check("data", "warn", f"{counted(reading.behind, 'frame')} behind {reading.peer}.")
    same = "same hash" if reading.same_hash else "on its way"
    return Check("data", "ok", f"in sync, {counted(reading.behind, 'frame')} behind, {same}")


def _cookies(reading: Reading) -> Check:
    if reading.cookies_damaged:
        named = _named(reading.cookies_damaged)
        return Check("cookies", "warn", f"Sync cookies can't be used ({named}): a full pass is due there.")
    return Check("cookies", "ok", f"{reading.cookies} valid")


def _neighbours(reading: Reading) -> list[Check]:
    if reading.unusable:
        return [Check("secrets", "bad", f"The configuration can't be used here: {reading.unusable}")]
    fresh = [one for one in reading.tried if reading.at_s - one.at_s <= TRIED_S_MAX]
    if len(fresh) < reading.neighbours:
        missing = reading.neighbours - len(fresh)
        return [
            Check(
                "neighbours",
                "unknown",
                f"{counted(missing, 'neighbour')} not tried from here yet.",
            )
        ]
    checks: list[Check] = []
    for kind, title in (("calendar", "calendars"), ("bridge", "bridges"), ("mail", "mail")):
        of_kind = [one for one in fresh if one.kind == kind]
        failing = [one for one in of_kind if not one.ok]
        if failing:
            named = _named(tuple(one.id for one in failing))
            text = f"From here {len(failing)} of {len(of_kind)} {title} can't be reached ({named}): {failing[0].text}"
            checks.append(Check(title, "warn", text))
        else:
            checks.append(Check(title, "ok", f"{len(of_kind)} reached" if of_kind else "none"))
    return checks


def _certificates(reading: Reading) -> Check:
    unreadable = [one for one in reading.certificates if one.days is None]
    if unreadable:
        return Check("certificates", "bad", f"{unreadable[0].name} can't be read: {unreadable[0].trouble}")
    days = [(one.days or 0.0, one.name) for one in reading.certificates]
    if not days:
        return Check("certificates", "unknown", "No certificate has been looked at.")
    least, name = min(days)
    if least <= 0:
        return Check("certificates", "bad", f"{name} has ended. Issue a new one with `meetkeeper ca issue`.")
    if least < CERTIFICATE_DAYS_MIN:
        return Check("certificates", "warn", f"{name} ends in {least:.0f} days: `meetkeeper ca issue`.")
    return Check("certificates", "ok", f"{least:.0f} days left")


def _disk(reading: Reading) -> Check:
    free = reading.disk_free_bytes
    if free is None:
        return Check("disk", "unknown", "The free space can't be read.")
    text = f"{free / (1 << 30):.1f} GiB free"
    if free < DISK_BYTES_MIN:
        return Check("disk", "bad", f"The disk is full: {text}.")
    return (
        Check("disk", "warn", f"The disk is nearly full: {text}.")
        if free < DISK_BYTES_LOW
        else Check("disk", "ok", text)
    )


def _clock(reading: Reading) -> Check:
    apart = reading.clock_apart_s
    if apart is None:
        return Check("clock", "unknown", f"{reading.peer}'s clock has not been compared yet.")
    if abs(apart) > CLOCK_APART_S_MAX:
        way = "ahead of" if apart > 0 else "behind"
        text = f"The clock is {abs(apart):.1f} s {way} {reading.peer}'s: meetings would start that much off."
        return Check("clock", "warn", text)
    return Check("clock", "ok", f"{abs(apart) * 1000:.0f} ms from {reading.peer}'s")


def _ntp(reading: Reading) -> Check:
    if reading.ntp is None:
        return Check("NTP", "note", "can't be asked on this machine")
    if not reading.ntp:
        return Check(
            "NTP", "note", "the kernel knows of no time service; the clocks are compared all the same"
        )
    return Check("NTP", "ok", "synchronised")


def _alike(reading: Reading) -> list[Check]:
    mine, theirs, peer = reading.mine, reading.theirs, reading.peer
    if theirs is None or not theirs.release:
        return [Check("same", "unknown", f"{peer} has not said yet what it runs.")]
    checks = []
    for name, ours, other, state in (
        ("release", mine.release, theirs.release, "warn"),
        ("tzdata", mine.tzdata, theirs.tzdata, "warn"),
        ("time zone", mine.time_zone, theirs.time_zone, "note"),
    ):
        if ours == other:
            checks.append(Check(name, "ok", ours))
        elif state == "note":
            checks.append(
                Check(name, "note", f"{ours} here, {other} on {peer}: harmless, times are kept in UTC")
            )
        else:
            checks.append(
                Check(name, "warn", f"{name} {ours} here, {other} on {peer}: upgrade the older one.")
            )
    if mine.config_revision == theirs.config_revision:
        checks.append(Check("configuration", "ok", f"revision {mine.config_revision}"))
    else:
        text = f"Configuration {mine.config_revision} here, {theirs.config_revision} on {peer}: it is on its way."
        checks.append(Check("configuration", "warn", text))
    return checks


def _register(reading: Reading) -> Check:
    if reading.register_trouble:
        return Check("register", "warn", f"The register can't be used: {reading.register_trouble}")
    if not reading.arbitrates:
        return Check("register", "note", "none at a third place: a partition is decided by a person")
    if reading.register_age_s > READING_S_MAX * 2:
        return Check("register", "unknown", f"{reading.register} has not answered for a while.")
    return Check("register", "ok", reading.register)


def _fence(reading: Reading) -> Check:
    if reading.fence is None:
        return Check("fencing", "note", "no fence command")
    if reading.fence:
        return Check("fencing", "warn", f"Fencing would not work: {reading.fence}")
    return Check("fencing", "ok", "its test has passed")


def _named(names: tuple[str, ...]) -> str:
    more = len(names) - NAMED_MAX
    return ", ".join(names[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
