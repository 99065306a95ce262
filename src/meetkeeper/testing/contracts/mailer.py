"""What every `ports.mailer.Mailer` must do, the one in memory and the one that speaks SMTP.

To use it, inherit `MailerContract` and give it the fixture `post`: a mailer beside the levers of its server.
"""

import asyncio
from email.message import EmailMessage
from email.policy import SMTP
from typing import Protocol

import pytest

from meetkeeper.core.errors import Refused, Unavailable
from meetkeeper.ports.mailer import FateUnknown, Mailer


class Post(Protocol):
    """A mailer and the server behind it, which does as told."""

    @property
    def mailer(self) -> Mailer:
        """The mailer under test."""
        ...

    def taken(self) -> list[tuple[str, str]]:
        """(Message-ID, recipient) of every mail the server took, in order."""
        ...

    def text_of(self, message_id: str) -> str:
        """The body of a mail the server took."""
        ...

    async def go_away(self) -> None:
        """From here on nobody answers."""
        ...

    async def come_back(self) -> None:
        """The server answers again."""
        ...

    def refuse(self, recipient: str) -> None:
        """Never take a mail for this recipient."""
        ...

    def be_busy_for(self, recipient: str, *, busy: bool) -> None:
        """Take mails for this recipient later, not now."""
        ...

    def lose_next_answer(self) -> None:
        """Take the next mail and break off before saying so."""
        ...


def letter(number: int = 1, to: str = "kari@guests.example", body: str = "Hello\r\n") -> EmailMessage:
    """A small mail with a Message-ID of its own."""
    message = EmailMessage(policy=SMTP)
    message["From"] = "meetings@meet.example"
    message["To"] = to
    message["Subject"] = f"Letter {number}"
    message["Message-ID"] = f"<letter-{number}@meet.example>"
    message.set_content(body)
    return message


class MailerContract:
    """The suite."""

    async def test_a_taken_mail_arrives_once(self, post: Post) -> None:
        """A mail that was taken is there once, with its Message-ID, for its recipient alone."""
        closing = await post.mailer.send(letter(), "kari@guests.example")
        assert closing
        assert post.taken() == [("<letter-1@meet.example>", "kari@guests.example")]

    async def test_lines_arrive_as_they_were_written(self, post: Post) -> None:
        """Lines that begin with a dot, a lone dot and trailing blanks come through unchanged."""
        body = "first\r\n.\r\n..two\r\n.hidden\r\nlast \r\n"
        await post.mailer.send(letter(body=body), "kari@guests.example")
        got = post.text_of("<letter-1@meet.example>").replace("\r\n", "\n")
        assert got == body.replace("\r\n", "\n")

    async def test_a_refused_recipient_is_named_and_hurts_nobody_else(self, post: Post) -> None:
        """A refusal for good names the recipient, and the next mail goes out."""
        post.refuse("gone@guests.example")
        with pytest.raises(Refused, match=r"gone@guests\.example"):
            await post.mailer.send(letter(1, "gone@guests.example"), "gone@guests.example")
        await post.mailer.send(letter(2), "kari@guests.example")
        assert [message_id for message_id, _ in post.taken()] == ["<letter-2@meet.example>"]

    async def test_a_busy_server_is_asked_again_later(self, post: Post) -> None:
        """A server that can't take a mail now makes it `Unavailable`, and takes it when it can."""
        post.be_busy_for("kari@guests.example", busy=True)
        with pytest.raises(Unavailable) as later:
            await post.mailer.send(letter(), "kari@guests.example")
        assert later.value.retry_after_s > 0
        assert post.taken() == []
        post.be_busy_for("kari@guests.example", busy=False)
        await post.mailer.send(letter(), "kari@guests.example")
        assert len(post.taken()) == 1

    async def test_a_server_that_is_away_is_waited_for(self, post: Post) -> None:
        """With nobody there a mail is `Unavailable`; when somebody is, it goes, on the same mailer."""
        await post.mailer.send(letter(1), "kari@guests.example")
        await post.go_away()
        with pytest.raises(Unavailable):
            await post.mailer.send(letter(2), "kari@guests.example")
        await post.come_back()
        await post.mailer.send(letter(2), "kari@guests.example")
        assert [message_id for message_id, _ in post.taken()][-1] == "<letter-2@meet.example>"

    async def test_a_lost_answer_is_neither_yes_nor_no(self, post: Post) -> None:
        """When the server breaks off after the mail and before its answer, the fate is unknown, and said so."""
        post.lose_next_answer()
        with pytest.raises(FateUnknown):
            await post.mailer.send(letter(1), "kari@guests.example")
        await post.mailer.send(letter(2), "kari@guests.example")
        assert "<letter-2@meet.example>" in [message_id for message_id, _ in post.taken()]

    async def test_many_at_once_all_arrive_once(self, post: Post) -> None:
        """Mails sent side by side all arrive, each once."""
        guests = [f"guest{number}@guests.example" for number in range(40)]
        await asyncio.gather(*(post.mailer.send(letter(n, guest), guest) for n, guest in enumerate(guests)))
        assert sorted(post.taken()) == sorted(
            (f"<letter-{n}@meet.example>", guest) for n, guest in enumerate(guests)
        )

    async def test_a_probe_says_what_answered(self, post: Post) -> None:
        """A probe tells in a sentence that the server is there, sends nothing, and fails when nobody is there."""
        assert (await post.mailer.probe()).endswith(".")
        assert post.taken() == []
        await post.go_away()
        with pytest.raises(Unavailable):
            await post.mailer.probe()

    async def test_closing_twice_is_closing_once(self, post: Post) -> None:
        """A mailer can be closed after work and again."""
        await post.mailer.send(letter(), "kari@guests.example")
        await post.mailer.close()
        await post.mailer.close()
