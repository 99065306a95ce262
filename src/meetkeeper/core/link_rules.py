"""The platforms' join links as data: what an address looks like, and what a video system dials instead of it.

Every platform changes its invitations now and then, so this is a table and no code; `tests/core/links` has an
invitation for each row. Patterns are `core.patterns`' (a repetition gives nothing back) and are tried at the beginning
of the path, or of the word. `dials` are templates, the first one whose fields are all known is taken: groups of the
pattern, query parameters, `host`, `sip_domain` (configured for the host, else the host itself), `gateway` (configured
for the platform) and the facts below. No template that can be filled in: the link opens in a browser alone.
"""

from msgspec import Struct

LAST_RESORT = 150
"""Rules from this priority on count only where no other rule fits anything."""


class Rule(Struct, frozen=True, kw_only=True):
    """One row. `hosts` are domains, subdomains included; empty for any host. Lower priority numbers come first.

    `path` is tried on the path of an address that has the query parameters `needs`; `word` on anything between spaces,
    an address of mail or SIP without its scheme. Exactly one of the two is set. `only` demands a word's scheme.
    """

    name: str
    platform: str
    priority: int = 50
    hosts: tuple[str, ...] = ()
    path: str = ""
    needs: tuple[str, ...] = ()
    word: str = ""
    only: tuple[str, ...] = ()
    dials: tuple[str, ...] = ()


FACTS = {
    "passcode": r"(?:passcode|password|meeting password|meeting passcode|kenncode|kennwort|code secret|mot de passe"
    r"|código de acceso|passord|lösenord|adgangskode)\s*:\s*(?P<passcode>\d{4,10})\b",
    "conference": r"(?:vtc conference id|video conference id|vtc id|video id|conference id|videokonferenz-id"
    r"|videokonferens-id|videokonferanse-id|id de conférence vidéo)\s*:\s*(?P<conference>[\d ]{6,20})",
}
"""What stands on a line of its own: name → pattern, tried at the beginning of a line."""

_TEAMS = (
    "teams.microsoft.com",
    "teams.microsoft.us",
    "gov.teams.microsoft.us",
    "teams.live.com",
    "teams.cloud.microsoft",
)
_ZOOM = ("zoom.us", "zoom.com", "zoomgov.com", "zoom-x.de", "zoom.com.cn")
_LETTERS = "[a-z0-9._~%+-]"

