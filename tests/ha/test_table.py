"""Every row of the table is taken in its situation and does what it says; no role and event are forgotten."""

from collections import Counter

import pytest
from msgspec.structs import replace

from meetkeeper.ha import happenings as on
from meetkeeper.ha.happenings import Event
from meetkeeper.ha.machine import step
from meetkeeper.ha.table import IGNORED, ROWS
from meetkeeper.ha.view import LONG_AGO_S, Change, Kind, View, alarms, claim_reason, may_speak
from meetkeeper.ha.words import ORIGIN, Found, Leaving, Lost, Mode, Position, Role, Unknown, Witness, Won
from tests.ha.views import (
    AWAY,
    BOTH,
    HERE,
    LEAVING,
    NOW_S,
    active,
    alone,
    beacon,
    bereft,
    claiming,
    dropping,
    hello,
    passive,
    proof,
    record,
    said,
    yielding,
)

AHEAD = Position(5, 41, "41" * 16)
BEHIND = Position(5, 39, "39" * 16)
TICK = on.Ticked()
SWITCH, FORCE = on.SwitchoverAsked("test"), on.ForceAsked(proof(witness=Witness.OPERATOR))
LEAVE, LEAVE_QUIETLY = on.LeaveAsked("reboot", True, 120.0), on.LeaveAsked("reboot", False, 120.0)
DEPOSED = said(record(6, "b"))
UNSURE = on.ChangeEnded(Unknown("no answer"))
OURS = record(6, "a", ("a",), by="a")
UNCLEAR = step(claiming(), UNSURE, NOW_S).view
NOT_IN_SYNC = record(5, "a", ("a",))

