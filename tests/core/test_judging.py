"""New rules for the way into meetings are applied to what is known, once, and to nothing that they see as before."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meetkeeper.core.changes import ConfigDeployed, ItemKept, raw
from meetkeeper.core.configuration import Config, IcsCalendar, LinkRule, LinksConfig, RoomConfig, VmrConfig
from meetkeeper.core.events import PageSeen
from meetkeeper.core.judging import rules_of, rules_to_judge_by
from meetkeeper.core.plan import Plan, apply_plan
from meetkeeper.core.words import OPEN_STEPS, CalendarItem, Meeting, RoomId, Uid
from tests.core.keeper_kit import OLGA, Keeper, configured, shown

ROOM = RoomId("shown")
OWN = "https://video.acme.example/room/42"
ZOOM = "https://acme.zoom.us/j/98765432101"
OWN_RULE = LinkRule(name="acme", platform="acme", pattern=r"https://video\.acme\.example/room/\d+")
WITH_RULE = LinksConfig(rules=(OWN_RULE,))
WHEN_ASKED = VmrConfig(trigger="when_asked", keywords=("@video",))
DAILY = "FREQ=DAILY;COUNT=3"


def deploy(keeper: Keeper, **changed: Any) -> None:
    """Another configuration is in force."""
    revision = keeper.state.config_revision + 1
    change = ConfigDeployed(revision, "test", raw(configured(**changed)))
    apply_plan(keeper.state, Plan(keeper.now_s, (change,)))


def read_whole(keeper: Keeper, *items: CalendarItem) -> list[Plan]:
    """A complete pass as the engine makes it, an item on each page, and everything that follows at once."""
    judged_by = rules_to_judge_by(keeper.state, ROOM)
    plans = [keeper.do(PageSeen(ROOM, (item,), judged_by=judged_by)).plan for item in items]
    names = frozenset(item.href for item in items)
    plans.append(keeper.do(PageSeen(ROOM, (), (), "cookie", names, judged_by=judged_by)).plan)
    plans.append(keeper.tick(keeper.now_s + 60))
    return plans


def of(keeper: Keeper, uid: str) -> list[Meeting]:
    """The open meetings of a UID."""
    rows = keeper.state.meetings_of(Uid(uid))
    return [keeper.meeting(row.id) for row in rows if row.step in OPEN_STEPS]


def test_a_new_link_rule_is_applied_to_what_is_known() -> None:
    """The meeting whose invitation has such a link leaves its VMR, people are told once; others are not touched."""
    keeper = Keeper()
    items = (shown("linked", description=f"Join: {OWN}"), shown("plain"))
    read_whole(keeper, *items)
    assert len({mail.meeting for mail in keeper.told()}) == 2
    (plain,) = of(keeper, "plain")
    assert rules_to_judge_by(keeper.state, ROOM) == ""
    deploy(keeper, links=WITH_RULE)
    assert rules_to_judge_by(keeper.state, ROOM)
    plans = read_whole(keeper, *items)
    (linked,) = of(keeper, "linked")
    assert linked.vmr is None
    assert linked.foreign is not None
    assert (linked.foreign.platform, linked.foreign.url) == ("acme", OWN)
    assert {mail.meeting for mail in keeper.told()} == {linked.id}
    assert of(keeper, "plain") == [plain]
    assert {one.uid for plan in plans for one in plan.changes if isinstance(one, ItemKept)} == {"linked"}
    assert any(note.code == "sync.judged" for plan in plans for note in plan.notes)
    assert rules_to_judge_by(keeper.state, ROOM) == ""
    assert all(plan.empty for plan in read_whole(keeper, *items)[:-2])
    assert keeper.told() == []


def test_a_meeting_gets_its_vmr_when_the_policy_asks_for_it() -> None:
    """By the cluster's trigger, the room's own, a keyword; a series as a whole. It is told once, and stays for good."""
    items = (shown("single", subject="Review @film"), shown("series", rrule=DAILY))
    for changed in (
        {"vmr": VmrConfig()},
        {"rooms": (RoomConfig(id=ROOM, video=True, calendar=IcsCalendar(folder="shown")),)},
        {"rooms": (RoomConfig(id=ROOM, trigger="always", calendar=IcsCalendar(folder="shown")),)},
    ):
        keeper = Keeper(configured(vmr=WHEN_ASKED))
        read_whole(keeper, *items)
        assert keeper.told() == []
        assert {one.vmr for one in of(keeper, "single") + of(keeper, "series")} == {None}
        deploy(keeper, **({"vmr": WHEN_ASKED} | changed))
        read_whole(keeper, *items)
        told = keeper.told()
        (single,) = of(keeper, "single")
        assert single.vmr is not None
        doors = {one.vmr for one in of(keeper, "series")}
        assert len(doors) == 1
        assert None not in doors
        assert {(mail.meeting, mail.series) for mail in told} == {(single.id, None), (None, Uid("series"))}
        assert len({(mail.to, mail.meeting, mail.series) for mail in told}) == len(told)
        deploy(keeper, vmr=WHEN_ASKED)
        read_whole(keeper, *items)
        assert keeper.told() == []
        assert of(keeper, "single") == [single]
    keeper = Keeper(configured(vmr=WHEN_ASKED))
    read_whole(keeper, *items)
    deploy(keeper, vmr=msgspec.structs.replace(WHEN_ASKED, keywords=("@film",)))
    read_whole(keeper, *items)
    assert of(keeper, "single")[0].vmr is not None
    assert {one.vmr for one in of(keeper, "series")} == {None}


def test_rules_that_go_give_the_vmr_back() -> None:
    """Links that are looked for no longer: the meeting has a VMR of ours."""
    keeper = Keeper()
    item = shown("one", location=ZOOM)
    read_whole(keeper, item)
    assert of(keeper, "one")[0].vmr is None
    deploy(keeper, links=LinksConfig(use=False))
    read_whole(keeper, item)
    (meeting,) = of(keeper, "one")
    assert (meeting.foreign, meeting.vmr is None) == (None, False)
    assert {mail.meeting for mail in keeper.told()} == {meeting.id}


def test_a_pass_that_breaks_off_is_made_again_and_nobody_hears_twice() -> None:
    """What was judged before it broke stays so; the room is only done when a pass has come to its end."""
    keeper = Keeper()
    items = (shown("a", description=OWN), shown("b", description=OWN))
    read_whole(keeper, *items)
    keeper.told()
    deploy(keeper, links=WITH_RULE)
    keeper.do(PageSeen(ROOM, items[:1], judged_by=rules_to_judge_by(keeper.state, ROOM)))
    keeper.tick(keeper.now_s + 60)
    first = keeper.told()
    assert {mail.meeting for mail in first} == {of(keeper, "a")[0].id}
    assert rules_to_judge_by(keeper.state, ROOM)
    read_whole(keeper, *items)
    assert {mail.meeting for mail in keeper.told()} == {of(keeper, "b")[0].id}
    assert rules_to_judge_by(keeper.state, ROOM) == ""


def test_rules_that_change_in_the_middle_of_a_pass_are_judged_by_once_more() -> None:
    """The end of such a pass says nothing about the newest rules."""
    keeper = Keeper()
    item = shown("one", description=OWN)
    read_whole(keeper, item)
    deploy(keeper, links=LinksConfig(bare_numbers=True))
    begun_by = rules_to_judge_by(keeper.state, ROOM)
    keeper.do(PageSeen(ROOM, (item,), judged_by=begun_by))
    deploy(keeper, links=WITH_RULE)
    keeper.do(PageSeen(ROOM, (), (), "cookie", frozenset({item.href}), judged_by=begun_by))
    assert rules_to_judge_by(keeper.state, ROOM) not in ("", begun_by)


@pytest.mark.parametrize(
    ("changed", "rooms"),
    [
        ({"links": WITH_RULE}, {"r1", "r2", "r3", "shown"}),
        ({"vmr": WHEN_ASKED}, {"r1", "r2", "r3", "shown"}),
        ({"bridges": ()}, {"r1", "r2", "r3", "shown"}),
        ({"links": LinksConfig(mail="all")}, set[str]()),
        ({"vmr": VmrConfig(pin_digits=8, retire_after_s=60)}, set[str]()),
    ],
)
def test_only_rules_make_rooms_be_read_again(changed: dict[str, Any], rooms: set[str]) -> None:
    """Whatever else is deployed costs nothing; a room's own policy concerns that room."""
    keeper = Keeper()
    before = {room: rules_of(keeper.state, room) for room in keeper.state.rooms}
    deploy(keeper, **changed)
    assert {room for room, rules in before.items() if rules_of(keeper.state, room) != rules} == rooms


