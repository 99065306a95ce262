"""The line over real sockets: strangers, bad certificates, renewals, dead processes, and readers that do not read."""

import asyncio
import contextlib
import datetime
import socket
import ssl
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from meetkeeper.codec import wire
from meetkeeper.core.errors import TheirMistake
from meetkeeper.ha.words import Frames, Have, Hello, Refusal
from meetkeeper.replication import connection
from meetkeeper.replication.link import HELLO_S_MAX, STRANGERS_MAX, TlsLink
from meetkeeper.testing.contracts.peer import BLOCK, Recorder, numbered
from tests.replication.lines import (
    AUTHORITY,
    GREATER,
    LOWER,
    NOW,
    STRANGERS,
    Papers,
    Relay,
    TlsPair,
)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def caller_context(papers: Papers | None) -> ssl.SSLContext:
    """How a caller of the test's own dials; it believes anybody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if papers is not None:
        context.load_cert_chain(papers.certificate, papers.key)
    return context


async def call(port: int, papers: Papers | None) -> Streams:
    """A TLS connection to a link, by hand."""
    return await asyncio.open_connection("127.0.0.1", port, ssl=caller_context(papers))


async def last_word(streams: Streams) -> Refusal | None:
    """What the link says before it hangs up; None when it hangs up without a word."""
    reader, writer = streams
    said: list[object] = []
    try:
        said += wire.Reader().feed(await reader.read())
    except OSError:
        pass
    finally:
        writer.transport.abort()
    return said[-1] if said and isinstance(said[-1], Refusal) else None


# --- strangers: what they try, and what is written about it ---------------------------------------------------


async def says_nothing(port: int, folder: Path) -> None:
    """A TCP client that only connects."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await reader.read() == b""
    writer.close()


