"""SMTP against servers that hang, lie, hang up and shout, over real sockets: each ends in the right error."""

import asyncio
import contextlib
import random
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
import trustme

from meetkeeper.app.demo.mail_sink import MailSink
from meetkeeper.core.configuration import MailConfig
from meetkeeper.core.errors import MeetkeeperError, OurMistake, Refused, Unavailable
from meetkeeper.mail.smtp import Patience, SmtpMailer
from meetkeeper.ports.mailer import FateUnknown
from meetkeeper.testing.contracts.mailer import letter

IMPATIENT = Patience(connect_s=0.3, command_s=0.3, final_s=0.3, idle_s=5.0, goodbye_s=0.2)
PATIENT = Patience(connect_s=10.0, command_s=10.0, final_s=10.0, idle_s=30.0, goodbye_s=1.0)
KARI = "kari@guests.example"
HANG = b"hang"
CLOSE = b"close"
STAGES = ("GREETING", "EHLO", "MAIL", "RCPT", "DATA")
"""Stages at which the server can't have taken the mail."""
GOOD = {
    "GREETING": b"220 hostile.example ready\r\n",
    "EHLO": b"250-hostile.example\r\n250-8BITMIME\r\n250 PIPELINING\r\n",
    "MAIL": b"250 ok\r\n",
    "RCPT": b"250 ok\r\n",
    "DATA": b"354 go on\r\n",
    "DOT": b"250 2.0.0 taken\r\n",
    "RSET": b"250 ok\r\n",
    "QUIT": b"221 bye\r\n",
}