# row, situation, event, what is done (names of actions, in order)
CASES: list[tuple[int, View, Event, str]] = [
    (10, bereft(), TICK, "ReadRegister"),
    (10, passive(read_s=LONG_AGO_S, asked_s=LONG_AGO_S), TICK, "ReadRegister"),
    (11, bereft(asked_s=NOW_S, proof_asked_s=NOW_S - 5), TICK, "AskProof"),
    (12, passive(record=record(5, "a"), peer_role=Role.PASSIVE, peer_position=AHEAD), TICK, "Promise"),
    (115, bereft(forced=proof(witness=Witness.OPERATOR), forced_s=NOW_S - 60), TICK, ""),
    (13, passive(), TICK, ""),
    (14, bereft(), said(record(4, "b")), ""),
    (14, bereft(), said(None), ""),
    (14, bereft(), said(record(9, "b", cluster="other")), ""),
    (15, bereft(), said(record(5, "b"), 3), "Promise"),
    (16, bereft(), said(record(5, "b")), "Remember"),
    (15, bereft(record=record(5, "a")), said(record(5, "a"), 3), "Promise"),
    (15, bereft(record=None, version=0, founds=True), said(None), "Promise"),
    (16, passive(), said(record(5, "b"), 3), ""),
    (16, bereft(), said(record(5, "b", ("b",))), "Remember"),
    (16, bereft(), AWAY, ""),
    (17, bereft(), hello(), ""),
    (18, passive(), on.Unlinked("cut"), "AskProof ReadRegister"),
    (18, passive(record=record(5, "a")), on.Unlinked("cut"), "ReadRegister"),
    (19, passive(), beacon(), ""),
    (19, passive(), beacon(epoch=6, record=record(6, "b"), version=9), "Remember"),
    (20, passive(), on.Echoed(NOW_S, 5), ""),
    (21, bereft(), on.ProofCame(proof()), "ReadRegister"),
    (22, bereft(), on.ProofCame(proof(4)), ""),
    (22, bereft(), on.ProofCame(proof(server="a")), ""),
    (23, passive(), LEAVING, ""),
    (24, bereft(), FORCE, "Answer ReadRegister"),
    (25, passive(), SWITCH, "Answer"),
    (26, passive(), LEAVE, "Say EndReign"),
    (27, passive(), on.Paused(9.0), ""),
    (29, claiming(change=None, linked=True, heard_s=NOW_S), on.Promised(6), ""),
    (30, claiming(change=None), on.Promised(6), "ChangeRegister"),
    (31, claiming(), on.ChangeEnded(Won(4)), "Remember BeginReign"),
    (32, claiming(), on.ChangeEnded(Lost(Found(record(5, "b", ("b",)), 4))), "Remember"),
    (33, claiming(), UNSURE, ""),
    (34, UNCLEAR, said(OURS), "Remember BeginReign"),
    (
        116,
        replace(UNCLEAR, forced=proof(witness=Witness.OPERATOR), forced_s=NOW_S - 60),
        said(record(5, "b"), 3),
        "",
    ),
    (35, UNCLEAR, said(record(5, "b"), 3), "ChangeRegister"),
    (36, UNCLEAR, said(record(6, "b", ("b",), by="b")), "Remember"),
    (37, UNCLEAR, AWAY, ""),
    (38, step(claiming(asked_s=NOW_S - 5), UNSURE, NOW_S).view, TICK, "ReadRegister"),
    (39, claiming(), TICK, ""),
    (40, claiming(), hello(), ""),
    (41, claiming(), on.Unlinked("cut"), ""),
    (42, claiming(), beacon(), ""),
    (43, claiming(), on.Echoed(NOW_S, 5), ""),
    (44, claiming(), SWITCH, "Answer"),
    (45, claiming(), FORCE, "Answer"),
    (46, claiming(), LEAVE, "Say EndReign"),
    (47, claiming(), on.ProofCame(proof()), ""),
    (48, claiming(), on.ProofCame(proof(4)), ""),
    (50, active(lease_until_s=NOW_S - 1), TICK, "ChangeRegister"),
    (51, alone(asked_s=NOW_S - 9), TICK, "ReadRegister"),
    (51, dropping(asked_s=NOW_S - 9), TICK, "ReadRegister"),
    (51, active(peer_epoch=6, asked_s=NOW_S - 9), TICK, "ReadRegister"),
    (52, active(), TICK, ""),
    (53, active(), DEPOSED, "Remember EndReign"),
    (54, active(), said(record(4, "b")), ""),
    (54, active(), said(None), ""),
    (55, dropping(), said(record(5, "a", ("a",), by="a")), "Remember"),
    (56, dropping(), said(record(5, "a"), 3), "ChangeRegister"),
    (57, active(peer_epoch=6), said(record(5, "a"), 3), "ChangeRegister"),
    (58, active(), said(record(5, "a"), 3), ""),
    (58, active(), AWAY, ""),
    (59, dropping(), on.ChangeEnded(Won(4)), "Remember"),
    (60, dropping(), on.ChangeEnded(Lost(Found(record(6, "b"), 4))), "Remember EndReign"),
    (61, dropping(), on.ChangeEnded(Lost(Found(record(5, "a", by="a"), 4))), "Remember"),
    (62, dropping(), UNSURE, ""),
    (63, active(record=NOT_IN_SYNC, requires=False), on.PeerKept(BEHIND, 40), ""),
    (64, active(), on.PeerKept(HERE, 40), ""),
    (64, active(record=NOT_IN_SYNC, requires=False), on.PeerKept(Position(5, 1, "1"), 40_000), ""),
    (65, alone(), hello(Role.PASSIVE), ""),
    (66, active(), on.Unlinked("cut"), "AskProof"),
    (66, alone(), on.Unlinked("cut"), ""),
    (67, active(), beacon(Role.PASSIVE), ""),
    (68, active(), on.Echoed(NOW_S, 5), ""),
    (69, active(linked=False), on.ProofCame(proof()), "ChangeRegister"),
    (70, alone(), on.ProofCame(proof()), ""),
    (71, active(), LEAVING, "ChangeRegister"),
    (72, alone(), LEAVING, ""),
    (73, active(), SWITCH, "Answer Freeze"),
    (74, alone(), SWITCH, "Answer"),
    (75, active(), LEAVE, "Freeze"),
    (76, active(), LEAVE_QUIETLY, "Say EndReign"),
    (76, alone(), LEAVE, "Say EndReign"),
    (77, active(), on.ActorFailed("disk"), "EndReign"),
    (78, active(), on.Paused(9.0), "ReadRegister"),
    (79, active(), FORCE, "Answer"),
    (80, yielding(), on.Drained(), "EndReign"),
    (81, yielding(ending=True), on.ReignEnded(HERE), "Promise"),
    (82, yielding(ending=True, leaves=Leaving("reboot", 1.0)), on.Promised(6), "Say Say EndReign"),
    (83, yielding(ending=True), on.Promised(6), "Say"),
    (84, yielding(yielding_since_s=NOW_S - 9), TICK, "Thaw"),
    (85, yielding(), TICK, ""),
    (86, yielding(), on.Unlinked("cut"), "Thaw"),
    (87, yielding(ending=True), on.Unlinked("cut"), ""),
    (88, yielding(), DEPOSED, "Remember EndReign"),
    (89, yielding(), said(record(5, "a"), 3), ""),
    (90, yielding(), hello(Role.PASSIVE), ""),
    (91, yielding(), beacon(Role.PASSIVE), ""),
    (92, yielding(), on.Echoed(NOW_S, 5), ""),
    (93, yielding(), on.ActorFailed("disk"), "EndReign"),
    (94, yielding(), SWITCH, "Answer"),
    (95, yielding(), FORCE, "Answer"),
    (96, yielding(), LEAVE, ""),
    (97, yielding(), on.Paused(9.0), "ReadRegister"),
    (98, yielding(), LEAVING, "Thaw"),
    (99, yielding(ending=True), LEAVING, ""),
    (114, active(peer_position=BEHIND, peer_was_at=HERE), TICK, "ChangeRegister"),
    (100, active(record=NOT_IN_SYNC), on.PeerKept(HERE, 40), "ChangeRegister"),
    (100, active(record=NOT_IN_SYNC, requires=False), on.PeerKept(HERE, 40), "ChangeRegister"),
    (101, active(trouble="it was rolled back"), FORCE, "Answer ChangeRegister"),
    (102, bereft(position=ORIGIN, record=NOT_IN_SYNC), FORCE, "Answer"),
    (103, dropping(), said(record(5, "a"), 4), "Remember"),
    (104, yielding(yielding_since_s=NOW_S - 9, leaves=Leaving("reboot", 1.0)), TICK, "Say EndReign"),
    (105, yielding(leaves=Leaving("reboot", 1.0)), on.Unlinked("cut"), "Say EndReign"),
    (106, yielding(leaves=Leaving("reboot", 1.0)), LEAVING, "Say EndReign"),
    (107, claiming(), on.Promised(6), ""),
    (107, claiming(change=None, epoch=7), on.Promised(6), ""),
    (108, claiming(), on.ChangeEnded(Won(4), record(5, "a", ("a",))), ""),
    (109, claiming(), said(record(5, "b"), 3), ""),
    (109, claiming(change=None), said(record(6, "b")), ""),
    (112, passive(record=record(5, "a"), peer_role=Role.PASSIVE, peer_position=AHEAD), on.Promised(6), "Say"),
    (113, passive(), on.Promised(6), ""),
    (113, passive(record=record(5, "a"), peer_role=Role.PASSIVE, peer_position=AHEAD), on.Promised(5), ""),
    (111, claiming(), on.Paused(9.0), ""),
    (110, dropping(), on.ChangeEnded(Lost(Found(record(5, "a", by="a"), 4)), record(5, "a", BOTH)), ""),
]


