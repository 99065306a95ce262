"""An SMTP server on loopback that delivers nowhere: each mail becomes a file that people and tests can read.

For the demonstration and for tests. `FOLDER/00001-kari@guests.example.eml` is the mail as it came, and a line of JSON
in `FOLDER/index.jsonl` tells what it is, so that a reader need not parse mails to count them.
"""

import asyncio
import os
import re
import ssl
import weakref
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as default_policy
from pathlib import Path
from typing import Any

import msgspec
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from msgspec import Struct

INDEX = "index.jsonl"
SIZE_BYTES_MAX = 10_000_000
_UNSAFE = re.compile(r"[^A-Za-z0-9@._+-]+")


class SunkMail(Struct, frozen=True, gc=False, omit_defaults=True):
    """A line of the index. `at` is when it came (ISO 8601, UTC), `file` its name in the folder."""

    number: int
    at: str
    file: str
    sender: str
    recipients: tuple[str, ...]
    subject: str
    message_id: str
    notice: str = ""
    method: str = ""


class MailSink:
    """Listens from `start` to `stop`. `credentials` (name, password) and `tls` make it ask for both."""

    def __init__(
        self,
        folder: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        credentials: tuple[str, str] | None = None,
    ) -> None:
        self._folder = folder
        self._host = host
        self._wanted_port = port
        self._tls = tls
        self._credentials = credentials
        self._server: asyncio.Server | None = None
        self._talks: weakref.WeakSet[SMTP] = weakref.WeakSet()
        self._number = len(self.mails())

    @property
    def port(self) -> int:
        """The port it listens on. Only after `start`."""
        if self._server is None:
            raise AssertionError("the mail sink has not been started")
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Listen. Raises `OSError` when the port is taken."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._server = await asyncio.get_running_loop().create_server(
            self._protocol, self._host, self._wanted_port
        )
        self._wanted_port = self.port

    async def stop(self) -> None:
        """Stop listening and break off talks; the port is kept for the next start."""
        if self._server is not None:
            self._server.close()
            for talk in list(self._talks):
                if isinstance(talk.transport, asyncio.Transport):
                    talk.transport.abort()
            await self._server.wait_closed()
            self._server = None

    def mails(self) -> list[SunkMail]:
        """Every mail that came, in order."""
        try:
            lines = (self._folder / INDEX).read_bytes().splitlines()
        except FileNotFoundError:
            return []
        return [msgspec.json.decode(line, type=SunkMail) for line in lines]

    def read(self, mail: SunkMail) -> EmailMessage:
        """A mail, parsed."""
        message = message_from_bytes((self._folder / mail.file).read_bytes(), policy=default_policy)
        assert isinstance(message, EmailMessage)
        return message

    def keep(self, sender: str, recipients: tuple[str, ...], content: bytes) -> SunkMail:
        """Write one mail into the folder, whole or not at all, then into the index."""
        self._number += 1
        message = message_from_bytes(content, policy=default_policy)
        name = _UNSAFE.sub("_", recipients[0] if recipients else "nobody")[:80]
        mail = SunkMail(
            number=self._number,
            at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            file=f"{self._number:05}-{name}.eml",
            sender=sender,
            recipients=recipients,
            subject=str(message["Subject"] or ""),
            message_id=str(message["Message-ID"] or ""),
            notice=str(message["X-Meetkeeper-Notice"] or ""),
            method=_method_of(message),
        )
        aside = self._folder / f".{mail.file}"
        aside.write_bytes(content)
        os.replace(aside, self._folder / mail.file)
        with (self._folder / INDEX).open("ab") as index:
            index.write(msgspec.json.encode(mail) + b"\n")
        return mail

    # --- what aiosmtpd asks of a handler ------------------------------------------------------------------------------

    async def handle_DATA(  # noqa: N802 - aiosmtpd finds its hooks by this name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """A mail is here."""
        content = envelope.content
        assert isinstance(content, bytes)
        mail = self.keep(str(envelope.mail_from), tuple(map(str, envelope.rcpt_tos)), content)
        return f"250 2.0.0 kept as {mail.file}"

    def _protocol(self) -> SMTP:
        talk = SMTP(
            self,
            data_size_limit=SIZE_BYTES_MAX,
            enable_SMTPUTF8=True,
            hostname="sink.invalid",
            ident="meetkeeper mail sink",
            tls_context=self._tls,
            require_starttls=self._tls is not None,
            authenticator=self._authenticate if self._credentials else None,
            auth_required=self._credentials is not None,
            auth_require_tls=self._tls is not None,
        )
        self._talks.add(talk)
        return talk

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        if not isinstance(data, LoginPassword) or self._credentials is None:
            return AuthResult(success=False, handled=False)
        given = (data.login.decode(), data.password.decode())
        return AuthResult(success=given == self._credentials, handled=False)


def _method_of(message: Any) -> str:
    """The iTIP method of a mail's calendar part; "" without one."""
    for part in message.walk():
        if part.get_content_type() == "text/calendar":
            return str(part.get_param("method") or "")
    return ""
