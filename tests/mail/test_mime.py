"""Mails as bytes: what goes out is parsed back, and says what was meant, whatever the values were."""

import email
import re
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.policy import default
from email.utils import parseaddr

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meetkeeper.core.effects import SendMail, key_of
from meetkeeper.core.errors import Refused
from meetkeeper.core.words import EffectKey, MeetingId, Person
from meetkeeper.mail.compose import compose
from meetkeeper.mail.mime import Letter, addr_spec, message_id, to_message
from meetkeeper.mail.templates import SUBJECT_CHARS_MAX, Templates
from tests.mail.itip import calendar_of
from tests.mail.samples import CONFIG, KARI, NOW_S, OLA, cancel, meeting, request

LETTER = Letter(
    key=EffectKey("mail/one/1/REQUEST/kari@guests.example"),
    cluster="meetkeeper",
    domain="meet.example",
    date_s=NOW_S,
    sender=Person("meetings@meet.example", "Meetings"),
    to=KARI,
    reply_to=OLA,
    subject="Planning",
    text="Hello\n",
    html="<p>Hello</p>\n",
    calendar=b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n",
    method="REQUEST",
    notice="one/1/REQUEST",
)
HEADERS = [
    "From",
    "To",
    "Reply-To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "X-Meetkeeper-Notice",
    "MIME-Version",
    "Content-Type",
]
HOSTILE = st.text(max_size=120) | st.sampled_from(
    [
        "a\r\nBcc: evil@x.example",
        "a\n\nBody",
        "x\r\n",
        "=?utf-8?q?Bcc=3A_evil?=",
        "=?utf-8?b?DQpCY2M6IGV2aWxAeA==?=",
        '"quoted" <evil@x.example>, other@x.example',
        "ä" * 1_000,
        "w" * 1_000,
        "日本語 " * 60,
        "\u2028\u2029\x85\x0b\x0c",
        "\ud800",
        "a, b; c: d",
        "(comment \\",
    ]
)


def back(message: EmailMessage) -> EmailMessage:
    """The mail as a reader would parse it, after its bytes were found fit for SMTP."""
    data = message.as_bytes()
    for line in data.split(b"\r\n"):
        assert len(line) <= 998, "RFC 5322 §2.1.1"
        assert b"\r" not in line
        assert b"\n" not in line
        assert b"\0" not in line
    if not getattr(message.policy, "utf8", False):
        assert data.isascii()
    parsed = email.message_from_string(data.decode("utf-8"), policy=default)
    assert isinstance(parsed, EmailMessage)
    assert not [defect for part in parsed.walk() for defect in part.defects]
    return parsed


def content(message: EmailMessage, kind: str) -> str:
    """One body of a mail, as text."""
    (part,) = [one for one in message.walk() if one.get_content_type() == kind]
    assert isinstance(part, EmailMessage)
    return str(part.get_content())


def test_a_mail_has_its_parts_in_order() -> None:
    """multipart/alternative, from the plainest to the richest, the calendar last (RFC 2046 §5.1.4)."""
    parsed = back(to_message(LETTER))
    assert [part.get_content_type() for part in parsed.walk()] == [
        "multipart/alternative",
        "text/plain",
        "text/html",
        "text/calendar",
    ]
    assert parsed.keys() == HEADERS


def test_headers_say_what_they_should() -> None:
    """Who, to whom, answers to whom, when, and that nobody sat and typed it (RFC 3834)."""
    parsed = back(to_message(LETTER))
    assert str(parsed["From"]) == "Meetings <meetings@meet.example>"
    assert str(parsed["To"]) == "Kari Gjest <kari@guests.example>"
    assert str(parsed["Reply-To"]) == "Ola Nordmann <ola@firm.example>"
    assert parsed["Date"].datetime.timestamp() == NOW_S
    assert parsed["Auto-Submitted"] == "auto-generated"
    assert parsed["X-Meetkeeper-Notice"] == "one/1/REQUEST"