class Server:
    """A server that says at each stage what it was told to say: a list runs out by repeating its last."""

    def __init__(self, said: dict[str, bytes | list[bytes]] | None = None) -> None:
        self._said: dict[str, bytes | list[bytes]] = {**GOOD, **(said or {})}
        self._turns: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.seen: list[str] = []
        self.contents: list[bytes] = []
        self.connections = 0
        self.open = 0
        self.quiet = asyncio.Event()
        self.most_open = 0
        self.port = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            if await self._say("GREETING", writer):
                while line := await reader.readline():
                    verb = line.decode("utf-8", "replace").split()[0].upper()
                    self.seen.append(line.decode("utf-8", "replace").strip())
                    if not await self._say(verb, writer):
                        break
                    if verb == "DATA":
                        content = await reader.readuntil(b"\r\n.\r\n")
                        self.contents.append(content.removesuffix(b".\r\n"))
                        if not await self._say("DOT", writer):
                            break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            self.quiet.set()
            self._tasks.discard(task)
            writer.transport.abort()

    async def _say(self, stage: str, writer: asyncio.StreamWriter) -> bool:
        said = self._said.get(stage, b"502 what?\r\n")
        if isinstance(said, list):
            turn = self._turns.get(stage, 0)
            self._turns[stage] = turn + 1
            said = said[min(turn, len(said) - 1)]
        if said == CLOSE:
            return False
        if said == HANG:
            await asyncio.sleep(60)
        writer.write(said)
        await writer.drain()
        return True

    async def stop(self) -> None:
        """Break off every talk."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


Start = Callable[..., Awaitable[tuple[Server, SmtpMailer]]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """`await start({"MAIL": HANG}, tls="none")`: a server of that kind and a mailer for it."""
    undo: list[Callable[[], Awaitable[None]]] = []

    async def begin(
        said: dict[str, bytes | list[bytes]] | None = None,
        patience: Patience = PATIENT,
        **settings: object,
    ) -> tuple[Server, SmtpMailer]:
        server = Server(said)
        listening = await asyncio.start_server(server.talk, "127.0.0.1", 0)
        server.port = listening.sockets[0].getsockname()[1]
        base = MailConfig(host="127.0.0.1", port=server.port, tls="none")
        mailer = SmtpMailer(msgspec.structs.replace(base, **settings), "geheim", patience)

        async def end() -> None:
            await mailer.close()
            listening.close()
            await server.stop()

        undo.append(end)
        return server, mailer

    yield begin
    for end in undo:
        await end()


@pytest.mark.parametrize("fault", [HANG, CLOSE, b"421 shutting down\r\n", b"451 not now\r\n"])
@pytest.mark.parametrize("stage", STAGES)
async def test_before_the_final_dot_every_fault_is_tried_again(
    start: Start, stage: str, fault: bytes
) -> None:
    """Whatever goes wrong before the mail was handed over leaves it `Unavailable`, soon, with a time to come back."""
    _, mailer = await start({stage: fault}, patience=IMPATIENT)
    began = time.monotonic()
    with pytest.raises(Unavailable) as later:
        await mailer.send(letter(), KARI)
    assert later.value.retry_after_s > 0
    assert time.monotonic() - began < 5.0


@pytest.mark.parametrize("fault", [HANG, CLOSE, b"what a mail!\r\n"])
async def test_after_the_final_dot_silence_and_nonsense_leave_the_fate_unknown(
    start: Start, fault: bytes
) -> None:
    """Once the mail is handed over, a server that hangs, hangs up or babbles may have taken it."""
    _, mailer = await start({"DOT": fault}, patience=msgspec.structs.replace(PATIENT, final_s=0.3))
    with pytest.raises(FateUnknown, match=r"kari@guests\.example"):
        await mailer.send(letter(), KARI)


@pytest.mark.parametrize(
    ("answer", "error"),
    [(b"421 closing\r\n", Unavailable), (b"452 full\r\n", Unavailable), (b"554 spam\r\n", Refused)],
)
async def test_after_the_final_dot_an_answer_is_an_answer(
    start: Start, answer: bytes, error: type[Exception]
) -> None:
    """A clear no after the mail is no and not a riddle: 4xx is tried again, 5xx is final."""
    _, mailer = await start({"DOT": answer})
    with pytest.raises(error):
        await mailer.send(letter(), KARI)


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA"])
async def test_5xx_is_final_and_repeats_the_servers_words(start: Start, stage: str) -> None:
    """A refusal for good names whom or what it is about and what the server said."""
    _, mailer = await start({stage: b"550 5.7.1 policy says no\r\n"})
    about = "meetings@meet.example" if stage == "MAIL" else KARI
    with pytest.raises(Refused) as never:
        await mailer.send(letter(), KARI)
    assert about in never.value.message
    assert "550 5.7.1 policy says no" in never.value.message


@pytest.mark.parametrize(
    "banner",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x16\x03\x01\x00\x05hello\r\n",
        b"554 go away\r\n",
        b"x" * 10_000_000,
        b"220-more\r\n" * 1_000_000,
        b"220 " + b"y" * 10_000_000 + b"\r\n",
    ],
    ids=["http", "tls", "554", "10MB-line", "10MB-lines", "10MB-greeting"],
)
async def test_a_greeting_that_is_none_is_bounded(start: Start, banner: bytes) -> None:
    """A server that greets with another protocol or with megabytes is left at once and tried again later."""
    _, mailer = await start({"GREETING": banner})
    with pytest.raises(Unavailable) as later:
        await mailer.send(letter(), KARI)
    assert len(later.value.message) < 800


async def test_an_answer_without_end_is_bounded(start: Start) -> None:
    """A server that drips its greeting byte by byte is left after the time for connecting."""

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for _turn in range(200):
                writer.write(b"2")
                await writer.drain()
                await asyncio.sleep(0.02)
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    mailer = SmtpMailer(MailConfig(host="127.0.0.1", port=port, tls="none"), None, IMPATIENT)
    with pytest.raises(Unavailable):
        await mailer.send(letter(), KARI)
    server.close()
    await asyncio.sleep(0.05)


async def test_nobody_listens(unused_port: int) -> None:
    """A refused connection is `Unavailable` and names the settings to look at."""
    mailer = SmtpMailer(MailConfig(host="127.0.0.1", port=unused_port, tls="none"), None, IMPATIENT)
    with pytest.raises(Unavailable, match=r"mail\.host"):
        await mailer.send(letter(), KARI)


@pytest.fixture
async def unused_port() -> int:
    """A port on which nobody listens."""
    server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port = int(server.sockets[0].getsockname()[1])
    server.close()
    await server.wait_closed()
    return port


async def test_a_missing_server_name_is_said() -> None:
    """Without `mail.host` nothing is sent and the refusal says what to set."""
    with pytest.raises(Refused, match=r"mail\.host"):
        await SmtpMailer(MailConfig(), None).send(letter(), KARI)


async def test_4xx_then_ok(start: Start) -> None:
    """Greylisting: the first try is put off, the second on the same connection goes through."""
    server, mailer = await start({"RCPT": [b"451 4.7.1 later\r\n", b"250 ok\r\n"]})
    with pytest.raises(Unavailable):
        await mailer.send(letter(), KARI)
    assert await mailer.send(letter(), KARI) == "2.0.0 taken"
    assert server.connections == 1


async def test_no_second_mail_can_be_smuggled_in_a_body(start: Start) -> None:
    """Bare line feeds and returns become line ends and dots are doubled, so no body ends the mail early."""
    server, mailer = await start()
    message = letter()
    message.set_payload("a\n.\nMAIL FROM:<evil@x.example>\r.\rRCPT TO:<b@x.example>\r\n.\r\nDATA\r\n")
    await mailer.send(message, KARI)
    assert [line.split()[0] for line in server.seen] == ["EHLO", "MAIL", "RCPT", "DATA"]
    lines = server.contents[0].split(b"\r\n")
    assert not any(b"\n" in line or b"\r" in line for line in lines)
    assert lines.count(b".") == 0


@pytest.mark.parametrize("seed", range(25))
async def test_no_foreign_error_gets_through(seed: int) -> None:
    """Whatever a server says and whenever it hangs up, a mail ends in one of our errors or was taken."""
    dice = random.Random(seed)
    pieces = [
        *GOOD.values(),
        b"",
        b"250-",
        b"\r\n",
        b"\xff\xfe\r\n",
        b"999 hm\r\n",
        b"421\r\n",
        b"-1 x\r\n",
        b"3 5 4\r\n",
    ]

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for _ in range(dice.randint(0, 9)):
                writer.write(b"".join(dice.choices(pieces, k=dice.randint(1, 2))))
                await writer.drain()
                await asyncio.wait_for(reader.read(4_096), 0.05)
        except (ConnectionError, TimeoutError):
            pass
        finally:
            writer.transport.abort() if dice.random() < 0.5 else writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    patience = Patience(connect_s=0.1, command_s=0.1, final_s=0.1, idle_s=0.05, goodbye_s=0.05)
    config = MailConfig(
        host="127.0.0.1",
        port=port,
        tls=dice.choice(["none", "starttls", "tls"]),
        username=dice.choice(["", "keeper"]),
    )
    mailer = SmtpMailer(config, "geheim", patience)
    for number in range(3):
        with contextlib.suppress(MeetkeeperError, FateUnknown):
            await mailer.send(letter(number), KARI)
    await mailer.close()
    server.close()
    await asyncio.sleep(0.06)


@pytest.mark.parametrize("host", ["", "no.such.host.invalid", "a..b", "x" * 300, "host\nname", "-"])
async def test_a_host_name_that_is_none_is_our_error(host: str) -> None:
    """A slip in `mail.host` is told as what it is and breaks nothing."""
    mailer = SmtpMailer(MailConfig(host=host, port=25, tls="none"), None, IMPATIENT)
    with pytest.raises(MeetkeeperError):
        await mailer.send(letter(), KARI)


@pytest.mark.parametrize(
    "recipient", ["kari@guests.example\r\nRCPT TO:<x@y.example>", "kari\x00@guests.example", "<>"]
)
async def test_a_recipient_can_not_become_a_command(start: Start, recipient: str) -> None:
    """An address with control characters reaches no server."""
    server, mailer = await start()
    with pytest.raises(MeetkeeperError):
        await mailer.send(letter(), recipient)
    assert not any("x@y.example" in line for line in server.seen)
    assert "DATA" not in server.seen


async def test_a_mail_that_has_no_bytes_is_ours_to_mend(start: Start) -> None:
    """A message that can't be written is named as our mistake, and the connection serves the next one."""
    server, mailer = await start()
    broken = letter()
    broken.set_payload(7)  # type: ignore[call-overload]
    with pytest.raises(OurMistake, match="letter-1"):
        await mailer.send(broken, KARI)
    await mailer.send(letter(2), KARI)
    assert server.connections == 1


