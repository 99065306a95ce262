"""The register in a real etcd: the contract, and three members with one dead, TLS, a login, another cluster."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from meetkeeper.core.errors import TheirMistake
from meetkeeper.ha.words import Empty, Found, Unreachable, Won
from meetkeeper.ports.register import Register
from meetkeeper.registers.etcd import KEY, EtcdRegister
from meetkeeper.registers.etcdgateway import Access
from meetkeeper.testing.contracts.register import (
    ThirdPlaceContract,
    WrittenContract,
    found_by,
    record_of,
    unknown,
    unreachable,
    won_by,
)
from tests.conftest import RequireReal
from tests.ports import free_port
from tests.registers.etcds import (
    GO_ON,
    INSTALL_HINT,
    PASSWORD,
    STOP,
    USER,
    Etcds,
    Wire,
    find_etcd,
)

DEADLINE_S = 2.0


@pytest.fixture
def folder(require_real: RequireReal, tmp_path: Path) -> Path:
    """A folder for etcd, which is there."""
    require_real("etcd", find_etcd() is not None, INSTALL_HINT)
    return tmp_path


class EtcdVenue:
    """One etcd; the way of `one` to it leads over a wire."""

    deadline_s = DEADLINE_S

    def __init__(self, etcds: Etcds, wire: Wire) -> None:
        self.etcds, self._wire = etcds, wire
        self._made: list[EtcdRegister] = []
        self.one: Register = self._register(wire.url)
        self.two: Register = self._register(etcds.urls[0])

    def _register(self, url: str) -> EtcdRegister:
        self._made.append(EtcdRegister([url], deadline_s=DEADLINE_S))
        return self._made[-1]

    async def anew(self) -> Register:
        """Another client."""
        return self._register(self.etcds.urls[0])

    async def roll_back(self) -> None:
        """Everything is lost, and what stood before is put back, as by an old backup."""
        _, newest = self.etcds.value(KEY)
        before, _ = self.etcds.value(KEY, newest - 1)
        self.etcds.wipe("meetkeeper")
        self.etcds.put(KEY, before)

    async def delete(self) -> None:
        """The key is deleted."""
        self.etcds.delete(KEY)

    async def lose_next_answer(self) -> None:
        """On the wire."""
        self._wire.loses = 1

    async def content(self) -> bytes:
        """The key's value."""
        return self.etcds.value(KEY)[0]

    async def spoil(self, content: bytes) -> None:
        """Put by somebody else."""
        self.etcds.put(KEY, content)

    async def hang(self) -> None:
        """Stopped: connections are still taken by the kernel, nobody answers on them."""
        self.etcds.signal(STOP)

    async def go_on(self) -> None:
        """It goes on, with what has come meanwhile."""
        self.etcds.signal(GO_ON)
        await asyncio.to_thread(self.etcds.wait_for, self.etcds.members[0])

    async def hold_next_change(self) -> None:
        """On the wire."""
        self._wire.holds = 1

    async def let_go(self) -> None:
        """It arrives."""
        await self._wire.let_go()

    async def close(self) -> None:
        """Close the clients."""
        for register in self._made:
            await register.close()


class TestEtcdRegister(ThirdPlaceContract, WrittenContract):
    """etcd keeps the contract."""

    @pytest.fixture
    async def venue(self, folder: Path) -> AsyncIterator[EtcdVenue]:
        """An etcd without anything in it."""
        etcds = Etcds(folder)
        try:
            await asyncio.to_thread(etcds.start)
            wire = Wire(urlsplit(etcds.urls[0]).port or 0)
            await wire.open()
            venue = EtcdVenue(etcds, wire)
            yield venue
            await venue.close()
            await wire.close()
        finally:
            etcds.stop()


@pytest.fixture(params=["plain", "tls-login"])
def three(request: pytest.FixtureRequest, folder: Path) -> Iterator[Etcds]:
    """Three members."""
    ways = str(request.param).split("-")
    etcds = Etcds(folder, members=3, tls="tls" in ways, login="login" in ways)
    try:
        etcds.start()
        yield etcds
    finally:
        etcds.stop()


