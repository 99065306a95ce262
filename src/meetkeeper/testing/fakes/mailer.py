"""A submission server in memory: it keeps what it took, and fails on request in every way a real one does.

`deliver` is synchronous, for the simulated world; `send` is the same behind the port.
"""

from email.message import EmailMessage

from msgspec import Struct

from meetkeeper.core.errors import Refused, Unavailable
from meetkeeper.ports.mailer import FateUnknown


class Taken(Struct, frozen=True, gc=False):
    """A mail that the server has taken."""

    message_id: str
    recipient: str
    message: EmailMessage


class FakeMailer:
    """Switches: `away` (nobody answers), `refused` (never to these), `busy` (not now to these), `answers_lost`.

    `answers_lost` counts down: that many mails end in `FateUnknown`; `lost_are_taken` says what really became of them.
    """

    def __init__(self) -> None:
        self.taken: list[Taken] = []
        self.away = False
        self.refused: set[str] = set()
        self.busy: set[str] = set()
        self.answers_lost = 0
        self.lost_are_taken = True
        self.closed = False

    @property
    def sent(self) -> list[tuple[str, str]]:
        """(Message-ID, recipient) of every mail taken, in order."""
        return [(one.message_id, one.recipient) for one in self.taken]

    def deliver(self, message: EmailMessage, recipient: str) -> str:
        """Take one mail, or fail as told; the closing line."""
        if self.away:
            raise Unavailable("mail.unreachable", "The mail server can't be reached. It is tried again.")
        if recipient in self.refused:
            raise Refused("mail.refused", f"The mail server refuses the recipient {recipient} for good: 550.")
        if recipient in self.busy:
            raise Unavailable(
                "mail.busy", f"The mail server does not take {recipient} now: 451. It is tried again."
            )
        if self.answers_lost:
            self.answers_lost -= 1
            if self.lost_are_taken:
                self._take(message, recipient)
            raise FateUnknown(f"The mail server did not answer for the mail to {recipient}.")
        self._take(message, recipient)
        return f"taken as {len(self.taken)}"

    def _take(self, message: EmailMessage, recipient: str) -> None:
        self.taken.append(Taken(str(message["Message-ID"]), recipient, message))

    async def send(self, message: EmailMessage, recipient: str) -> str:
        """Hand one mail over for one recipient; the server's closing line."""
        return self.deliver(message, recipient)

    async def probe(self) -> str:
        """A sentence about what answered."""
        if self.away:
            raise Unavailable("mail.unreachable", "The mail server can't be reached. It is tried again.")
        return "The mail server in memory answers."

    async def close(self) -> None:
        """Let go of connections."""
        self.closed = True
