"""Where the two servers keep what stands themselves: whose consent, which proof, any order of messages, any crash."""

import asyncio
import errno
import random
from itertools import count
from pathlib import Path

import msgspec
import pytest

from meetkeeper.core.errors import Corrupt, OurMistake
from meetkeeper.ha.words import (
    Empty,
    Found,
    Lost,
    Outcome,
    Proof,
    Record,
    Unknown,
    Unreachable,
    Witness,
    Won,
)
from meetkeeper.host.disk import RealDisk
from meetkeeper.registers.standing import CHANGES_MAX, PATH, NeedsGrant, StandingRegister
from meetkeeper.testing.contracts.register import record_of
from meetkeeper.testing.disk import CrashDisk


async def nobody(expected: int, record: Record) -> Outcome:
    """The other server is not there."""
    return Unknown("Nobody is linked.")


def home() -> CrashDisk:
    """A new home."""
    disk = CrashDisk()
    disk.make_folder("t:make", "local")
    return disk


def server(me: str, disk: CrashDisk | None = None, *, founds: bool = False) -> StandingRegister:
    """A server's register, with nobody on the line."""
    return StandingRegister(disk or home(), nobody, me=me, founds=founds)


def pair_in_reign() -> tuple[StandingRegister, StandingRegister, Found]:
    """Server `one` founded the pair, has admitted `two`, and `two` mirrors that."""
    one, two = server("one", founds=True), server("two")
    first = record_of("one", 1)
    assert one.prepare(0, first) == Won(CHANGES_MAX + 1)
    both = msgspec.structs.replace(record_of("one", 1), in_sync=("one", "two"))
    assert one.prepare(CHANGES_MAX + 1, both) == Won(CHANGES_MAX + 2)
    assert two.remember(both, CHANGES_MAX + 2)
    return one, two, Found(both, CHANGES_MAX + 2)


def proof_of(stopped: str, epoch: int, record: Record | None = None) -> Proof:
    """An agent's word."""
    return Proof(stopped, epoch, Witness.AGENT, None, record, "the process is gone", 1_790_000_000.0)


def test_a_founder_needs_nobody_and_a_joiner_founds_nothing() -> None:
    """Where nothing stands, only who may found a pair begins one alone, and only with itself in sync."""
    record = record_of("one", 1)
    assert isinstance(server("one").prepare(0, record), NeedsGrant)
    with_peer = msgspec.structs.replace(record, in_sync=("one", "two"))
    assert isinstance(server("one", founds=True).prepare(0, with_peer), NeedsGrant)
    assert server("one", founds=True).prepare(0, record) == Won(CHANGES_MAX + 1)


def test_the_active_changes_its_reign_alone() -> None:
    """Dropping and admitting the peer needs no consent; nobody changes the other's reign, or makes it active."""
    one, two, stands = pair_in_reign()
    alone = record_of("one", 1)
    assert one.prepare(stands.version, alone) == Won(stands.version + 1)
    meddling = msgspec.structs.replace(record_of("two", 1), in_sync=("two",))
    assert two.prepare(stands.version, meddling) == Lost(stands)
    assert one.prepare(stands.version, record_of("one", 1)) == Lost(Found(alone, stands.version + 1))
    assert one.prepare(stands.version + 1, record_of("one", 0)) == Lost(Found(alone, stands.version + 1))
    with pytest.raises(OurMistake):
        one.prepare(stands.version + 1, record_of("two", 2))


def test_who_acts_consents_to_nothing() -> None:
    """An acting server says no; the same server, no longer acting, says yes once, and stands by it."""
    one, two, stands = pair_in_reign()
    record = record_of("two", 2)
    assert isinstance(two.prepare(stands.version, record), NeedsGrant)
    assert one.consent(stands.version, record, acting=True) == (False, stands)
    yes = (True, Found(record, 2 * CHANGES_MAX + 1))
    assert one.consent(stands.version, record, acting=False) == yes
    assert one.consent(stands.version, record, acting=False) == yes
    assert one.read_now() == yes[1]
    assert one.consent(stands.version, record_of("two", 2), acting=False) == (False, yes[1])
    assert one.prepare(stands.version, record_of("one", 2)) == Lost(yes[1])


