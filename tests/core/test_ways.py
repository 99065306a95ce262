"""Which way in a meeting has: links of other platforms, keywords, mailboxes and video rooms, and every change of it."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meetkeeper.core import vmr as vmrs
from meetkeeper.core.asking import open_questions
from meetkeeper.core.configuration import IcsCalendar, LinksConfig, RoomConfig, VmrConfig
from meetkeeper.core.effects import Announce, EnsureVmr, RetireVmr, SendMail
from meetkeeper.core.events import Done, Later
from meetkeeper.core.keeping import is_needed
from meetkeeper.core.vmr import Scope
from meetkeeper.core.words import OPEN_STEPS, Meeting, Person, Step, Uid, Vmr
from tests.core.keeper_kit import HOUR_S, NOW_S, OLGA, Keeper, configured, shown

UID = Uid("one")
ZOOM = "https://acme.zoom.us/j/98765432101"
DIAL = "98765432101@zoomcrc.com"
DAILY = "FREQ=DAILY;COUNT=3"
WHEN_ASKED = VmrConfig(trigger="when_asked", keywords=("@video",), trigger_mailboxes=("Video@example.org",))


def only(keeper: Keeper) -> Meeting:
    """The one meeting that is open."""
    rows = [row for row in keeper.state.meetings_of(UID) if row.step in OPEN_STEPS]
    assert len(rows) == 1
    return keeper.meeting(rows[0].id)


def derived(keeper: Keeper) -> Vmr:
    """The VMR that the UID has whenever it has one."""
    return vmrs.derive(keeper.state.settings(), Scope(UID), "link")


def revisions(mails: list[SendMail]) -> list[tuple[int, str]]:
    """What was told, to whomever."""
    return sorted({(mail.revision, mail.method) for mail in mails})


def test_a_meeting_with_a_link_gets_no_vmr_and_nobody_is_mailed() -> None:
    """The link and its dial string are the way in; the bridge is not asked and the invitees hear nothing of us."""
    keeper = Keeper()
    keeper.show(shown("one", location=ZOOM))
    meeting = only(keeper)
    assert meeting.vmr is None
    assert meeting.foreign is not None
    assert (meeting.foreign.platform, meeting.foreign.dial, meeting.foreign.source) == (
        "zoom",
        DIAL,
        "location",
    )
    assert keeper.told() == []
    keeper.tick_through(NOW_S + HOUR_S)
    assert keeper.step_of(meeting.id) is Step.LIVE
    assert not keeper.open_effects(EnsureVmr)
    assert any(note.code == "link.found" for plan in keeper.plans for note in plan.notes)


def test_where_we_tell_of_links_everybody_is_mailed_once() -> None:
    """With `links.mail` all, a link is told like a VMR: once for each revision, and its cancellation."""
    keeper = Keeper(configured(links=LinksConfig(mail="all")))
    keeper.show(shown("one", location=ZOOM))
    assert revisions(keeper.told()) == [(1, "REQUEST")]
    keeper.show(shown("one", location=ZOOM, subject="Other", sequence=1))
    assert revisions(keeper.told()) == [(2, "REQUEST")]
    keeper.show(gone=("one.ics",))
    assert revisions(keeper.told()) == [(3, "CANCEL")]


def test_links_are_left_alone_where_they_are_not_wanted() -> None:
    """With `links.use` off a link is text, and the meeting gets its VMR."""
    keeper = Keeper(configured(links=LinksConfig(use=False)))
    keeper.show(shown("one", location=ZOOM))
    assert only(keeper).vmr == derived(keeper)


def test_a_link_takes_the_place_of_a_vmr_and_gives_it_back() -> None:
    """VMR, link, VMR: told once each way, taken down after the grace, and the same door comes back."""
    keeper = Keeper()
    keeper.show(shown("one"))
    assert revisions(keeper.told()) == [(1, "REQUEST")]
    door = only(keeper).vmr
    assert door == derived(keeper)
    keeper.show(shown("one", description=f"Join: {ZOOM}", sequence=1))
    assert (only(keeper).vmr, only(keeper).former_vmr) == (None, door)
    assert revisions(keeper.told()) == [(2, "REQUEST")]
    retire = keeper.open_effects(RetireVmr)
    assert [row.effect for row in retire] == [RetireVmr(derived(keeper).alias, "link")]
    assert not is_needed(keeper.state, derived(keeper).alias, keeper.now_s)
    keeper.report(retire[0].key, Done("taken off the bridge"))
    keeper.show(shown("one", sequence=2))
    assert only(keeper).vmr == door
    assert [
        row.effect.turn for row in keeper.open_effects(EnsureVmr) if isinstance(row.effect, EnsureVmr)
    ] == ["new"]
    assert revisions(keeper.told()) == [(3, "REQUEST")]
    assert keeper.state.by_alias[derived(keeper).alias] == only(keeper).id


def test_a_link_that_comes_before_anyone_was_told_stays_unsaid() -> None:
    """While the bridge is away nobody has been told of the VMR; a link in its place leaves it so."""
    keeper = Keeper()
    keeper.show(shown("one"))
    keeper.report(keeper.open_effects(EnsureVmr)[0].key, Later("away"))
    keeper.show(shown("one", location=ZOOM, sequence=1))
    assert keeper.told() == []
    keeper.show(shown("one", sequence=2))
    assert revisions(keeper.told()) == [(3, "REQUEST")]


def test_the_same_link_found_elsewhere_is_no_news() -> None:
    """A room mailbox that strips the body leaves the location: same address, same dial string, nobody notices."""
    keeper = Keeper(configured(links=LinksConfig(mail="all")))
    keeper.show(shown("one", location=ZOOM, links=(ZOOM,)))
    keeper.told()
    before = only(keeper)
    keeper.show(shown("one", location=ZOOM, sequence=1))
    assert only(keeper).revision == before.revision
    assert keeper.told() == []


def test_an_item_with_a_link_is_kept_and_read_again() -> None:
    """The link stands in the item, not in the meeting's words: settled again it is still there."""
    keeper = Keeper()
    item = shown("one", links=(ZOOM,))
    keeper.show(item)
    keeper.show(msgspec.structs.replace(item, etag="2"))
    keeper.show(shown("one", links=(ZOOM,), subject="Other", sequence=1))
    foreign = only(keeper).foreign
    assert foreign is not None
    assert foreign.url == ZOOM
    assert keeper.told() == []


