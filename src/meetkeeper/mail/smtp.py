"""The submission server behind `ports.mailer.Mailer`: SMTP (RFC 5321) over aiosmtplib, with connections kept warm.

Foreign errors end here. What decides between "try again" and "nobody knows" is the final dot: before it the server can
not have taken the mail, so every break is `Unavailable`; from it on, until the answer, every break is `FateUnknown`.
An answer is an answer: 4xx is `Unavailable`, 5xx about this mail is `Refused` with the server's own words.
A configured protection is never given up: no STARTTLS, no valid certificate or no login means no mail.
"""

import asyncio
import re
import ssl
from email.errors import MessageError
from email.message import EmailMessage

import aiosmtplib
from msgspec import Struct

from meetkeeper.core.configuration import MailConfig
from meetkeeper.core.errors import MeetkeeperError, OurMistake, Refused, Unavailable
from meetkeeper.core.invitation import one_line
from meetkeeper.mail.headers import ASCII, UTF8
from meetkeeper.mail.mime import addr_spec
from meetkeeper.ports.mailer import FateUnknown

MAILS_PER_CONNECTION_MAX = 100
"""After so many mails a connection is retired: many servers allow no more."""
WORDS_CHARS_MAX = 300
"""How much of a server's answer is repeated."""
_START_INPUT = 354
_FOREIGN = (aiosmtplib.SMTPException, AttributeError, OSError, RuntimeError, TypeError, ValueError)
"""What comes out of the library: its own errors, and others when a connection breaks at a bad moment."""
_CREDENTIALS = "Check mail.username and mail.password in the configuration."
_LINE_END = re.compile(rb"\r\n|\r|\n")
_LEADING_DOT = re.compile(rb"(?m)^\.")


class Patience(Struct, frozen=True, kw_only=True, gc=False):
    """How long to wait, in seconds.

    `final_s` is for the answer to the whole mail: giving up early there sends mails twice (RFC 5321 §4.5.3.2.6 asks
    for ten minutes; half of it keeps a dead server from holding a slot for so long). `idle_s`: an unused connection
    is closed after that.
    """

    connect_s: float = 15.0
    command_s: float = 60.0
    final_s: float = 300.0
    idle_s: float = 30.0
    goodbye_s: float = 2.0


class _Line:
    """One connection: greeted, encrypted and logged in as configured."""

    def __init__(self, client: aiosmtplib.SMTP) -> None:
        self.client = client
        self.mails = 0
        self.idle_since_s = 0.0

    @property
    def used(self) -> bool:
        """It has carried a mail before, so the server may have closed it meanwhile."""
        return self.mails > 0