@pytest.mark.parametrize("word", [False, True])
def test_an_agent_vouches_for_what_was_before_our_own_word(word: bool) -> None:
    """Started again, a server whose agent vouches needs no consent; once it has said that it has stopped it does."""
    one, _, stands = pair_in_reign()
    disk = home()
    again = StandingRegister(disk, nobody, me="one", consents=True)
    assert again.remember(stands.record, stands.version)
    if word:
        again.gave_word()
    asked = again.prepare(stands.version, record_of("one", 2))
    assert isinstance(asked, NeedsGrant) is word
    assert one.read_now() == stands


def test_who_knows_less_gets_no_consent_but_the_news() -> None:
    """A server that was dropped while it was away is refused and told; what it is told becomes what stands there."""
    one, two, stands = pair_in_reign()
    dropped = record_of("one", 1)
    one.prepare(stands.version, dropped)
    asked = two.prepare(stands.version, record_of("two", 2))
    assert isinstance(asked, NeedsGrant)
    ok, found = one.consent(asked.expected, asked.record, acting=False)
    assert not ok
    assert two.finish(asked, Lost(found)) == Lost(found)
    assert two.read_now() == found == Found(dropped, stands.version + 1)


def test_no_epoch_is_given_twice() -> None:
    """Consent is for epochs above the one that stands, whatever version the asker compares with."""
    one, _, stands = pair_in_reign()
    for epoch in (0, 1):
        for expected in (stands.version, 9 * CHANGES_MAX):
            assert one.consent(expected, record_of("two", epoch), acting=False) == (False, stands)
    assert one.read_now() == stands


def test_of_two_that_ask_each_other_the_first_by_name_is_heard() -> None:
    """A server that asks for an epoch refuses it to the other, or gives it and has lost by that, answer or not."""
    one, two, stands = pair_in_reign()
    for_one, for_two = (
        one.prepare(stands.version, record_of("one", 2)),
        two.prepare(stands.version, record_of("two", 2)),
    )
    assert isinstance(for_one, NeedsGrant)
    assert isinstance(for_two, NeedsGrant)
    assert one.consent(for_two.expected, for_two.record, acting=False) == (False, stands)
    given = Found(for_one.record, 2 * CHANGES_MAX + 1)
    assert two.consent(for_one.expected, for_one.record, acting=False) == (True, given)
    assert two.finish(for_two, Unknown("The answer is lost.")) == Lost(given)
    assert one.finish(for_one, Won(given.version)) == Won(given.version)
    assert one.read_now() == two.read_now() == given


def test_a_proof_of_stop_stands_for_consent() -> None:
    """With a proof about at least the epoch that stands, a new and higher reign begins without asking."""
    for epoch, claim, wins in ((1, 2, True), (0, 2, False), (3, 2, False), (3, 4, True)):
        _, two, stands = pair_in_reign()
        assert two.adopt(proof_of("one", epoch)) == stands
        outcome = two.prepare(stands.version, record_of("two", claim))
        assert isinstance(outcome, Won) == wins, (epoch, claim)
        if wins:
            after = two.prepare(claim * CHANGES_MAX + 1, record_of("two", claim + 9))
            assert isinstance(after, NeedsGrant), "a proof is good for one reign"


def test_a_proof_about_oneself_proves_nothing() -> None:
    """Its own stop gives a server no right."""
    one, _, stands = pair_in_reign()
    one.adopt(proof_of("one", 1, record_of("one", 1)))
    assert one.read_now() == stands
    assert isinstance(one.prepare(stands.version, record_of("one", 2)), NeedsGrant)