def test_a_series_changes_its_way_in_as_a_whole() -> None:
    """A series with a link has none of our VMRs in any occurrence; without it, all share the one they had."""
    keeper = Keeper()
    keeper.show(shown("one", rrule=DAILY))
    assert len(keeper.told()) == 2
    keeper.show(shown("one", rrule=DAILY, location=ZOOM, sequence=1))
    rows = keeper.state.meetings_of(UID)
    assert {keeper.meeting(row.id).vmr for row in rows} == {None}
    assert len(keeper.told()) == 2
    assert len(keeper.open_effects(RetireVmr)) == 1
    keeper.show(shown("one", rrule=DAILY, sequence=2))
    assert {keeper.meeting(row.id).vmr for row in keeper.state.meetings_of(UID)} == {derived(keeper)}
    assert len(keeper.state.meetings_by_alias(derived(keeper).alias)) == 3
    assert len(keeper.told()) == 2


def test_one_occurrence_with_a_link_leaves_the_others_theirs() -> None:
    """An exception held elsewhere has its link; it comes back to the series' VMR when that goes."""
    plain = shown("x").master
    assert plain is not None
    start = plain.start.replace(day=plain.start.day + 1)
    linked = msgspec.structs.replace(plain, recurrence_id=start, start=start, location=ZOOM)
    keeper = Keeper()
    keeper.show(shown("one", rrule=DAILY))
    keeper.told()
    keeper.show(shown("one", rrule=DAILY, overrides=(linked,), sequence=1))
    ways = [keeper.meeting(row.id) for row in keeper.state.meetings_of(UID)]
    assert sorted(one.foreign is not None for one in ways) == [False, False, True]
    assert all((one.vmr is None) is (one.foreign is not None) for one in ways)
    assert not keeper.open_effects(RetireVmr)
    keeper.show(shown("one", rrule=DAILY, sequence=2))
    assert len(keeper.state.meetings_by_alias(derived(keeper).alias)) == 3


