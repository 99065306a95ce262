"""Picks the adapters. The only place that knows which code stands behind a word of the configuration."""

from functools import partial
from typing import assert_never
from urllib.parse import urlsplit

from meetkeeper.app.configfile import reveal
from meetkeeper.app.exchangerooms import ExchangeRooms
from meetkeeper.app.graphrooms import GraphRooms
from meetkeeper.bridges.janus.client import JanusBridge, Secrets
from meetkeeper.bridges.link.client import LinkBridge
from meetkeeper.calendars.caldav.client import CaldavSource
from meetkeeper.calendars.caldav.server import CaldavServer
from meetkeeper.calendars.ics.client import IcsSource
from meetkeeper.core.configuration import (
    BridgeConfig,
    CaldavCalendar,
    Config,
    ExchangeCalendar,
    GraphCalendar,
    IcsCalendar,
    NoCalendar,
)
from meetkeeper.core.configuration import JanusBridge as JanusConfig
from meetkeeper.core.configuration import LinkBridge as LinkConfig
from meetkeeper.core.words import RoomId
from meetkeeper.engine.neighbours import NamedBridge, Neighbours, RoomCalendar
from meetkeeper.itemtext.roomitem import room_item
from meetkeeper.mail.compose import compose
from meetkeeper.mail.smtp import SmtpMailer
from meetkeeper.mail.templates import Templates
from meetkeeper.ports.calendar import CalendarSource

LINK_CONCURRENCY = 256
LINK_RECONCILE_S = 3_600.0


def build_neighbours(config: Config) -> Neighbours:
    """Everybody the configuration names. No I/O. Raises `TheirMistake` for a secret that can't be had."""
    templates = Templates(config.mail.templates)
    return Neighbours(
        calendars=_calendars(config),
        bridges=tuple(_bridge(one, config) for one in config.bridges),
        mailer=build_mailer(config),
        compose=partial(compose, templates=templates),
        item_text=room_item,
    )


def _calendars(config: Config) -> tuple[RoomCalendar, ...]:
    """Rooms on one server share its connections and its patience."""
    graph, mailboxes = GraphRooms(config), ExchangeRooms(config)
    servers: dict[str, CaldavServer] = {}
    emails = frozenset(room.email.lower() for room in config.rooms if room.email)
    found: list[RoomCalendar] = []
    for room in config.rooms:
        source: CalendarSource
        name: str
        shared_by: str
        match room.calendar:
            case NoCalendar():
                continue
            case CaldavCalendar() as caldav:
                password = "" if caldav.password is None else reveal(caldav.password)
                place = urlsplit(caldav.url)
                shared_by = f"{place.scheme}://{place.netloc}"
                server = servers.setdefault(shared_by, CaldavServer(caldav.url))
                name, source = (
                    caldav.url,
                    CaldavSource(
                        caldav, password, server=server, own_email=room.email.lower(), room_emails=emails
                    ),
                )
            case IcsCalendar() as ics:
                own, shared_by = room.email.lower(), "folders"
                name, source = ics.folder, IcsSource(ics, own_email=own, room_emails=emails)
            case ExchangeCalendar() as exchange:
                shared_by = exchange.server
                name, source = mailboxes.room(room, exchange)
            case GraphCalendar() as boxed:
                shared_by = boxed.server
                name, source = graph.room(room, boxed)
            case _ as never:
                assert_never(never)
        found.append(RoomCalendar(RoomId(room.id), name, source, room.calendar.poll_s, shared_by))
    return tuple(found)


def _bridge(bridge: BridgeConfig, config: Config) -> NamedBridge:
    match bridge:
        case JanusConfig():
            secrets = Secrets(
                admin_secret=reveal(bridge.admin_secret),
                admin_key=reveal(bridge.admin_key),
                room_key=config.cluster.secret,
                client_secret="" if bridge.client_secret is None else reveal(bridge.client_secret),
            )
            return NamedBridge(
                bridge.id, "janus", JanusBridge(bridge, secrets), bridge.concurrency, bridge.reconcile_s
            )
        case LinkConfig():
            return NamedBridge(bridge.id, "link", LinkBridge(bridge), LINK_CONCURRENCY, LINK_RECONCILE_S)
        case _ as never:
            assert_never(never)


def build_mailer(config: Config) -> SmtpMailer | None:
    """The mail server, if one is configured. No I/O. Raises `TheirMistake` for a password that can't be had."""
    mail = config.mail
    if not mail.host:
        return None
    return SmtpMailer(mail, None if mail.password is None else reveal(mail.password))