RULES: tuple[Rule, ...] = (
    # --- Microsoft Teams, and the gateways by which video systems get in
    Rule(
        name="teams-pexip",
        platform="teams",
        priority=10,
        path=r"/teams/?",
        needs=("conf", "d"),
        dials=("{prefix}{conf}@{d}", "{conf}@{d}"),
    ),
    Rule(
        name="teams-pexip-me",
        platform="teams",
        priority=10,
        hosts=("pexip.me",),
        path=r"/teams/(?P<domain>[a-z0-9.-]+)/(?P<id>\d+)",
        dials=("{id}@{domain}",),
    ),
    Rule(
        name="teams-webex",
        platform="teams",
        priority=10,
        hosts=("webex.com",),
        path=r"/msteams\b",
        needs=("confid", "tenantkey"),
        dials=("{confid}.{tenantkey}@{domain}", "{confid}.{tenantkey}@m.webex.com"),
    ),
    Rule(
        name="teams-webex-text",
        platform="teams",
        priority=11,
        word=r"(?P<tenant>[a-z0-9-]+)@m\.webex\.com\b",
        dials=("{conference}.{tenant}@m.webex.com",),
    ),
    Rule(
        name="teams-poly",
        platform="teams",
        priority=11,
        word=r"(?P<tenant>[a-z0-9-]+)@(?P<domain>t\.plcm\.vc|teams\.bjn\.vc)\b",
        dials=("{tenant}.{conference}@{domain}",),
    ),
    Rule(
        name="teams",
        platform="teams",
        priority=20,
        hosts=_TEAMS,
        path=r"/(?:l/meetup-join/|meet/(?P<id>\d+)|_#/l/meetup-join/)",
        dials=("{id}@{gateway}",),
    ),
    # --- Zoom
    Rule(
        name="zoom-address",
        platform="zoom",
        priority=21,
        word=r"(?P<all>\d{9,12}(?:\.\d{4,10})?@(?:\w\w\.)?zoomcrc\.com)\b",
        dials=("{all}",),
    ),
    Rule(
        name="zoom",
        platform="zoom",
        priority=20,
        hosts=_ZOOM,
        path=r"/(?:j|w|s|wc/join)/(?P<id>\d{9,12})",
        dials=("{id}.{passcode}@zoomcrc.com", "{id}@zoomcrc.com"),
    ),
    Rule(name="zoom-personal", platform="zoom", priority=22, hosts=_ZOOM, path=r"/my/[a-z0-9._-]+"),
    # --- Webex
    Rule(
        name="webex-address",
        platform="webex",
        priority=21,
        word=r"(?P<all>[a-z0-9_-]+(?:\.[a-z0-9_-]+)?@(?:[a-z0-9-]+\.webex|lync\.webex)\.com)\b",
        dials=("{all}",),
    ),
    Rule(
        name="webex-personal",
        platform="webex",
        priority=20,
        hosts=("webex.com",),
        path=r"/(?:meet|join)/(?P<user>[a-z0-9._-]+)",
        dials=("{user}@{host}",),
    ),
    Rule(
        name="webex",
        platform="webex",
        priority=20,
        hosts=("webex.com",),
        path=r"/[a-z0-9._-]+/j\.php",
        needs=("MTID",),
    ),
    Rule(
        name="webex-app",
        platform="webex",
        priority=22,
        hosts=("webex.com",),
        path=r"/(?:webappng/sites/|wbxmjs/joinservice/)",
    ),
    # --- Google Meet
    Rule(
        name="meet",
        platform="meet",
        priority=20,
        hosts=("meet.google.com",),
        path=r"/(?P<id>[a-z]{3}-[a-z]{4}-[a-z]{3})\b",
        dials=("{id}@{gateway}",),
    ),
    # --- Pexip Infinity
    Rule(
        name="pexip-scheme",
        platform="pexip",
        priority=20,
        word=r"(?P<all>[^@\s]+@[a-z0-9.-]+)",
        only=("pexip",),
        dials=("{all}",),
    ),
    Rule(
        name="pexip-query",
        platform="pexip",
        priority=30,
        path=r"/webapp[23]?/",
        needs=("conference",),
        dials=("{conference@sip_domain}",),
    ),
    Rule(
        name="pexip",
        platform="pexip",
        priority=30,
        path=rf"/webapp[23]?/(?:conference|m|#/conference|\#/m)/(?P<alias>{_LETTERS}+(?:@[a-z0-9.-]+)?)",
        dials=("{alias@sip_domain}",),
    ),
    # --- Cisco Meeting Server
    Rule(
        name="cms-invited",
        platform="cms",
        priority=30,
        path=r"/invited\.sf",
        needs=("id",),
        dials=("{id}@{sip_domain}",),
    ),
    Rule(
        name="cms-index",
        platform="cms",
        priority=40,
        path=r"/index\.html",
        needs=("id", "secret"),
        dials=("{id}@{sip_domain}",),
    ),
    Rule(
        name="cms",
        platform="cms",
        priority=40,
        path=r"/(?:[a-z]{2}(?:-[a-z]{2})?/)?meeting/(?P<id>\d+)",
        needs=("secret",),
        dials=("{id}@{sip_domain}",),
    ),
    # --- Skype for Business, StarLeaf, Lifesize, BlueJeans
    Rule(
        name="skype-conference",
        platform="skype",
        priority=40,
        word=r"(?P<all>[^@\s;]+@[a-z0-9.-]+)",
        only=("conf:sip",),
    ),
    Rule(
        name="skype", platform="skype", priority=40, hosts=("meet.lync.com",), path=r"/[^/]+/[^/]+/[a-z0-9]+"
    ),
    Rule(
        name="starleaf",
        platform="starleaf",
        priority=30,
        word=r"(?P<all>\d{4,12}@(?:[a-z0-9-]+\.)?call\.sl)\b",
        dials=("{all}",),
    ),
    Rule(
        name="lifesize",
        platform="lifesize",
        priority=30,
        hosts=("call.lifesizecloud.com",),
        path=r"/(?P<id>\d+)",
        dials=("{id}@sip.lifesizecloud.com",),
    ),
    Rule(
        name="bluejeans",
        platform="bluejeans",
        priority=30,
        hosts=("bluejeans.com",),
        path=r"/(?:a2m/live-event/)?(?P<id>\d{6,})",
        dials=("{id}@bjn.vc",),
    ),
    # --- opened in a browser alone
    Rule(
        name="jitsi",
        platform="jitsi",
        priority=60,
        hosts=("meet.jit.si", "8x8.vc", "jitsi.member.fsf.org"),
        path=r"/[^/]+",
    ),
    Rule(
        name="bbb-greenlight",
        platform="bbb",
        priority=60,
        path=r"/(?:b|rooms)/[a-z0-9]{3}-[a-z0-9]{3}-[a-z0-9]{3}",
    ),
    Rule(name="bbb", platform="bbb", priority=60, path=r"/bigbluebutton/api/join", needs=("meetingID",)),
    Rule(
        name="gotomeeting",
        platform="goto",
        priority=60,
        hosts=("gotomeeting.com", "gotomeet.me", "meet.goto.com"),
        path=r"/(?:join/|[a-z0-9])",
    ),
    Rule(
        name="ringcentral",
        platform="ringcentral",
        priority=60,
        hosts=("v.ringcentral.com", "meetings.ringcentral.com"),
        path=r"/(?:j|join)/\d+",
    ),
    Rule(name="chime", platform="chime", priority=60, hosts=("chime.aws",), path=r"/\d+"),
    Rule(name="whereby", platform="whereby", priority=60, hosts=("whereby.com",), path=r"/[a-z0-9-]+"),
    Rule(name="livestorm", platform="livestorm", priority=60, hosts=("app.livestorm.co",), path=r"/p/"),
    Rule(
        name="opentalk",
        platform="opentalk",
        priority=60,
        hosts=("meet.opentalk.eu", "opentalk.eu"),
        path=r"/room/",
    ),
    Rule(name="slack", platform="slack", priority=60, hosts=("app.slack.com",), path=r"/huddle/"),
    Rule(name="discord", platform="discord", priority=60, hosts=("discord.gg",), path=r"/[a-z0-9]+"),
    # --- last resort: an address that says by itself that it can be dialled
    Rule(
        name="sip",
        platform="sip",
        priority=LAST_RESORT,
        word=r"(?P<all>[^@\s;?]+@[a-z0-9.-]+)",
        only=("sip", "sips"),
        dials=("{all}",),
    ),
    Rule(
        name="h323",
        platform="h323",
        priority=LAST_RESORT + 1,
        word=r"(?P<all>[^\s;?]+)",
        only=("h323",),
        dials=("h323:{all}",),
    ),
    Rule(
        name="bare-number",
        platform="sip",
        priority=LAST_RESORT + 2,
        word=r"(?P<all>\d{3,15}@(?P<domain>[a-z0-9-]+\.[a-z0-9.-]+))",
        dials=("{all}",),
    ),
    Rule(
        name="ip-dial",
        platform="h323",
        priority=LAST_RESORT + 3,
        word=r"(?P<all>\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}##\d{1,15})\b",
        dials=("{all}",),
    ),
)
"""First match by priority; within one priority the longer address, which carries the password."""

NEEDS_INTERNAL_DOMAINS = "bare-number"
"""The rule that can't tell a number to dial from a colleague's mailbox without knowing the own domains."""

WRAPPERS = (
    ("safelinks.protection.outlook.com", "url"),
    ("safelinks.protection.office365.us", "url"),
    ("statics.teams.cdn.office.net", "url"),
    ("www.google.com", "q"),
    ("l.facebook.com", "u"),
    ("linkprotect.cudasvc.com", "a"),
)
"""Hosts that wrap an address in one of their own, subdomains included, and the parameter that holds it."""