async def says_garbage(port: int, folder: Path) -> None:
    """No TLS at all."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: somebody\r\n\r\n" * 10)
    await reader.read()
    writer.transport.abort()


async def speaks_an_older_tls(port: int, folder: Path) -> None:
    """The right certificate over TLS 1.2."""
    context = caller_context(Papers(folder, GREATER))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(OSError):  # noqa: PT011 - reset or alert, whichever comes first
        await asyncio.open_connection("127.0.0.1", port, ssl=context)


async def has_no_certificate(port: int, folder: Path) -> None:
    """TLS without a certificate."""
    assert await last_word(await call(port, None)) is None


async def has_another_authority(port: int, folder: Path) -> None:
    """The right name from the wrong authority."""
    assert await last_word(await call(port, Papers(folder, GREATER, STRANGERS))) is None


async def has_expired(port: int, folder: Path) -> None:
    """The right name from the right authority, long ago."""
    papers = Papers(folder, GREATER)
    papers.renew(GREATER, now=NOW - datetime.timedelta(days=40))
    assert await last_word(await call(port, papers)) is None


async def is_not_good_yet(port: int, folder: Path) -> None:
    """A certificate from tomorrow."""
    papers = Papers(folder, GREATER)
    papers.renew(GREATER, now=NOW + datetime.timedelta(days=1))
    assert await last_word(await call(port, papers)) is None


async def has_another_name(port: int, folder: Path) -> None:
    """Another server of the same authority."""
    word = await last_word(await call(port, Papers(folder, "gamma")))
    assert word is not None
    assert word.code == "tls.other_name"
    assert "gamma" in word.text


async def says_garbage_within(port: int, folder: Path) -> None:
    """The right certificate, and then nonsense."""
    streams = await call(port, Papers(folder, GREATER))
    streams[1].write(b"\xff" * 100)
    word = await last_word(streams)
    assert word is not None
    assert word.code == "wire.garbage"


async def says_frames_first(port: int, folder: Path) -> None:
    """The right certificate, and frames without a hello."""
    streams = await call(port, Papers(folder, GREATER))
    streams[1].write(wire.encode(Frames(b"x" * 1000)))
    word = await last_word(streams)
    assert word is not None
    assert word.code == "wire.garbage"


async def announces_much(port: int, folder: Path) -> None:
    """The right certificate, and a hello of 4 GB."""
    streams = await call(port, Papers(folder, GREATER))
    streams[1].write(b"\xff\xff\xff\xff\x01{")
    word = await last_word(streams)
    assert word is not None
    assert word.code == "wire.garbage"


async def is_of_another_pair(port: int, folder: Path) -> None:
    """The right certificate and a fine hello, of another pair."""
    streams = await call(port, Papers(folder, GREATER))
    hello: Hello = replace(Recorder(GREATER, LOWER).hello(), cluster="cluster-two", instance="third")
    streams[1].write(wire.encode(hello))
    word = await last_word(streams)
    assert word is not None
    assert word.code == "peer.other_cluster"


@pytest.mark.parametrize(
    ("stranger", "code"),
    [
        (says_nothing, "line.silent"),
        (says_garbage, "tls.garbage"),
        (speaks_an_older_tls, "tls.garbage"),
        (has_no_certificate, "tls.no_certificate"),
        (has_another_authority, "tls.other_authority"),
        (has_expired, "tls.expired"),
        (is_not_good_yet, "tls.not_yet"),
        (has_another_name, "tls.other_name"),
        (says_garbage_within, "wire.garbage"),
        (says_frames_first, "wire.garbage"),
        (announces_much, "wire.garbage"),
        (is_of_another_pair, "peer.other_cluster"),
    ],
)
async def test_a_stranger_is_refused_and_disturbs_nobody(
    tls_pair: TlsPair, tmp_path: Path, stranger: Callable[[int, Path], Awaitable[None]], code: str
) -> None:
    """Whatever a stranger tries, it is over soon, written down once with its reason, and the link goes on."""
    tls_pair.start()
    await tls_pair.linked()
    with capture_logs() as lines:
        async with asyncio.timeout(HELLO_S_MAX + 3):
            await stranger(tls_pair.other.port, tmp_path / "stranger")
            await tls_pair.until(lambda: any(line.get("code") == code for line in lines))
            await stranger(tls_pair.other.port, tmp_path / "stranger")
    assert [line.get("code") for line in lines] == [code]
    assert tls_pair.one.send(numbered(1))
    await tls_pair.until(lambda: tls_pair.at_other.messages == [numbered(1)])
    assert not tls_pair.at_one.breaks
    assert not tls_pair.at_other.breaks


async def test_silent_callers_do_not_keep_the_peer_out(tls_pair: TlsPair) -> None:
    """However many callers say nothing, only a few are held at once, and the peer gets through."""
    tls_pair.other.start(tls_pair.at_other)
    tls_pair.relay.target = tls_pair.other.port
    callers = [
        await asyncio.open_connection("127.0.0.1", tls_pair.other.port) for _ in range(5 * STRANGERS_MAX)
    ]
    waiting = [asyncio.create_task(reader.read()) for reader, _ in callers]
    try:
        began = time.monotonic()
        await tls_pair.until(lambda: sum(not one.done() for one in waiting) <= STRANGERS_MAX)
        assert time.monotonic() - began < HELLO_S_MAX / 2, "they were waited for, not sent away"
        tls_pair.one.start(tls_pair.at_one)
        await tls_pair.linked()
    finally:
        for _, writer in callers:
            writer.transport.abort()
        await asyncio.gather(*waiting, return_exceptions=True)


# --- the two servers themselves -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "authority", "expected"),
    [
        (LOWER, STRANGERS, {"tls.other_authority", "line.ended"}),
        (GREATER, STRANGERS, {"tls.other_authority", "line.ended"}),
        (LOWER, AUTHORITY, {"tls.other_name"}),
        (GREATER, AUTHORITY, {"tls.other_name"}),
    ],
)
async def test_both_ends_say_what_is_wrong_with_a_certificate(
    tls_pair: TlsPair, who: str, authority: Any, expected: set[str]
) -> None:
    """A server with a wrong certificate is named by the one that refuses and by the one refused; mended, they link."""
    tls_pair.papers[who].renew(who if authority is STRANGERS else "gamma", authority)
    with capture_logs() as lines:
        tls_pair.start()
        await tls_pair.until(lambda: {line.get("code") for line in lines} >= expected and len(lines) >= 2)
    assert not tls_pair.at_one.said
    assert not tls_pair.at_other.said
    tls_pair.papers[who].renew(who)
    await tls_pair.linked()


async def test_a_peer_that_says_why_it_refuses_us_is_quoted(tls_pair: TlsPair, tmp_path: Path) -> None:
    """A TLS alert about our certificate is told as what it is: ours is refused, and why."""
    theirs = Papers(tmp_path / "theirs", LOWER)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(theirs.certificate, theirs.key)
    theirs.authority.write_bytes(STRANGERS.certificate)
    context.load_verify_locations(theirs.authority)
    context.verify_mode = ssl.CERT_REQUIRED
    listener = socket.create_server(("127.0.0.1", 0))

    def answer_once() -> None:
        line, _ = listener.accept()
        with line, contextlib.suppress(OSError), context.wrap_socket(line, server_side=True) as secured:
            secured.recv(1)

    answering = asyncio.get_running_loop().run_in_executor(None, answer_once)
    tls_pair.relay.target = listener.getsockname()[1]
    with capture_logs() as lines:
        tls_pair.one.start(tls_pair.at_one)
        await tls_pair.until(lambda: any(line.get("code") == "tls.ours_refused" for line in lines))
    await answering
    listener.close()


async def test_certificates_are_renewed_without_a_restart(tls_pair: TlsPair, tmp_path: Path) -> None:
    """New files, authority and all, count for the next connection; the present one stays, the old ones are refused."""
    tls_pair.start()
    await tls_pair.linked()
    for name, papers in tls_pair.papers.items():
        papers.authority.write_bytes(STRANGERS.certificate)
        papers.renew(name, STRANGERS)
    assert tls_pair.one.send(numbered(1))
    await tls_pair.until(lambda: tls_pair.at_other.messages == [numbered(1)])
    tls_pair.one.drop("a test")
    await tls_pair.linked(times=2)
    with capture_logs() as lines:
        assert await last_word(await call(tls_pair.other.port, Papers(tmp_path / "old", GREATER))) is None
        await tls_pair.until(lambda: bool(lines))
    assert lines[0]["code"] == "tls.other_authority"


async def test_files_that_do_not_go_together_leave_the_old_ones_in_use(tls_pair: TlsPair) -> None:
    """While a renewal is half done, connections are made with what was good before, and that is said."""
    tls_pair.start()
    await tls_pair.linked()
    papers = tls_pair.papers[GREATER]
    old_certificate = papers.certificate.read_bytes()
    papers.renew(GREATER)
    papers.certificate.write_bytes(old_certificate)
    with capture_logs() as lines:
        tls_pair.one.drop("a test")
        await tls_pair.linked(times=2)
    assert sum(line["event"] == "peer.certificate_kept" for line in lines) == 1


async def test_a_second_connection_takes_the_place_of_a_dead_one(tls_pair: TlsPair) -> None:
    """A server that has lost its connection without telling us comes back, and the old line gives way at once."""
    tls_pair.start()
    await tls_pair.linked()
    tls_pair.stall()  # from here on the old line carries nothing, and nobody says so
    second, relay = Recorder(GREATER, LOWER), await Relay().start()
    relay.target = tls_pair.other.port
    again = TlsLink(replace(tls_pair.line(GREATER), peer_port=relay.port))
    tls_pair.others.append(again)
    again.start(second)
    await tls_pair.until(lambda: len(tls_pair.at_other.links) == 2 and bool(second.links))
    assert [what for what, _ in tls_pair.at_other.said] == ["linked", "unlinked", "linked"]
    assert tls_pair.other.send(numbered(1))
    await tls_pair.until(lambda: second.messages == [numbered(1)])
    await relay.close()


async def test_another_home_under_the_known_name_is_refused(tls_pair: TlsPair) -> None:
    """Whoever has the peer's certificate and name but is another instance than the known one is not linked."""
    tls_pair.other = TlsLink(tls_pair.line(LOWER), known=lambda: "the one we know")
    with capture_logs() as lines:
        tls_pair.start()
        await tls_pair.until(lambda: tls_pair.at_one.hellos_asked >= 2)
        await tls_pair.until(lambda: len(lines) >= 2)
    assert {line.get("code") for line in lines} == {"peer.other_instance"}
    assert not tls_pair.at_other.said


