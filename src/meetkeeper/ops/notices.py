"""Tells people and programs what `ops.alarms` decided: mail, webhook, script. Each hook has its own queue and patience.

A hook that hangs or fails keeps no other one waiting: it is tried a few times, then the notice is dropped and the log
says so. Nothing in the pair ever waits for a hook.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime, formataddr, make_msgid
from pathlib import Path

import httpx2
import msgspec
import structlog
from msgspec import Struct

from meetkeeper.core.configuration import Config, Hook, MailHook, ScriptHook, Secret, WebHook
from meetkeeper.core.errors import MeetkeeperError, Refused, Unavailable
from meetkeeper.ops.alarms import Notice
from meetkeeper.ports.mailer import FateUnknown, Mailer

log = structlog.get_logger("hooks")

WAITING_MAX = 100
"""Notices that wait for one hook; the oldest give way."""
TRIES_S = (1.0, 5.0, 30.0)
"""Pauses between tries: one more try than pauses."""
CLOSE_S = 5.0
"""So long a server that ends waits for what is under way."""
FOLDER = "local/hooks"
_VARIABLE = "MEETKEEPER_"


class Means(Struct, frozen=True, kw_only=True):
    """What `app` gives."""

    home: Path
    reveal: Callable[[Secret], str]
    mailer: Callable[[Config], Mailer | None]
    """By the configuration's mail settings; the caller closes it."""


