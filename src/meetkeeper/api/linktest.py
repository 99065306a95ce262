"""Trying the rules for join links on an invitation: which rule finds what, with or without a server's configuration."""

from typing import Any

import msgspec
from msgspec import Struct

from meetkeeper.core.configuration import ClusterConfig, Config, LinksConfig
from meetkeeper.core.errors import TheirMistake
from meetkeeper.core.link_rules import RULES
from meetkeeper.core.links import Finder, Source, sources_of
from meetkeeper.core.words import CalendarItem, Foreign
from meetkeeper.itemtext.reading import Problem, read_item

BYTES_MAX = 4 * 1024 * 1024


class Tried(Struct, frozen=True, kw_only=True):
    """What was found in one invitation, or in one entry of a calendar item. `foreign` is None when nothing was."""

    of: str
    foreign: Foreign | None
    unmatched: tuple[str, ...]


class LinkTest(Struct, frozen=True, kw_only=True):
    """The answer. `rules` tells how many rules were tried; `own` how many of them are the configuration's."""

    rules: int
    own: int
    tried: tuple[Tried, ...]


def try_links(data: bytes, config: dict[str, Any] | None) -> LinkTest:
    """Search an invitation: an iCalendar object, or any text, HTML or raw mail. `config` is what `/config` shows.

    Raises `TheirMistake` for bytes that are no text, or too many, and for a calendar item that can't be read.
    """
    if len(data) > BYTES_MAX:
        raise TheirMistake("links.large", f"The invitation is larger than {BYTES_MAX:,} bytes. Cut it.")
    known = None if config is None else _config_of(config)
    finder = Finder(known)
    own = 0 if known is None else len(known.links.rules)
    if b"BEGIN:VCALENDAR" in data[:200]:
        tried = _tried_item(finder, data)
    else:
        seen = finder.search([Source("body", data.decode("utf-8", "replace"))])
        tried = (Tried(of="text", foreign=seen.foreign, unmatched=seen.unmatched),)
    return LinkTest(rules=len(RULES) + own, own=own, tried=tried)


def _tried_item(finder: Finder, data: bytes) -> tuple[Tried, ...]:
    item = read_item("invitation", data)
    if isinstance(item, Problem):
        raise TheirMistake("links.item", f"The calendar item can't be read. {item.sentence}")
    entries = [] if not isinstance(item, CalendarItem) else [item.master, *item.overrides]
    tried = []
    for entry in entries:
        if entry is not None:
            seen = finder.search(sources_of(entry))
            of = (
                "item"
                if entry.recurrence_id is None
                else f"occurrence of {entry.recurrence_id:%Y-%m-%d %H:%M}"
            )
            tried.append(Tried(of=of, foreign=seen.foreign, unmatched=seen.unmatched))
    return tuple(tried)


def _config_of(shown: dict[str, Any]) -> Config:
    """What the rules need of a configuration that is shown without its secrets."""
    cluster = shown.get("cluster", {})
    places = {name: cluster[name] for name in ("public_url", "sip_domain") if name in cluster}
    links = msgspec.convert(shown.get("links", {}), LinksConfig)
    return Config(cluster=ClusterConfig(secret="-" * 32, **places), links=links)
