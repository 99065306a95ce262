"""Makes the sources of Exchange rooms from the configuration. Used by `wiring` alone."""

from meetkeeper.app.configfile import reveal
from meetkeeper.calendars.exchange.client import ExchangeSource
from meetkeeper.calendars.exchange.server import EwsServer
from meetkeeper.calendars.exchange.terms import Secrets
from meetkeeper.core.configuration import Config, ExchangeCalendar, ExchangeServer, RoomConfig
from meetkeeper.core.errors import TheirMistake


class ExchangeRooms:
    """Makes sources. Rooms on one server share its sessions, its threads and its patience."""

    def __init__(self, config: Config) -> None:
        self._configured = {one.id: one for one in config.calendar_servers if isinstance(one, ExchangeServer)}
        self._servers: dict[str, EwsServer] = {}
        self._emails = frozenset(room.email.lower() for room in config.rooms if room.email)

    def room(self, room: RoomConfig, calendar: ExchangeCalendar) -> tuple[str, ExchangeSource]:
        """(name, source) of a room. Raises `TheirMistake` for a server or secret that can't be had."""
        server = self._server(calendar.server)
        mailbox = (calendar.mailbox or room.email).lower()
        source = ExchangeSource(
            calendar, mailbox, server=server, own_email=room.email.lower(), room_emails=self._emails
        )
        return f"{server.config.url}#{mailbox}", source

    def _server(self, name: str) -> EwsServer:
        if name not in self._servers:
            config = self._configured.get(name)
            if config is None:
                raise TheirMistake(
                    "config", f"There is no calendar server {name!r} of kind exchange. Configure one."
                )
            secrets = Secrets(
                password="" if config.password is None else reveal(config.password),
                client_secret="" if config.client_secret is None else reveal(config.client_secret),
            )
            self._servers[name] = EwsServer(config, secrets)
        return self._servers[name]
