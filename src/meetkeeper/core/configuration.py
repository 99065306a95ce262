"""The cluster's configuration as records: the shape of `config/config.json`, its defaults and its meaning.

Here and not in `app`, because what ought to be true depends on it: a deployed configuration is a change like any other
and the keeper reads rooms, brakes and times from `State.config`. Nothing here knows an adapter; the tagged unions name
what may be configured, `app.wiring` picks the code. Unknown fields are refused (`forbid_unknown_fields`).
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

Name = Annotated[
    str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$", description="lower case letters, digits, . _ -")
]
Seconds = Annotated[int, Meta(ge=0, le=31 * 86_400)]
Port = Annotated[int, Meta(ge=1, le=65_535)]


class _Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    pass


class Secret(_Part, frozen=True, kw_only=True):
    """A password or key: exactly one of `value`, `env` (a variable's name) or `file` (a path; its first line)."""

    value: str | None = None
    env: str | None = None
    file: str | None = None


class CaldavCalendar(_Part, frozen=True, kw_only=True, tag_field="kind", tag="caldav"):
    """One collection on a CalDAV server."""

    url: Annotated[str, Meta(pattern=r"^https?://")]
    username: str = ""
    password: Secret | None = None
    poll_s: Annotated[float, Meta(ge=0.2, le=86_400)] = 30.0
    settle_s: Annotated[float, Meta(ge=0, le=300)] = 1.0
    write: bool = True
    """Write meetings that were booked here into the room's calendar."""


class IcsCalendar(_Part, frozen=True, kw_only=True, tag_field="kind", tag="ics"):
    """A folder of .ics files, one calendar item each."""

    folder: str
    poll_s: Annotated[float, Meta(ge=0.2, le=86_400)] = 5.0
    settle_s: Annotated[float, Meta(ge=0, le=300)] = 1.0
    write: bool = True


class ExchangeCalendar(_Part, frozen=True, kw_only=True, tag_field="kind", tag="exchange"):
    """A room mailbox on an Exchange server (EWS)."""

    server: Name
    """The id of one of `calendar_servers`."""
    mailbox: str = ""
    """The mailbox's address; empty: the room's `email`."""
    poll_s: Annotated[float, Meta(ge=0.2, le=86_400)] = 60.0
    settle_s: Annotated[float, Meta(ge=0, le=300)] = 8.0
    """A room answers in two steps, seconds apart; only what has stood for so long is taken."""
    write: bool = False
    """Write meetings that were booked here into the room's calendar."""


class GraphCalendar(_Part, frozen=True, kw_only=True, tag_field="kind", tag="graph"):
    """A room mailbox in Microsoft 365 (Microsoft Graph)."""

    server: Name
    """The id of one of `calendar_servers`."""
    mailbox: str = ""
    """The mailbox's address; empty: the room's `email`."""
    poll_s: Annotated[float, Meta(ge=0.2, le=86_400)] = 60.0
    settle_s: Annotated[float, Meta(ge=0, le=300)] = 8.0
    """A room answers in two steps, seconds apart; only what has stood for so long is taken."""
    write: bool = False
    """Write meetings that were booked here into the room's calendar; the app needs Calendars.ReadWrite."""


class NoCalendar(_Part, frozen=True, kw_only=True, tag_field="kind", tag="none"):
    """A room that is booked here alone."""


CalendarSource = CaldavCalendar | IcsCalendar | ExchangeCalendar | GraphCalendar | NoCalendar


class ExchangeServer(_Part, frozen=True, kw_only=True, tag_field="kind", tag="exchange"):
    """An Exchange server and the account that reads its room mailboxes."""

    id: Name
    url: Annotated[str, Meta(pattern=r"^https?://")]
    """The EWS address: `https://mail.example.org/EWS/Exchange.asmx`."""
    auth: Literal["basic", "ntlm", "kerberos", "oauth"] = "ntlm"
    """kerberos: with a ticket of this host's user. oauth: with tenant, client_id and client_secret."""
    username: str = ""
    password: Secret | None = None
    tenant: str = ""
    client_id: str = ""
    client_secret: Secret | None = None
    authority: Annotated[str, Meta(pattern=r"^https?://")] = "https://login.microsoftonline.com"
    """Where tokens are asked for with oauth."""
    impersonate: bool = True
    """Act as the room mailbox (ApplicationImpersonation); false: read its calendar folder with rights on it."""
    ca_file: str = ""
    """Authorities to trust for this server, as a PEM file; empty: the system's."""
    concurrency: Annotated[int, Meta(ge=1, le=64)] = 8
    """Most requests at once; a service account is given 27 by default."""
    notify: bool = True
    """Be told of changes on hanging connections (at most ten, 200 rooms each); polling goes on."""


class GraphServer(_Part, frozen=True, kw_only=True, tag_field="kind", tag="graph"):
    """Microsoft 365 and the app registration by which we read its room mailboxes.

    By `client_secret`, or by `certificate_file` and `key_file`. National clouds have an endpoint and an authority of
    their own.
    """

    id: Name
    tenant: Annotated[str, Meta(min_length=1)]
    """The tenant's id or one of its domains."""
    client_id: Annotated[str, Meta(min_length=1)]
    """The app's id ("Application (client) ID")."""
    client_secret: Secret | None = None
    certificate_file: str = ""
    """The certificate that was uploaded to the app registration, as PEM."""
    key_file: str = ""
    """Its private RSA key, as PEM."""
    endpoint: Annotated[str, Meta(pattern=r"^https?://")] = "https://graph.microsoft.com/v1.0"
    authority: Annotated[str, Meta(pattern=r"^https?://")] = "https://login.microsoftonline.com"
    ca_file: str = ""
    """Authorities to trust for both, as a PEM file; empty: the system's."""
    notify: bool = False
    """Ask to be told of changes at `cluster.public_url`, which the service has to reach by HTTPS; polling goes on."""


CalendarServer = ExchangeServer | GraphServer


class RoomConfig(_Part, frozen=True, kw_only=True):
    """A bookable room."""

    id: Name
    name: str = ""
    email: str = ""
    capacity: Annotated[int, Meta(ge=0, le=100_000)] = 0
    time_zone: str = ""
    """IANA zone for floating times and people's clocks; empty: the cluster's."""
    calendar: CalendarSource = field(default_factory=NoCalendar)
    bridge: str = ""
    """The bridge for this room's meetings; empty: the first one configured."""
    write_back: Literal["none", "room", "mail"] = "none"
    """Write how to join into the room's copy of a meeting. room: and mail nobody. mail: and mail invitees too.

    none: the calendar is left as it is, invitees are mailed. Nobody is mailed by the calendar either way.
    """
    video: bool = False
    """A video room: meetings in it are held by video, which asks for a VMR."""
    trigger: Literal["", "always", "when_asked"] = ""
    """When a meeting in this room gets a VMR; empty: as the cluster says (`vmr.trigger`)."""
    conflicts: bool = False
    """Accept overlapping bookings by API. Calendars decide for themselves."""


class JanusBridge(_Part, frozen=True, kw_only=True, tag_field="kind", tag="janus"):
    """Janus VideoRoom, managed through its admin HTTP API."""

    id: Name
    admin_url: Annotated[str, Meta(pattern=r"^https?://")]
    admin_secret: Secret
    admin_key: Secret
    client_url: str = ""
    """Where browsers reach the Janus API (…/janus); empty: the join page shows the dialling facts only."""
    client_secret: Secret | None = None
    concurrency: Annotated[int, Meta(ge=1, le=1_000)] = 128
    reconcile_s: Annotated[float, Meta(ge=1, le=86_400)] = 30.0


class LinkBridge(_Part, frozen=True, kw_only=True, tag_field="kind", tag="link"):
    """A platform where opening the address makes the room: `{alias}`, `{pin}`, `{numeric_id}` are filled in."""

    id: Name
    url: Annotated[str, Meta(pattern=r"^https?://")]


BridgeConfig = JanusBridge | LinkBridge


class ClusterConfig(_Part, frozen=True, kw_only=True):
    """Who we are. `secret` derives every alias and PIN: keep it, and every URI can be made again from the calendars."""

    name: Name = "meetkeeper"
    secret: Annotated[str, Meta(min_length=32)]
    public_url: Annotated[str, Meta(pattern=r"^https?://")] = "http://127.0.0.1:8080"
    sip_domain: str = "meet.example"
    time_zone: str = "UTC"


class VmrConfig(_Part, frozen=True, kw_only=True):
    """How virtual meeting rooms are named and how long they live."""

    prefix: Annotated[str, Meta(pattern=r"^[a-z0-9-]{0,16}$")] = ""
    pin_digits: Annotated[int, Meta(ge=4, le=12)] = 6
    numeric_digits: Annotated[int, Meta(ge=6, le=15)] = 11
    """Length of the dial-in number, its check digit included."""
    each_occurrence: bool = False
    """False: one VMR for a whole series. True: one for each occurrence."""
    all_day: bool = False
    """Give all-day entries a VMR too."""
    trigger: Literal["always", "when_asked"] = "always"
    """always: each meeting gets a VMR. when_asked: where a video room is in it, a keyword or a mailbox asks for it."""
    keywords: Annotated[
        tuple[Annotated[str, Meta(min_length=2, max_length=60)], ...], Meta(max_length=50)
    ] = ()
    """Words in subject, location or body that ask for a VMR, such as `@video`; upper and lower case are the same."""
    trigger_mailboxes: Annotated[tuple[str, ...], Meta(max_length=50)] = ()
    """Addresses that ask for a VMR by being invited: resource mailboxes that accept every meeting."""
    organizers: Literal["anyone", "internal"] = "anyone"
    """internal: meetings of organizers outside of `links.internal_domains` get no VMR of ours."""
    retire_after_s: Seconds = 900
    """How long after its last meeting a one-time VMR is taken off the bridge."""
    tombstone_s: Annotated[int, Meta(ge=0)] = 90 * 86_400
    """How long a retired alias is never given out again."""


class TimeConfig(_Part, frozen=True, kw_only=True):
    """When what happens around a meeting."""

    verify_before_s: Seconds = 900
    """How long before the start its bridge is asked whether the VMR stands; 0 for never."""
    open_before_s: Seconds = 0
    warn_before_s: Seconds = 300
    horizon_days: Annotated[int, Meta(ge=1, le=730)] = 60
    """How far ahead occurrences of a series become meetings."""
    keep_days: Annotated[int, Meta(ge=1, le=3_650)] = 30
    """How long ended meetings stay readable."""


class BrakeConfig(_Part, frozen=True, kw_only=True):
    """When vanished calendar items are held instead of cancelled: more than both at once."""

    items_min: Annotated[int, Meta(ge=0)] = 5
    percent: Annotated[int, Meta(ge=0, le=100)] = 20


class SyncConfig(_Part, frozen=True, kw_only=True):
    """How calendars are followed beyond what they report."""

    audit_every_s: Seconds = 86_400
    """Every room's calendar is read whole this often and compared by content, spread over that time; 0: never."""


class MailConfig(_Part, frozen=True, kw_only=True):
    """How invitees are told. Without `host` nothing is mailed and the outbox says so."""

    host: str = ""
    port: Port = 587
    tls: Annotated[str, Meta(pattern=r"^(none|starttls|tls)$")] = "starttls"
    ca_file: str = ""
    """A PEM file with the authority that signed the mail server's certificate; empty: the system's."""
    username: str = ""
    password: Secret | None = None
    sender: str = "meetings@meet.example"
    sender_name: str = "Meetings"
    unknown_fate: Annotated[str, Meta(pattern=r"^(resend|hold)$")] = "resend"
    """A mail whose fate a crash left unknown: `resend` with the same Message-ID, or `hold` for a person."""
    templates: str = ""
    """Folder with own templates (invitation.txt, invitation.html, …); empty: the ones shipped."""
    fallback_organizer: str = ""
    """Told about meetings that name no organizer."""
    concurrency: Annotated[int, Meta(ge=1, le=100)] = 1
    """Mails handed over at a time. A crash leaves at most so many whose fate is unknown."""
    tell_unprovisioned_after_s: Seconds = 120
    """If the bridge has not answered by then, invitees are told anyway: the URI is derived and will not change."""


class Operator(_Part, frozen=True, kw_only=True):
    """Somebody who may log in on the web page. `password_hash` is argon2id."""

    name: Name
    password_hash: str


class AccessConfig(_Part, frozen=True, kw_only=True):
    """Who may look and act."""

    operators: tuple[Operator, ...] = ()
    join_attempts_per_minute: Annotated[int, Meta(ge=1, le=10_000)] = 10


class MailHook(_Part, frozen=True, kw_only=True, tag_field="kind", tag="mail"):
    """Tell these people by the configured mail server."""

    to: Annotated[tuple[str, ...], Meta(min_length=1, max_length=20)]


class WebHook(_Part, frozen=True, kw_only=True, tag_field="kind", tag="webhook"):
    """POST a JSON object to this address."""

    url: Annotated[str, Meta(pattern=r"^https?://")]
    token: Secret | None = None
    """Sent as `Authorization: Bearer …`."""
    timeout_s: Annotated[float, Meta(gt=0, le=120)] = 10.0


class ScriptHook(_Part, frozen=True, kw_only=True, tag_field="kind", tag="script"):
    """Run a program of each server's own folder `HOME/local/hooks`; what happened is in its environment.

    Only the name is configured here: nobody gets a program onto a server by deploying a configuration.
    """

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
    timeout_s: Annotated[float, Meta(gt=0, le=600)] = 30.0


Hook = MailHook | WebHook | ScriptHook


class PairConfig(_Part, frozen=True, kw_only=True):
    """The pair's policy: what an acknowledgement promises, how patient a failover is. Safety's seconds are fixed."""

    mode: Literal["sync", "strict", "async"] = "sync"
    """sync: both disks, alone only after the register says so. strict: never alone. async: one disk, loss shown."""
    failover_after_s: Annotated[float, Meta(ge=0, le=3600)] = 0.0
    """How long the active must have been gone before the passive takes over, beyond what safety needs."""
    alert_after_s: Annotated[float, Meta(ge=0, le=3600)] = 10.0
    """How long the other server must have been gone before anybody is alarmed."""
    on_stop: Literal["hand_over", "wait"] = "hand_over"
    """What a stopping active does: let the passive take over at once, or have it wait for `back_after_s`."""
    back_after_s: Annotated[float, Meta(ge=0, le=3600)] = 120.0
    """With `wait`: an announced stop is not taken for a failure for so long."""
    drill_quiet_s: Annotated[float, Meta(ge=0, le=86400)] = 900.0
    """A drill needs so long without a meeting starting."""
    hooks: Annotated[tuple[Hook, ...], Meta(max_length=20)] = ()
    """Who is told of every change of role and every alarm, by the server that notices."""
    alarm_again_s: Annotated[float, Meta(ge=10, le=86400)] = 1800.0
    """The same alarm is told again after so long at the earliest, however often it comes and goes."""


class LinkRule(_Part, frozen=True, kw_only=True):
    """A rule of your own for join links: exactly one of `pattern` (`core.patterns`) and `literal` (part of a link)."""

    name: Name
    platform: Name
    pattern: str = ""
    """Tried at the beginning of a link, or with `word` of any word; a repetition takes all it can."""
    literal: Annotated[str, Meta(max_length=500)] = ""
    word: bool = False
    dial: Annotated[str, Meta(max_length=500)] = ""
    """What a video system dials: `{name}` or `{1}` for groups of the pattern, query parameters, `host`."""
    priority: Annotated[int, Meta(ge=1, le=200)] = 100


class LinksConfig(_Part, frozen=True, kw_only=True):
    """Join links of other platforms in invitations: such a meeting has its way in, and gets no VMR of ours."""

    use: bool = True
    """False: links are not looked for, every meeting gets a VMR of ours."""
    rules: Annotated[tuple[LinkRule, ...], Meta(max_length=100)] = ()
    internal_domains: Annotated[tuple[str, ...], Meta(max_length=500)] = ()
    """The organization's own mail domains."""
    bare_numbers: bool = False
    """Take a number at a domain that is not internal (12345@vc.example.com) for something to dial."""
    gateways: dict[str, str] = {}
    """Platform → SIP domain through which its meetings can be dialled (`meet`, `teams`)."""
    sip_domains: dict[str, str] = {}
    """Web host of a bridge → its SIP domain, where they differ."""
    mail: Literal["none", "all"] = "none"
    """Whether we mail invitees of a meeting whose way in is foreign; its organizer's invitation has it already."""


class Config(_Part, frozen=True, kw_only=True):
    """config/config.json."""

    schema: str = field(default="config.schema.json", name="$schema")
    cluster: ClusterConfig
    rooms: tuple[RoomConfig, ...] = ()
    calendar_servers: tuple[CalendarServer, ...] = ()
    bridges: tuple[BridgeConfig, ...] = ()
    vmr: VmrConfig = VmrConfig()
    links: LinksConfig = LinksConfig()
    time: TimeConfig = TimeConfig()
    brake: BrakeConfig = BrakeConfig()
    sync: SyncConfig = SyncConfig()
    mail: MailConfig = MailConfig()
    access: AccessConfig = AccessConfig()
    pair: PairConfig = PairConfig()