@pytest.mark.parametrize(
    ("number", "view", "event", "does"), CASES, ids=lambda one: one if isinstance(one, int) else ""
)
def test_a_row_is_taken_in_its_situation(number: int, view: View, event: Event, does: str) -> None:
    """The situation picks the row; the row gives the role and the actions."""
    took = step(view, event, NOW_S)
    assert took.row is not None
    assert took.row.number == number
    assert took.view.role is (took.row.then or view.role)
    assert " ".join(type(action).__name__ for action in took.actions) == does


def test_every_row_has_a_situation() -> None:
    """A row that no test takes is a row that nobody has thought through."""
    assert {row.number for row in ROWS} - {number for number, *_ in CASES} == set()


def test_no_pair_of_role_and_event_is_forgotten() -> None:
    """Either rows, the last of which always fits, or ignored by name with a reason; never both."""
    ignored = {(one.role, one.event) for one in IGNORED}
    rows = {(row.role, row.event): row for row in ROWS}
    for role in Role:
        for event in Event.__args__:
            assert ((role, event) in rows) != ((role, event) in ignored), (role, event.__name__)
    for (role, event), last in rows.items():
        assert last.guard is None, (role, event.__name__)


def test_rows_say_why_under_a_number_of_their_own() -> None:
    """Numbers are unique, and every row and every silence has its reason."""
    assert max(Counter(row.number for row in ROWS).values()) == 1
    for row in ROWS:
        assert row.when
        assert row.does
        assert row.why
    assert all(one.why for one in IGNORED)


def test_an_ended_server_does_nothing() -> None:
    """Whatever happens, it neither acts nor comes back."""
    for _, view, event, _ in CASES:
        after = step(replace(view, role=Role.ENDED), event, NOW_S)
        assert after.view.role is Role.ENDED
        assert after.actions == []


