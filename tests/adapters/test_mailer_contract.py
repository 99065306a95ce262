"""Both mailers against the same suite: the one in memory, and SMTP over STARTTLS with a login to a real server."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from aiosmtpd.smtp import SMTP, Envelope, Session

from meetkeeper.app.demo.mail_sink import MailSink
from meetkeeper.core.configuration import MailConfig
from meetkeeper.mail.smtp import Patience, SmtpMailer
from meetkeeper.ports.mailer import Mailer
from meetkeeper.testing.contracts.mailer import MailerContract
from meetkeeper.testing.fakes.mailer import FakeMailer

QUICK = Patience(connect_s=10.0, command_s=10.0, final_s=10.0, idle_s=30.0, goodbye_s=0.5)


class FakePost:
    """The mailer in memory and its switches."""

    def __init__(self) -> None:
        self.fake = FakeMailer()

    @property
    def mailer(self) -> Mailer:
        """The mailer under test."""
        return self.fake

    def taken(self) -> list[tuple[str, str]]:
        """What was taken."""
        return self.fake.sent

    def text_of(self, message_id: str) -> str:
        """A body."""
        return next(str(one.message.get_content()) for one in self.fake.taken if one.message_id == message_id)

    async def go_away(self) -> None:
        """Nobody answers."""
        self.fake.away = True

    async def come_back(self) -> None:
        """It answers again."""
        self.fake.away = False

    def refuse(self, recipient: str) -> None:
        """Never."""
        self.fake.refused.add(recipient)

    def be_busy_for(self, recipient: str, *, busy: bool) -> None:
        """Not now."""
        (self.fake.busy.add if busy else self.fake.busy.discard)(recipient)

    def lose_next_answer(self) -> None:
        """Taken, not said."""
        self.fake.answers_lost = 1


class LeverSink(MailSink):
    """A real server that does as told."""

    refused: set[str]
    busy: set[str]
    lose_next = False

    async def handle_RCPT(  # noqa: N802 - aiosmtpd finds its hooks by this name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Say no, later or yes."""
        if address in self.refused:
            return "550 5.1.1 no such mailbox"
        if address in self.busy:
            return "451 4.7.1 greylisted, come back later"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(  # noqa: N802 - the same
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Keep the mail; break off before the answer when told so."""
        answer = await super().handle_DATA(server, session, envelope)
        if self.lose_next:
            self.lose_next = False
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        return answer


class SmtpPost:
    """SMTP to a server on loopback that asks for STARTTLS and a login."""

    def __init__(self, sink: LeverSink, mailer: SmtpMailer) -> None:
        self.sink = sink
        self.smtp = mailer

    @property
    def mailer(self) -> Mailer:
        """The mailer under test."""
        return self.smtp

    def taken(self) -> list[tuple[str, str]]:
        """What was taken."""
        return [(mail.message_id, mail.recipients[0]) for mail in self.sink.mails()]

    def text_of(self, message_id: str) -> str:
        """A body."""
        mail = next(one for one in self.sink.mails() if one.message_id == message_id)
        return str(self.sink.read(mail).get_content())

    async def go_away(self) -> None:
        """Nobody answers."""
        await self.sink.stop()

    async def come_back(self) -> None:
        """It answers again."""
        await self.sink.start()

    def refuse(self, recipient: str) -> None:
        """Never."""
        self.sink.refused.add(recipient)

    def be_busy_for(self, recipient: str, *, busy: bool) -> None:
        """Not now."""
        (self.sink.busy.add if busy else self.sink.busy.discard)(recipient)

    def lose_next_answer(self) -> None:
        """Taken, not said."""
        self.sink.lose_next = True


class TestFakeMailer(MailerContract):
    """The mailer of the simulated world."""

    @pytest.fixture
    def post(self) -> FakePost:
        """The mailer in memory."""
        return FakePost()


class TestSmtpMailer(MailerContract):
    """The mailer of the real one."""

    @pytest.fixture
    async def post(self, tmp_path: Path) -> AsyncIterator[SmtpPost]:
        """A server with a certificate of its own authority, and the mailer that trusts it."""
        authority = trustme.CA()
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(tls)
        ca_file = tmp_path / "ca.pem"
        authority.cert_pem.write_to_path(str(ca_file))
        sink = LeverSink(tmp_path / "mails", tls=tls, credentials=("keeper", "geheim"))
        sink.refused, sink.busy = set(), set()
        await sink.start()
        config = MailConfig(
            host="127.0.0.1", port=sink.port, tls="starttls", ca_file=str(ca_file), username="keeper"
        )
        mailer = SmtpMailer(config, "geheim", QUICK)
        yield SmtpPost(sink, mailer)
        await mailer.close()
        await sink.stop()