def access_to(etcds: Etcds, *, password: str = PASSWORD) -> Access:
    """What the cluster asks for."""
    login = etcds.wants_login
    tls = etcds.tls
    return Access(
        user=USER if login else "",
        password=password if login else "",
        authority=tls.authority if tls else "",
        certificate=tls.client if tls else "",
        certificate_key=tls.client if tls else "",
    )


async def test_one_of_three_members_may_die(three: Etcds) -> None:
    """Killed one after the other, leader or not, no member is missed; with two dead nobody knows, and then again."""
    register = EtcdRegister(three.urls, deadline_s=3.0, access=access_to(three))
    stands = await won_by(register, 0, record_of("one", 1))
    for number, member in enumerate(three.members):
        member.kill()
        stands = await changed(register, stands, 2 + number)
        await asyncio.to_thread(three.start_one, member)
    for member in three.members[:2]:
        member.kill()
    unreachable(await register.read())
    unknown(await register.change(stands.version, record_of("one", 9)))
    await asyncio.to_thread(three.start_one, three.members[0])
    assert (await changed(register, await found_by(register), 10)).record.epoch == 10
    await register.close()


async def changed(register: EtcdRegister, stands: Found, epoch: int) -> Found:
    """Change for sure, with as many tries as an election costs; each unknown outcome is read again."""
    record = record_of("one", epoch)
    for _ in range(10):
        outcome = await register.change(stands.version, record)
        if isinstance(outcome, Won):
            return Found(record, outcome.version)
        unknown(outcome)
        reading = await register.read()
        if isinstance(reading, Found):
            stands = reading
    raise AssertionError("ten tries")


@pytest.mark.parametrize("three", ["plain"], indirect=True)
async def test_a_stopped_member_costs_its_share_of_the_deadline(three: Etcds) -> None:
    """A member that takes connections and never answers is passed over within the deadline, and asked last then."""
    register = EtcdRegister(three.urls, deadline_s=9.0, access=access_to(three))
    stands = await won_by(register, 0, record_of("one", 1))
    three.members[0].signal(STOP)
    try:
        assert await found_by(register) == stands
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await found_by(register) == stands
        assert loop.time() - began < 2.5
    finally:
        three.members[0].signal(GO_ON)
    await register.close()


@pytest.fixture
def one(folder: Path) -> Iterator[Etcds]:
    """One member."""
    etcds = Etcds(folder)
    try:
        etcds.start()
        yield etcds
    finally:
        etcds.stop()


async def test_an_endpoint_that_is_not_there_is_passed_over(one: Etcds) -> None:
    """Where no connection can be made nothing has arrived: a change goes to the next endpoint, and is won."""
    register = EtcdRegister([f"http://127.0.0.1:{free_port()}", *one.urls], deadline_s=DEADLINE_S)
    stands = await won_by(register, 0, record_of("one", 1))
    assert await found_by(register) == stands
    await register.close()


async def test_a_change_that_may_have_arrived_goes_nowhere_else(one: Etcds) -> None:
    """Sent to an endpoint that does not answer, a change is unknown, although another endpoint would take it."""
    wire = Wire(urlsplit(one.urls[0]).port or 0)
    await wire.open()
    register = EtcdRegister([wire.url, *one.urls], deadline_s=DEADLINE_S)
    stands = await won_by(register, 0, record_of("one", 1))
    wire.holds = 1
    assert "no answer" in unknown(await register.change(stands.version, record_of("one", 2)))
    assert one.value(KEY)[1] == stands.version
    await register.close()
    await wire.close()


async def test_another_cluster_is_not_believed(one: Etcds) -> None:
    """A cluster made anew has another id: what stands there is not known, even under a larger version."""
    register = EtcdRegister(one.urls, deadline_s=DEADLINE_S)
    await won_by(register, 0, record_of("one", 1))
    content = one.value(KEY)[0]
    await asyncio.to_thread(one.wipe, "another")
    for _ in range(5):
        one.put(KEY, content)
    assert "another etcd cluster" in unreachable(await register.read())
    unknown(await register.change(6, record_of("one", 2)))
    assert (await found_by(EtcdRegister(one.urls))).version == 6
    await register.close()