class SmtpMailer:
    """One submission server; at most `config.concurrency` connections at a time, each reused while it is warm."""

    def __init__(self, config: MailConfig, password: str | None, patience: Patience | None = None) -> None:
        self._config = config
        self._password = password
        self._patience = patience or Patience()
        self._slots = asyncio.Semaphore(config.concurrency)
        self._idle: list[_Line] = []
        self._tls: ssl.SSLContext | None = None
        self._sweep: asyncio.TimerHandle | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def _server(self) -> str:
        return f"{self._config.host}:{self._config.port}"

    # --- the port ----------------------------------------------------------------------------------------------------

    async def send(self, message: EmailMessage, recipient: str) -> str:
        """Hand one mail over for one recipient; the server's closing line.

        Raises `Unavailable` (not now), `Refused` (not this mail, or not with these settings) and `FateUnknown`
        (the mail was handed over and no answer came).
        """
        self._check_configured()
        async with self._slots:
            line = await self._line()
            try:
                return await self._over(line, message, recipient)
            except _GoneStale:
                line = await self._open()
                return await self._over(line, message, recipient)

    async def probe(self) -> str:
        """Connect, greet, log in, leave; a sentence about what answered. Raises as `send` does."""
        self._check_configured()
        line = await self._open()
        try:
            tls = line.client.get_transport_info("ssl_object")
        except _FOREIGN as error:
            raise self._not_connected(error) from error
        how = f"with {tls.version()}" if tls is not None else "without encryption"
        who = f"logged in as {self._config.username}" if self._config.username else "without a login"
        await self._leave(line)
        return f"The mail server {self._server} answers {how}, {who}."

    async def close(self) -> None:
        """Let go of connections. Mails under way end as their callers let them."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        lines, self._idle = self._idle, []
        await asyncio.gather(*(self._leave(line) for line in lines), *self._leaving)

    # --- one mail ----------------------------------------------------------------------------------------------------

    async def _over(self, line: _Line, message: EmailMessage, recipient: str) -> str:
        """One mail over one connection, which is kept when it can carry another one."""
        warm = False
        try:
            words = await self._transfer(line, message, recipient)
            line.mails += 1
            warm = True
        except (OurMistake, Refused, Unavailable) as error:
            warm = error.code != "mail.garbage" and await self._reset(line)
            raise
        finally:
            if (
                warm
                and line.client.is_connected
                and line.mails < MAILS_PER_CONNECTION_MAX
                and not self._closed
            ):
                self._keep(line)
            else:
                line.client.close()
        return words

    async def _transfer(self, line: _Line, message: EmailMessage, recipient: str) -> str:
        client = line.client
        sender, to = addr_spec(self._config.sender), addr_spec(recipient)
        utf8 = bool(getattr(message.policy, "utf8", False)) or not (sender + to).isascii()
        if utf8 and not client.supports_extension("smtputf8"):
            raise Refused(
                "mail.utf8",
                f"The mail to {recipient} needs SMTPUTF8, which {self._server} does not offer. "
                "Invite an ASCII address, or use a mail server that speaks RFC 6531.",
            )
        # Bodies are sent in seven bits, so no server has to offer 8BITMIME.
        content = _as_data(message, utf8=utf8)
        options = ["BODY=8BITMIME", "SMTPUTF8"] if utf8 else []
        encoding = "utf-8" if utf8 else "ascii"
        await self._begin(line, sender, options, encoding)
        try:
            await client.rcpt(to, encoding=encoding, timeout=self._patience.command_s)
            response = await client.execute_command(b"DATA", timeout=self._patience.command_s)
        except _FOREIGN as error:
            raise self._translated(error, f"the recipient {recipient}") from error
        if response.code != _START_INPUT:
            raise self._answered(response.code, response.message, f"the mail to {recipient}")
        return await self._hand_over(client, content, recipient)

    async def _begin(self, line: _Line, sender: str, options: list[str], encoding: str) -> None:
        """MAIL FROM; the moment at which a warm connection turns out to have been closed by the server."""
        try:
            await line.client.mail(
                sender, options=options, encoding=encoding, timeout=self._patience.command_s
            )
        except _FOREIGN as error:
            if line.used and not line.client.is_connected:
                raise _GoneStale from error
            raise self._translated(error, f"the sender {sender} (mail.sender)") from error

    async def _hand_over(self, client: aiosmtplib.SMTP, content: bytes, recipient: str) -> str:
        protocol = client.protocol
        if protocol is None:
            raise Unavailable(
                "mail.broken", f"{self._server} hung up before the mail was sent. It is tried again."
            )
        try:
            protocol.write(content)
        except _FOREIGN as error:
            raise self._translated(error, f"the mail to {recipient}") from error
        # From here on only an answer tells what became of the mail. One read, right after the write: nothing is lost.
        try:
            response = await protocol.read_response(timeout=self._patience.final_s)
        except _FOREIGN as error:
            raise self._fate_unknown(recipient, str(error)) from error
        if 200 <= response.code <= 299:
            return _words(response.message)
        if 400 <= response.code <= 599:
            raise self._answered(response.code, response.message, f"the mail to {recipient}")
        raise self._fate_unknown(recipient, f"it answered {response.code}")

    def _fate_unknown(self, recipient: str, why: str) -> FateUnknown:
        return FateUnknown(
            f"{self._server} was given the mail to {recipient} and did not answer for it ({_words(why)}): "
            "it may or may not be on its way."
        )

    # --- connections -------------------------------------------------------------------------------------------------

    async def _line(self) -> _Line:
        """The connection used last, if it still stands, else a new one."""
        while self._idle:
            line = self._idle.pop()
            if line.client.is_connected:
                return line
        return await self._open()

    def _keep(self, line: _Line) -> None:
        loop = asyncio.get_running_loop()
        line.idle_since_s = loop.time()
        self._idle.append(line)
        if self._sweep is None:
            self._sweep = loop.call_later(self._patience.idle_s, self._sweep_idle)

    def _sweep_idle(self) -> None:
        """Close what has been idle for long, and look again when the next one will have been."""
        loop = asyncio.get_running_loop()
        oldest_s = loop.time() - self._patience.idle_s
        for line in [one for one in self._idle if one.idle_since_s <= oldest_s]:
            self._idle.remove(line)
            task = loop.create_task(self._leave(line))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
        self._sweep = None
        if self._idle:
            next_s = self._idle[0].idle_since_s + self._patience.idle_s
            self._sweep = loop.call_at(next_s, self._sweep_idle)

    async def _reset(self, line: _Line) -> bool:
        """Make a connection ready for the next mail after an answer that stopped this one; True if it is."""
        if not line.client.is_connected:
            return False
        try:
            await line.client.rset(timeout=self._patience.goodbye_s)
        except _FOREIGN:
            return False
        return True

    async def _leave(self, line: _Line) -> None:
        """Say goodbye, and hang up whatever comes back."""
        try:
            if line.client.is_connected:
                await line.client.quit(timeout=self._patience.goodbye_s)
        except _FOREIGN:
            pass
        finally:
            line.client.close()

    async def _open(self) -> _Line:
        """A new connection, protected and logged in as configured."""
        tls = await self._tls_context()
        try:
            client = aiosmtplib.SMTP(
                hostname=self._config.host,
                port=self._config.port,
                timeout=self._patience.command_s,
                use_tls=self._config.tls == "tls",
                start_tls=False,
                tls_context=tls,
                local_hostname=_greeting_name(self._config.sender),
            )
        except _FOREIGN as error:
            raise self._not_connected(error) from error
        ready = False
        try:
            await client.connect(timeout=self._patience.connect_s)
            await client.ehlo()
            if self._config.tls == "starttls":
                await self._start_tls(client)
            if self._config.username:
                await self._log_in(client)
            ready = True
        except _FOREIGN as error:
            raise self._not_connected(error) from error
        finally:
            if not ready:
                client.close()
        return _Line(client)

    async def _start_tls(self, client: aiosmtplib.SMTP) -> None:
        if not client.supports_extension("starttls"):
            raise Refused(
                "mail.tls",
                f"{self._server} does not offer STARTTLS, which mail.tls asks for, so nothing was sent. Correct "
                'mail.port, or say mail.tls = "tls" or "none".',
            )
        await client.starttls(timeout=self._patience.connect_s)
        await client.ehlo()

    async def _log_in(self, client: aiosmtplib.SMTP) -> None:
        """Log in by the first method that the server knows. Raises `Refused` for credentials that are not taken."""
        username, password = self._config.username, self._password or ""
        refusal = "it offers no login"
        for method in client.supported_auth_methods:
            try:
                if method == "cram-md5":
                    await client.auth_crammd5(username, password)
                elif method == "plain":
                    await client.auth_plain(username, password)
                else:
                    await client.auth_login(username, password)
            except aiosmtplib.SMTPAuthenticationError as error:
                if 400 <= error.code < 500:
                    raise
                refusal = f"{error.code} {_words(error.message)}"
                if error.code == 535 or not client.is_connected:
                    break
            else:
                return
        raise Refused(
            "mail.login", f"{self._server} did not let {username} log in ({refusal}). {_CREDENTIALS}"
        )

    async def _tls_context(self) -> ssl.SSLContext | None:
        if self._config.tls == "none":
            return None
        if self._tls is None:
            try:
                self._tls = await asyncio.to_thread(_build_tls, self._config.ca_file)
            except (OSError, ssl.SSLError) as error:
                raise Refused(
                    "mail.tls",
                    f"The file {self._config.ca_file} can't be used ({error}). Correct mail.ca_file.",
                ) from error
        return self._tls

    def _check_configured(self) -> None:
        if not self._config.host:
            raise Refused("mail.off", "No mail server is configured. Set mail.host, then release the mail.")

    # --- foreign errors in our words ---------------------------------------------------------------------------------

    def _not_connected(self, error: Exception) -> MeetkeeperError:
        """Why there is no connection. All of it may heal without us, so it is `Unavailable`."""
        certificate = _certificate_error(error)
        if certificate is not None:
            return Unavailable(
                "mail.tls",
                f"The certificate of {self._server} was not accepted ({certificate.verify_message}), so nothing was "
                "sent. Mend the certificate, or name its authority in mail.ca_file.",
                retry_after_s=60.0,
            )
        if isinstance(error, aiosmtplib.SMTPResponseException) and error.code > 0:
            return Unavailable(
                "mail.busy",
                f"{self._server} does not take mail now: {error.code} {_words(error.message)}. It is tried again.",
                retry_after_s=30.0 if error.code < 500 else 300.0,
            )
        return Unavailable(
            "mail.unreachable",
            f"{self._server} can't be reached ({_words(str(error)) or type(error).__name__}). It is tried again; "
            "if it stays so, check mail.host, mail.port and mail.tls.",
            retry_after_s=15.0,
        )

    def _translated(self, error: Exception, about: str) -> MeetkeeperError:
        if isinstance(error, aiosmtplib.SMTPResponseException):
            return self._answered(error.code, error.message, about)
        return Unavailable(
            "mail.broken",
            f"The talk with {self._server} about {about} broke off ({_words(str(error))}). It is tried again.",
        )

    def _answered(self, code: int, message: str, about: str) -> MeetkeeperError:
        """What an answer other than yes means."""
        words = f"{code} {_words(message)}".strip()
        if code in (530, 535, 538):
            return Refused("mail.login", f"{self._server} wants a login for {about}: {words}. {_CREDENTIALS}")
        if 500 <= code <= 599:
            return Refused("mail.refused", f"{self._server} refuses {about} for good: {words}.")
        if 400 <= code <= 499:
            return Unavailable(
                "mail.busy",
                f"{self._server} does not take {about} now: {words}. It is tried again.",
                retry_after_s=30.0 if code == 421 else 60.0,
            )
        return Unavailable(
            "mail.garbage",
            f"{self._server} answered about {about} what SMTP does not know: {words}. It is tried again; check "
            "that mail.host and mail.port name a mail server.",
            retry_after_s=60.0,
        )


class _GoneStale(Exception):
    """A warm connection was closed by the server before this mail began."""


def _as_data(message: EmailMessage, *, utf8: bool) -> bytes:
    """The mail as DATA wants it, final dot included (RFC 5321 §4.5.2). Raises `OurMistake` for what can't be written.

    Every line end is CRLF: servers that end a mail at a bare line feed must not find one.
    """
    try:
        content = message.as_bytes(policy=UTF8 if utf8 else ASCII)
    except (AttributeError, LookupError, MessageError, TypeError, ValueError) as error:
        raise OurMistake(
            "mail.bytes", f"The mail {message['Message-ID']} can't be put into bytes ({error}). Report this."
        ) from error
    lines = _LEADING_DOT.sub(b"..", _LINE_END.sub(b"\r\n", content))
    return lines + (b".\r\n" if lines.endswith(b"\r\n") else b"\r\n.\r\n")


def _words(message: str) -> str:
    """A server's words, made safe to repeat."""
    text = one_line(message)
    return text if len(text) <= WORDS_CHARS_MAX else text[:WORDS_CHARS_MAX] + "…"


def _certificate_error(error: BaseException) -> ssl.SSLCertVerificationError | None:
    """The certificate error behind an error, if one is."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def _greeting_name(sender: str) -> str:
    """The name for EHLO: the sender's domain, which spares a look-up of this host's own name."""
    try:
        return addr_spec(sender).rpartition("@")[2]
    except Refused:
        return "localhost"


def _build_tls(ca_file: str) -> ssl.SSLContext:
    return ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca_file or None)
