"""What every register must do: inherit the suite, hand it a `RegisterVenue`, and it tries all of it.

A record here is always the beginning of a reign of its writer, the one change that every kind of register takes from
both servers. Every register keeps `RegisterContract`; one at a third place `ThirdPlaceContract`, which includes it; one
whose place holds bytes also `WrittenContract`.
"""

import asyncio
import random
from abc import abstractmethod
from collections.abc import Coroutine
from typing import Protocol, TypeVar

from meetkeeper.ha.words import Empty, Found, Lost, Mode, Outcome, Reading, Record, Unknown, Unreachable, Won
from meetkeeper.ports.register import Register

T = TypeVar("T")

RACES = 25
"""How often two writers race for one version."""
GRACE_S = 1.0
"""What a busy machine may take beyond a deadline."""


class RegisterVenue(Protocol):
    """A place to test, and a hand in it. `one` and `two` are the registers of the two servers, called so."""

    one: Register
    two: Register
    deadline_s: float

    @abstractmethod
    async def anew(self) -> Register:
        """The register of a server `one` that has just started."""

    @abstractmethod
    async def roll_back(self) -> None:
        """The contents are those before the newest change."""

    @abstractmethod
    async def delete(self) -> None:
        """The contents are gone."""

    @abstractmethod
    async def lose_next_answer(self) -> None:
        """The next change of `one` is done, or consented to, and its answer is lost."""


class PlaceVenue(RegisterVenue, Protocol):
    """A third place, which can hang and be late."""

    @abstractmethod
    async def hang(self) -> None:
        """From here on nobody answers."""

    @abstractmethod
    async def go_on(self) -> None:
        """It answers again."""

    @abstractmethod
    async def hold_next_change(self) -> None:
        """The next change of `one` is held on its way."""

    @abstractmethod
    async def let_go(self) -> None:
        """What was held arrives now, if it still can; returns when it has had its effect."""


class WrittenVenue(RegisterVenue, Protocol):
    """A place that holds bytes, which others may write."""

    @abstractmethod
    async def content(self) -> bytes:
        """The bytes that stand there."""

    @abstractmethod
    async def spoil(self, content: bytes) -> None:
        """These bytes stand in the place of what stood."""


def record_of(writer: str, epoch: int, nonce: str | None = None, *, why: str = "a test") -> Record:
    """The beginning of a reign of this writer."""
    return Record(
        cluster="cluster",
        epoch=epoch,
        active=writer,
        in_sync=(writer,),
        mode=Mode.SYNC,
        by=writer,
        why=why,
        at_s=1_790_000_000.25,
        nonce=f"{writer}-{epoch}-{random.getrandbits(64):x}" if nonce is None else nonce,
    )


async def found_by(register: Register) -> Found:
    """What stands; fails when nobody knows or nothing does."""
    reading = await register.read()
    assert isinstance(reading, Found), reading
    return reading


async def won_by(register: Register, expected: int, record: Record) -> Found:
    """Change and win."""
    outcome = await register.change(expected, record)
    assert isinstance(outcome, Won), outcome
    return Found(record, outcome.version)


def unreachable(reading: Reading) -> str:
    """The reason why nobody knows, which is a sentence or more."""
    assert isinstance(reading, Unreachable), reading
    assert reading.why.endswith("."), reading.why
    return reading.why


def unknown(outcome: Outcome) -> str:
    """The reason why the outcome is not known."""
    assert isinstance(outcome, Unknown), outcome
    assert outcome.why.endswith("."), outcome.why
    return outcome.why