def test_a_rooms_own_policy_concerns_that_room() -> None:
    """The others are not read again; a room that is not ours has no rules."""
    keeper = Keeper()
    before = {room: rules_of(keeper.state, room) for room in keeper.state.rooms}
    rooms = tuple(
        msgspec.structs.replace(room, video=room.id == "r2") for room in keeper.state.settings().rooms
    )
    deploy(keeper, rooms=rooms)
    assert {room for room, rules in before.items() if rules_of(keeper.state, room) != rules} == {"r2"}
    assert rules_of(keeper.state, RoomId("nowhere")) == ""


def test_an_occurrence_that_asks_has_its_own_vmr_when_its_series_leaves_theirs() -> None:
    """The series goes to a link that a new rule knows; one of its dates says something else, and asks for a VMR."""
    plain = shown("x").master
    assert plain is not None
    start = plain.start.replace(day=plain.start.day + 1)
    override = msgspec.structs.replace(plain, recurrence_id=start, start=start, description="@video")
    item = shown("one", description=OWN, rrule=DAILY, overrides=(override,))
    keeper = Keeper()
    read_whole(keeper, item)
    deploy(keeper, links=WITH_RULE, vmr=WHEN_ASKED)
    read_whole(keeper, item)
    found = {one.description: (one.foreign is not None, one.vmr is not None) for one in of(keeper, "one")}
    assert found == {OWN: (True, False), "@video": (False, True)}


