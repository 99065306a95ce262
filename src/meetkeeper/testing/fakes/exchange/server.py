"""The fake server: who may ask, what gets in the way, which operation is meant."""

import ssl
import time
from collections.abc import Awaitable, Callable
from html import escape
from urllib.parse import parse_qs

from msgspec import Struct
from msgspec.structs import replace

from meetkeeper.testing.fakes.exchange import folders, reading, soap, writing
from meetkeeper.testing.fakes.exchange.cookies import Bad
from meetkeeper.testing.fakes.exchange.items import Style, Writer
from meetkeeper.testing.fakes.exchange.streaming import COOKIE, Streaming
from meetkeeper.testing.fakes.exchange.wire import Reply, Request, Wire
from meetkeeper.testing.fakes.mailbox import Mailbox, Site

PATH = "/EWS/Exchange.asmx"
Trick = Callable[[Request, soap.Asked | None], Awaitable[Reply | None]]
_OPERATIONS: dict[str, Callable[["FakeExchange", soap.Asked], bytes]] = {
    "GetFolder": reading.get_folder,
    "FindFolder": reading.find_folder,
    "SyncFolderItems": reading.sync_folder_items,
    "GetItem": reading.get_item,
    "FindItem": reading.find_item,
    "ResolveNames": reading.resolve_names,
    "ConvertId": reading.convert_id,
    "CreateItem": writing.create_item,
    "UpdateItem": writing.update_item,
    "DeleteItem": writing.delete_item,
    "CreateFolder": folders.create_folder,
    "DeleteFolder": folders.delete_folder,
    "GetUserConfiguration": folders.get_user_configuration,
}


_NEAR = frozenset({"Subscribe", "Unsubscribe", "GetStreamingEvents"})


class Seen(Struct, frozen=True):
    """One request that was let in: the operation, as whom, by whom, the anchor header, how many items it named."""

    operation: str
    acting_as: str
    user: str
    anchor: str
    items: int


