"""From an outbox row to a finished mail: words, iCalendar part and envelope in one call.

The mail tells what stands when it is composed, not when it was planned: somebody who gets it late is told the latest.
"""

from email.errors import MessageError
from email.message import EmailMessage

import structlog

from meetkeeper.core.configuration import Config
from meetkeeper.core.effects import SendMail, key_of
from meetkeeper.core.errors import OurMistake, Refused
from meetkeeper.core.invitation import Invitation, Kind, of_meeting, of_series
from meetkeeper.core.recurrence import following
from meetkeeper.core.state import Series
from meetkeeper.core.words import Meeting, Person
from meetkeeper.mail.calendar_part import Envelope, calendar_of_meeting, calendar_of_series
from meetkeeper.mail.mime import Letter, to_message
from meetkeeper.mail.plain import plain_text
from meetkeeper.mail.templates import Templates

_SURPRISES = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MessageError,
    RecursionError,
    TypeError,
    ValueError,
)
_log = structlog.get_logger()


def compose(
    config: Config,
    effect: SendMail,
    meeting: Meeting | None,
    series: Series | None,
    now_s: float,
    *,
    templates: Templates,
) -> EmailMessage:
    """The mail for one outbox row; `now_s` (seconds since 1970) becomes Date and DTSTAMP.

    Raises `Refused`: "mail.gone" when the row's meeting or series is no longer kept, "mail.address" when the
    recipient or the configured sender is not a mail address. Raises `OurMistake` ("mail.compose") for values nobody
    thought of: one mail that can't be written is parked, and must not bring down the server that tries.
    """
    of = meeting if effect.meeting is not None else series
    if of is None:
        name = effect.meeting or effect.series
        raise Refused("mail.gone", f"{name} is no longer kept, so there is nothing to tell {effect.to}.")
    try:
        return _composed(config, effect, of, now_s, templates)
    except _SURPRISES as error:
        _log.exception("mail.compose", of=effect.meeting or effect.series, revision=effect.revision)
        raise OurMistake(
            "mail.compose",
            f"The mail to {effect.to} about {effect.meeting or effect.series} could not be written "
            f"({type(error).__name__}). Report this with the log.",
        ) from error


def _composed(
    config: Config, effect: SendMail, of: Meeting | Series, now_s: float, templates: Templates
) -> EmailMessage:
    invited = effect.to in {person.email for person in (of.organizer, *of.invitees)}
    kind = _kind(effect, invited=invited)
    envelope = Envelope(
        method=effect.method,
        sender=config.mail.sender,
        recipient=effect.to,
        at_s=now_s,
        uninvited=kind is Kind.UNINVITED,
    )
    invitation, calendar = _content(config, of, kind, envelope)
    words = templates.render(invitation)
    return to_message(
        Letter(
            key=key_of(effect),
            cluster=config.cluster.name,
            domain=config.cluster.sip_domain,
            date_s=now_s,
            sender=Person(config.mail.sender, config.mail.sender_name),
            to=_person(effect.to, of),
            reply_to=of.organizer if of.organizer.email else None,
            subject=words.subject,
            text=words.text,
            html=words.html,
            calendar=calendar,
            method=effect.method,
            notice=f"{invitation.ref}/{effect.revision}/{effect.method}",
        )
    )


def _kind(effect: SendMail, *, invited: bool) -> Kind:
    if effect.method == "CANCEL":
        return Kind.CANCELLED if invited else Kind.UNINVITED
    return Kind.NEW if effect.revision == 1 else Kind.CHANGED


def _content(
    config: Config, of: Meeting | Series, kind: Kind, envelope: Envelope
) -> tuple[Invitation, bytes | None]:
    """The words and the calendar part; the part is left out when the series' rule can't be spelled."""
    description = plain_text(of.description)
    if isinstance(of, Meeting):
        invitation = of_meeting(config, of, kind, description=description)
        return invitation, calendar_of_meeting(config, of, invitation, envelope)
    ahead = following(of.item, of.time_zone or config.cluster.time_zone, int(envelope.at_s))
    next_s = None if ahead is None else (ahead.start_s, ahead.end_s)
    invitation = of_series(config, of, kind, description=description, next_s=next_s)
    try:
        return invitation, calendar_of_series(config, of, invitation, envelope)
    except ValueError as error:
        _log.warning("mail.no-calendar-part", series=of.uid, why=str(error))
        return invitation, None


def _person(email: str, of: Meeting | Series) -> Person:
    """The recipient with the name the meeting knows."""
    return next((one for one in (of.organizer, *of.invitees) if one.email == email), Person(email))
