"""One Exchange server as all its rooms share it: one pool of threads and sessions, one gate, one way of asking.

When the server says "not now" (ErrorServerBusy with or without a pause, 429, 503) every room waits: a retry storm is
answered by more of the same. `exchangelib` blocks, so it is asked in threads, `concurrency` of them and no more; it is
imported there, when the first room asks.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from meetkeeper.bounded.gate import Gate
from meetkeeper.calendars.exchange.faults import BACK_OFF_S_MAX, to_error
from meetkeeper.calendars.exchange.hints import PACE, Hints, Pace
from meetkeeper.calendars.exchange.soap import Fault, Node
from meetkeeper.calendars.exchange.terms import LIMITS, Ask, Limits, Secrets
from meetkeeper.core.configuration import ExchangeServer
from meetkeeper.core.errors import Refused, Unavailable

if TYPE_CHECKING:
    from meetkeeper.calendars.exchange.ear import Ear
    from meetkeeper.calendars.exchange.line import Line


class EwsServer:
    """One configured server. Rooms `join` it and `leave` it; the last one out lets go of threads and sessions."""

    def __init__(
        self,
        config: ExchangeServer,
        secrets: Secrets | None = None,
        *,
        limits: Limits = LIMITS,
        pace: Pace = PACE,
    ) -> None:
        """No I/O."""
        split = urlsplit(config.url)
        self.config = config
        self.limits = limits
        self.host = (split.hostname or "").lower()
        self._origin = f"{split.scheme.lower()}://{split.netloc.rpartition('@')[2].lower()}"
        self._secrets = secrets or Secrets()
        self._slots = asyncio.Semaphore(config.concurrency)
        self._threads: ThreadPoolExecutor | None = None
        self._line: Line | None = None
        self._hints = Hints(self, self._open_ear, pace)
        self._rooms = 0
        self._gate = Gate(self.host)

    @property
    def ahead_s(self) -> float:
        """How far the server's clock is ahead of ours."""
        return 0.0 if self._line is None else self._line.ahead_s

    def join(self) -> None:
        """Take part."""
        self._rooms += 1

    async def leave(self) -> None:
        """Take part no longer. Threads in the middle of a request end with it, within `request_s`."""
        self._rooms -= 1
        if self._rooms > 0:
            return
        self._hints.close()
        line, self._line = self._line, None
        threads, self._threads = self._threads, None
        if line is not None:
            line.close()
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)

    def listen(self, mailbox: str, wake: Callable[[], None]) -> None:
        """Have `wake` called when the server tells of a change in the mailbox's calendar, if that is configured."""
        if self.config.notify and self._rooms > 0:
            self._hints.want(mailbox, wake)

    def deaf(self, mailbox: str) -> str:
        """Why nothing is told of this mailbox, or ""."""
        return self._hints.trouble(mailbox)

    async def ask(self, mailbox: str, make: Ask, until: float) -> tuple[Node, ...]:
        """The response messages to one request, unchecked. `until` is the loop's time when the pass must end.

        Raises our errors for everything about server and mailbox, and `Fault` for what concerns the request alone.
        """
        if self._rooms <= 0:
            raise Unavailable("calendar.closed", f"{self.host} is no longer used by this configuration.")
        self.mind_the_gate()
        try:
            async with asyncio.timeout_at(until), self._slots:
                self.mind_the_gate()
                if self._threads is None:
                    self._threads = ThreadPoolExecutor(self.config.concurrency, f"ews-{self.config.id}")
                loop = asyncio.get_running_loop()
                messages: tuple[Node, ...] = await loop.run_in_executor(
                    self._threads, self._in_thread, mailbox, make
                )
        except TimeoutError:
            raise Unavailable("calendar.slow", f"{self.host} took too long; it is asked again.") from None
        except Fault as fault:
            self.heed(fault)
            raise
        except Unavailable as away:
            if away.code == "calendar.busy":
                self._gate.shut(asyncio.get_running_loop().time(), away.retry_after_s)
            raise
        self._gate.well()
        return messages

    def heed(self, fault: Fault) -> None:
        """Let every room wait when the server says that it is too busy, whichever way it says so."""
        if fault.code != "ErrorServerBusy":
            return
        wanted_s = None if fault.back_off_s is None else min(fault.back_off_s, BACK_OFF_S_MAX)
        pause_s = self._gate.shut(asyncio.get_running_loop().time(), wanted_s)
        raise to_error(Fault(fault.code, fault.text, pause_s), self.host)

    def mind_the_gate(self) -> None:
        """Raises `Unavailable` while the server wants a pause."""
        self._gate.pass_through(asyncio.get_running_loop().time())

    def _in_thread(self, mailbox: str, make: Ask) -> tuple[Node, ...]:
        line = self._line
        if line is None:
            line = self._line = self._open_line()
        return line.ask(mailbox, make)

    def _open_ear(self, silence_s: float) -> "Ear":
        from meetkeeper.calendars.exchange.ear import Ear

        return Ear(self.config, self._secrets, self.limits, self._origin, silence_s=silence_s)

    def _open_line(self) -> "Line":
        try:
            from meetkeeper.calendars.exchange.line import Line
        except ImportError as missing:
            raise Refused(
                "calendar.no-exchangelib",
                f"Exchange calendars need the package exchangelib ({missing}); install meetkeeper[exchange].",
            ) from None
        return Line(self.config, self._secrets, self.limits, self._origin)