def test_an_occurrence_that_says_nothing_joins_its_series() -> None:
    """The series asks for a VMR as soon as its link counts no longer; a date without the words meets there too."""
    plain = shown("x").master
    assert plain is not None
    start = plain.start.replace(day=plain.start.day + 1)
    override = msgspec.structs.replace(plain, recurrence_id=start, start=start, description="Quite short")
    item = shown("one", description=f"@video {ZOOM}", rrule=DAILY, overrides=(override,))
    keeper = Keeper(configured(vmr=WHEN_ASKED))
    read_whole(keeper, item)
    assert {one.vmr for one in of(keeper, "one")} == {None}
    deploy(keeper, vmr=WHEN_ASKED, links=LinksConfig(use=False))
    read_whole(keeper, item)
    doors = {one.vmr for one in of(keeper, "one")}
    assert len(doors) == 1
    assert None not in doors


CONFIGS: list[Config] = [
    configured(links=links, vmr=vmr)
    for links in (LinksConfig(), WITH_RULE, LinksConfig(use=False))
    for vmr in (VmrConfig(), WHEN_ASKED, VmrConfig(each_occurrence=True), VmrConfig(organizers="internal"))
]
WORDS = st.sampled_from(["", OWN, ZOOM, "@video", f"@video {ZOOM}"])


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(WORDS, st.booleans(), st.none() | WORDS), min_size=1, max_size=3),
    st.lists(st.sampled_from(CONFIGS), min_size=2, max_size=4),
)
def test_in_the_end_the_way_in_is_that_of_the_newest_rules(
    told: list[tuple[str, bool, str | None]], configs: list[Config]
) -> None:
    """As if they had always stood, but for VMRs, which stay once they were given; read once more nothing happens."""
    items: list[CalendarItem] = []
    for number, (words, repeats, exception) in enumerate(told):
        plain = shown("x").master
        assert plain is not None
        start = plain.start.replace(day=plain.start.day + 1)
        override = msgspec.structs.replace(
            plain, recurrence_id=start, start=start, description=exception or ""
        )
        overrides = (override,) if repeats and exception is not None else ()
        rrule = DAILY if repeats else ""
        items.append(shown(f"m{number}", description=words, rrule=rrule, overrides=overrides, organizer=OLGA))
    keeper, fresh = Keeper(configs[0]), Keeper(configs[-1])
    mails: list[object] = []
    for config in configs:
        deploy(keeper, links=config.links, vmr=config.vmr)
        read_whole(keeper, *items)
        mails += [(one.to, one.revision, one.method, one.meeting, one.series) for one in keeper.told()]
        assert rules_to_judge_by(keeper.state, ROOM) == ""
    read_whole(fresh, *items)
    assert len(mails) == len(set(mails))
    for row in fresh.state.meetings.values():
        ought, is_now = fresh.meeting(row.id), keeper.meeting(row.id)
        door = None if ought.foreign is None else ought.foreign.url
        assert (None if is_now.foreign is None else is_now.foreign.url) == door
        assert is_now.foreign is None or is_now.vmr is None
        assert is_now.vmr is not None or ought.vmr is None
    plans = read_whole(keeper, *items)
    assert not [change for plan in plans for change in plan.changes if type(change).__name__ == "MeetingKept"]
