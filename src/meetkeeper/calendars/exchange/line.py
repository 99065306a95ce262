"""The one door to `exchangelib`: logins, sessions and requests by it, answers read by us.

It brings Basic, NTLM, Kerberos and OAuth logins, impersonation and the service requests of EWS. Not used: its retries
and pauses (they sleep in the thread, and our gate waits for all rooms), its response parser (it recovers from broken
XML, so half an answer would look whole) and its object model (which raises on odd items). Everything here blocks: it
runs in the threads of `server`. Imported on first use, because it takes a second.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

from exchangelib import Build, Credentials, OAuth2Credentials, Version
from exchangelib.account import Identity
from exchangelib.configuration import Configuration
from exchangelib.credentials import DELEGATE, IMPERSONATION, oauthlib
from exchangelib.ewsdatetime import EWSTimeZone
from exchangelib.protocol import BaseProtocol, FailFast
from exchangelib.transport import AUTH_TYPE_MAP, BASIC, GSSAPI, NTLM, OAUTH2
from exchangelib.util import CONNECTION_ERRORS, TLS_ERRORS, TokenExpiredError, requests

from meetkeeper.bounded import xml
from meetkeeper.calendars.exchange import soap
from meetkeeper.calendars.exchange.faults import to_status_error
from meetkeeper.calendars.exchange.soap import Node
from meetkeeper.calendars.exchange.terms import LIMITS, Limits, Secrets
from meetkeeper.core.configuration import ExchangeServer
from meetkeeper.core.errors import MeetkeeperError, Refused, TheirMistake, Unavailable

CHUNK_BYTES = 64 * 1024
API = Version(build=Build(15, 0, 847), api_version="Exchange2013_SP1")
"""The newest words we use; every server since 2013 SP1 understands them."""
_AUTH = {"basic": BASIC, "ntlm": NTLM, "kerberos": GSSAPI, "oauth": OAUTH2}
_UTC = EWSTimeZone("UTC")


class _Broken(requests.exceptions.ConnectionError):  # type: ignore[misc] # an untyped package
    """Carries one of our errors out of the HTTP layer, through code that knows connection errors alone."""

    def __init__(self, error: MeetkeeperError) -> None:
        super().__init__(error.message)
        self.error = error


class _Bounded(BaseProtocol.HTTP_ADAPTER_CLS):  # type: ignore[misc] # an untyped package
    """Has every answer, those to logins too, read within bounds of size and time."""

    limits = LIMITS
    host = ""

    def send(self, request: Any, *arguments: Any, **keywords: Any) -> Any:
        """One request; its answer is read through `_within`, by whoever reads it first.

        It is not read here: an NTLM login looks at the socket of an unread answer for the server's certificate.
        """
        deadline = time.monotonic() + self.limits.request_s
        response = super().send(request, *arguments, **keywords)
        response.raw.stream = partial(self._within, response, deadline)
        return response

    def _within(self, response: Any, deadline: float, *_size: int, **_keywords: bool) -> Iterator[bytes]:
        """The body in pieces, as long as it keeps within the bounds. Raises `_Broken`."""
        size = 0
        try:
            while chunk := response.raw.read1(CHUNK_BYTES, decode_content=True):
                size += len(chunk)
                self._mind_bounds(size, deadline)
                yield chunk
        except requests.exceptions.BaseHTTPError as error:
            response.close()
            raise requests.exceptions.ConnectionError(str(error)) from None
        except _Broken:
            response.close()
            raise
        response.raw.release_conn()

    def _mind_bounds(self, size: int, deadline: float) -> None:
        if size > self.limits.answer_bytes_max:
            most = self.limits.answer_bytes_max
            why = f"{self.host} sent more than {most} bytes at once; look at the mailbox."
            raise _Broken(TheirMistake(xml.TOO_LARGE, why))
        if time.monotonic() > deadline:
            raise _Broken(Unavailable("calendar.slow", f"{self.host} took too long; it is asked again."))


class _Login(OAuth2Credentials):  # type: ignore[misc] # an untyped package
    """Client credentials at a configured authority, for the server that is asked."""

    def __init__(self, config: ExchangeServer, secret: str, origin: str) -> None:
        super().__init__(client_id=config.client_id, client_secret=secret, tenant_id=config.tenant)
        self._token_url = f"{config.authority.rstrip('/')}/{config.tenant}/oauth2/v2.0/token"
        self._scope = f"{origin}/.default"  # attributes are hashed

    @property
    def token_url(self) -> str:
        """Where tokens are asked for."""
        return self._token_url

    @property
    def scope(self) -> list[str]:
        """What tokens are asked for."""
        return [self._scope]


class _Sessions(BaseProtocol):  # type: ignore[misc] # an untyped package
    """The pool of sessions of one server; never shared with another configuration."""

    USERAGENT = "meetkeeper"

    def __init__(self, config: Any, limits: Limits, ca_file: str) -> None:
        super().__init__(config)
        self.TIMEOUT = limits.read_s
        self._ca_file = ca_file
        self._adapter = type("Bounded", (_Bounded,), {"limits": limits, "host": config.server})

    @property
    def version(self) -> Any:
        """What the server is taken to speak."""
        return API

    def get_auth_type(self) -> Any:
        """Always configured, never guessed."""
        return self.config.auth_type

    def raw_session(self, prefix: str, *arguments: Any, **keywords: Any) -> Any:
        """A session that takes nothing from the environment and reads within bounds."""
        session = super().raw_session(prefix, *arguments, **keywords)
        session.trust_env = False
        session.verify = self._ca_file or True
        for place in ("http://", "https://"):
            session.mount(
                place, self._adapter(pool_block=True, pool_connections=1, pool_maxsize=1, max_retries=0)
            )
        for place in [place for place in session.adapters if place not in ("http://", "https://")]:
            del session.adapters[place]
        return session


class Acting:
    """As whom a mailbox is read: what exchangelib's services need to know of an account, without asking the server."""

    def __init__(self, line: "Line", mailbox: str, *, impersonate: bool) -> None:
        self.line = line
        self.protocol = line.sessions
        self.version = API
        self.primary_smtp_address = mailbox
        self.identity = Identity(primary_smtp_address=mailbox)
        self.access_type = IMPERSONATION if impersonate else DELEGATE
        self.default_timezone = _UTC
        self.affinity_cookie = None