class FakeExchange:
    """The server. Its switches are plain attributes; turn them at any time.

    `logins` user → password; empty: everybody gets in. `tokens` bearer tokens that are let in, `clients` id → secret
    at the token endpoint. `dance` a request without a login is answered 401 first. `impersonators` who may act as a
    mailbox, `readers` who has rights on every calendar folder; None: everybody. `page_max`, `keep` how many sync
    states are remembered, `bad_cookie` what happens to others, `accept_any` takes them as if they were none,
    `refuse_cookies`, `stuck` the same state and never the last page. `busy` that many requests are answered
    ErrorServerBusy, with `back_off_ms` if set. `vanishing` ids that GetItem doesn't find. `trick` may answer instead.
    `streaming` has the switches of notifications. `complaints` collects what a real server's operator would complain
    about. `folders` are calendars that clients made beside the room's own, by id.
    """

    def __init__(self, site: Site | None = None, *, now_s: Callable[[], float] = time.time) -> None:
        self.site = site or Site(now_s=now_s)
        self.logins: dict[str, str] = {}
        self.tokens: set[str] = set()
        self.clients: dict[str, str] = {}
        self.dance = False
        self.impersonators: set[str] | None = None
        self.readers: set[str] | None = set()
        self.page_max = reading.PAGE_MAX
        self.keep = 1_000_000
        self.bad_cookie = Bad.REFUSE
        self.accept_any = False
        self.refuse_cookies = False
        self.stuck = False
        self.busy = 0
        self.back_off_ms: int | None = None
        self.style = Style()
        self.bare_type = False
        self.no_root_folder = False
        self.missing_folders: set[str] = set()
        self.vanishing: set[str] = set()
        self.trick: Trick | None = None
        self.requests: list[Seen] = []
        self.complaints: list[str] = []
        self.serials: dict[str, int] = {}
        self.streaming = Streaming()
        self.folders: dict[str, Mailbox] = {}
        self.wire = Wire(self._handle, now_s)
        self._tls = False
        self._issued = 0

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"http{'s' if self._tls else ''}://localhost:{self.wire.port}"

    @property
    def url(self) -> str:
        """The EWS address."""
        return self.origin + PATH

    async def start(self, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        """Listen on loopback."""
        self._tls = tls is not None
        await self.wire.start(tls, port)

    async def stop(self) -> None:
        """Stop listening; subscriptions die with the server."""
        await self.wire.stop()
        self.streaming.forget()

    def count(self, operation: str) -> int:
        """How many requests of this operation were let in."""
        return sum(one.operation == operation for one in self.requests)

    def writer(self, mailbox: Mailbox) -> Writer:
        """Writes a mailbox's items in the style set."""
        return Writer(mailbox, self.style, skew_s=self.wire.skew_s)

    def may_read(self, mailbox: Mailbox, acting_as: str) -> bool:
        """Whoever acts as the mailbox may read it, and whoever has rights on calendar folders."""
        if mailbox.denied:
            return False
        return (
            acting_as == mailbox.address.partition("|")[0]
            or self.readers is None
            or acting_as in self.readers
        )

    # --- inside ----------------------------------------------------------------------------------------------------

    async def _handle(self, request: Request) -> Reply:
        if request.path.endswith("/oauth2/v2.0/token"):
            return self._token(request)
        asked = soap.read(request.body)
        if self.trick is not None:
            reply = await self.trick(request, asked)
            if reply is not None:
                return reply
        user = self._user(request)
        if user is None:
            headers = (("WWW-Authenticate", 'Basic realm="fake"'),)
            return Reply(401, b"<html><body>401</body></html>", headers, "text/html")
        if request.path.partition("?")[0].lower() != PATH.lower():
            return Reply(404, b"<html><body>404</body></html>", content_type="text/html")
        if request.method != "POST":
            return Reply(200, b"<html><body>EWS</body></html>", content_type="text/html")
        if asked is None:
            return self._xml(soap.fault("ErrorSchemaValidation", "The request is no SOAP."), 500)
        return self._answer(request, asked, user)

    def _answer(self, request: Request, asked: soap.Asked, user: str) -> Reply:
        if self.busy > 0:
            self.busy -= 1
            return self._xml(soap.fault("ErrorServerBusy", "The server is busy.", self.back_off_ms), 500)
        acting_as = asked.acting_as or user
        if asked.acting_as:
            if self.impersonators is not None and user not in self.impersonators:
                return self._xml(soap.fault("ErrorImpersonateUserDenied"), 500)
            if self.site.find(acting_as) is None:
                return self._xml(soap.fault("ErrorNonExistentMailbox"), 500)
        anchor = request.header("x-anchormailbox").lower()
        count = sum(1 for _ in soap.ids_in(asked.element))
        self.requests.append(Seen(asked.name, acting_as, user, anchor, count))
        near = asked.name in _NEAR and request.header("x-preferserveraffinity").lower() == "true"
        if asked.acting_as and anchor != asked.acting_as and not (near and self.site.find(anchor)):
            self.complaints.append(f"{asked.name}: X-AnchorMailbox is {anchor!r}, not {asked.acting_as!r}")
        if asked.name == "GetItem" and count > 10:
            self.complaints.append(f"GetItem asks for {count} items at once")
        if asked.name in _NEAR:
            return self._answer_near(request, soap.Asked(asked.name, asked.element, acting_as), user)
        operation = _OPERATIONS.get(asked.name)
        if operation is None:
            return self._xml(soap.fault("ErrorInvalidRequest", f"Nobody knows {escape(asked.name)}."), 500)
        acted = soap.Asked(asked.name, asked.element, acting_as)
        return self._xml(operation(self, acted))

    def _answer_near(self, request: Request, asked: soap.Asked, user: str) -> Reply:
        """What lives on one mailbox server: whoever prefers to stay with it is given its cookie."""
        place = self.streaming.place_of(request)
        if asked.name == "Subscribe":
            cookie = ("Set-Cookie", f"{COOKIE}={place}; path=/; HttpOnly")
            reply = self._xml(self.streaming.subscribe(self, asked, user, place))
            wanted = request.header("x-preferserveraffinity").lower() == "true"
            return replace(reply, headers=(cookie,)) if wanted else reply
        if asked.name == "Unsubscribe":
            return self._xml(self.streaming.unsubscribe(asked, place))
        answer = self.streaming.events(asked, user, place)
        return self._xml(answer) if isinstance(answer, bytes) else replace(self._xml(b""), stream=answer)

    def _xml(self, body: bytes, status: int = 200) -> Reply:
        kind = "text/xml" if self.bare_type else "text/xml; charset=utf-8"
        return Reply(status, body, content_type=kind)

    def _user(self, request: Request) -> str | None:
        """Who asks, or None for somebody who must log in (again)."""
        kind, _, value = request.header("authorization").partition(" ")
        if self.tokens or self.clients:
            return "app" if kind.lower() == "bearer" and value in self.tokens else None
        login = request.basic
        if self.logins:
            known = login is not None and self.logins.get(login[0]) == login[1]
            return login[0] if login is not None and known else None
        if self.dance and login is None:
            return None
        return "" if login is None else login[0]

    def _token(self, request: Request) -> Reply:
        """Client credentials, as RFC 6749 section 4.4 and Microsoft's identity platform have them."""
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        client, secret = form.get("client_id", ""), form.get("client_secret", "")
        login = request.basic
        if login is not None and not secret:
            client, secret = login
        if not secret or self.clients.get(client) != secret:
            return Reply(401, b'{"error": "invalid_client"}', content_type="application/json")
        self._issued += 1
        token = f"token-{self._issued}"
        self.tokens.add(token)
        body = f'{{"token_type": "Bearer", "expires_in": 3599, "access_token": "{token}"}}'
        return Reply(200, body.encode(), content_type="application/json")
