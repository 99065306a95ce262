"""From words and a calendar part to a mail (RFC 5322, 2046, 6047). Pure: the Date is given, the Message-ID derived.

Rules of this file. The Message-ID is a hash of the effect's key, so a mail that is sent again is recognised as the
same one. No value given reaches a header with a line break in it. A mail to an ASCII address needs no SMTPUTF8: names
are encoded words, domains are IDNA, and a Reply-To that could not be written in ASCII is left out.
"""

import base64
import hashlib
import quopri
import re
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Literal

from msgspec import Struct

from meetkeeper.core.errors import Refused
from meetkeeper.core.invitation import one_line
from meetkeeper.core.words import EffectKey, Person
from meetkeeper.mail.headers import ASCII, UTF8, VerbatimPolicy, mailbox_value, text_value

NAME_CHARS_MAX = 100
"""A display name longer than this is cut."""
_ATEXT = r"[^\s()<>\[\]:;@\\,.\"\x00-\x1f\x7f-\x9f]+"
_LOCAL = re.compile(rf"{_ATEXT}(?:\.{_ATEXT})*")
_DOMAIN = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)


class Letter(Struct, frozen=True, kw_only=True, gc=False):
    """A mail before it is one. `date_s` is seconds since 1970, `notice` becomes X-Meetkeeper-Notice."""

    key: EffectKey
    cluster: str
    domain: str
    date_s: float
    sender: Person
    to: Person
    reply_to: Person | None
    subject: str
    text: str
    html: str
    calendar: bytes | None
    method: Literal["REQUEST", "CANCEL"]
    notice: str


def to_message(letter: Letter) -> EmailMessage:
    """The finished mail. Raises `Refused` ("mail.address") for a sender or recipient that is no mail address."""
    sender, to = address(letter.sender), address(letter.to)
    policy = ASCII if sender.addr_spec.isascii() and to.addr_spec.isascii() else UTF8
    message = EmailMessage(policy=policy)
    message["From"] = mailbox_value("From", sender)
    message["To"] = mailbox_value("To", to)
    if letter.reply_to is not None and letter.reply_to.email != letter.sender.email:
        reply_to = _address_or_none(letter.reply_to)
        if reply_to is not None and (policy.utf8 or reply_to.addr_spec.isascii()):
            message["Reply-To"] = mailbox_value("Reply-To", reply_to)
    message["Subject"] = text_value("Subject", one_line(letter.subject))
    message["Date"] = format_datetime(datetime.fromtimestamp(int(letter.date_s), UTC))
    message["Message-ID"] = message_id(letter.key, letter.cluster, letter.domain)
    message["Auto-Submitted"] = "auto-generated"
    message["X-Meetkeeper-Notice"] = text_value("X-Meetkeeper-Notice", one_line(letter.notice))
    message["MIME-Version"] = "1.0"
    # Derived, so that the same mail is the same bytes; "=_" can't occur in quoted-printable or base64 (RFC 2045 §6.7).
    boundary = f"=_mk_{message_id(letter.key, letter.cluster, 'boundary')[1:33]}"
    message["Content-Type"] = f'multipart/alternative; boundary="{boundary}"'
    message.attach(_text_part("plain", letter.text, policy))
    message.attach(_text_part("html", letter.html, policy))
    if letter.calendar is not None:
        message.attach(_calendar_part(letter.calendar, letter.method, policy))
    return message


def _text_part(subtype: str, text: str, policy: VerbatimPolicy) -> EmailMessage:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8", "replace")
    part = EmailMessage(policy=policy)
    part["Content-Type"] = f'text/{subtype}; charset="utf-8"'
    part["Content-Transfer-Encoding"] = "quoted-printable"
    part.set_payload(quopri.encodestring(lines).decode("ascii"))
    return part


def _calendar_part(content: bytes, method: str, policy: VerbatimPolicy) -> EmailMessage:
    """RFC 6047 §2.4. In base64, which nobody on the way folds again or ends its lines otherwise."""
    part = EmailMessage(policy=policy)
    part["Content-Type"] = f'text/calendar; method={method}; charset="UTF-8"'
    part["Content-Transfer-Encoding"] = "base64"
    part.set_payload(base64.encodebytes(content).decode("ascii"))
    return part


def message_id(key: EffectKey, cluster: str, domain: str) -> str:
    """`<hash@domain>` from the effect's key and the cluster's name: equal for equal keys, valid by RFC 5322 §3.6.4."""
    digest = hashlib.sha256(f"{cluster}\n{key}".encode("utf-8", "surrogatepass")).digest()
    left = base64.b32encode(digest[:20]).decode("ascii").lower()
    host = _ascii_domain(domain)
    return f"<{left}@{host if host is not None and len(host) <= 64 else 'meetkeeper.invalid'}>"


def address(person: Person) -> Address:
    """A person as an address header wants it. Raises `Refused` ("mail.address") when the address is none."""
    local, at, domain = person.email.strip().rpartition("@")
    host = _ascii_domain(domain)
    if not at or host is None or not _LOCAL.fullmatch(local) or len(local) > 64:
        raise Refused(
            "mail.address",
            f"{one_line(person.email)[:200]!r} is not a mail address. Correct it, then release the mail.",
        )
    name = one_line(person.name)
    if len(name) > NAME_CHARS_MAX:
        name = name[: NAME_CHARS_MAX - 1].rstrip() + "…"
    return Address(display_name=name, username=local, domain=host)


def addr_spec(text: str) -> str:
    """The address as SMTP wants it, its domain as DNS knows it. Raises `Refused` ("mail.address") when it is none."""
    return address(Person(text)).addr_spec


def _address_or_none(person: Person) -> Address | None:
    try:
        return address(person)
    except Refused:
        return None


def _ascii_domain(domain: str) -> str | None:
    """The domain as DNS knows it; None when it can't be one."""
    try:
        host = domain.encode("idna").decode("ascii").lower()
    except UnicodeError:
        return None
    return host if _DOMAIN.fullmatch(host) and len(host) <= 253 else None