Ask = Callable[[Acting], Iterable[Node]]
"""Makes a service and calls it: response messages, not yet checked."""


class Raw:
    """Mixed into exchangelib's services: one request, no retries, response messages as they came."""

    SERVICE_NAME: str
    account: Any
    wrap: Any
    _extra_headers: Any

    def _get_elements(self, payload: Any) -> Iterable[Node]:
        body = self.wrap(content=payload, api_version=API.api_version)
        answer = self.account.line.post(body, self._extra_headers())
        return soap.messages_in(soap.parse(answer), self.SERVICE_NAME)

    def _elems_to_objs(self, elems: Iterable[Node]) -> Iterable[Node]:
        return elems


class Line:
    """One server, asked by blocking calls from bounded threads."""

    def __init__(self, config: ExchangeServer, secrets: Secrets, limits: Limits, origin: str) -> None:
        """No I/O. Raises `Refused` when the login needs a package that is not installed."""
        auth = _AUTH[config.auth]
        if auth not in AUTH_TYPE_MAP:
            raise Refused(
                "calendar.no-kerberos",
                "A Kerberos login needs the package requests-gssapi; install exchangelib[kerberos].",
            )
        self._login = _Login(config, secrets.client_secret, origin) if config.auth == "oauth" else None
        credentials: Any = self._login
        if config.auth not in ("oauth", "kerberos"):
            credentials = Credentials(config.username, secrets.password)
        self._blank = requests.Request("POST", config.url).prepare()
        self._limits = limits
        self._where = origin.partition("://")[2]
        self._impersonate = config.impersonate
        settings = Configuration(
            credentials=credentials,
            service_endpoint=config.url,
            auth_type=auth,
            version=API,
            retry_policy=FailFast(),
            max_connections=config.concurrency,
        )
        self.sessions = _Sessions(settings, limits, config.ca_file)
        self._hanging: Any = None
        self._hung_up = False
        self.ahead_s = 0.0
        """How far the server's clock is ahead of ours, by the Date of its last answer."""

    def ask(self, mailbox: str, make: Ask) -> tuple[Node, ...]:
        """The response messages to what `make` asks, as this mailbox. Raises our errors and `soap.Fault`."""
        with self._minding_tokens():
            return tuple(make(Acting(self, mailbox, impersonate=self._impersonate)))

    @contextmanager
    def _minding_tokens(self) -> Iterator[None]:
        """What is said of tokens, in our words."""
        try:
            yield
        except oauthlib.oauth2.OAuth2Error as error:
            why = getattr(error, "error", "") or type(error).__name__
            raise Refused(
                "calendar.login",
                f"{self._where}: no token is given ({why}). Correct tenant, client_id and client_secret.",
            ) from None

    def post(self, body: bytes, headers: dict[str, str]) -> bytes:
        """Send one request and read its answer. Raises our errors."""
        try:
            return self._send(body, headers)
        except TokenExpiredError:
            pass
        except Refused as refused:
            if self._login is None or refused.code != "calendar.login":
                raise
        self._forget_token()
        return self._send(body, headers)

    def stream(self, body: bytes, headers: dict[str, str]) -> Iterator[bytes]:
        """Send one request and give its answer in pieces, as they come. Raises our errors. One at a time."""
        with self._minding_tokens():
            session = self._session()
            try:
                with self._sent(session, body, headers, stream=True) as answer:
                    self._hanging = answer
                    if self._hung_up:
                        return
                    if answer.status_code != 200:
                        yield self._read(answer)
                        return
                    yield from answer.iter_content(None)
            except TokenExpiredError:
                self._forget_token()
                raise Unavailable(
                    "calendar.away", f"{self._where}: the token has expired; there is another one soon."
                ) from None
            except _CONNECTION as error:
                raise self._away(error) from None
            finally:
                self._hanging = None
                self._give_back(session, well=True)  # its cookies lead to the same mailbox server again

    def hang_up(self) -> None:
        """End the answer that is being read in pieces, from any thread; no other one begins."""
        self._hung_up = True
        hanging = self._hanging
        if hanging is not None:
            # It may have ended by itself; and a urllib3 before 2.3 has no shutdown: then the silence ends it.
            with suppress(AttributeError, OSError, RuntimeError, ValueError):
                hanging.raw.shutdown()
        self.close()

    def close(self) -> None:
        """Close the sessions that are not in use; those in use end with their request."""
        self.sessions.close()

    def _forget_token(self) -> None:
        """The token has expired or was withdrawn: the next session asks for another one."""
        if self._login is not None:
            with self._login.lock:
                self._login.access_token = None
        self.sessions.close()

    def _send(self, body: bytes, headers: dict[str, str]) -> bytes:
        session = self._session()
        well = False
        try:
            answer = self._sent(session, body, headers)
            well = answer.status_code in (200, 500)
        finally:
            self._give_back(session, well=well)
        return self._read(answer)

    def _session(self) -> Any:
        try:
            return self.sessions.get_session()
        except _CONNECTION as error:
            raise self._away(error) from None

    def _sent(self, session: Any, body: bytes, headers: dict[str, str], *, stream: bool = False) -> Any:
        """The answer to one request, read whole unless it is a stream."""
        try:
            # Prepared here and not by `session.post`: a session merges its settings anew for every request, which
            # takes as long as the request itself. What there is to merge are headers, login and cookies.
            request = self._blank.copy()
            request.prepare_headers({**session.headers, **headers})
            request.prepare_cookies(session.cookies)
            request.prepare_body(body, None)
            request.prepare_auth(session.auth)
            return session.send(
                request,
                allow_redirects=False,
                timeout=(self._limits.connect_s, self._limits.read_s),
                stream=stream,
            )
        except _CONNECTION as error:
            raise self._away(error) from None
        except KeyError:
            # requests-ntlm looks for a header that a server in trouble does not send in the middle of a login
            raise Unavailable(
                "calendar.away", f"{self._where} broke off the login; it is asked again."
            ) from None

    def _give_back(self, session: Any, *, well: bool) -> None:
        """A session that failed is replaced when it is next needed; a slot of the pool is never lost."""
        if well and not self._hung_up:
            self.sessions.release_session(session)
            return
        session.close()
        self.sessions._session_pool_size -= 1

    def _read(self, answer: Any) -> bytes:
        self._mind_clock(answer.headers.get("Date", ""))
        content: bytes = answer.content
        if answer.status_code == 200:
            return content
        if answer.status_code == 500 and b"Envelope" in content[:1_000]:
            return content  # a SOAP fault: it says better what is wrong
        wait = answer.headers.get("Retry-After", "")
        raise to_status_error(
            answer.status_code,
            self._where,
            float(wait[:9]) if wait.isascii() and wait.isdigit() else None,
        )

    def _mind_clock(self, date: str) -> None:
        try:
            self.ahead_s = parsedate_to_datetime(date).timestamp() - time.time()
        except (TypeError, ValueError, OverflowError):
            return

    def _away(self, error: Exception) -> MeetkeeperError:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, _Broken):
                return cause.error
            cause = cause.__cause__ or cause.__context__
        if isinstance(error, TLS_ERRORS):
            return Refused(
                "calendar.certificate",
                f"{self._where} shows a certificate that is not trusted for it; correct it, the address or ca_file.",
            )
        why = type(error).__name__
        return Unavailable("calendar.away", f"{self._where} can't be reached ({why}); it is asked again.")


_CONNECTION: tuple[type[Exception], ...] = (*CONNECTION_ERRORS, *TLS_ERRORS, OSError)
