"""Finding the way in that an invitation to somebody else's platform names: a link to open, a string to dial.

Order of trust: fields made for links, then the location, then the body. The first source in which a rule fits decides;
within it the rule's priority, then the longer address. What a link lacks to be dialled (a passcode, a conference ID, a
gateway's address) is completed from the other sources, of the same platform alone. Rules of last resort (`sip:` and the
like) count only where nothing else fits anywhere. Our own doors are never foreign.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from urllib.parse import urlsplit

from msgspec import Struct

from meetkeeper.core.configuration import Config, LinkRule
from meetkeeper.core.link_rules import FACTS, LAST_RESORT, NEEDS_INTERNAL_DOMAINS, RULES, Rule
from meetkeeper.core.linktext import Word, lines_of, parameters, words_of
from meetkeeper.core.patterns import BadPattern, compiled
from meetkeeper.core.words import Entry, Foreign

UNMATCHED_MAX = 10
_FIELD = re.compile(r"\{([a-zA-Z0-9_]+)(@sip_domain)?\}")


class Source(Struct, frozen=True, gc=False):
    """Where to look: `name` is link, location or body."""

    name: str
    text: str


class Seen(Struct, frozen=True, gc=False):
    """What a search found: the way in, or none, and links that no rule knows."""

    foreign: Foreign | None
    unmatched: tuple[str, ...] = ()


class _Match(Struct, frozen=True, gc=False):
    rule: Rule
    word: Word
    source: str
    fields: Mapping[str, str]


class _Ready(Struct, frozen=True):
    """A rule with its pattern compiled; `literal` stands for a pattern."""

    rule: Rule
    pattern: re.Pattern[str] | None
    literal: str = ""
    whole: bool = False
    """The pattern is tried on the whole link, not on its path."""


class Finder:
    """The rules of one configuration, ready to be used."""

    def __init__(self, config: Config | None = None) -> None:
        """Without a configuration: the built-in rules. An own rule that is refused (`rule_problem`) finds nothing."""
        links = None if config is None else config.links
        self._bare = links is None or links.bare_numbers
        self._gateways = {} if links is None else links.gateways
        self._sip_domains = {} if links is None else links.sip_domains
        self._internal = frozenset() if links is None else frozenset(map(str.lower, links.internal_domains))
        self._own = frozenset() if config is None else _own_places(config)
        own = [] if links is None else [_ready(rule) for rule in links.rules if not rule_problem(rule)]
        self._rules = sorted([*own, *_builtin()], key=lambda ready: ready.rule.priority)
        self._facts = {name: compiled(pattern) for name, pattern in FACTS.items()}

    def search(self, sources: Iterable[Source]) -> Seen:
        """The way in that these sources name, the most trusted first."""
        words = [(source.name, word) for source in sources for word in words_of(source.text)]
        groups: dict[str, list[_Match]] = {}
        unmatched: dict[str, None] = {}
        for name, word in words:
            matches = self._matches(name, word)
            if matches:
                groups.setdefault(name, []).extend(matches)
            elif word.host and word.host not in self._own:
                unmatched[word.text] = None
        unknown = tuple(unmatched)[:UNMATCHED_MAX]
        found = [match for group in groups.values() for match in group]
        if not found:
            return Seen(None, unknown)
        for group in groups.values():
            sound = [match for match in group if match.rule.priority < LAST_RESORT]
            if sound:
                return Seen(self._foreign(min(sound, key=_rank), found, sources), unknown)
        return Seen(self._foreign(min(found, key=_rank), found, sources), unknown)

    def _matches(self, source: str, word: Word) -> list[_Match]:
        host, place = word.host, ""
        query: dict[str, str] = {}
        if word.is_web:
            if not host or host in self._own:
                return []
            split = urlsplit(word.text)
            route, _, routed = split.fragment.partition("?")
            place = split.path + (f"#{route}" if route else "")
            query = {**parameters(routed), **parameters(split.query)}
        elif word.rest.rpartition("@")[2].partition(";")[0].lower() in self._own:
            return []
        found: list[_Match] = []
        for ready in self._rules:
            if word.is_web:
                fields = _on_link(ready, word, (host, place, query))
            else:
                fields = self._on_word(ready, word)
            if fields is not None:
                found.append(_Match(ready.rule, word, source, {**fields, **self._places(host, ready.rule)}))
        return found

    def _on_word(self, ready: _Ready, word: Word) -> dict[str, str] | None:
        rule = ready.rule
        if not rule.word or (
            word.scheme not in rule.only if rule.only else word.scheme not in ("", "sip", "sips")
        ):
            return None
        fields = _tried(ready, word.rest)
        if fields is not None and rule.name == NEEDS_INTERNAL_DOMAINS:
            internal = fields.get("domain", "").rstrip(".").lower() in self._internal
            return None if internal or not self._bare else fields
        return fields

    def _places(self, host: str, rule: Rule) -> dict[str, str]:
        places = {"host": host, "sip_domain": self._sip_domains.get(host, host)} if host else {}
        gateway = self._gateways.get(rule.platform)
        return {**places, "gateway": gateway} if gateway else places

    def _foreign(self, best: _Match, found: list[_Match], sources: Iterable[Source]) -> Foreign:
        """The winner, completed by what others know of the same platform."""
        facts = self._facts_in(sources)
        same = [best, *sorted((one for one in found if one.rule.platform == best.rule.platform), key=_rank)]
        dial, rule = "", best.rule.name
        for match in same:
            dial = _dial(match, facts)
            if dial:
                rule = best.rule.name if match.rule is best.rule else f"{best.rule.name}+{match.rule.name}"
                break
        url = next((match.word.text for match in same if match.word.is_web), "")
        return Foreign(platform=best.rule.platform, url=url, rule=rule, source=best.source, dial=dial)

    def _facts_in(self, sources: Iterable[Source]) -> dict[str, str]:
        facts: dict[str, str] = {}
        for source in sources:
            if source.name == "body" and ":" in source.text:
                for line in lines_of(source.text):
                    for name, pattern in self._facts.items():
                        match = None if name in facts or len(line) > 200 else pattern.match(line)
                        if match is not None:
                            facts[name] = match[1].replace(" ", "")
        return facts


_known: tuple[Config | None, Finder | None] = (None, None)


def finder_for(config: Config) -> Finder:
    """The rules of this configuration; remembered for the one asked for last, which is nearly always the same."""
    global _known  # noqa: PLW0603 - a memory of one answer; the answer depends on the argument alone
    known, finder = _known
    if finder is None or known is not config:
        finder = Finder(config)
        _known = (config, finder)
    return finder


def rule_problem(rule: LinkRule) -> str:
    """What is wrong with an own rule, as a sentence; "" when nothing is."""
    if bool(rule.pattern) == bool(rule.literal):
        return "Give a pattern or a literal, one of the two."
    try:
        if rule.pattern:
            compiled(rule.pattern)
    except BadPattern as refused:
        return str(refused)
    rest = _FIELD.sub("", rule.dial)
    if "{" in rest or "}" in rest:
        return "In a dial string, curly brackets hold the name or number of a group: {room}, {1}."
    return ""


def sources_of(entry: Entry) -> list[Source]:
    """Where an entry may name a way in, the most trusted first."""
    links = [Source("link", link) for link in entry.links]
    return [*links, Source("location", entry.location), Source("body", entry.description)]


def _rank(match: _Match) -> tuple[int, int]:
    return match.rule.priority, -len(match.word.text)


def _on_link(ready: _Ready, word: Word, place: tuple[str, str, dict[str, str]]) -> dict[str, str] | None:
    """The fields of a link that the rule knows."""
    host, path, query = place
    rule = ready.rule
    if ready.whole:
        fields = _tried(ready, word.text)
        return None if fields is None else {**query, **fields}
    if not rule.path or (
        rule.hosts and not any(host == one or host.endswith(f".{one}") for one in rule.hosts)
    ):
        return None
    if any(name not in query for name in rule.needs):
        return None
    fields = _tried(ready, path)
    return None if fields is None else {**query, **fields}


def _tried(ready: _Ready, text: str) -> dict[str, str] | None:
    if ready.pattern is None:
        return {} if ready.literal in text.lower() else None
    match = ready.pattern.match(text)
    if match is None:
        return None
    numbered = {str(number): value for number, value in enumerate(match.groups(), 1) if value}
    return {**numbered, **{name: value for name, value in match.groupdict().items() if value}}


def _dial(match: _Match, facts: Mapping[str, str]) -> str:
    """The first template whose fields are all known; "" when there is none."""
    known = {**facts, **match.fields}
    for template in match.rule.dials:
        if all(
            known.get(name) and (not domain or known.get("sip_domain"))
            for name, domain in _FIELD.findall(template)
        ):
            text = _FIELD.sub(lambda field: _filled(field, known), template)
            if not any(char.isspace() or ord(char) < 32 for char in text):
                return text.rstrip(".")
    return ""


def _filled(field: re.Match[str], known: Mapping[str, str]) -> str:
    value = known[field[1]]
    return f"{value}@{known['sip_domain']}" if field[2] and "@" not in value else value


def _own_places(config: Config) -> frozenset[str]:
    """Hosts and domains of our own doors."""
    web = (urlsplit(config.cluster.public_url).hostname or "").lower()
    return frozenset({web, config.cluster.sip_domain.lower()} - {""})


@lru_cache(maxsize=1)
def _builtin() -> tuple[_Ready, ...]:
    return tuple(_Ready(rule, compiled(rule.path or rule.word)) for rule in RULES)


def _ready(own: LinkRule) -> _Ready:
    rule = Rule(
        name=own.name,
        platform=own.platform,
        priority=own.priority,
        word="." if own.word else "",
        dials=(own.dial,) if own.dial else (),
    )
    pattern = compiled(own.pattern) if own.pattern else None
    return _Ready(rule, pattern, own.literal.lower(), whole=not own.word)