def test_an_occurrence_without_the_series_link_has_its_own_vmr() -> None:
    """When a series goes elsewhere, an exception that does not is not left without a door."""
    plain = shown("x").master
    assert plain is not None
    start = plain.start.replace(day=plain.start.day + 1)
    own = msgspec.structs.replace(plain, recurrence_id=start, start=start)
    keeper = Keeper()
    keeper.show(shown("one", rrule=DAILY, overrides=(own,)))
    keeper.told()
    keeper.show(shown("one", rrule=DAILY, overrides=(own,), location=ZOOM, sequence=1))
    keeper.told()
    doors = [keeper.meeting(row.id).vmr for row in keeper.state.meetings_of(UID)]
    (door,) = [one for one in doors if one is not None]
    assert len(keeper.state.meetings_by_alias(door.alias)) == 1
    assert is_needed(keeper.state, door.alias, keeper.now_s)


@pytest.mark.parametrize(
    "asking",
    [
        {"subject": "Board @Video"},
        {"location": "Oslo (@VIDEO)"},
        {"description": "please @video"},
        {"attendees": (Person("video@example.org"),)},
        {"resources": ("video@example.org",)},
    ],
)
def test_where_a_vmr_is_to_be_asked_for_it_is(asking: dict[str, Any]) -> None:
    """A keyword or an invited mailbox asks; without either there is none; once given it stays."""
    keeper = Keeper(configured(vmr=WHEN_ASKED))
    keeper.show(shown("one"))
    assert only(keeper).vmr is None
    assert keeper.told() == []
    keeper.show(shown("one", sequence=1, **asking))
    assert only(keeper).vmr == derived(keeper)
    assert {mail.method for mail in keeper.told()} == {"REQUEST"}
    keeper.show(shown("one", sequence=2))
    assert only(keeper).vmr == derived(keeper)


def test_a_series_may_ask_later() -> None:
    """A keyword that is written into a series gives all of it one VMR, and it is told once."""
    keeper = Keeper(configured(vmr=WHEN_ASKED))
    keeper.show(shown("one", rrule=DAILY))
    assert keeper.told() == []
    keeper.show(shown("one", rrule=DAILY, location="@video", sequence=1))
    assert {keeper.meeting(row.id).vmr for row in keeper.state.meetings_of(UID)} == {derived(keeper)}
    assert {(mail.method, mail.series) for mail in keeper.told()} == {("REQUEST", UID)}


@pytest.mark.parametrize(
    ("room", "given"),
    [
        (RoomConfig(id="shown", video=True), True),
        (RoomConfig(id="shown", trigger="always"), True),
        (RoomConfig(id="shown", email="Video@example.org"), True),
        (RoomConfig(id="shown"), False),
    ],
)
def test_a_room_may_ask_for_every_meeting_in_it(room: RoomConfig, *, given: bool) -> None:
    """A video room, a room that says always, and a room that is a mailbox to ask by, each give a VMR."""
    room = msgspec.structs.replace(room, calendar=IcsCalendar(folder="shown"))
    keeper = Keeper(configured(vmr=WHEN_ASKED, rooms=(room,)))
    keeper.show(shown("one"))
    assert (only(keeper).vmr is not None) is given


def test_strangers_get_none_of_ours_where_that_is_the_rule() -> None:
    """Organizers outside get no VMR; without any domain nobody is kept out, and that is told."""
    inside = VmrConfig(organizers="internal")
    cases: list[tuple[tuple[str, ...], bool]] = [
        (("example.org",), True),
        (("corp.example",), False),
        ((), True),
    ]
    for domains, gets_one in cases:
        config = configured(vmr=inside, links=LinksConfig(internal_domains=domains))
        keeper = Keeper(config)
        keeper.show(shown("one", organizer=OLGA))
        assert (only(keeper).vmr is not None) is gets_one
        assert bool(open_questions(config)) is not bool(domains)
    assert open_questions(configured()) == ()
    assert open_questions(configured(links=LinksConfig(bare_numbers=True)))


EDITS = st.lists(
    st.tuples(
        st.sampled_from(["", "location", "links", "description"]),
        st.sampled_from(["", DAILY]),
        st.sampled_from(["stay", "gone", "bridge away", "bridge", "told"]),
    ),
    min_size=1,
    max_size=7,
)