class Notices:
    """The hooks of the configuration in force. Give it the configuration whenever it may have changed."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._config: Config | None = None
        self._lanes: list[_Lane] = []

    def configure(self, config: Config | None) -> None:
        """Hooks that are gone finish what waits for them; new ones begin empty."""
        if config is None or config is self._config:
            return
        before, self._config = self._config, config
        if before is not None and (before.pair.hooks, before.mail) == (config.pair.hooks, config.mail):
            for lane in self._lanes:
                lane.config = config
            return
        for lane in self._lanes:
            lane.finish()
        self._lanes = [_Lane(hook, config, self._means) for hook in _single(config.pair.hooks)]

    def tell(self, notice: Notice) -> None:
        """To everybody. Never waits."""
        say = log.warning if notice.kind == "alarm" else log.info
        say("pair.notice", kind=notice.kind, name=notice.name, text=notice.text)
        for lane in self._lanes:
            lane.put(notice)

    async def close(self) -> None:
        """Let what is under way end, for a moment."""
        for lane in self._lanes:
            lane.finish()
        tasks = [lane.task for lane in self._lanes]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=CLOSE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self._lanes = []


class _Lane:
    """One hook and what waits for it."""

    def __init__(self, hook: Hook, config: Config, means: Means) -> None:
        self.config = config
        self._hook, self._means = hook, means
        self._waiting: asyncio.Queue[Notice | None] = asyncio.Queue(WAITING_MAX + 1)
        self._ending = asyncio.Event()
        self.task = asyncio.create_task(self._run(), name=f"hook.{_name(hook)}")

    def put(self, notice: Notice) -> None:
        if self._waiting.qsize() >= WAITING_MAX:
            dropped = self._waiting.get_nowait()
            log.warning("hook.overrun", hook=_name(self._hook), dropped=dropped and dropped.name)
        self._waiting.put_nowait(notice)

    def finish(self) -> None:
        if not self._ending.is_set():
            self._ending.set()
            self._waiting.put_nowait(None)

    async def _run(self) -> None:
        while (notice := await self._waiting.get()) is not None:
            await self._deliver(notice)

    async def _deliver(self, notice: Notice) -> None:
        for pause_s in (*TRIES_S, None):
            try:
                await self._tell(notice)
            except (MeetkeeperError, FateUnknown) as trouble:
                last = pause_s is None or isinstance(trouble, Refused | FateUnknown) or self._ending.is_set()
                log.warning(
                    "hook.failed", hook=_name(self._hook), notice=notice.name, why=str(trouble), last=last
                )
                if last or pause_s is None:
                    return
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await self._ending.wait()
            else:
                log.info("hook.told", hook=_name(self._hook), notice=notice.name, kind=notice.kind)
                return

    def _tell(self, notice: Notice) -> Awaitable[None]:
        match self._hook:
            case MailHook() as mail:
                return send_mail(mail, notice, self.config, self._means)
            case WebHook() as web:
                return post(web, notice, self._means)
            case ScriptHook() as script:
                return run_script(script, notice, self._means.home)


async def send_mail(hook: MailHook, notice: Notice, config: Config, means: Means) -> None:
    """One mail for each recipient. Raises what the mail server says, `Refused` where none is configured."""
    mailer = means.mailer(config)
    if mailer is None:
        raise Refused("hook.no-mail", "A mail hook needs a mail server: set mail.host in the configuration.")
    try:
        for recipient in hook.to:
            await mailer.send(letter(notice, config, recipient), recipient)
    finally:
        await mailer.close()


def letter(notice: Notice, config: Config, recipient: str) -> EmailMessage:
    """The mail: what it is, in the first words of the subject."""
    message = EmailMessage()
    word = {"alarm": "ALARM", "clear": "all clear", "role": "role"}[notice.kind]
    message["From"] = formataddr((config.mail.sender_name, config.mail.sender))
    message["To"] = recipient
    message["Subject"] = f"[{config.cluster.name}] {word}: {notice.text}"[:200]
    message["Date"] = format_datetime(datetime.fromisoformat(notice.at))
    message["Message-ID"] = make_msgid(domain=config.cluster.sip_domain)
    message["Auto-Submitted"] = "auto-generated"
    lines = [
        notice.text,
        "",
        f"told by   {notice.server} ({notice.role}, epoch {notice.epoch}), {notice.at}",
        f"partner   {notice.peer}",
        f"look at   meetkeeper status, meetkeeper standby check, {config.cluster.public_url}",
    ]
    message.set_content("\n".join(lines) + "\n")
    return message


async def post(hook: WebHook, notice: Notice, means: Means) -> None:
    """POST the notice. Raises `Unavailable` for no answer or 5xx, `Refused` for any other answer but 2xx."""
    headers = {"content-type": "application/json"}
    if hook.token is not None:
        headers["authorization"] = f"Bearer {means.reveal(hook.token)}"
    try:
        async with httpx2.AsyncClient(timeout=hook.timeout_s) as client:
            answer = await client.post(hook.url, content=msgspec.json.encode(notice), headers=headers)
    except httpx2.HTTPError as error:
        raise Unavailable(
            "hook.away", f"{hook.url} does not answer: {error!r}. It is tried again."
        ) from error
    if answer.status_code >= 500 or answer.status_code == 429:
        raise Unavailable("hook.busy", f"{hook.url} answered {answer.status_code}. It is tried again.")
    if answer.status_code >= 300:
        raise Refused(
            "hook.refused", f"{hook.url} answered {answer.status_code}. Look at its address and token."
        )


async def run_script(hook: ScriptHook, notice: Notice, home: Path) -> None:
    """Run it with the notice in its environment. Raises `Unavailable` when it fails or takes too long."""
    path = home / FOLDER / hook.name
    if not path.is_file():
        raise Refused("hook.no-script", f"{path} is not there. Put the program there, on each server.")
    process = None
    try:
        process = await asyncio.create_subprocess_exec(
            str(path),
            env=os.environ | variables(notice),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=home,
            start_new_session=True,
        )
        async with asyncio.timeout(hook.timeout_s):
            code = await process.wait()
    except TimeoutError:
        text = f"{hook.name} did not end within {hook.timeout_s:g} s."
        raise Unavailable("hook.slow", f"{text} Look at it, or give it longer.") from None
    except OSError as wrong:
        raise Refused("hook.script", f"{path} can't be started: {wrong}. Make it executable.") from wrong
    finally:
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if code:
        raise Unavailable("hook.failed", f"{hook.name} ended with {code}. It is tried again.")


def variables(notice: Notice) -> dict[str, str]:
    """The notice as environment variables: MEETKEEPER_KIND, _NAME, _TEXT, _SERVER, _PEER, _ROLE, _WAS, _EPOCH, _AT."""
    values = msgspec.to_builtins(notice)
    return {f"{_VARIABLE}{name.upper()}": str(value).replace("\0", "") for name, value in values.items()}


def _single(hooks: tuple[Hook, ...]) -> Iterator[Hook]:
    """A mail for each recipient is a hook of its own: trying one again does not tell the others twice."""
    for hook in hooks:
        if isinstance(hook, MailHook):
            yield from (MailHook(to=(recipient,)) for recipient in hook.to)
        else:
            yield hook


def _name(hook: Hook) -> str:
    match hook:
        case MailHook():
            return f"mail to {', '.join(hook.to)}"
        case WebHook():
            return hook.url
        case ScriptHook():
            return hook.name