async def test_two_copies_of_one_server_are_noticed(tls_pair: TlsPair) -> None:
    """Two processes with one home push each other's connection out for ever; that is said aloud."""
    tls_pair.start()
    await tls_pair.linked()
    twin = TlsLink(tls_pair.line(GREATER))
    tls_pair.others.append(twin)
    with capture_logs() as lines:
        twin.start(Recorder(GREATER, LOWER))
        await tls_pair.until(lambda: any(line["event"] == "peer.twins" for line in lines))
    assert [what for what, _ in tls_pair.at_other.said[:4]] == ["linked", "unlinked", "linked", "unlinked"]


@pytest.mark.parametrize(
    "word", [b"\xff" * 9, b"\x00\x00\x00\x01\x63", wire.encode(Recorder(GREATER, LOWER).hello())]
)
async def test_garbage_on_a_link_ends_it_and_the_next_one_is_good(
    tls_pair: TlsPair, tmp_path: Path, word: bytes
) -> None:
    """A linked server that suddenly talks nonsense is unlinked with a last word; what it said before has counted."""
    tls_pair.other.start(tls_pair.at_other)
    tls_pair.relay.target = tls_pair.other.port
    _, writer = streams = await call(tls_pair.other.port, Papers(tmp_path / "by-hand", GREATER))
    writer.write(wire.encode(Recorder(GREATER, LOWER).hello()))
    await tls_pair.until(lambda: len(tls_pair.at_other.links) == 1)
    writer.write(wire.encode(numbered(1)))
    await tls_pair.until(lambda: tls_pair.at_other.messages == [numbered(1)])
    writer.write(word)
    refusal = await last_word(streams)
    assert refusal is not None
    assert refusal.code in ("wire.garbage", "peer.second_hello")
    assert tls_pair.at_other.breaks == [refusal.text]
    tls_pair.one.start(tls_pair.at_one)
    await tls_pair.until(lambda: len(tls_pair.at_other.links) == 2)