def test_a_proof_brings_the_last_record_of_the_one_that_stopped() -> None:
    """Of its own reign it knows best, of a higher epoch anybody does; of another's reign it knows nothing better."""
    _, two, stands = pair_in_reign()
    dropped = record_of("one", 1)
    after = two.adopt(proof_of("one", 1, dropped))
    assert after == two.read_now() == Found(dropped, stands.version + 1)
    assert two.prepare(stands.version, record_of("two", 2)) == Lost(Found(dropped, stands.version + 1))
    later = record_of("one", 5)
    assert two.adopt(proof_of("one", 5, later)) == Found(later, 5 * CHANGES_MAX + 1)
    assert two.adopt(proof_of("one", 5, record_of("two", 5))) == Found(later, 5 * CHANGES_MAX + 1)
    assert two.adopt(proof_of("one", 4, record_of("one", 4))) == Found(later, 5 * CHANGES_MAX + 1)


def test_only_news_is_mirrored() -> None:
    """Older versions, versions of another epoch and a second active of one epoch are not taken."""
    _, two, stands = pair_in_reign()
    assert not two.remember(stands.record, stands.version)
    assert not two.remember(record_of("one", 1), stands.version - 1)
    assert not two.remember(record_of("one", 2), stands.version + 1)
    assert not two.remember(record_of("two", 1), stands.version + 1)
    newer = record_of("one", 3)
    assert two.remember(newer, 3 * CHANGES_MAX + 7)
    assert two.read_now() == Found(newer, 3 * CHANGES_MAX + 7)
    assert not two.mirror(record_of("one", 2))
    assert two.mirror(record_of("two", 4))
    assert isinstance(two.read_now(), Found)


async def test_a_silent_server_consents_to_nothing() -> None:
    """Without an answer in time the outcome is unknown, and what stood stands."""
    one, _, stands = pair_in_reign()
    assert isinstance(await one.change(stands.version, record_of("one", 2)), Unknown)
    assert await one.read() == stands
    record = record_of("two", 2)
    assert one.consent(stands.version, record, acting=False) == (True, Found(record, 2 * CHANGES_MAX + 1))


async def test_of_changes_at_once_one_is_made(tmp_path: Path) -> None:
    """Changes of one server that compare with the same version, all under way at once on a real disk: one is won."""
    (tmp_path / "local").mkdir()
    one = StandingRegister(RealDisk(tmp_path), nobody, me="one", founds=True)
    version = 0
    for _ in range(10):
        outcomes = await asyncio.gather(*(one.change(version, record_of("one", 1)) for _ in range(8)))
        won = [outcome.version for outcome in outcomes if isinstance(outcome, Won)]
        assert len(won) == 1
        assert sum(isinstance(outcome, Lost) for outcome in outcomes) == 7
        version = won[0]