class RegisterContract:
    """The suite. A subclass gives the fixture `venue`: a fresh, empty place for each test."""

    async def test_nothing_stands_at_first(self, venue: RegisterVenue) -> None:
        """An empty place is empty, version 0, and the first change compares with that."""
        assert await venue.one.read() == Empty()
        stands = await won_by(venue.one, 0, record_of("one", 1))
        assert stands.version > 0
        assert await venue.one.read() == stands

    async def test_what_stands_is_read_as_it_was_written(self, venue: RegisterVenue) -> None:
        """Every word comes back, to both servers and to one that has just started."""
        record = record_of("one", 7, why='Quotes " and \\, æøå, \u2028, \x7f and 漢字' * 20)
        stands = await won_by(venue.one, 0, record)
        assert (await venue.one.read(), await (await venue.anew()).read()) == (stands, stands)
        assert isinstance(await venue.two.change(0, record_of("two", 1)), Lost)
        assert (await found_by(venue.two)).record == record

    async def test_who_comes_second_has_lost(self, venue: RegisterVenue) -> None:
        """A change that compares with a version that does not stand changes nothing and is told what stands."""
        first = await won_by(venue.one, 0, record_of("one", 1))
        second = await won_by(venue.two, first.version, record_of("two", 2))
        assert second.version > first.version
        for register, writer in ((venue.one, "one"), (venue.two, "two")):
            for expected in (0, first.version, second.version + 1):
                outcome = await register.change(expected, record_of(writer, 9))
                assert outcome == Lost(second), (writer, expected)
            assert await found_by(register) == second

    async def test_a_change_done_before_is_won(self, venue: RegisterVenue) -> None:
        """Whoever asks for the very change that stands has won it; one without a nonce can't tell, and has lost."""
        record = record_of("one", 1)
        stands = await won_by(venue.one, 0, record)
        assert await venue.one.change(0, record) == Won(stands.version)
        bare = record_of("one", 2, "")
        there = await won_by(await venue.anew(), stands.version, bare)
        assert await venue.one.change(stands.version, bare) == Lost(there)

    async def test_versions_only_grow(self, venue: RegisterVenue) -> None:
        """Each change stands under a larger version than all before, whoever made it, equal words or not."""
        versions = [0]
        for epoch in range(1, 9):
            register, writer = ((venue.one, "one"), (venue.two, "two"))[epoch % 2]
            versions.append((await won_by(register, versions[-1], record_of(writer, epoch, "same"))).version)
            assert (await found_by(register)).version == versions[-1]
        assert versions == sorted(set(versions))

    async def test_of_two_that_race_exactly_one_wins(self, venue: RegisterVenue) -> None:
        """For each version one writer wins, and both then read the winner's record: nobody reads what has passed."""
        version = 0
        for epoch in range(1, RACES + 1):
            records = (record_of("one", epoch), record_of("two", epoch))
            outcomes = await asyncio.gather(
                venue.one.change(version, records[0]), venue.two.change(version, records[1])
            )
            won = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, Won)]
            assert len(won) == 1, outcomes
            assert isinstance(outcomes[1 - won[0]], Lost), outcomes
            reads = await asyncio.gather(venue.one.read(), venue.two.read())
            winner, version = records[won[0]], (await found_by(venue.one)).version
            assert list(reads) == [Found(winner, version)] * 2

    async def test_an_unknown_outcome_is_known_after_a_read(self, venue: RegisterVenue) -> None:
        """With the answer lost the outcome is unknown; a read tells, and asking for the same again ends well."""
        first = await won_by(venue.one, 0, record_of("one", 1))
        record = record_of("one", 2)
        await venue.lose_next_answer()
        unknown(await venue.one.change(first.version, record))
        stands = await found_by(venue.one)
        assert stands.record in (record, first.record)
        assert isinstance(await venue.one.change(stands.version, record), Won) or stands.record == record
        again = await found_by(venue.one)
        assert again.record == record
        assert isinstance(await venue.one.change(first.version, record), Won)

    async def test_contents_that_went_back_are_not_believed(self, venue: RegisterVenue) -> None:
        """A place that shows an older version than it has shown is not known, and nothing is changed there."""
        first = await won_by(venue.one, 0, record_of("one", 1))
        second = await won_by(venue.one, first.version, record_of("one", 2))
        assert await found_by(venue.one) == second
        await venue.roll_back()
        why = unreachable(await venue.one.read())
        assert "rolled back" in why
        assert str(second.version) in why
        unknown(await venue.one.change(first.version, record_of("one", 3)))
        assert await found_by(await venue.anew()) == first

    async def test_contents_that_are_gone_are_not_believed(self, venue: RegisterVenue) -> None:
        """A place that held something and holds nothing is not empty to whoever has seen it."""
        stands = await won_by(venue.one, 0, record_of("one", 1))
        await venue.delete()
        assert "rolled back" in unreachable(await venue.one.read())
        unknown(await venue.one.change(stands.version, record_of("one", 2)))
        unknown(await venue.one.change(0, record_of("one", 2)))
        assert await (await venue.anew()).read() == Empty()

    async def test_after_closing_nobody_hangs(self, venue: RegisterVenue) -> None:
        """A register may be closed twice, also unused."""
        unused = await venue.anew()
        await unused.close()
        await unused.close()


