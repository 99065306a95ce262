"""From an outbox row to a mail: the right words for the right reader."""

import contextlib
import email
from email.message import EmailMessage
from email.policy import default

import msgspec
import pytest

from meetkeeper.core.effects import SendMail
from meetkeeper.core.errors import OurMistake, Refused
from meetkeeper.core.words import Person
from meetkeeper.mail.compose import compose
from meetkeeper.mail.templates import Templates
from tests.mail.itip import calendar_of
from tests.mail.samples import CONFIG, KARI, NOW_S, OLA, PER, cancel, entry, meeting, request, series, wall

WORDS = Templates()


def text_of(message: EmailMessage) -> str:
    """The plain body."""
    parsed = email.message_from_bytes(message.as_bytes(), policy=default)
    assert isinstance(parsed, EmailMessage)
    body = parsed.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def test_the_recipient_is_called_by_name() -> None:
    """The name the meeting knows stands in To; a stranger is an address."""
    told = meeting()
    assert str(compose(CONFIG, request(told), told, None, NOW_S, templates=WORDS)["To"]) == (
        "Kari Gjest <kari@guests.example>"
    )
    assert str(compose(CONFIG, request(told, PER), told, None, NOW_S, templates=WORDS)["To"]) == PER.email
    organizer = compose(CONFIG, request(told, OLA), told, None, NOW_S, templates=WORDS)
    assert str(organizer["To"]) == "Ola Nordmann <ola@firm.example>"


@pytest.mark.parametrize(
    ("effect", "subject"),
    [
        (request(meeting()), "Invitation: Planning (Tuesday 6 October 2026, 10:00-11:00)"),
        (request(meeting(revision=2)), "Updated: Planning (Tuesday 6 October 2026, 10:00-11:00)"),
        (cancel(meeting(revision=2)), "Cancelled: Planning (Tuesday 6 October 2026, 10:00-11:00)"),
        (
            SendMail("gone@guests.example", 2, "CANCEL", meeting=meeting().id),
            "No longer invited: Planning (Tuesday 6 October 2026, 10:00-11:00)",
        ),
    ],
)
def test_the_subject_says_what_happened(effect: SendMail, subject: str) -> None:
    """A list of subjects tells new, changed, cancelled and uninvited apart."""
    message = compose(CONFIG, effect, meeting(revision=effect.revision), None, NOW_S, templates=WORDS)
    assert str(message["Subject"]) == subject


def test_a_series_is_told_with_its_next_date() -> None:
    """A series that has begun long ago is told from its next meeting on."""
    told = series(entry("2020-01-07 10:00", rrule="FREQ=WEEKLY"))
    text = text_of(compose(CONFIG, request(told), None, told, NOW_S, templates=WORDS))
    assert "Tuesday 22 September 2026, 10:00–11:00" in text
    assert "Every week on Tuesday." in text


def test_an_occurrence_is_told_from_the_meeting_even_beside_its_series() -> None:
    """When both are at hand, the row says whom it is about."""
    one, whole = meeting(subject="This one"), series(entry("2026-10-06 10:00", rrule="FREQ=WEEKLY"))
    message = compose(CONFIG, request(one), one, whole, NOW_S, templates=WORDS)
    assert "This one" in str(message["Subject"])


def test_what_is_no_longer_kept_is_refused() -> None:
    """Nothing is made up about a meeting that has been forgotten."""
    with pytest.raises(Refused, match="no longer kept"):
        compose(CONFIG, request(meeting()), None, None, NOW_S, templates=WORDS)


def test_the_fallback_organizer_is_told_like_anybody() -> None:
    """A meeting without organizer or invitees is told to the configured address, and to nobody's reply."""
    told = meeting(organizer=Person(""), invitees=())
    message = compose(CONFIG, request(told, Person("desk@firm.example")), told, None, NOW_S, templates=WORDS)
    assert "Reply-To" not in message
    assert "Organizer:" not in text_of(message)
    calendar_of(message)


def test_hostile_bodies_arrive_as_words() -> None:
    """A description in HTML is text in every part of the mail."""
    told = meeting(description='<p>Hi</p><script>alert(1)</script><a href="https://evil.example">x</a>')
    message = compose(CONFIG, request(told), told, None, NOW_S, templates=WORDS)
    for part in message.walk():
        if not part.is_multipart():
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            assert b"Hi" in content
            assert b"evil.example" not in content
            assert b"alert" not in content


def test_our_own_block_is_not_told_twice() -> None:
    """What we once wrote into the calendar's body does not come back as the organizer's words."""
    told = meeting()
    first = calendar_of(compose(CONFIG, request(told), told, None, NOW_S, templates=WORDS))
    block = first.decode().replace("\r\n ", "").split("DESCRIPTION:")[1].split("\r\n")[0].replace("\\n", "\n")
    again = msgspec.structs.replace(told, description=f"Agenda\n{block}")
    text = text_of(compose(CONFIG, request(again), again, None, NOW_S, templates=WORDS))
    assert text.count("909475") == 1
    assert "Agenda" in text


def test_the_sender_that_is_no_address_is_named() -> None:
    """A slip in `mail.sender` is refused in words instead of being sent."""
    wrong = msgspec.structs.replace(CONFIG, mail=msgspec.structs.replace(CONFIG.mail, sender="meetings"))
    told = meeting()
    with pytest.raises(Refused, match="meetings"):
        compose(wrong, request(told), told, None, NOW_S, templates=WORDS)


def test_a_cluster_without_a_decent_domain_still_has_message_ids() -> None:
    """A SIP domain that is no host name is replaced in the Message-ID, and the mail goes out."""
    odd = msgspec.structs.replace(
        CONFIG, cluster=msgspec.structs.replace(CONFIG.cluster, sip_domain="my domain")
    )
    told = meeting()
    message = compose(odd, request(told, KARI), told, None, NOW_S, templates=WORDS)
    assert str(message["Message-ID"]).endswith("@meetkeeper.invalid>")


def test_a_surprise_is_one_mail_lost_and_not_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong while a mail is written is said as our mistake, which parks this row alone."""

    def surprise(*_: object) -> bytes:
        raise ZeroDivisionError

    monkeypatch.setattr("meetkeeper.mail.compose.calendar_of_meeting", surprise)
    told = meeting()
    with pytest.raises(OurMistake, match=r"kari@guests\.example"):
        compose(CONFIG, request(told), told, None, NOW_S, templates=WORDS)


@pytest.mark.parametrize("start", ["0001-01-01 00:00", "1899-12-31 10:00", "9999-12-31 23:30"])
@pytest.mark.parametrize("rrule", ["", "FREQ=DAILY", "FREQ=YEARLY;UNTIL=00010101T000000Z"])
def test_dates_at_the_ends_of_time_break_nothing(start: str, rrule: str) -> None:
    """A series from the year one or until the year 9999 is a mail, or at worst our own error."""
    told = series(entry(start, rrule=rrule), entry(start, recurrence_id=wall(start)))
    with contextlib.suppress(OurMistake):
        assert compose(CONFIG, request(told), None, told, NOW_S, templates=WORDS)["To"]