@pytest.mark.parametrize("three", ["login", "tls-login"], indirect=True)
async def test_logins_are_renewed_and_wrong_ones_named(three: Etcds) -> None:
    """A token that is worth nothing any more costs another login and no change; a wrong password is named."""
    register = EtcdRegister(three.urls, deadline_s=DEADLINE_S, access=access_to(three))
    stands = await won_by(register, 0, record_of("one", 1))
    for epoch in (2, 3):
        three.forget_logins()
        if epoch == 2:
            assert await found_by(register) == stands
        stands = await won_by(register, stands.version, record_of("one", epoch))
    await register.close()
    wrong = EtcdRegister(three.urls, deadline_s=DEADLINE_S, access=access_to(three, password="wrong"))
    why = unreachable(await wrong.read())
    assert USER in why
    assert "wrong" not in why
    assert "Nothing was changed" in unknown(await wrong.change(0, record_of("one", 9)))
    await wrong.close()


@pytest.mark.parametrize("three", ["tls"], indirect=True)
async def test_both_sides_of_a_connection_are_who_they_say(three: Etcds) -> None:
    """An etcd of another authority is not talked to, and one that asks for a certificate gets it or says no."""
    assert three.tls is not None
    for access in (
        Access(authority=three.tls.stranger, certificate=three.tls.client),
        Access(authority=three.tls.authority),
    ):
        register = EtcdRegister(three.urls, deadline_s=DEADLINE_S, access=access)
        unreachable(await register.read())
        unknown(await register.change(0, record_of("one", 1)))
        await register.close()
    register = EtcdRegister(three.urls, deadline_s=DEADLINE_S, access=access_to(three))
    assert await register.read() == Empty()
    await register.close()


def test_what_can_not_work_is_said_at_once(tmp_path: Path) -> None:
    """No endpoint, or certificates that are none, are the configuration's mistake."""
    with pytest.raises(TheirMistake):
        EtcdRegister([])
    (tmp_path / "bad.pem").write_text("no certificate")
    for access in (
        Access(authority=str(tmp_path / "none.pem")),
        Access(authority=str(tmp_path / "bad.pem")),
        Access(certificate=str(tmp_path / "bad.pem")),
    ):
        with pytest.raises(TheirMistake):
            EtcdRegister(["https://127.0.0.1:1"], access=access)


RIDDLES = [
    b"",
    b"\x00\xff",
    b"<html>Bad gateway</html>",
    b"{}",
    b"[]",
    b"[" * 90_000,
    b'{"header":{"cluster_id":"1","revision":"7"},"kvs":[{}]}',
    b'{"header":{"cluster_id":"1","revision":"7"},"kvs":[{"mod_revision":"7","value":"%%"}]}',
    b'{"header":{"cluster_id":"1","revision":"7"},"kvs":[{"mod_revision":"-7","value":""}]}',
    b'{"header":{"cluster_id":"1","revision":"7"},"kvs":[{"mod_revision":"9999999999999999999999"}]}',
    b'{"header":{"cluster_id":"1","revision":"\xd9\xa1"},"kvs":7}',
    b" " * (3 << 20),
]


@pytest.mark.parametrize("status", [200, 302, 401, 503])
async def test_whatever_answers_that_is_no_etcd_knows_nothing(status: int) -> None:
    """Answers that make no sense, with any status, are a reason not to know; none raises, none counts as empty."""
    riddle = b""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {status} Riddle\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: {len(riddle)}\r\n\r\n"
        writer.write(head.encode() + riddle)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    for riddle in RIDDLES:
        for access in (Access(), Access(user="user", password="secret")):
            register = EtcdRegister([url], deadline_s=DEADLINE_S, access=access)
            assert isinstance(await register.read(), Unreachable), riddle
            unknown(await register.change(0, record_of("one", 1)))
            await register.close()
    server.close()
    await server.wait_closed()