# --- protection ------------------------------------------------------------------------------------------------------


async def test_without_starttls_nothing_is_said(start: Start) -> None:
    """When STARTTLS is configured and not offered, no sender, recipient or password reaches the server."""
    server, mailer = await start(tls="starttls", username="keeper")
    with pytest.raises(Refused, match=r"STARTTLS.*mail\.tls"):
        await mailer.send(letter(), KARI)
    assert [line.split()[0] for line in server.seen] == ["EHLO"]


async def test_a_starttls_that_leads_nowhere_is_tried_again(start: Start) -> None:
    """A server that says go ahead and then speaks no TLS is `Unavailable`, and hears nothing in the clear."""
    server, mailer = await start(
        {
            "EHLO": b"250-hostile.example\r\n250 STARTTLS\r\n",
            "STARTTLS": b"220 go\r\n250 you are safe with me\r\n",
        },
        tls="starttls",
    )
    with pytest.raises(Unavailable):
        await mailer.send(letter(), KARI)
    assert not any("MAIL" in line for line in server.seen)


@pytest.mark.parametrize("stranger", ["unknown authority", "another host"])
async def test_a_certificate_of_somebody_else_is_not_accepted(tmp_path: Path, stranger: str) -> None:
    """An unknown authority or another host's certificate stops the mail and names `mail.ca_file`."""
    ours, theirs = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    if stranger == "another host":
        certificate = ours.issue_cert("mail.elsewhere.example")
    else:
        certificate = theirs.issue_cert("127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    sink = MailSink(tmp_path / "mails", tls=context)
    await sink.start()
    config = MailConfig(host="127.0.0.1", port=sink.port, ca_file=str(tmp_path / "ca.pem"))
    with pytest.raises(Unavailable, match=r"mail\.ca_file"):
        await SmtpMailer(config, None, PATIENT).send(letter(), KARI)
    await sink.stop()
    assert sink.mails() == []


async def test_tls_from_the_first_byte(tmp_path: Path) -> None:
    """With `tls` the connection is encrypted before the greeting (RFC 8314)."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    said = Server()
    listening = await asyncio.start_server(said.talk, "127.0.0.1", 0, ssl=context)
    port = listening.sockets[0].getsockname()[1]
    config = MailConfig(host="localhost", port=port, tls="tls", ca_file=str(tmp_path / "ca.pem"))
    mailer = SmtpMailer(config, None, PATIENT)
    assert await mailer.send(letter(), KARI) == "2.0.0 taken"
    assert "TLSv1.3" in await mailer.probe()
    await mailer.close()
    listening.close()
    await said.stop()


async def test_an_unreadable_authority_is_named(start: Start) -> None:
    """A `mail.ca_file` that is not there or not PEM is refused by name before anything is sent."""
    server, mailer = await start(tls="starttls", ca_file="/nowhere/ca.pem")
    with pytest.raises(Refused, match=r"mail\.ca_file"):
        await mailer.send(letter(), KARI)
    assert server.connections == 0


@pytest.mark.parametrize(
    "said",
    [
        {"EHLO": b"250-x\r\n250 AUTH PLAIN LOGIN\r\n", "AUTH": b"535 5.7.8 bad credentials\r\n"},
        {"EHLO": b"250-x\r\n250 AUTH PLAIN LOGIN\r\n", "AUTH": b"534 too weak\r\n"},
        {"EHLO": b"250-x\r\n250 AUTH GSSAPI\r\n"},
        {"EHLO": b"250 x\r\n"},
    ],
    ids=["wrong", "weak", "foreign", "none"],
)
async def test_a_login_that_fails_names_the_settings(
    start: Start, said: dict[str, bytes | list[bytes]]
) -> None:
    """A refused or missing login is `Refused`, names both settings and never repeats the password."""
    server, mailer = await start(said, username="keeper")
    with pytest.raises(Refused, match=r"mail\.username and mail\.password") as never:
        await mailer.send(letter(), KARI)
    assert "geheim" not in never.value.message
    assert not any(line.startswith("MAIL") for line in server.seen)


async def test_a_login_that_is_put_off_is_tried_again(start: Start) -> None:
    """A 4xx answer to the login (RFC 4954: 454) is `Unavailable`."""
    _, mailer = await start(
        {"EHLO": b"250-x\r\n250 AUTH PLAIN\r\n", "AUTH": b"454 try later\r\n"}, username="keeper"
    )
    with pytest.raises(Unavailable):
        await mailer.send(letter(), KARI)


async def test_a_server_that_wants_a_login_names_the_settings(start: Start) -> None:
    """530 to a mail without login points at the settings, not at the recipient."""
    _, mailer = await start({"MAIL": b"530 5.7.0 authentication required\r\n"})
    with pytest.raises(Refused, match=r"mail\.username and mail\.password"):
        await mailer.send(letter(), KARI)


async def test_hostile_words_are_tamed(start: Start) -> None:
    """A server's words are repeated on one line, without control characters, and not at any length."""
    _, mailer = await start({"RCPT": b"550-\x1b[31mred\x07\r\n550 " + b"z" * 5_000 + b"\r\n"})
    with pytest.raises(Refused) as never:
        await mailer.send(letter(), KARI)
    assert len(never.value.message) < 600
    assert never.value.message.isprintable()


# --- connections -----------------------------------------------------------------------------------------------------


async def test_connections_are_few_and_reused(start: Start) -> None:
    """Forty mails side by side use no more connections than the configured concurrency."""
    server, mailer = await start(concurrency=3)
    await asyncio.gather(*(mailer.send(letter(number), KARI) for number in range(40)))
    assert server.connections <= 3
    assert server.most_open <= 3


@pytest.mark.parametrize("fault", [CLOSE, b"421 idle too long\r\n"])
async def test_a_warm_connection_that_went_cold_costs_nothing(start: Start, fault: bytes) -> None:
    """When the server has closed a kept connection, the next mail goes over a new one without a fuss."""
    server, mailer = await start({"MAIL": [b"250 ok\r\n", fault, b"250 ok\r\n"]})
    await mailer.send(letter(1), KARI)
    await mailer.send(letter(2), KARI)
    assert server.connections == 2


async def test_an_idle_connection_says_goodbye(start: Start) -> None:
    """A connection that nobody needs is closed politely after its time."""
    patience = msgspec.structs.replace(PATIENT, idle_s=0.05)
    server, mailer = await start(patience=patience)
    await mailer.send(letter(), KARI)
    async with asyncio.timeout(10):
        await server.quiet.wait()
    assert server.seen[-1] == "QUIT"


async def test_a_mail_given_up_on_leaves_no_half_talk_behind(start: Start) -> None:
    """A cancelled send closes its connection and frees its slot."""
    server, mailer = await start({"DOT": [HANG, b"250 ok\r\n"]}, concurrency=1, patience=Patience())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(mailer.send(letter(1), KARI), 0.5)
    async with asyncio.timeout(10):
        await mailer.send(letter(2), KARI)
    assert server.connections == 2


async def test_a_connection_is_retired_after_many_mails(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No connection carries more mails than servers commonly allow."""
    monkeypatch.setattr("meetkeeper.mail.smtp.MAILS_PER_CONNECTION_MAX", 2)
    server, mailer = await start()
    for number in range(5):
        await mailer.send(letter(number), KARI)
    assert server.connections == 3


# --- addresses beyond ASCII ------------------------------------------------------------------------------------------


async def test_an_address_beyond_ascii_needs_a_server_that_can(start: Start) -> None:
    """Without SMTPUTF8 such a recipient is refused by name, and no half-encoded address goes out."""
    server, mailer = await start()
    with pytest.raises(Refused, match="kåre@guests"):
        await mailer.send(letter(), "kåre@guests.example")
    assert not any(line.startswith("RCPT") for line in server.seen)


async def test_an_address_beyond_ascii_goes_to_a_server_that_can(start: Start) -> None:
    """With SMTPUTF8 the address goes out as it is, announced in MAIL FROM (RFC 6531)."""
    server, mailer = await start({"EHLO": b"250-x\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"})
    await mailer.send(letter(), "kåre@guests.example")
    assert any(line.startswith("MAIL") and "SMTPUTF8" in line for line in server.seen)
    assert "RCPT TO:<kåre@guests.example>" in server.seen


async def test_a_domain_beyond_ascii_needs_nothing(start: Start) -> None:
    """A domain name is written as DNS knows it, which every server understands."""
    server, mailer = await start()
    await mailer.send(letter(), "kari@blåbær.example")
    assert "RCPT TO:<kari@xn--blbr-roah.example>" in server.seen
