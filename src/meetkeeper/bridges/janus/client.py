"""Talks to Janus' admin interface: one stateless POST per question, no session, nothing to keep alive.

The journey's last step: `engine.dispatch` → here → Janus. Rules of this file: look before making; every question may be
asked twice; whatever Janus or the network says leaves as one of the house's errors. Janus answers HTTP 200 to nearly
everything, so the body decides (`mapping`).
"""

import asyncio
import secrets

import httpx2
import msgspec
import structlog
from msgspec import Struct

from meetkeeper.bridges.janus import mapping
from meetkeeper.bridges.janus.mapping import Listed, Request, Response
from meetkeeper.core.configuration import JanusBridge as JanusConfig
from meetkeeper.core.effects import Phase
from meetkeeper.core.errors import Refused, Unavailable
from meetkeeper.core.words import Alias
from meetkeeper.ports.bridge import AliasTaken, Door, Ensured, FoundVmr, Health, WantedVmr

ROUNDS_MAX = 4
"""How often a room may appear or vanish under our hands before we say so."""
CONNECT_SECONDS_MAX = 3.0
FOUND_CHARS_MAX = 200

log = structlog.get_logger(__name__)
_encode = msgspec.json.Encoder().encode


class Secrets(Struct, frozen=True, kw_only=True):
    """The configured secrets as text. `room_key` derives room secrets and shut PINs: the cluster's secret.

    With another `room_key` the rooms made before can neither be opened nor removed (`janus-room-secret`).
    """

    admin_secret: str
    admin_key: str
    room_key: str
    client_secret: str = ""

    def __repr__(self) -> str:
        """Nothing that a log may not hold."""
        return "Secrets(…)"


