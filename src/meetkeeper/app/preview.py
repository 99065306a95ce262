"""What a mail about a kept meeting would look like, without sending it."""

from collections.abc import Awaitable, Callable
from email.message import EmailMessage

from meetkeeper.api.gate import MailPreview
from meetkeeper.core.effects import SendMail
from meetkeeper.core.errors import NotFound, Unavailable
from meetkeeper.core.state import State
from meetkeeper.core.words import OPEN_STEPS, MeetingId
from meetkeeper.engine.loop import Engine


def previewer(who: Callable[[], Engine | None]) -> Callable[[MeetingId, str], Awaitable[MailPreview]]:
    """The hook for `api.gate`."""

    async def preview(meeting_id: MeetingId, recipient: str) -> MailPreview:
        engine = who()
        if engine is None:
            raise Unavailable("passive", "This server does not act. Ask the active one.", retry_after_s=1.0)

        def look(state: State) -> MailPreview:
            row = state.meetings.get(meeting_id)
            if row is None:
                raise NotFound("unknown-meeting", f"There is no meeting {meeting_id}.")
            meeting = state.decode(row)
            to = recipient or meeting.organizer.email
            method = "REQUEST" if row.step in OPEN_STEPS else "CANCEL"
            effect = SendMail(to, meeting.revision, method, meeting=meeting_id)  # type: ignore[arg-type]
            mail = engine.neighbours.compose(state.settings(), effect, meeting, None, engine.now_s())
            return shown(mail, to)

        return await engine.read(look)

    return preview


def shown(mail: EmailMessage, to: str) -> MailPreview:
    """The parts of a mail as text."""
    parts = {part.get_content_type(): part.get_content() for part in mail.walk() if not part.is_multipart()}
    return MailPreview(
        to=to,
        subject=str(mail["Subject"]),
        text=parts.get("text/plain", ""),
        html=parts.get("text/html", ""),
        calendar=_text(parts.get("text/calendar", "")),
    )


def _text(content: object) -> str:
    return content.decode() if isinstance(content, bytes) else str(content)