class ThirdPlaceContract(RegisterContract):
    """What a register at a third place must do as well. The fixture `venue` gives a `PlaceVenue`."""

    async def test_it_arbitrates_and_has_a_name(self, venue: PlaceVenue) -> None:
        """A third place decides partitions, and people are told where it is."""
        assert venue.one.arbitrates
        assert venue.one.place

    async def test_a_deadline_is_kept_where_the_place_hangs(self, venue: PlaceVenue) -> None:
        """While nobody answers, every call ends in time without knowing; afterwards all is as before."""
        first = await won_by(venue.one, 0, record_of("one", 1))
        await venue.hang()
        try:
            unreachable(await in_time(venue.deadline_s, venue.one.read()))
            unknown(await in_time(venue.deadline_s, venue.two.change(first.version, record_of("two", 2))))
            crowd = await in_time(venue.deadline_s, asyncio.gather(*(venue.one.read() for _ in range(5))))
            assert {type(reading) for reading in crowd} == {Unreachable}
        finally:
            await venue.go_on()
        stands = await found_by(venue.one)
        final = await found_by(venue.two)
        assert final.record.epoch in (1, 2)
        assert final.version >= stands.version

    async def test_a_late_change_can_do_nothing_after_a_read(self, venue: PlaceVenue) -> None:
        """What was held on its way arrives after its sender has read that it is not there: and it stays so."""
        first = await won_by(venue.one, 0, record_of("one", 1))
        await venue.hold_next_change()
        held = record_of("one", 2)
        unknown(await in_time(venue.deadline_s, venue.one.change(first.version, held)))
        before = await found_by(venue.one)
        assert before.record == first.record
        await venue.let_go()
        assert await found_by(venue.one) == before
        assert await found_by(venue.two) == before
        assert isinstance(await venue.one.change(before.version, record_of("one", 3)), Won)

    async def test_a_late_change_may_stand_before_a_read(self, venue: PlaceVenue) -> None:
        """The same, arriving before its sender reads: then the read finds it."""
        first = await won_by(venue.one, 0, record_of("one", 1))
        await venue.hold_next_change()
        held = record_of("one", 2)
        unknown(await in_time(venue.deadline_s, venue.one.change(first.version, held)))
        await venue.let_go()
        assert (await found_by(venue.one)).record == held


class WrittenContract:
    """What a register must do that keeps bytes where others may write. The fixture `venue` gives a `WrittenVenue`."""

    async def test_foreign_bytes_are_no_record(self, venue: WrittenVenue) -> None:
        """Whatever else stands there, nobody knows who is active; nothing older is taken, nothing is written over."""
        first = await won_by(venue.one, 0, record_of("one", 1))
        dice = random.Random(7)
        for content in HOSTILE + [dice.randbytes(dice.randrange(400)) for _ in range(10)]:
            await venue.spoil(content)
            readers = (venue.one, venue.two, await venue.anew())
            for reading in await asyncio.gather(*(register.read() for register in readers)):
                unreachable(reading)
            unknown(await venue.one.change(first.version, record_of("one", 2)))

    async def test_one_flipped_bit_is_seen(self, venue: WrittenVenue) -> None:
        """Of a record with a digit changed nothing is believed."""
        await won_by(venue.one, 0, record_of("one", 41))
        content = await venue.content()
        assert content.count(b":41,") == 1
        await venue.spoil(content.replace(b":41,", b":43,"))
        unreachable(await (await venue.anew()).read())
        await venue.spoil(content)
        assert (await found_by(await venue.anew())).record.epoch == 41


async def in_time(deadline_s: float, call: asyncio.Future[T] | Coroutine[object, object, T]) -> T:
    """The answer; fails when it takes longer than the deadline."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    answer = await asyncio.wait_for(call, deadline_s + 10)
    took = loop.time() - began
    assert took <= deadline_s + GRACE_S, f"took {took:.2f} s"
    return answer


HOSTILE = [
    b"",
    b"\n",
    b"\x00" * 300,
    b"{}",
    b"null",
    b'{"record":{},"version":1,"check":""}',
    b'{"record":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    b"[" * 60_000,
    b"x" * 70_000,
    b"\xff\xfe\xfd",
    b'{"record":{"epoch":1e999},"version":1,"check":"x"}',
]
"""What may stand where a record should."""