@settings(max_examples=150, deadline=None)
@given(EDITS)
def test_whatever_people_edit_the_door_is_right_and_the_same(edits: list[tuple[str, str, str]]) -> None:
    """Link or none, meeting or series, gone and back, with the bridge away or not: in the end the way in is the one
    that the calendar means, the VMR is the derived one, every alias leads to its meetings, and no mail goes twice."""
    keeper = Keeper()
    sent: list[SendMail] = []
    for number, (where, rrule, also) in enumerate(edits):
        told: Any = {"links": (ZOOM,)} if where == "links" else {where: ZOOM} if where else {}
        keeper.show(shown("one", rrule=rrule, sequence=number, **told))
        sent += follow(keeper, also)
    sent += keeper.told()
    assert_once(sent)
    where, rrule, also = edits[-1]
    rows = [row for row in keeper.state.meetings_of(UID) if row.step in OPEN_STEPS]
    assert len(rows) == (0 if also == "gone" else 3 if rrule else 1)
    for row in rows:
        assert keeper.meeting(row.id).vmr == (None if where else derived(keeper))
        assert (keeper.meeting(row.id).foreign is not None) is bool(where)
    alias = derived(keeper).alias
    assert is_needed(keeper.state, alias, keeper.now_s) is (bool(rows) and not where)
    assert len(keeper.state.meetings_by_alias(alias)) >= (0 if where else len(rows))
    known = {(mail.meeting, mail.series) for mail in sent if mail.method == "REQUEST"}
    assert not rows or where or known
    assert not keeper.open_effects(Announce)


OCCURRENCES = st.lists(
    st.tuples(
        st.booleans(),
        st.sampled_from(["", DAILY, DAILY]),
        st.sampled_from(["", "plain", "linked"]),
        st.sampled_from(["stay", "gone", "bridge away", "bridge", "told"]),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=200, deadline=None)
@given(OCCURRENCES, st.booleans())
def test_every_occurrence_has_one_way_in(
    edits: list[tuple[bool, str, str, str]],
    each_occurrence: bool,
) -> None:
    """With exceptions that are held elsewhere or stay, and VMRs for each occurrence or one for all: every meeting has
    a link or a VMR, never both; every VMR is found by its alias and is needed; no mail goes twice."""
    keeper = Keeper(configured(vmr=VmrConfig(each_occurrence=each_occurrence)))
    plain = shown("x").master
    assert plain is not None
    start = plain.start.replace(day=plain.start.day + 1)
    sent: list[SendMail] = []
    for number, (linked, rrule, exception, also) in enumerate(edits):
        location = ZOOM if exception == "linked" else ""
        override = msgspec.structs.replace(plain, recurrence_id=start, start=start, location=location)
        overrides = (override,) if rrule and exception else ()
        where = ZOOM if linked else ""
        keeper.show(shown("one", rrule=rrule, sequence=number, location=where, overrides=overrides))
        sent += follow(keeper, also)
    sent += keeper.told()
    assert_once(sent)
    for row in keeper.state.meetings_of(UID):
        meeting = keeper.meeting(row.id)
        if row.step in OPEN_STEPS:
            assert (meeting.vmr is None) is (meeting.foreign is not None)
            assert meeting.vmr is None or is_needed(keeper.state, meeting.vmr.alias, keeper.now_s)


def follow(keeper: Keeper, also: str) -> list[SendMail]:
    """What comes after an edit: the item goes, the bridge is away or answers, people are told. The mails that go."""
    sent: list[SendMail] = []
    if also == "gone":
        keeper.show(gone=("one.ics",))
    elif also == "bridge away":
        for asked in keeper.open_effects(EnsureVmr):
            keeper.report(asked.key, Later("away"))
    elif also == "bridge":
        keeper.settle_bridge()
    elif also == "told":
        sent = keeper.told()
    indexed(keeper)
    return sent


def assert_once(sent: list[SendMail]) -> None:
    """Nobody is told the same twice."""
    keys = [(mail.to, mail.revision, mail.method, mail.meeting, mail.series) for mail in sent]
    assert len(keys) == len(set(keys))


def indexed(keeper: Keeper) -> None:
    """Every open meeting with a VMR is found by its alias, and none without one is."""
    for row in keeper.state.meetings_of(UID):
        meeting = keeper.meeting(row.id)
        assert row.alias == (None if meeting.vmr is None else meeting.vmr.alias)
        if row.step in OPEN_STEPS and row.alias is not None:
            assert row.id in {one.id for one in keeper.state.meetings_by_alias(row.alias)}