def test_damage_is_refused_and_never_taken_for_nothing() -> None:
    """Any byte changed, any end missing: a start is refused with the reason, a running server does not know."""
    disk = home()
    running = server("one", disk, founds=True)
    running.prepare(0, record_of("one", 1))
    whole = disk.read("t:read", PATH)
    dice = random.Random(5)
    spoilt = [whole[:size] for size in (0, 1, len(whole) // 2, len(whole) - 2)]
    for _ in range(60):
        at = dice.randrange(len(whole) - 1)
        spoilt.append(whole[:at] + bytes([whole[at] ^ 1 << dice.randrange(8)]) + whole[at + 1 :])
    for content in spoilt:
        disk.write_new("t:write", PATH, content)
        with pytest.raises(Corrupt) as refused:
            server("one", disk)
        assert PATH in refused.value.message
        reading = running.read_now()
        assert isinstance(reading, Unreachable)
        assert isinstance(running.prepare(CHANGES_MAX + 1, record_of("one", 1)), Unknown)
    disk.write_new("t:write", PATH, whole)
    assert isinstance(running.read_now(), Found)


def test_a_crash_leaves_the_old_or_the_new() -> None:
    """Wherever the power goes while a change is kept, one of both stands; after the answer it is the new one."""
    seen: set[int] = set()
    for call in count():
        disk = home()
        register = server("one", disk, founds=True)
        first = register.prepare(0, record_of("one", 1))
        assert isinstance(first, Won)
        found: list[int] = []
        calls = count()

        def look(label: str, disk: CrashDisk = disk, found: list[int] = found, wanted: int = call) -> None:
            if next(calls) == wanted:  # noqa: B023 — used up within this turn
                found.extend(
                    server("one", CrashDisk.holding(files)).read_now().version  # type: ignore[union-attr]
                    for files in disk.crashes(unread=lambda path: path.endswith(".part"))
                )

        disk.on_point = look
        answer = register.prepare(first.version, record_of("one", 1))
        disk.on_point = None
        assert answer == Won(first.version + 1)
        if not found:
            break
        assert set(found) <= {first.version, first.version + 1}
        seen.update(found)
        after = {server("one", CrashDisk.holding(files)).read_now() for files in disk.crashes()}
        assert after == {register.read_now()}
    assert seen == {CHANGES_MAX + 1, CHANGES_MAX + 2}


@pytest.mark.parametrize("label", ["standing:write", "standing:rename", "standing:folder"])
def test_a_disk_that_fails_is_no_answer(label: str) -> None:
    """A write that fails gives neither a yes nor a no to anybody; when the disk is well again a read tells for good."""
    disk = home()
    one = server("one", disk, founds=True)
    first = one.prepare(0, record_of("one", 1))
    assert isinstance(first, Won)
    disk.fail(label, errno.EIO)
    assert isinstance(one.prepare(first.version, record_of("one", 1)), Unknown)
    ok, found = one.consent(first.version, record_of("two", 2), acting=False)
    assert not ok
    assert found.version == first.version
    assert not one.remember(record_of("two", 2), 2 * CHANGES_MAX + 1)
    disk.heal()
    reading = one.read_now()
    assert isinstance(reading, Found)
    left = {server("one", CrashDisk.holding(files)).read_now() for files in disk.crashes()}
    assert left == {reading}


@pytest.mark.parametrize("part", range(4))
def test_in_any_order_of_messages_one_server_reigns_in_an_epoch(part: int) -> None:
    """Questions and answers late, lost and repeated, servers restarted: no epoch is won by both."""
    reigns = 0
    for seed in range(part * 150, part * 150 + 150):
        reigns += one_life(random.Random(seed))
    assert reigns > 150


def one_life(dice: random.Random) -> int:
    """Two servers that both want to reign, for a while; how many reigns there were."""
    disks = {"one": home(), "two": home()}
    servers = {name: server(name, disk, founds=name == "one") for name, disk in disks.items()}
    winners: dict[int, str] = {}
    questions: list[tuple[str, NeedsGrant]] = []
    answers: list[tuple[str, NeedsGrant, Outcome]] = []

    def note(name: str, record: Record, outcome: Outcome | NeedsGrant) -> None:
        if isinstance(outcome, Won):
            assert winners.setdefault(record.epoch, name) == name, f"epoch {record.epoch} was won by both"

    for _ in range(60):
        name = dice.choice(("one", "two"))
        other = "two" if name == "one" else "one"
        chance = dice.random()
        if chance < 0.3:
            standing = servers[name].read_now()
            assert isinstance(standing, Found | Empty)
            epoch = standing.record.epoch if isinstance(standing, Found) else 0
            record = record_of(name, epoch + dice.randrange(1, 3), str(dice.random()))
            step = servers[name].prepare(standing.version, record)
            note(name, record, step)
            if isinstance(step, NeedsGrant):
                questions.append((name, step))
        elif chance < 0.6 and questions:
            name, asked = dice.choice(questions)
            other = "two" if name == "one" else "one"
            ok, found = servers[other].consent(asked.expected, asked.record, acting=False)
            answers.append((name, asked, Won(found.version) if ok else Lost(found)))
        elif chance < 0.85 and questions:
            name, asked = questions.pop(dice.randrange(len(questions)))
            told = [answer for to, about, answer in answers if to == name and about is asked]
            answer = dice.choice([*told, Unknown("lost")])
            note(name, asked.record, servers[name].finish(asked, answer))
        elif chance < 0.9:
            questions = [question for question in questions if question[0] != name]
            disks[name] = disks[name].killed()
            servers[name] = server(name, disks[name], founds=name == "one")
        else:
            standing = servers[other].read_now()
            if isinstance(standing, Found):
                servers[name].remember(standing.record, standing.version)
    return len(winners)