class JanusBridge:
    """One Janus server as a `ports.Bridge`."""

    def __init__(self, config: JanusConfig, secrets: Secrets, *, timeout_s: float = 10.0) -> None:
        """No I/O. `timeout_s` bounds each question; a verb asks one to five."""
        self._config = config
        self._secrets = secrets
        self._timeout_s = timeout_s
        self._places = asyncio.Semaphore(config.concurrency)
        self._http = httpx2.AsyncClient(
            timeout=httpx2.Timeout(timeout_s, connect=min(CONNECT_SECONDS_MAX, timeout_s)),
            limits=httpx2.Limits(max_connections=config.concurrency),
            trust_env=False,  # the address in the configuration is the one that is called
        )
        self._listing = asyncio.Lock()
        self._coming: asyncio.Task[dict[str, Listed]] | None = None
        self._listings: set[asyncio.Task[dict[str, Listed]]] = set()
        self._health = Health("", "")
        self._permanent: bool | None = None

    # --- the port ------------------------------------------------------------------------------------------------

    async def ensure(self, wanted: WantedVmr) -> Ensured | AliasTaken:
        """Find the room by its alias, else make it; bring it to the wanted PIN, title and phase.

        CLOSED: a room that is there is destroyed, which ends every call in it at once, and made anew with the shut PIN.
        Raises `Unavailable`, `Refused` (the message names the setting) and `TheirMistake`.
        """
        adopted: str | None = None
        for _ in range(ROUNDS_MAX):
            if not await self._exists(wanted.alias) and await self._create(wanted):
                return Ensured(adopted)
            found = await self._description_of(wanted.alias)
            if found is None:
                continue
            marker = mapping.marker_of(found, wanted.alias)
            if marker is None:
                return AliasTaken(found[:FOUND_CHARS_MAX])
            adopted = adopted or marker
            if wanted.phase is Phase.CLOSED:
                await self._destroy(wanted.alias)
            elif await self._edit(wanted, found):
                return Ensured(adopted)
        raise self._restless(wanted.alias)

    async def retire(self, alias: Alias) -> None:
        """Destroy the room if it is there and ours.

        Raises `Unavailable`, `Refused` and `TheirMistake`.
        """
        if not await self._exists(alias):
            return
        found = await self._description_of(alias)
        if found is not None and mapping.marker_of(found, alias) is not None:
            await self._destroy(alias)

    async def survey(self) -> tuple[FoundVmr, ...]:
        """Every room under our marker, with its phase and the number of people in it.

        Raises `Unavailable`, `Refused` and `TheirMistake`.
        """
        found = (mapping.found_vmr(listed) for listed in (await self._rooms()).values())
        return tuple(vmr for vmr in found if vmr is not None)

    async def probe(self) -> Health:
        """Read the beacon, light it where there is none: another one than last time means that Janus has restarted.

        Raises `Unavailable`, `Refused` and `TheirMistake`; a wrong secret or setting is named.
        """
        instance = await self._read_beacon()
        if instance != self._health.instance:
            await self._check_private_rooms_listed()
            self._health = Health(instance, await self._who())
        return Health(instance, f"{self._health.text}{self._keeps_rooms()}")

    def door(self, wanted: WantedVmr) -> Door:
        """The room's facts for the built-in client; nothing when no `client_url` is configured."""
        if not self._config.client_url:
            return Door("none")
        return Door("janus", self._config.client_url, wanted.alias, self._secrets.client_secret)

    async def close(self) -> None:
        """Let go of connections."""
        for task in tuple(self._listings):
            task.cancel()
        await self._http.aclose()

    # --- rooms ---------------------------------------------------------------------------------------------------

    async def _create(self, wanted: WantedVmr) -> bool:
        """True when it was made now, False when something has this id already."""
        request = mapping.create(wanted, self._secrets.room_key, self._secrets.admin_key)
        made = await self._ask(request)
        if made.error_code not in (0, mapping.ROOM_EXISTS):
            raise mapping.refusal(made, self._config.id)
        return made.error_code == 0

    async def _edit(self, wanted: WantedVmr, found: str) -> bool:
        """False when the room has vanished."""
        return await self._with_secret(mapping.edit(wanted, self._secrets.room_key, found), wanted.alias)

    async def _destroy(self, alias: Alias) -> None:
        await self._with_secret(mapping.destroy(alias, self._secrets.room_key), alias)

    async def _with_secret(self, request: Request, alias: Alias) -> bool:
        answer = await self._ask(request)
        if answer.error_code not in (0, mapping.NO_SUCH_ROOM):
            raise mapping.refusal(answer, self._config.id, alias)
        return answer.error_code == 0

    async def _exists(self, alias: Alias) -> bool:
        return (await self._ask(mapping.exists(alias))).exists

    async def _description_of(self, alias: Alias) -> str | None:
        listed = (await self._rooms()).get(alias)
        return None if listed is None else listed.description

    async def _rooms(self) -> dict[str, Listed]:
        """All rooms by id, listed after this call began. Whoever waits for the next listing shares it.

        Janus can't show a single room, and a listing costs about 30 µs a room: shared, bringing a thousand rooms back
        costs a few dozen listings instead of a thousand.
        """
        if self._coming is None:
            self._coming = asyncio.create_task(self._list_rooms())
            self._listings.add(self._coming)
            self._coming.add_done_callback(self._listing_done)
        return await asyncio.shield(self._coming)

    async def _list_rooms(self) -> dict[str, Listed]:
        async with self._listing:
            self._coming = None  # whoever asks from here on may need to see what this listing misses
            answer = await self._ask(mapping.list_rooms(self._secrets.admin_key))
        if answer.error_code:
            raise mapping.refusal(answer, self._config.id)
        return {str(listed.room): listed for listed in answer.rooms}

    def _listing_done(self, task: asyncio.Task[dict[str, Listed]]) -> None:
        self._listings.discard(task)
        if not task.cancelled():
            task.exception()  # looked at here, in case everybody who waited has been cancelled

    def _restless(self, alias: Alias) -> Unavailable:
        return Unavailable(
            "janus-restless",
            f"Bridge {self._config.id}: room {alias} came and went {ROUNDS_MAX} times while it was being set up. It is "
            "tried again by itself; if this repeats, look for another program that manages rooms on this Janus.",
        )

    # --- who answers ---------------------------------------------------------------------------------------------

    async def _read_beacon(self) -> str:
        key = self._secrets.admin_key
        for _ in range(ROUNDS_MAX):
            read = await self._ask(mapping.read_beacon(key))
            if read.error_code == 0 and read.allowed:
                return read.allowed[0]
            if read.error_code not in (0, mapping.NO_SUCH_ROOM):
                raise mapping.refusal(read, self._config.id, mapping.BEACON)
            instance = secrets.token_hex(8)
            lit = await self._ask(mapping.light_beacon(key, instance))
            if lit.error_code == 0:
                return instance
            if lit.error_code != mapping.ROOM_EXISTS:
                raise mapping.refusal(lit, self._config.id)
        raise self._restless(Alias(mapping.BEACON))

    async def _check_private_rooms_listed(self) -> None:
        if mapping.BEACON in await self._rooms():
            return
        raise Refused(
            "janus-admin-key",
            f"Bridge {self._config.id}: Janus does not list its private rooms. Set admin_key in "
            "janus.plugin.videoroom.jcfg to the bridge's admin_key and restart Janus.",
        )

    async def _who(self) -> str:
        info = mapping.info_of(
            await self._post({"janus": "info", "transaction": secrets.token_hex(6)}), self._config.id
        )
        return f"Janus {info.version_string} “{info.server_name}” answers"

    def _keeps_rooms(self) -> str:
        match self._permanent:
            case None:
                return "."
            case True:
                return "; open rooms outlive its restart."
            case False:
                return (
                    "; open rooms die with it, because it cannot write janus.plugin.videoroom.jcfg. They are made "
                    "again after a restart, and nobody gets in before that: make the file writable for Janus."
                )

    def _note_permanence(self, answer: Response) -> None:
        if answer.permanent is None or answer.permanent == self._permanent:
            return
        self._permanent = answer.permanent
        if not answer.permanent:
            log.warning(
                "bridge.rooms_not_permanent", bridge=self._config.id, file="janus.plugin.videoroom.jcfg"
            )

    # --- the wire ------------------------------------------------------------------------------------------------

    async def _ask(self, request: Request) -> Response:
        body = await self._post(
            {
                "janus": "message_plugin",
                "transaction": secrets.token_hex(6),
                "admin_secret": self._secrets.admin_secret,
                "plugin": mapping.PLUGIN,
                "request": request,
            }
        )
        answer = mapping.response_of(body, self._config.id)
        if request.get("permanent"):
            self._note_permanence(answer)
        return answer

    async def _post(self, message: Request) -> bytes:
        content = _encode(message)
        try:
            async with self._places, asyncio.timeout(self._timeout_s):
                answer = await self._send(content)
        except (TimeoutError, httpx2.TimeoutException):
            raise Unavailable(
                "janus-silent",
                f"Bridge {self._config.id}: Janus at {self._config.admin_url} did not answer within "
                f"{self._timeout_s:g} s. It is asked again by itself; check that Janus is not stuck.",
            ) from None
        except httpx2.InvalidURL as error:
            raise mapping.not_janus(self._config.id, str(error)) from None
        except httpx2.HTTPError as error:
            raise Unavailable(
                "janus-away",
                f"Bridge {self._config.id}: Janus at {self._config.admin_url} cannot be reached ({error}). It is asked "
                "again by itself; check that Janus runs and that admin_url is right.",
            ) from None
        return self._body(answer)

    async def _send(self, content: bytes) -> httpx2.Response:
        headers = {"content-type": "application/json"}
        try:
            return await self._http.post(self._config.admin_url, content=content, headers=headers)
        except (httpx2.ReadError, httpx2.RemoteProtocolError, httpx2.WriteError):
            # A kept connection that died with the former Janus. Every question of ours may be asked twice.
            return await self._http.post(self._config.admin_url, content=content, headers=headers)

    def _body(self, answer: httpx2.Response) -> bytes:
        if answer.status_code == httpx2.codes.OK:
            return answer.content
        told = f"HTTP {answer.status_code} at {self._config.admin_url}"
        if answer.status_code >= httpx2.codes.INTERNAL_SERVER_ERROR:
            raise Unavailable(
                "janus-away",
                f"Bridge {self._config.id}: {told}. It is asked again by itself; check what stands in front of Janus.",
            )
        raise mapping.not_janus(self._config.id, told)
