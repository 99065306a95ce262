"""Plans that touch every kind of change and effect, for the tests of codec and store."""

import datetime

from msgspec import Raw

from meetkeeper.core.changes import (
    ConfigDeployed,
    CookieKept,
    EffectMoved,
    EffectOpen,
    Founded,
    IdempotencyForgotten,
    IdempotencyKept,
    ItemForgotten,
    ItemKept,
    MeetingForgotten,
    MeetingKept,
    MeetingStepped,
    ReignOpened,
    RoomTold,
    SeriesForgotten,
    SeriesKept,
    TokenKept,
    TokenRevoked,
    VmrRetired,
    raw,
)
from meetkeeper.core.effects import (
    AnnotateItem,
    Announce,
    EnsureVmr,
    Phase,
    RetireVmr,
    SendMail,
    WriteItem,
    key_of,
)
from meetkeeper.core.plan import Note, Plan
from meetkeeper.core.state import RoomNews, Status
from meetkeeper.core.words import (
    Alias,
    CalendarItem,
    Entry,
    Meeting,
    MeetingId,
    Person,
    RoomId,
    Step,
    Uid,
    Vmr,
)

START_S = 1_800_000_000
RED, BLUE, GREEN = RoomId("red"), RoomId("blue"), RoomId("green")


def meeting_kept(
    number: int, *, step: Step = Step.SCHEDULED, series: Uid | None = None, subject: str = "Talk"
) -> MeetingKept:
    """A meeting; every third one in two rooms."""
    rooms = (BLUE, RED) if number % 3 == 0 else (RED,) if number % 2 else (BLUE,)
    start_s = START_S + number * 1_700
    vmr = Vmr(Alias(f"alias{number:05d}"), f"{number:09d}", "1234", "main")
    meeting = Meeting(
        id=MeetingId(f"m{number}"),
        uid=series or Uid(f"u{number}"),
        subject=subject,
        organizer=Person("ann@example.org", "Änn"),
        rooms=rooms,
        start_s=start_s,
        end_s=start_s + 2_400,
        time_zone="Europe/Berlin",
        vmr=vmr,
    )
    return MeetingKept(
        id=meeting.id,
        start_s=start_s,
        end_s=start_s + 2_400,
        rooms=rooms,
        step=step,
        body=raw(meeting),
        alias=Alias("weekly") if series else vmr.alias,
        numeric_id=None if series else vmr.numeric_id,
        series=series,
    )


def every_plan() -> list[Plan]:
    """A small history with every change and every effect in it."""
    item = CalendarItem(
        href="a.ics",
        uid=Uid("weekly@example.org"),
        fingerprint="f1",
        master=Entry(
            start=datetime.datetime.fromisoformat("2026-01-05T09:00:00"),
            duration_s=1_800,
            rrule="FREQ=WEEKLY",
        ),
    )
    ensure = EnsureVmr(Alias("alias00001"), MeetingId("m1"), Phase.BOOKED, "")
    mail = SendMail("bob@example.org", 1, "REQUEST", MeetingId("m1"))
    weekly = Uid("weekly@example.org")
    return [
        Plan(0.0, (Founded("lineage-1"), ReignOpened(1, "a", "0.1", "2026a"))),
        Plan(1.0, (ConfigDeployed(1, "ann", Raw(CONFIG)),)),
        Plan(
            2.0, (meeting_kept(1), meeting_kept(2), meeting_kept(3)), (ensure, Announce(1, MeetingId("m1")))
        ),
        Plan(
            3.0,
            (
                SeriesKept(weekly, START_S, raw({"any": "body"}), Alias("weekly"), "777"),
                meeting_kept(4, series=weekly),
                meeting_kept(5, series=weekly, step=Step.CANCELLED),
                ItemKept(RED, "a.ics", weekly, "e1", "f1", item, 5.5),
                ItemKept(RED, "b.ics", Uid("u1"), "e2", "f2", gone=True, held=True),
                ItemKept(BLUE, "c.ics", Uid("u1"), "e3", "f3"),
            ),
            (
                mail,
                WriteItem(RED, 1, MeetingId("m2")),
                AnnotateItem(RED, 1, "stands", MeetingId("m2")),
                RetireVmr(Alias("old"), "main"),
            ),
            (Note("seen.new", "m4", "a note with a line\nfeed"),),
        ),
        Plan(
            4.0, (MeetingStepped(MeetingId("m1"), Step.LIVE, 1.25), EffectMoved(key_of(ensure), Status.DONE))
        ),
        Plan(
            5.0, (EffectMoved(key_of(mail), Status.WAITING, 2, 99.5, "421 busy"), CookieKept(RED, "mk1|x|y"))
        ),
        Plan(6.0, (MeetingStepped(MeetingId("m1"), Step.ENDED, 2.5), meeting_kept(2, subject="Moved"))),
        Plan(7.0, (VmrRetired(Alias("gone"), 7, Uid("u9")), RoomTold(RED, RoomNews(3, 1.5)))),
        Plan(8.0, (TokenKept("d1", "n", "read", 1.0), TokenKept("d2", "n", "read", 1.0), TokenRevoked("d1"))),
        Plan(9.0, (IdempotencyKept("k1", "r", "m1", 1.0), IdempotencyKept("k2", "r", "m1", 1.0))),
        Plan(
            10.0, (IdempotencyForgotten("k1"), ItemForgotten(RED, "b.ics"), MeetingForgotten(MeetingId("m3")))
        ),
        Plan(11.0, (EffectOpen(key_of(ensure), ensure, Status.UNKNOWN, 1, 3.5, "a crash"),)),
        Plan(12.0, (SeriesKept(Uid("short"), 5, raw({}), None), SeriesForgotten(Uid("short")))),
    ]


CONFIG = (
    b'{"cluster":{"secret":"0123456789abcdef0123456789abcdef"},'
    b'"rooms":[{"id":"green"},{"id":"red"},{"id":"blue"}],"time":{"open_before_s":300}}'
)
