"""Rooms in Microsoft 365 as the configuration names them: one client for each server, one source for each room.

Part of `wiring`. Files named in the configuration are read here, so that adapters see values only.
"""

import time
from pathlib import Path
from ssl import SSLContext, SSLError, create_default_context
from urllib.parse import urlsplit

from meetkeeper.app.configfile import reveal
from meetkeeper.calendars.graph.client import GraphClient
from meetkeeper.calendars.graph.mapping import Reader
from meetkeeper.calendars.graph.notices import Notices, Post
from meetkeeper.calendars.graph.source import GraphSource
from meetkeeper.calendars.graph.token import App, CertificateCredential, Credential, SecretCredential, Tokens
from meetkeeper.core.configuration import Config, GraphCalendar, GraphServer, RoomConfig
from meetkeeper.core.errors import TheirMistake
from meetkeeper.core.notices import word_of
from meetkeeper.core.words import RoomId


class GraphRooms:
    """Makes sources. Rooms on one server share its token, its connections and its patience."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._servers = {one.id: one for one in config.calendar_servers if isinstance(one, GraphServer)}
        self._clients: dict[str, GraphClient] = {}
        self._emails = frozenset(room.email.lower() for room in config.rooms if room.email)

    def room(self, room: RoomConfig, calendar: GraphCalendar) -> tuple[str, GraphSource]:
        """(name, source) of a room. Raises `TheirMistake` for a server, secret or file that can't be had."""
        server = self._servers.get(calendar.server)
        if server is None:
            raise TheirMistake(
                "config",
                f"There is no calendar server {calendar.server!r} of kind graph. Configure one.",
            )
        client = self._clients.get(server.id)
        if client is None:
            client = self._clients[server.id] = graph_client(server)
        mailbox = (calendar.mailbox or room.email).lower()
        reader = Reader(
            mailbox=mailbox,
            own_email=room.email.lower(),
            room_emails=self._emails,
            zone=room.time_zone or self._config.cluster.time_zone,
        )
        source = GraphSource(
            calendar,
            client,
            reader,
            horizon_days=self._config.time.horizon_days,
            notices=Notices(client, mailbox, self._post(room)) if server.notify else None,
        )
        return f"{server.endpoint}#{mailbox}", source

    def _post(self, room: RoomConfig) -> Post:
        cluster = self._config.cluster
        url = f"{cluster.public_url.rstrip('/')}/notices/{room.id}"
        return Post(url, word_of(cluster.secret, RoomId(room.id)))


def graph_client(server: GraphServer) -> GraphClient:
    """The client of one server. No I/O but reading files. Raises `TheirMistake` for what can't be had."""
    place = urlsplit(server.endpoint)
    app = App(
        authority=server.authority,
        tenant=server.tenant,
        client_id=server.client_id,
        scope=f"{place.scheme}://{place.netloc}/.default",
    )
    tokens = Tokens(app, _credential(server), time.time)
    return GraphClient(server.endpoint, tokens, tls=_trust(server.ca_file))


def _credential(server: GraphServer) -> Credential:
    if server.client_secret is not None:
        return SecretCredential(reveal(server.client_secret))
    return CertificateCredential(server.client_id, _bytes(server.certificate_file), _bytes(server.key_file))


def _trust(file: str) -> SSLContext | None:
    if not file:
        return None
    try:
        return create_default_context(cafile=file)
    except (OSError, SSLError):
        raise TheirMistake("config", f"{file} holds no certificates in PEM. Correct ca_file.") from None


def _bytes(file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        why = error.strerror or "it can't be read"
        raise TheirMistake(
            "config", f"{file}: {why}. Correct the name, or let the server's user read it."
        ) from None