def test_what_an_agent_vouched_for_ends_with_our_own_word() -> None:
    """Who has said that it has stopped does not come back by what was vouched for before."""
    vouched = passive(
        record=record(5, "a"), peer_role=Role.PASSIVE, peer_position=AHEAD, arbitrates=False, consents=True
    )
    assert not step(vouched, on.Promised(6), NOW_S).view.consents


def test_who_holds_nothing_is_not_taken_in_and_never_claims() -> None:
    """In async mode a little may be missing, but not all: without one frame there is no configuration to act by."""
    guest = active(mode=Mode.ASYNC, record=NOT_IN_SYNC, requires=False)
    taken_in = step(guest, on.PeerKept(HERE, 41), NOW_S).actions
    assert [type(one) for one in taken_in] == [on.ChangeRegister]
    assert not step(guest, on.PeerKept(ORIGIN, 1), NOW_S).actions
    silent = bereft(mode=Mode.ASYNC, proof=proof(witness=Witness.ITSELF))
    assert claim_reason(silent, NOW_S) is not None
    assert claim_reason(replace(silent, position=ORIGIN), NOW_S) is None


def test_a_disk_that_was_set_back_is_not_counted_on() -> None:
    """In sync by the register, and it comes with less than it had: out, in strict mode too, and in when it has all."""
    for mode in Mode:
        came = step(active(mode=mode), hello(Role.PASSIVE, position=BEHIND), NOW_S).view
        (asked,) = step(came, TICK, NOW_S).actions
        assert isinstance(asked, on.ChangeRegister)
        assert asked.record.in_sync == ("a",)
        assert "had held seq 40" in asked.record.why
        unchanged = step(active(mode=mode), hello(Role.PASSIVE, position=HERE), NOW_S).view
        assert not step(unchanged, TICK, NOW_S).actions


def test_the_register_remembers_what_its_servers_held() -> None:
    """Also an active that has just begun knows what the other one's disk held; in sync means that both hold it."""
    known = replace(record(5, "a"), holds=HERE)
    begun = active(record=known, peer_position=ORIGIN)
    came = step(begun, hello(Role.PASSIVE, position=BEHIND), NOW_S).view
    assert [type(one) for one in step(came, TICK, NOW_S).actions] == [on.ChangeRegister]
    (asked,) = step(active(record=NOT_IN_SYNC, position=AHEAD), on.PeerKept(HERE, 40), NOW_S).actions
    assert isinstance(asked, on.ChangeRegister)
    assert asked.record.holds == HERE


def test_an_old_copy_and_a_damaged_journal_claim_nothing() -> None:
    """Whatever else speaks for it; a person may still force it."""
    for reason in (
        bereft(),
        bereft(proof=proof(witness=Witness.AGENT)),
        bereft(record=record(5, "a"), peer_role=Role.PASSIVE),
    ):
        known = reason.record
        assert known is not None
        assert claim_reason(replace(reason, record=replace(known, holds=HERE)), NOW_S) is not None
        old = replace(reason, record=replace(known, holds=AHEAD))
        damaged = replace(reason, cut_back=True)
        for lacking, alarm in ((old, "set-back"), (damaged, "cut-back")):
            assert claim_reason(lacking, NOW_S) is None
            assert alarm in alarms(lacking, NOW_S)
            assert claim_reason(replace(lacking, forced=proof(witness=Witness.OPERATOR)), NOW_S) is not None


def test_who_lost_frames_to_damage_gives_way_to_who_has_them() -> None:
    """The register names it, and the other one, in sync, is there: that one acts, however far each of them is."""
    named = passive(record=record(5, "a"), peer_role=Role.PASSIVE)
    assert not any(isinstance(one, on.Promise) for one in step(named, TICK, NOW_S).actions)
    (promised,) = step(replace(named, cut_back=True), TICK, NOW_S).actions
    assert isinstance(promised, on.Promise)
    alone_in_sync = replace(named, cut_back=True, record=record(5, "a", ("a",)))
    assert not any(isinstance(one, on.Promise) for one in step(alone_in_sync, TICK, NOW_S).actions)


