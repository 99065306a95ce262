"""A keeper in memory for the core's tests: the real `step`, its plans applied at once, and a clock to set."""

from typing import Any

import msgspec

from meetkeeper.core import keeper
from meetkeeper.core.changes import ConfigDeployed, Founded, raw
from meetkeeper.core.commands import Book
from meetkeeper.core.configuration import (
    BridgeConfig,
    ClusterConfig,
    Config,
    IcsCalendar,
    JanusBridge,
    MailConfig,
    RoomConfig,
    Secret,
)
from meetkeeper.core.effects import Announce, Effect, EnsureVmr, SendMail, key_of
from meetkeeper.core.events import Done, EffectReported, Event, Outcome, PageSeen, Ticked
from meetkeeper.core.identity import fingerprint
from meetkeeper.core.plan import Decision, Plan, apply_plan
from meetkeeper.core.state import OutboxRow, State
from meetkeeper.core.words import (
    CalendarItem,
    EffectKey,
    Entry,
    Meeting,
    MeetingId,
    Person,
    RoomId,
    Step,
    Uid,
    Vmr,
)
from meetkeeper.core.zones import wall_of

NOW_S = 1_804_066_200
"""2027-03-03 08:30 UTC, a Wednesday."""
HOUR_S = 3_600
OLGA = Person("olga@example.org", "Olga")
PER = Person("per@example.org", "Per")
KIM = Person("kim@example.org", "Kim")
SECRET = "0123456789abcdef0123456789abcdef"


def configured(**changed: Any) -> Config:
    """Three rooms without a calendar, one with; a bridge and a mail server."""
    asked = JanusBridge(
        id="link",
        admin_url="http://janus.example/admin",
        admin_secret=Secret(value="admin secret"),
        admin_key=Secret(value="admin key"),
    )
    bridges: tuple[BridgeConfig, ...] = (asked,)
    rooms = (
        RoomConfig(id="r1", email="r1@example.org"),
        RoomConfig(id="r2"),
        RoomConfig(id="r3"),
        RoomConfig(id="shown", calendar=IcsCalendar(folder="shown")),
    )
    base = Config(
        cluster=ClusterConfig(secret=SECRET, public_url="http://meet.example", sip_domain="meet.example"),
        rooms=rooms,
        bridges=bridges,
        mail=MailConfig(host="mail.example"),
    )
    return msgspec.structs.replace(base, **changed)


class Keeper:
    """A state and what is asked of it."""

    def __init__(self, config: Config | None = None, now_s: float = NOW_S) -> None:
        self.state = State()
        self.now_s = float(now_s)
        self.plans: list[Plan] = []
        self._count = 0
        founding = (Founded("lineage"), ConfigDeployed(1, "test", raw(config or configured())))
        apply_plan(self.state, Plan(self.now_s, founding))

    def do(self, event: Event) -> Decision:
        """Decide now and apply."""
        decision = keeper.step(self.state, event, self.now_s)
        apply_plan(self.state, decision.plan)
        self.plans.append(decision.plan)
        return decision

    def tick(self, at_s: float | None = None) -> Plan:
        """Look at the clock, at `at_s` when given."""
        if at_s is not None:
            self.now_s = float(at_s)
        return self.do(Ticked()).plan

    def tick_through(self, at_s: float) -> None:
        """Look at the clock until nothing more is due then."""
        while not self.tick(at_s).empty:
            pass

    def book(self, **changed: Any) -> MeetingId:
        """Book an hour in r1, an hour ahead, with Olga and Per."""
        self._count += 1
        fields: dict[str, Any] = {
            "rooms": (RoomId("r1"),),
            "subject": "Review",
            "organizer": OLGA,
            "invitees": (PER,),
            "start_s": NOW_S + HOUR_S,
            "end_s": NOW_S + 2 * HOUR_S,
            "time_zone": "UTC",
            "nonce": f"nonce-{self._count}",
        }
        return MeetingId(self.do(Book(**(fields | changed))).answer)

    def meeting(self, meeting_id: MeetingId) -> Meeting:
        """The meeting, which must be known."""
        meeting = self.state.meeting(meeting_id)
        assert meeting is not None
        return meeting

    def vmr(self, meeting_id: MeetingId) -> Vmr:
        """Its VMR, which it must have."""
        vmr = self.meeting(meeting_id).vmr
        assert vmr is not None
        return vmr

    def step_of(self, meeting_id: MeetingId) -> Step:
        """Where it stands."""
        return self.state.meetings[meeting_id].step

    def show(self, *items: CalendarItem, room: str = "shown", gone: tuple[str, ...] = ()) -> Plan:
        """A room's calendar shows these items, and what that means is carried out at once."""
        self.do(PageSeen(RoomId(room), items, gone))
        return self.tick(self.now_s + 1)

    # --- the outbox ------------------------------------------------------------------------------------------------

    def open_effects(self, kind: type[Effect]) -> list[OutboxRow]:
        """What stands in the outbox of one kind."""
        return [row for row in self.state.outbox.values() if type(row.effect) is kind]

    def report(self, key: EffectKey, outcome: Outcome) -> Plan:
        """An effect was carried out, or not."""
        return self.do(EffectReported(key, outcome)).plan

    def settle_bridge(self) -> None:
        """The bridge does everything it is asked."""
        for row in self.open_effects(EnsureVmr):
            self.report(row.key, Done("created"))

    def told(self) -> list[SendMail]:
        """Let the bridge, the announcements and the mail server do their work; the mails that went out."""
        sent: list[SendMail] = []
        for _ in range(10):
            self.settle_bridge()
            for row in self.open_effects(Announce):
                self.report(row.key, Done())
            mails = self.open_effects(SendMail)
            for row in mails:
                assert isinstance(row.effect, SendMail)
                sent.append(row.effect)
                self.report(row.key, Done("250 taken"))
            if not mails and not self.open_effects(Announce):
                break
        return sent


def effects_of(plan: Plan, kind: type[Effect]) -> list[Effect]:
    """A plan's effects of one kind."""
    return [effect for effect in plan.effects if type(effect) is kind]


def keys_of(plan: Plan) -> list[str]:
    """The keys of a plan's effects."""
    return [key_of(effect) for effect in plan.effects]


def shown(uid: str, href: str = "", **fields: Any) -> CalendarItem:
    """An item as a calendar shows it: an hour, an hour ahead, organized by Olga, with Per."""
    overrides: tuple[Entry, ...] = fields.pop("overrides", ())
    entry: dict[str, Any] = {
        "start": wall_of(NOW_S + HOUR_S),
        "duration_s": HOUR_S,
        "zone": "UTC",
        "subject": "Review",
        "organizer": OLGA,
        "attendees": (PER,),
    }
    master = Entry(**(entry | fields))
    return CalendarItem(
        href=href or f"{uid}.ics",
        uid=Uid(uid),
        fingerprint=fingerprint(master, overrides),
        master=master,
        overrides=overrides,
    )
