"""Logins that need more than one step: NTLM, judged by pyspnego's own acceptor behind the fake's socket."""

import base64
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import spnego
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from msgspec.structs import replace

from meetkeeper.core.errors import Refused
from meetkeeper.testing.contracts.calendar import ROOM_EMAIL, Held
from meetkeeper.testing.fakes.exchange import soap
from meetkeeper.testing.fakes.exchange.server import FakeExchange
from meetkeeper.testing.fakes.exchange.wire import Reply, Request
from tests.calendars.exchangevenue import PASSWORD, PLENTY, server_of, source_of
from tests.calendars.test_exchange_hints import QUICK, Listening, until

DOMAIN, USER = "CORP", "meetkeeper"


class NtlmGate:
    """What IIS does before EWS is reached: negotiate, challenge, authenticate; then the connection is known."""

    def __init__(self) -> None:
        self.acceptor: spnego.ContextProxy | None = None
        self.logged_in = 0
        self.binding = b""

    async def guard(self, request: Request, _asked: soap.Asked | None) -> Reply | None:
        """None lets the request through."""
        kind, _, value = request.header("authorization").partition(" ")
        if kind not in ("NTLM", "Negotiate"):
            return None if self.logged_in else self._ask("NTLM")
        token = base64.b64decode(value)
        if token[8:12] == b"\x01\x00\x00\x00" or self.acceptor is None:
            seen = spnego.channel_bindings.GssChannelBindings(application_data=self.binding)
            self.acceptor = spnego.server(protocol="ntlm", channel_bindings=seen if self.binding else None)
        try:
            answer = self.acceptor.step(token)
        except spnego.exceptions.SpnegoError:
            self.acceptor = None
            return self._ask("NTLM")
        if not self.acceptor.complete:
            return self._ask(f"{kind} {base64.b64encode(answer or b'').decode()}")
        self.acceptor = None
        self.logged_in += 1
        return None

    def _ask(self, challenge: str) -> Reply:
        return Reply(401, b"<html>401</html>", (("WWW-Authenticate", challenge),), "text/html")


@pytest.fixture
async def gate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[FakeExchange, NtlmGate]]:
    """A server behind NTLM that knows one account."""
    accounts = tmp_path / "accounts"
    accounts.write_text(f"{DOMAIN}:{USER}:{PASSWORD}\n", encoding="utf-8")
    monkeypatch.setenv("NTLM_USER_FILE", str(accounts))
    fake, gate = FakeExchange(), NtlmGate()
    fake.site.open(ROOM_EMAIL)
    fake.trick = gate.guard
    await fake.start()
    yield fake, gate
    await fake.stop()


async def test_ntlm_logs_in(gate: tuple[FakeExchange, NtlmGate]) -> None:
    """`DOMAIN\\user` and password pass the three steps; then the calendar is read."""
    fake, door = gate
    source = source_of(server_of(fake, auth="ntlm", username=f"{DOMAIN}\\{USER}", concurrency=1))
    assert (await Held().follow(source)).listing == frozenset()
    assert door.logged_in == 1
    await source.close()


async def test_ntlm_over_tls_shows_the_servers_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The login is bound to the certificate that was seen (Extended Protection): the right one passes."""
    accounts, ca_file = tmp_path / "accounts", tmp_path / "ca.pem"
    accounts.write_text(f"{DOMAIN}:{USER}:{PASSWORD}\n", encoding="utf-8")
    monkeypatch.setenv("NTLM_USER_FILE", str(accounts))
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(ca_file))
    certificate = authority.issue_cert("localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    shown = x509.load_pem_x509_certificate(certificate.cert_chain_pems[0].bytes())
    fake, door = FakeExchange(), NtlmGate()
    door.binding = b"tls-server-end-point:" + shown.fingerprint(hashes.SHA256())
    fake.site.open(ROOM_EMAIL)
    fake.trick = door.guard
    await fake.start(context)
    login = {"auth": "ntlm", "username": f"{DOMAIN}\\{USER}", "concurrency": 1, "ca_file": str(ca_file)}
    source = source_of(server_of(fake, PLENTY, **login))
    assert (await Held().follow(source)).listing == frozenset()
    assert door.logged_in == 1
    door.logged_in, door.binding = 0, b"tls-server-end-point:" + b"x" * 32
    other = source_of(server_of(fake, PLENTY, **login))
    with pytest.raises(Refused, match="login"):
        await other.probe()
    for one in (source, other):
        await one.close()
    await fake.stop()


async def test_a_wrong_ntlm_account_is_refused(gate: tuple[FakeExchange, NtlmGate]) -> None:
    """Nobody gets in with another account, and a sentence says that it is the login."""
    fake, door = gate
    source = source_of(server_of(fake, auth="ntlm", username=f"{DOMAIN}\\somebody", concurrency=1))
    with pytest.raises(Refused, match="login") as caught:
        await source.probe()
    assert caught.value.code == "calendar.login"
    assert not door.logged_in
    assert not fake.requests
    await source.close()


async def test_ntlm_listens_too(gate: tuple[FakeExchange, NtlmGate]) -> None:
    """A hanging connection has a login of its own, and hears what happens."""
    fake, door = gate
    listening = Listening(fake, auth="ntlm", username=f"{DOMAIN}\\{USER}")
    await listening.heard(ROOM_EMAIL)
    assert door.logged_in >= 1
    await listening.tells()
    await listening.server.leave()


async def test_oauth_listens_too_and_asks_for_another_token(tmp_path: Path) -> None:
    """By an app's token, which may be withdrawn: the next connection has another one."""
    authority, ca_file = trustme.CA(), tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    fake = FakeExchange()
    fake.clients["app"] = "a secret"
    fake.site.open(ROOM_EMAIL)
    fake.streaming.minute_s = 0.1
    await fake.start(context)
    login: dict[str, object] = {"auth": "oauth", "tenant": "t", "client_id": "app", "username": ""}
    listening = Listening(fake, QUICK, ca_file=str(ca_file), authority=fake.origin, **login)
    await listening.heard(ROOM_EMAIL)
    await listening.tells()
    given = set(fake.tokens)
    fake.tokens.clear()
    await until(lambda: bool(fake.tokens - given))
    await listening.heard(ROOM_EMAIL)
    await listening.tells()
    await listening.server.leave()
    await fake.stop()


async def test_a_wrong_login_of_an_ear_is_said(
    gate: tuple[FakeExchange, NtlmGate],
) -> None:
    """Nobody is let in, nothing is heard, and the doctor can say why; it rests, for accounts are locked for tries."""
    fake, _ = gate
    rests = replace(QUICK, rest_s_min=30.0, rest_s_max=600.0)
    listening = Listening(fake, rests, auth="ntlm", username=f"{DOMAIN}\\somebody")
    listening.want(ROOM_EMAIL)
    await until(lambda: "login" in listening.server.deaf(ROOM_EMAIL))
    assert not fake.requests
    await listening.server.leave()
