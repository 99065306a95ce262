"""Alarms are told once, again after a while, and cleared; hooks get them for real: HTTP, a program, a mail server."""

import asyncio
import json
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from msgspec.structs import replace

from meetkeeper.app.configfile import reveal
from meetkeeper.app.demo.mail_sink import MailSink
from meetkeeper.app.wiring import build_mailer
from meetkeeper.core.configuration import (
    ClusterConfig,
    Config,
    Hook,
    MailConfig,
    MailHook,
    PairConfig,
    ScriptHook,
    Secret,
    WebHook,
)
from meetkeeper.ops import notices
from meetkeeper.ops.alarms import HOLD_S, Alarms, Notice
from meetkeeper.ops.notices import Means, Notices
from tests.agent.pairs import until
from tests.pair.servers import alive

AGAIN_S = 600.0
NOTICE = Notice(
    kind="alarm",
    name="peer",
    text="b is not there.",
    server="a",
    peer="b",
    role="active",
    epoch=7,
    at="2026-11-22T10:00:00+00:00",
)


def test_an_alarm_is_told_once_it_stands_and_cleared_once() -> None:
    """Not before it has stood for a moment, not twice, and "all clear" when it is gone."""
    alarms = Alarms()
    assert alarms.look({"peer": "gone"}, 0.0, AGAIN_S) == []
    assert alarms.look({"peer": "gone"}, HOLD_S, AGAIN_S) == [("alarm", "peer", "gone")]
    assert alarms.look({"peer": "gone"}, HOLD_S + 1, AGAIN_S) == []
    assert alarms.look({}, HOLD_S + 2, AGAIN_S) == [("clear", "peer", "gone")]
    assert alarms.look({}, HOLD_S + 3, AGAIN_S) == []


def test_what_mends_itself_in_a_moment_is_not_told() -> None:
    """Neither raised nor cleared."""
    alarms = Alarms()
    assert alarms.look({"catching-up": "b lacks frames"}, 0.0, AGAIN_S) == []
    assert alarms.look({}, HOLD_S - 0.1, AGAIN_S) == []


def test_one_that_comes_and_goes_is_told_once_in_its_time() -> None:
    """A flapping link makes one mail every ten minutes, not one a second; others are told meanwhile."""
    alarms, told = Alarms(), []
    for second in range(int(AGAIN_S)):
        present = {"peer": "gone"} if second % 10 < 7 else {}
        if second > 300:
            present["disk"] = "full"
        told += [(kind, name) for kind, name, _ in alarms.look(present, float(second), AGAIN_S)]
    assert told == [("alarm", "peer"), ("clear", "peer"), ("alarm", "disk")]


def test_one_that_stands_is_told_again() -> None:
    """After so many minutes somebody may have forgotten it."""
    alarms = Alarms()
    told = [alarms.look({"peer": "gone"}, float(second), AGAIN_S) for second in range(2000)]
    assert sum(map(len, told)) == 4


# --- for real -----------------------------------------------------------------------------------------------------