def test_the_calendar_part_arrives_byte_for_byte() -> None:
    """Nothing on the way may fold, trim or re-end the lines of the calendar part."""
    (part,) = [one for one in back(to_message(LETTER)).walk() if one.get_content_type() == "text/calendar"]
    assert part.get_payload(decode=True) == LETTER.calendar
    assert part.get_param("method") == "REQUEST"


def test_the_same_letter_is_the_same_bytes() -> None:
    """No dice anywhere: a mail sent again is equal to the first, so runs can be repeated."""
    assert to_message(LETTER).as_bytes() == to_message(LETTER).as_bytes()


def test_the_same_key_has_the_same_message_id() -> None:
    """A mail that is composed again at another time is recognised as the same one."""
    told = meeting()
    ids = {
        str(compose(CONFIG, request(told), told, None, now_s, templates=Templates())["Message-ID"])
        for now_s in (NOW_S, NOW_S + 3_600)
    }
    assert len(ids) == 1
    assert ids.pop() == message_id(key_of(request(told)), CONFIG.cluster.name, "meet.example")


def test_what_differs_has_another_message_id() -> None:
    """Recipient, revision, method, meeting, and the cluster each make another mail."""
    one = SendMail("kari@guests.example", 1, "REQUEST", meeting=MeetingId("a"))
    others = [
        msgspec.structs.replace(one, to="per@guests.example"),
        msgspec.structs.replace(one, revision=2),
        msgspec.structs.replace(one, method="CANCEL"),
        msgspec.structs.replace(one, meeting=MeetingId("b")),
    ]
    ids = [message_id(key_of(effect), "meetkeeper", "meet.example") for effect in (one, *others)]
    ids.append(message_id(key_of(one), "another-cluster", "meet.example"))
    assert len(set(ids)) == len(ids)


@given(key=HOSTILE, domain=HOSTILE)
def test_a_message_id_is_valid_whatever_it_is_made_of(key: str, domain: str) -> None:
    """One dot-atom on each side of one @, short enough to stand on a line (RFC 5322 §3.6.4)."""
    made = message_id(EffectKey(key), "meetkeeper", domain)
    assert re.fullmatch(r"<[a-z2-7]{32}@[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?>", made)
    assert len(made) < 110


@given(keys=st.lists(st.text(max_size=40), unique=True, max_size=30))
def test_different_keys_have_different_message_ids(keys: list[str]) -> None:
    """No two keys share a Message-ID."""
    assert len({message_id(EffectKey(key), "c", "meet.example") for key in keys}) == len(keys)


@given(subject=HOSTILE, name=HOSTILE, sender=HOSTILE, notice=HOSTILE, text=HOSTILE)
@settings(max_examples=100)
def test_nothing_is_injected(subject: str, name: str, sender: str, notice: str, text: str) -> None:
    """No value makes a header, a recipient or a part: only what we wrote comes back."""
    letter = msgspec.structs.replace(
        LETTER,
        subject=subject,
        notice=notice,
        text=text,
        html=text,
        to=Person(KARI.email, name),
        reply_to=Person(OLA.email, name),
        sender=Person("meetings@meet.example", sender),
    )
    parsed = back(to_message(letter))
    assert parsed.keys() == HEADERS
    assert [one.addr_spec for one in parsed["To"].addresses] == [KARI.email]
    assert [one.addr_spec for one in parsed["From"].addresses] == ["meetings@meet.example"]
    assert [one.addr_spec for one in parsed["Reply-To"].addresses] == [OLA.email]
    assert len(list(parsed.walk())) == 4


NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn")),
    min_size=1,
    max_size=60,
)