def test_an_operators_word_is_for_now() -> None:
    """While the register is away it is tried for a minute, seen on the status, and never takes effect later."""
    silent = passive(record=record(5, "b", ("b",)), linked=False)
    told = step(silent, FORCE, NOW_S).view
    assert claim_reason(told, NOW_S + 59) is not None
    assert "forced" in alarms(told, NOW_S + 59)
    late = step(step(told, AWAY, NOW_S + 1).view, TICK, NOW_S + 60).view
    assert late.forced is None
    assert claim_reason(late, NOW_S + 60) is None
    back = step(late, said(record(5, "b", ("b",)), 3), NOW_S + 61)
    assert not [one for one in back.actions if isinstance(one, on.Promise)]


def test_an_epoch_that_may_have_been_used_is_left_out() -> None:
    """Without a third place a fence ends a server that may have reigned anew since: those are skipped."""
    for witness, epoch in ((Witness.AGENT, 6), (Witness.FENCE, 105), (Witness.OPERATOR, 105)):
        fenced = bereft(arbitrates=False, proof=proof(witness=witness))
        took = step(fenced, said(record(5, "b"), 3), NOW_S)
        assert [one.epoch for one in took.actions if isinstance(one, on.Promise)] == [epoch]


def test_the_first_lease_counts_from_the_claim() -> None:
    """An answer that was long on its way gives no right to speak: the other server may have waited for us meanwhile."""
    both = record(6, "a", BOTH, by="a")
    asked = claiming(change=Change(Kind.CLAIM, 3, both, asked_s=NOW_S - 2.0))
    won = on.ChangeEnded(Won(4), both)
    assert may_speak(step(asked, won, NOW_S).view, NOW_S)
    late_s = NOW_S - 2.0 + asked.timing.holder_s
    assert not may_speak(step(asked, won, late_s).view, late_s)
    paused = step(asked, on.Paused(9.0), NOW_S).view
    assert not may_speak(step(paused, won, NOW_S).view, NOW_S)


def test_a_right_just_learned_of_is_waited_for() -> None:
    """The register shows a new reign of the other server, or a newer version: its lease may begin now."""
    for known in (record(4, "a"), record(5, "b", ("b",)), record(5, "b")):
        silent = bereft(record=known, peer_role=Role.PASSIVE)
        after = step(silent, said(record(5, "b")), NOW_S)
        assert after.row is not None
        assert after.row.number == 16
        assert claim_reason(after.view, NOW_S + 3.0) is None
        assert claim_reason(after.view, NOW_S + 3.3) is not None


def test_a_change_that_was_overtaken_is_asked_for_anew() -> None:
    """No answer, then a newer version that is not our change: nothing is under way any more, and the tick decides."""
    after = step(dropping(), said(record(5, "a"), 4), NOW_S).view
    assert after.change is None
    assert after.requires
    asked = step(after, TICK, NOW_S).actions
    assert [(one.expected, one.record.in_sync) for one in asked if isinstance(one, on.ChangeRegister)] == [
        (4, ("a",))
    ]


def test_a_guest_that_goes_again_holds_nobody_up() -> None:
    """Its disk was waited for so that it could be admitted; unless that has been asked for, going on needs nobody."""
    guest = active(record=NOT_IN_SYNC, requires=True)
    assert not step(guest, on.Unlinked("cut"), NOW_S).view.requires
    asked = step(guest, on.PeerKept(HERE, 40), NOW_S).view
    assert asked.change is not None
    assert step(asked, on.Unlinked("cut"), NOW_S).view.requires
    assert step(active(), on.Unlinked("cut"), NOW_S).view.requires


def test_only_what_never_goes_alone_is_fenced() -> None:
    """Without a third place an active that may go on alone may have told people more than anybody else holds."""
    for mode in Mode:
        silent = bereft(arbitrates=False, mode=mode, asked_s=NOW_S, proof_asked_s=NOW_S - 5)
        (asked,) = step(silent, TICK, NOW_S).actions
        assert isinstance(asked, on.AskProof)
        assert asked.fence is (mode is Mode.STRICT)
    (asked,) = step(bereft(mode=Mode.STRICT, asked_s=NOW_S, proof_asked_s=NOW_S - 5), TICK, NOW_S).actions
    assert isinstance(asked, on.AskProof)
    assert not asked.fence


def test_strict_never_goes_alone() -> None:
    """In strict mode the other server is not dropped, whatever happens to it."""
    lapsed = active(mode=Mode.STRICT, lease_until_s=NOW_S - 60, linked=False)
    for event in (TICK, on.ProofCame(proof()), LEAVING):
        assert not any(isinstance(one, on.ChangeRegister) for one in step(lapsed, event, NOW_S).actions)
