"""Join links: an invitation of each platform names its way in, and no text makes the search slow or fall."""

import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meetkeeper.core.configuration import ClusterConfig, Config, LinkRule, LinksConfig
from meetkeeper.core.link_rules import FACTS, RULES
from meetkeeper.core.links import Finder, Source, rule_problem
from meetkeeper.core.linktext import UNWRAPPED_MAX, unwrapped
from meetkeeper.core.patterns import WAYS_MAX, BadPattern, compiled
from meetkeeper.core.words import Foreign

INVITATIONS = sorted((Path(__file__).parent / "links").glob("*.txt"))
HOSTILE_CHARS = 100_000
SLOWEST_S = 5.0
"""For 100 kB of the worst text; a pattern that goes back and forth would take hours."""
BUILT_IN = Finder()


class Invitation(msgspec.Struct):
    """One file of `tests/core/links`: what is wanted, and where it stands."""

    wanted: dict[str, str]
    sources: list[Source]


def read(path: Path) -> Invitation:
    """What is wanted, fields made for links and a location, the body: three parts between lines of dashes."""
    wanted, fields, body = path.read_text(encoding="utf-8").split("---\n", 2)
    sources = [
        Source(name, text)
        for name, _, text in (line.partition(": ") for line in fields.splitlines())
        if name in ("link", "location")
    ]
    facts = (line.partition(":") for line in wanted.splitlines())
    return Invitation({name: value.strip() for name, _, value in facts}, [*sources, Source("body", body)])


def configured(links: LinksConfig) -> Finder:
    """A finder for these words of the configuration."""
    return Finder(Config(cluster=ClusterConfig(secret="x" * 32, sip_domain="vc.example.org"), links=links))


def found_in(finder: Finder, text: str) -> Foreign:
    """The way in that the text names."""
    foreign = finder.search([Source("body", text)]).foreign
    assert foreign is not None
    return foreign


@pytest.mark.parametrize("path", INVITATIONS, ids=lambda path: path.stem)
def test_an_invitation_names_its_way_in(path: Path) -> None:
    """Platform, address, dial string and the rule that found them are those that the invitation means."""
    invitation = read(path)
    foreign = BUILT_IN.search(invitation.sources).foreign
    told = foreign or Foreign(platform="", url="", rule="", source="")
    got = {"rule": told.rule, "platform": told.platform, "dial": told.dial, "url": told.url}
    assert got == invitation.wanted


def test_each_rule_has_an_invitation() -> None:
    """No row of the table is untried."""
    tried = {rule for path in INVITATIONS for rule in read(path).wanted["rule"].split("+")}
    assert {rule.name for rule in RULES} <= tried


def test_each_rule_keeps_to_the_patterns_that_never_take_long() -> None:
    """The built-in rows obey the bounds that people's own rules have to obey."""
    for rule in RULES:
        assert bool(rule.path) != bool(rule.word), rule.name
        compiled(rule.path or rule.word)
    assert len({rule.name for rule in RULES}) == len(RULES)


FLOODS = {
    "letters": "a",
    "digits": "1",
    "addresses": "1@",
    "links": "https://a.zoom.us/j/1 ",
    "one link": "https://acme.zoom.us/j/",
    "tags": "<",
    "open links": "<https://",
    "entities": "&amp;",
    "double entities": "&amp;lt;",
    "spaces": " ",
    "folds": "\n ",
    "folded links": "https://a.example/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\n ",
    "quoted": "=3D",
    "soft breaks": "=\n",
    "hrefs": '<a href="',
    "scripts": "<script>",
    "colons": ":",
    "facts": "passcode : ",
    "fact digits": "vtc conference id: 1",
    "hashes": "1.1.1.1##",
    "dots": "1.",
    "wrapped": "https://x.safelinks.protection.outlook.com/?url=",
}


@pytest.mark.parametrize("flood", FLOODS, ids=str)
def test_no_text_makes_the_search_slow(flood: str) -> None:
    """100 kB of the worst words take no longer than a large text does."""
    text = FLOODS[flood] * (HOSTILE_CHARS // len(FLOODS[flood]))
    for body in (text, f"<html>{text}", f"<p>https://{text}"):
        before_s = time.process_time()
        BUILT_IN.search([Source("location", text[:1_000]), Source("body", body)])
        assert time.process_time() - before_s < SLOWEST_S


@pytest.mark.parametrize("rule", [*(rule.path or rule.word for rule in RULES), *FACTS.values()])
def test_each_pattern_is_linear_in_its_word(rule: str) -> None:
    """Ten times the text costs about ten times the work for each pattern alone, whatever repeats in it."""
    pattern = compiled(rule) if rule not in FACTS.values() else compiled(rule.replace("^", ""))
    for seed in (
        "a",
        "1",
        "/",
        ".",
        "a.",
        "1.1.1.1",
        "-",
        "a@",
        "/teams/1",
        "passcode" + " ",
        "video id:" + " 1 ",
    ):
        word = seed * (HOSTILE_CHARS // len(seed))
        before_s = time.process_time()
        pattern.match(word)
        assert time.process_time() - before_s < 1.0


@given(st.text(max_size=400), st.text(max_size=100))
def test_any_text_is_searched(body: str, location: str) -> None:
    """Whatever stands in an invitation, the search ends with an answer."""
    seen = BUILT_IN.search([Source("link", body), Source("location", location), Source("body", body)])
    assert seen.foreign is None or seen.foreign.platform


def test_wrappings_are_undone_so_many_times() -> None:
    """An address wrapped several times is found; one wrapped without end costs a bound number of steps."""
    url = inner = "https://meet.google.com/abc-defg-hij"
    for _ in range(UNWRAPPED_MAX):
        url = f"https://nam02.safelinks.protection.outlook.com/?url={quote(url, safe='')}&data=05"
    assert unwrapped(url) == inner
    more = f"https://nam02.safelinks.protection.outlook.com/?url={quote(url, safe='')}&data=05"
    assert "safelinks" in unwrapped(more)
    assert unwrapped("https://urldefense.com/v3/__https://meet.google.com/abc-defg-hij__;!!Ab!x$") == inner


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+",
        "(a|b)*c",
        "(?:ab){2,}",
        "(?=a)b",
        "(?<!a)b",
        r"(a)\1",
        "(?P=x)",
        "a**",
        "a+?",
        "a{2}{3}",
        "*a",
        "^a",
        "a$",
        "[a",
        "[a-z&&[b]]",
        "(a",
        "a)",
        "\\",
        r"\q",
        "a{3,2}",
        "x" * 600,
        "(a|b)" * 7,
        "(a)?" * 7,
        "(?i)a",
        "(?#no)",
        r"\b*",
    ],
)
def test_a_pattern_that_may_take_long_is_refused(pattern: str) -> None:
    """Repeated groups, references back, looking around and too many ways through are refused with a sentence."""
    with pytest.raises(BadPattern, match=r"\.$|\w$"):
        compiled(pattern)


