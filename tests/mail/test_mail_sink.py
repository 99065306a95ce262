"""The mail sink: what was sent to it can be read as files, by people and by programs."""

import asyncio
import json
from pathlib import Path

import pytest

from meetkeeper.app.demo.mail_sink import INDEX, MailSink
from meetkeeper.core.configuration import MailConfig
from meetkeeper.mail.compose import compose
from meetkeeper.mail.smtp import SmtpMailer
from meetkeeper.mail.templates import Templates
from tests.mail.itip import calendar_of
from tests.mail.samples import CONFIG, KARI, NOW_S, meeting, request


async def test_a_whole_mail_goes_in_and_can_be_read(tmp_path: Path) -> None:
    """A composed invitation arrives as a file, its index line names it, and its parts are intact."""
    sink = MailSink(tmp_path)
    await sink.start()
    mailer = SmtpMailer(MailConfig(host="127.0.0.1", port=sink.port, tls="none"), None)
    told = meeting()
    message = compose(CONFIG, request(told), told, None, NOW_S, templates=Templates())
    await mailer.send(message, KARI.email)
    await mailer.close()
    await sink.stop()
    (mail,) = sink.mails()
    assert mail.recipients == (KARI.email,)
    assert mail.message_id == str(message["Message-ID"])
    assert mail.notice == f"{told.id}/1/REQUEST"
    assert mail.method == "REQUEST"
    assert mail.subject.startswith("Invitation: Planning")
    assert calendar_of(sink.read(mail)) == calendar_of(message)
    assert json.loads((tmp_path / INDEX).read_text())["file"] == mail.file


async def test_numbers_go_on_after_a_restart(tmp_path: Path) -> None:
    """A second sink on the same folder adds to what is there."""
    for _ in range(2):
        MailSink(tmp_path).keep("a@x.example", ("../../etc/b@x.example",), b"Subject: hello\r\n\r\nbody\r\n")
    mails = MailSink(tmp_path).mails()
    assert [mail.number for mail in mails] == [1, 2]
    assert all((tmp_path / mail.file).parent == tmp_path for mail in mails)


async def test_stopping_frees_the_port_and_starting_takes_it_again(tmp_path: Path) -> None:
    """The address of a sink stays the same over a stop, as a real server's would."""
    sink = MailSink(tmp_path)
    await sink.start()
    port = sink.port
    await sink.stop()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    await sink.start()
    assert sink.port == port
    await sink.stop()