@pytest.mark.parametrize("host", ["", "a..b", "x" * 300, "nowhere.invalid", "127.0.0.1"])
async def test_an_address_that_leads_nowhere_is_told_and_tried_again(tls_pair: TlsPair, host: str) -> None:
    """Whatever stands in node.json as the peer's address, the link says what is wrong and goes on trying."""
    link = TlsLink(replace(tls_pair.line(GREATER), peer_host=host, peer_port=1))
    tls_pair.others.append(link)
    with capture_logs() as lines:
        link.start(tls_pair.at_one)
        await tls_pair.until(lambda: bool(lines))
    assert lines[0]["event"] == "peer.unreachable"
    assert lines[0]["peer"] == LOWER


async def test_an_owner_that_heeds_nothing_loses_the_line_not_the_memory(
    tls_pair: TlsPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits has a bound: beyond it the connection goes, and the owner is told why."""
    monkeypatch.setattr(connection, "WAITING_BYTES_MAX", 8 * 1024 * 1024)
    tls_pair.start()
    await tls_pair.linked()
    tls_pair.stall()
    sent = 0
    while tls_pair.one.send(Frames(BLOCK)):
        sent += len(BLOCK)
        assert sent < 64 * 1024 * 1024
    await tls_pair.until(lambda: len(tls_pair.at_one.breaks) == 1)
    assert "takes nothing" in tls_pair.at_one.breaks[0]


@pytest.mark.skipif(sys.platform != "linux", reason="TCP_USER_TIMEOUT is Linux's")
async def test_a_line_that_takes_nothing_is_known_as_dead_before_a_lease_ends(tls_pair: TlsPair) -> None:
    """Bytes that leave this machine's hands for nobody break the connection within seconds, not minutes."""
    tls_pair.start()
    await tls_pair.linked()
    tls_pair.stall()
    while not tls_pair.one.crowded:
        tls_pair.one.send(Frames(BLOCK))
    began = time.monotonic()
    await tls_pair.until(lambda: bool(tls_pair.at_one.breaks))
    assert 1.0 < time.monotonic() - began < 6.0


async def test_a_process_that_died_is_linked_again(tls_pair: TlsPair, tmp_path: Path) -> None:
    """A peer killed without a word is told as gone at once, and linked again as soon as it is back."""
    tls_pair.one.start(tls_pair.at_one)
    at_one = tls_pair.at_one

    async def peer() -> asyncio.subprocess.Process:
        papers = tls_pair.papers[LOWER]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.replication.one_peer",
            str(papers.certificate.parent),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        tls_pair.relay.target = int(await process.stdout.readline())
        return process

    for times in (1, 2):
        process = await peer()
        await tls_pair.until(lambda times=times: len(at_one.links) == times)  # type: ignore[misc]
        began = time.monotonic()
        process.kill()
        await process.wait()
        await tls_pair.until(lambda times=times: len(at_one.breaks) == times)  # type: ignore[misc]
        assert time.monotonic() - began < 1.0


async def test_unusable_files_and_ports_are_told_at_the_start(tls_pair: TlsPair, tmp_path: Path) -> None:
    """A missing certificate or a port that is taken ends the start with a sentence that names it."""
    line = tls_pair.line(LOWER)
    with pytest.raises(TheirMistake) as missing:
        TlsLink(replace(line, authority=tmp_path / "none.pem")).start(tls_pair.at_other)
    assert missing.value.code == "link.certificate"
    assert "none.pem" in missing.value.message
    with pytest.raises(TheirMistake) as taken:
        TlsLink(replace(line, listen_port=tls_pair.relay.port)).start(tls_pair.at_other)
    assert taken.value.code == "link.listen"


async def _carry(pair: TlsPair, total: int, size: int) -> float:
    """Send so many bytes in frames of this size, heeding `crowded`; answers with MB/s."""
    data = b"x" * size
    left = total // size

    def pump() -> None:
        nonlocal left
        while left and not pair.one.crowded:
            pair.one.send(Frames(data))
            left -= 1
        if left:
            pair.one.when_free(pump)

    got = 0

    def count(message: object) -> None:
        nonlocal got
        assert isinstance(message, Frames)
        got += len(message.data)

    pair.at_other.on_heard = count
    began = time.perf_counter()
    pump()
    while got < total // size * size:
        await asyncio.sleep(0)
        pair.at_other.messages.clear()
    return total / 1e6 / (time.perf_counter() - began)


@pytest.mark.parametrize("size", [4096, 256 * 1024, 16 * 1024 * 1024])
async def test_much_gets_through(tls_pair: TlsPair, size: int) -> None:
    """Two hundred megabytes of frames arrive whole, small ones and the largest; the speed is printed."""
    tls_pair.other.start(tls_pair.at_other)
    tls_pair.one = TlsLink(replace(tls_pair.line(GREATER), peer_port=tls_pair.other.port))
    tls_pair.one.start(tls_pair.at_one)
    await tls_pair.linked()
    speed = await _carry(tls_pair, 200_000_000, size)
    print(f"\n{size:>10,} bytes a message: {speed:,.0f} MB/s, both ends in one thread")


def test_the_faster_loop_carries_it_too(tmp_path: Path) -> None:
    """With uvloop, which production takes where it is installed, links are made, broken, crowded and closed alike."""
    uvloop = pytest.importorskip("uvloop")

    async def story() -> None:
        pair = TlsPair(await Relay().start(), tmp_path)
        try:
            pair.start()
            await pair.linked()
            sent: list[Have] = [numbered(number) for number in range(100)]
            assert all(map(pair.one.send, sent))
            await pair.until(lambda: pair.at_other.messages == sent)
            pair.other.drop("a test")
            await pair.linked(times=2)
            pair.stall()
            calls: list[int] = []
            while not pair.one.crowded:
                pair.one.send(Frames(BLOCK))
            pair.one.when_free(lambda: calls.append(1))
            pair.flow()
            await pair.until(lambda: calls == [1])
            assert pair.one.send(numbered(1000))
            await pair.one.close()
            await pair.until(lambda: pair.at_other.messages[-1] == numbered(1000))
            assert await last_word(await call(pair.other.port, Papers(tmp_path / "c", "gamma"))) is not None
        finally:
            await pair.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(story())