def test_a_pattern_gives_nothing_back() -> None:
    """A repetition takes all it can; alternatives are tried in turn, and so many ways are allowed."""
    assert compiled("a+b").match("aaab")
    assert compiled("[a-z.]+com").match("a.com") is None
    assert compiled("(?:zoom|web)ex").match("WEBEX")
    assert compiled("(a|b)" * 6).match("abbaab")
    assert WAYS_MAX == 2**6


@given(st.text(alphabet="ab(|)?*+[]{}1,2\\dP<x>:=!^$.", max_size=14), st.text(alphabet="ab1.", max_size=30))
def test_any_pattern_is_refused_or_works(pattern: str, text: str) -> None:
    """Whatever stands in the configuration is a pattern or a sentence about why not."""
    with suppress(BadPattern):
        compiled(pattern).match(text)


def test_own_rules_come_in_their_order() -> None:
    """An own rule finds what the table does not know; with a lower number it comes before the table."""
    own = LinkRule(
        name="intranet",
        platform="studio",
        pattern=r"https://video\.example\.org/room/(?P<room>\d+)",
        dial="{room}.{site}@video.example.org",
    )
    finder = configured(LinksConfig(rules=(own,)))
    foreign = found_in(finder, "Join: https://video.example.org/room/42?site=oslo now")
    assert (foreign.platform, foreign.dial, foreign.rule) == (
        "studio",
        "42.oslo@video.example.org",
        "intranet",
    )
    word = LinkRule(
        name="short", platform="studio", pattern=r"studio-(\d+)@example\.org", word=True, dial="{1}@v.example"
    )
    assert found_in(configured(LinksConfig(rules=(word,))), "see studio-7@example.org").dial == "7@v.example"
    literal = LinkRule(name="mine", platform="zoom-rooms", literal="zoom.us/j/", priority=1)
    text = "https://acme.zoom.us/j/98765432101"
    assert found_in(configured(LinksConfig(rules=(literal,))), text).rule == "mine"
    assert found_in(BUILT_IN, text).rule == "zoom"


@pytest.mark.parametrize(
    "rule",
    [
        LinkRule(name="a", platform="a"),
        LinkRule(name="a", platform="a", pattern="x", literal="x"),
        LinkRule(name="a", platform="a", pattern="(a+)+"),
        LinkRule(name="a", platform="a", pattern="(a)", dial="{1"),
    ],
)
def test_a_bad_own_rule_is_told_and_finds_nothing(rule: LinkRule) -> None:
    """An own rule that is refused has a sentence about why, and does not keep the others from finding."""
    assert rule_problem(rule)
    assert found_in(configured(LinksConfig(rules=(rule,))), "https://meet.jit.si/a").platform == "jitsi"


def test_gateways_and_domains_make_links_dialable() -> None:
    """Where the configuration names a gateway or a bridge's SIP domain, the dial string goes there."""
    finder = configured(
        LinksConfig(gateways={"meet": "gw.example.org"}, sip_domains={"join.example.com": "sip.example.com"})
    )
    assert found_in(finder, "https://meet.google.com/abc-defg-hij").dial == "abc-defg-hij@gw.example.org"
    assert found_in(finder, "https://join.example.com/webapp/conference/ada").dial == "ada@sip.example.com"


def test_our_own_doors_are_not_foreign() -> None:
    """The address of our join page and our SIP domain are never taken for somebody else's."""
    finder = configured(LinksConfig(bare_numbers=True))
    for text in (
        "http://127.0.0.1:8080/join/abc",
        "sip:abcdefghij@vc.example.org",
        "12345678@vc.example.org",
    ):
        assert finder.search([Source("body", text)]).foreign is None


def test_colleagues_mailboxes_are_not_dialled() -> None:
    """A number at an internal domain is a mailbox, at any other something to dial, if that is wanted at all."""
    text = "Call 12345@example.org or 67890@vc.example.com"
    assert configured(LinksConfig()).search([Source("body", text)]).foreign is None
    some = LinksConfig(bare_numbers=True, internal_domains=("Example.org",))
    assert found_in(configured(some), text).dial == "67890@vc.example.com"


def test_links_that_no_rule_knows_are_told() -> None:
    """What looks like a link and fits no rule is named, so that a rule can be written."""
    seen = BUILT_IN.search([Source("body", "https://new.example/room/1 and https://meet.jit.si/a")])
    assert seen.unmatched == ("https://new.example/room/1",)