class Sink(ThreadingHTTPServer):
    """Takes what is posted; `answers` are given in order, then 200."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Take)
        self.answers: list[int] = []
        self.taken: list[tuple[dict[str, str], dict[str, object]]] = []

    @property
    def url(self) -> str:
        """Where."""
        return f"http://127.0.0.1:{self.server_address[1]}/hook"


class _Take(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Sink)
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.taken.append((headers, json.loads(body)))
        self.send_response(self.server.answers.pop(0) if self.server.answers else 200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def sink() -> Iterator[Sink]:
    """A real HTTP server."""
    server = Sink()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def config_with(*hooks: Hook, mail: MailConfig = MailConfig()) -> Config:  # noqa: B008 - frozen
    """A configuration with these hooks."""
    return Config(cluster=ClusterConfig(secret="s" * 40), mail=mail, pair=PairConfig(hooks=hooks))


async def tell(home: Path, config: Config, *told: Notice) -> None:
    """Tell it all, and let it end."""
    hooks = Notices(Means(home=home, reveal=reveal, mailer=build_mailer))
    hooks.configure(config)
    for notice in told:
        hooks.tell(notice)
    for lane in hooks._lanes:
        lane._waiting.put_nowait(None)
    await asyncio.wait([lane.task for lane in hooks._lanes], timeout=20)
    await hooks.close()


async def test_a_webhook_gets_json_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice 503, then taken; the token is sent; the notice is whole."""
    monkeypatch.setattr(notices, "TRIES_S", (0.01, 0.01, 0.01))
    with sink() as server:
        server.answers = [503, 503]
        hook = WebHook(url=server.url, token=Secret(value="secret word"))
        await tell(tmp_path, config_with(hook), NOTICE)
        assert len(server.taken) == 3
        headers, body = server.taken[-1]
        assert headers["authorization"] == "Bearer secret word"
        assert body["name"] == "peer"
        assert body["server"] == "a"
        assert body["epoch"] == 7


async def test_a_webhook_that_refuses_is_not_asked_again(tmp_path: Path) -> None:
    """404 is an answer; the next notice is told all the same."""
    with sink() as server:
        server.answers = [404]
        await tell(tmp_path, config_with(WebHook(url=server.url)), NOTICE, replace(NOTICE, kind="clear"))
        assert [body["kind"] for _, body in server.taken] == ["alarm", "clear"]


async def test_a_program_gets_it_in_its_environment(tmp_path: Path) -> None:
    """From the server's own folder of hooks, and from nowhere else."""
    script = tmp_path / "local" / "hooks" / "tell"
    script.parent.mkdir(parents=True)
    script.write_text(
        '#!/bin/sh\nprintf "%s|%s|%s\\n" "$MEETKEEPER_KIND" "$MEETKEEPER_ROLE" "$MEETKEEPER_TEXT" >> told\n'
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    hooks = (ScriptHook(name="tell"), ScriptHook(name="not-there"))
    await tell(
        tmp_path, config_with(*hooks), NOTICE, replace(NOTICE, kind="clear", text="$(touch owned); `id`")
    )
    assert (tmp_path / "told").read_text().splitlines() == [
        "alarm|active|b is not there.",
        "clear|active|$(touch owned); `id`",
    ]
    assert not (tmp_path / "owned").exists()


async def test_a_program_that_hangs_is_ended_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    """Its time is up; the webhook beside it was told long before."""
    script = tmp_path / "local" / "hooks" / "hang"
    script.parent.mkdir(parents=True)
    script.write_text("#!/bin/sh\necho $$ > pid\nexec sleep 600\n")
    script.chmod(0o700)
    with sink() as server:
        hook = ScriptHook(name="hang", timeout_s=0.5)
        hooks = Notices(Means(home=tmp_path, reveal=reveal, mailer=build_mailer))
        hooks.configure(config_with(hook, WebHook(url=server.url)))
        hooks.tell(NOTICE)
        await until(lambda: bool(server.taken) and (tmp_path / "pid").exists())
        await hooks.close()
        pid = int((tmp_path / "pid").read_text())
        assert not alive(pid)


async def test_mail_goes_to_everybody_named(tmp_path: Path) -> None:
    """By the configured mail server, one mail each, marked as made by a machine."""
    mails = MailSink(tmp_path / "mails")
    await mails.start()
    try:
        mail = MailConfig(host="127.0.0.1", port=mails.port, tls="none", sender="mk@meet.example")
        await tell(tmp_path, config_with(MailHook(to=("a@x.example", "b@x.example")), mail=mail), NOTICE)
        texts = [path.read_text() for path in sorted((tmp_path / "mails").glob("*.eml"))]
        assert len(texts) == 2
        assert all(
            "ALARM: b is not there." in text and "Auto-Submitted: auto-generated" in text for text in texts
        )
    finally:
        await mails.stop()