@given(name=NAMES, subject=NAMES)
@settings(max_examples=100)
def test_names_and_subjects_come_back(name: str, subject: str) -> None:
    """What a person is called and what a meeting is about arrive as they are, in any script."""
    letter = msgspec.structs.replace(LETTER, to=Person(KARI.email, name), subject=subject)
    raw = dict(back(to_message(letter)).raw_items())
    said, where = parseaddr(re.sub(r"\r?\n", "", str(raw["To"])))
    assert _plain(_decoded(said)) == _plain(name)
    assert where == KARI.email
    assert _plain(_decoded(re.sub(r"\r?\n", "", str(raw["Subject"])))) == _plain(subject)


def _decoded(value: str) -> str:
    """Encoded words put together again as RFC 2047 §6.2 wants it, which `email.headerregistry` does not do in names."""
    return str(make_header(decode_header(value)))


def _plain(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("length", [1, 70, 200, 1_000])
def test_long_titles_are_cut_in_the_subject_and_whole_in_the_body(length: int) -> None:
    """A subject stays readable in a list; the body keeps every word."""
    told = meeting(subject="x" * length)
    parsed = back(compose(CONFIG, request(told), told, None, NOW_S, templates=Templates()))
    assert len(str(parsed["Subject"])) <= SUBJECT_CHARS_MAX
    assert "x" * length in content(parsed, "text/plain")


BAD_ADDRESSES = [
    "",
    "kari",
    "@guests.example",
    "kari@",
    "ka ri@guests.example",
    "kari@guests example",
    "a@b@c.example",
    "<x@y.z>",
    "kari@guests.example\r\nBcc: evil@x.example",
    "x" * 65 + "@guests.example",
    "kari@-bad-.example",
    ".a@b.example",
]


@pytest.mark.parametrize("bad", BAD_ADDRESSES)
def test_what_is_no_address_is_refused_by_name(bad: str) -> None:
    """A recipient that no server could take is refused before anything is sent, with what to do."""
    told = meeting()
    effect = SendMail(bad, 1, "REQUEST", meeting=told.id)
    with pytest.raises(Refused, match="is not a mail address"):
        compose(CONFIG, effect, told, None, NOW_S, templates=Templates())


def test_an_organizer_that_is_no_address_costs_the_reply_to_alone() -> None:
    """The mail goes out without Reply-To."""
    told = meeting(organizer=Person("ola nordmann", "Ola"))
    parsed = back(compose(CONFIG, request(told), told, None, NOW_S, templates=Templates()))
    assert "Reply-To" not in parsed
    calendar_of(parsed)


def test_an_address_beyond_ascii_makes_a_mail_beyond_ascii() -> None:
    """A recipient written in another script is kept as written (RFC 6532), the domain as DNS knows it."""
    message = to_message(msgspec.structs.replace(LETTER, to=Person("kåre@blåbær.example", "Kåre")))
    assert back(message)["To"].addresses[0].addr_spec == "kåre@xn--blbr-roah.example"


def test_a_reply_to_beyond_ascii_does_not_make_the_mail_so() -> None:
    """An organizer's address that old servers could not carry is left out, so that the guest gets the mail."""
    message = to_message(msgspec.structs.replace(LETTER, reply_to=Person("kåre@firm.example", "Kåre")))
    parsed = back(message)
    assert "Reply-To" not in parsed


def test_ascii_addresses_stay_as_they_are() -> None:
    """Only the domain is ever rewritten."""
    assert addr_spec("Kari.O'Hara+x@Guests.example") == "Kari.O'Hara+x@guests.example"


def test_a_cancellation_says_so_everywhere() -> None:
    """Method, notice, subject and words agree."""
    told = meeting(revision=3, sequence=3)
    parsed = back(compose(CONFIG, cancel(told), told, None, NOW_S, templates=Templates()))
    assert parsed["X-Meetkeeper-Notice"] == f"{told.id}/3/CANCEL"
    assert str(parsed["Subject"]).startswith("Cancelled: Planning")
    assert b"METHOD:CANCEL" in calendar_of(parsed)
    assert "909475" not in content(parsed, "text/plain")
