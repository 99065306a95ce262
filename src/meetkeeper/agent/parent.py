"""The agent at work: `watch` decides, this does: start the node, read its heartbeat, send signals, answer the peer.

Place in the house: `meetkeeper run` is an agent and nothing else; the node is its child. Rules:

- the node is started before anything that takes time to load, and everything that only a pair needs is loaded after;
- the node has a session of its own: a terminal's Ctrl-C, Ctrl-Z or end reaches the agent alone, which tells the node
  once. SIGTERM and SIGINT stop both. SIGHUP does the same where a terminal has closed and nothing where there is none;
- what happens is handled at once, in the event loop's thread, one after the other: a start and a proof of stop can
  never be decided at the same time;
- the agent alone holds the writing end of the lifeline: when it is gone, however it went, so is the node.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, assert_never

from meetkeeper.agent import watch
from meetkeeper.agent.child import Child
from meetkeeper.agent.watch import Limits
from meetkeeper.agent.words import (
    EXIT_NOT_STARTED,
    NO_PROOF_GIVEN,
    AgentPair,
    AgentSettings,
    Answer,
    Question,
    Refused,
    Running,
    Stopped,
)
from meetkeeper.core.errors import MeetkeeperError
from meetkeeper.ha.words import Proof
from meetkeeper.host.clock import RealClock

if TYPE_CHECKING:
    from meetkeeper.agent.proving import Prover

TICK_S = 0.1
PATIENCE_S = 0.4
"""How long a question about a running node waits for its end: a dying process closes its connections, and the other
server asks, a moment before the system tells its parent."""


def nothing() -> None:
    """For an agent whose log lines need no preparation."""


class Agent:
    """One agent. `prepare` sets up what log lines need; it runs after the first start, so that it costs no time."""

    def __init__(
        self,
        settings: AgentSettings,
        limits: Limits = watch.LIMITS,
        prepare: Callable[[], None] = nothing,
    ) -> None:
        self.settings, self._limits, self._prepare = settings, limits, prepare
        self._clock = RealClock()
        self.view = watch.begin(paired=settings.pair is not None, now_s=self._clock.steady_s())
        self.port: Callable[[], int] = int
        """Where it listens for the peer; 0 while it does not."""
        self._child: Child | None = None
        self._end: asyncio.Future[int] | None = None
        self._prover: Prover | None = None
        self._proving = asyncio.Lock()
        self._gone = asyncio.Event()
        self._last_end = "its node has not been started yet"
        self._log: Any = None

    async def run(self) -> int:
        """Until the node has stopped for good or the agent was told to; the exit code."""
        loop = asyncio.get_running_loop()
        self._end = loop.create_future()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            terminal = os.isatty(0) or os.isatty(2)
            loop.add_signal_handler(signal.SIGHUP, self.stop if terminal else nothing)
        self._handle(watch.Ticked())
        self._ready()
        tasks = [asyncio.create_task(self._tick())]
        if self.settings.pair is not None:
            tasks.append(asyncio.create_task(self._listen(self.settings.pair)))
        for task in tasks:
            task.add_done_callback(self._failed)
        try:
            return await self._end
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _failed(self, task: "asyncio.Task[None]") -> None:
        """A mistake of ours: the agent ends loudly, and its node with it."""
        wrong = None if task.cancelled() else task.exception()
        if wrong is not None and self._end is not None and not self._end.done():
            self._end.set_exception(wrong)

    def stop(self) -> None:
        """Stop the node, then end."""
        self._handle(watch.Asked())

    async def answer(self, question: Question) -> Answer:
        """What the peer is told: a proof while there is no node, and none is started while it is made."""
        me, prover = self.settings.name, self._prover
        assert prover is not None, "nobody listens before there is a prover"
        try:
            proof = await asyncio.to_thread(prover.given, question.epoch, question.from_)
            if proof is None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(PATIENCE_S):
                        await self._gone.wait()
                async with self._proving:
                    if not self.view.is_gone:
                        return Running(server=me, role=self._child.role if self._child else None)
                    proof = await self._prove(prover, question)
        except MeetkeeperError as trouble:
            self._say("agent.no_proof", text=trouble.message)
            return Refused(server=me, why=trouble.message)
        return Stopped(server=me, proof=proof)

    async def _prove(self, prover: "Prover", question: Question) -> Proof:
        self._handle(watch.Held())
        try:
            proof = await asyncio.to_thread(prover.prove, question.epoch, question.from_, self._last_end)
        finally:
            self._handle(watch.Freed())
        self._say("agent.proof", to=question.from_, epoch=proof.epoch, text=proof.why)
        return proof

    # --- what happens ------------------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        while True:
            self._listen_to_node()
            self._handle(watch.Ticked())
            await asyncio.sleep(TICK_S)

    def _listen_to_node(self) -> None:
        if self._child is not None and self._child.heard():
            self._handle(watch.Beaten())

    def _handle(self, event: watch.Event) -> None:
        self.view, actions = watch.step(self.view, event, self._clock.steady_s(), self._limits)
        for action in actions:
            self._do(action)

    def _ended(self, code: int) -> None:
        self._listen_to_node()  # a short life may have had its heartbeat since the last look
        if self._child is not None:
            self._child.close()
            self._child = None
        self._last_end = f"its node has ended with code {code}"
        self._handle(watch.Ended(code))
        self._handle(watch.Ticked())
        if self.view.is_gone:
            self._gone.set()

    # --- what is to be done ------------------------------------------------------------------------------------------

    def _do(self, action: watch.Action) -> None:
        match action:
            case watch.Start(again):
                self._start(again=again)
            case watch.Terminate():
                self._send(signal.SIGTERM)
            case watch.Kill(why):
                self._say("agent.kills_node", text=why)
                self._send(signal.SIGKILL)
            case watch.Wait(code, delay_s, gave_up):
                event = "agent.gave_up" if gave_up else "agent.node_ended"
                self._say(event, code=code, again_in_s=delay_s)
            case watch.End(code):
                if self._end is not None and not self._end.done():
                    self._end.set_result(code)
            case _:
                assert_never(action)

    def _start(self, *, again: bool) -> None:
        self._gone.clear()
        environment = {key: text for key, text in os.environ.items() if key != NO_PROOF_GIVEN}
        if again and self._prover is not None and self._prover.nothing_given():
            environment[NO_PROOF_GIVEN] = "1"
        loop = asyncio.get_running_loop()
        try:
            child = Child(self.settings.command, environment)
        except OSError as wrong:
            self._say("agent.not_started", text=str(wrong))
            loop.call_soon(self._ended, EXIT_NOT_STARTED)
            return

        def gone(code: int) -> None:
            with suppress(RuntimeError):  # the loop is closed: the agent has ended before its node
                loop.call_soon_threadsafe(self._ended, code)

        self._child = child
        child.when_gone(gone)

    def _send(self, number: signal.Signals) -> None:
        if self._child is not None:
            self._child.signal(number)

    # --- the peer ----------------------------------------------------------------------------------------------------

    async def _listen(self, pair: AgentPair) -> None:
        from meetkeeper.agent.listening import Listener

        self._prover = await asyncio.to_thread(_prover_of, self.settings, pair, self._clock.now_s)
        await asyncio.to_thread(self._prover.reserve)
        listener = Listener(
            self.settings.name, pair, self.answer, lambda event, why: self._say(event, text=why)
        )
        self.port = lambda: listener.port
        await listener.run()

    def _ready(self) -> None:
        """Load what log lines need, once."""
        if self._log is None:
            import structlog

            self._prepare()
            self._log = structlog.get_logger("agent")

    def _say(self, event: str, **values: object) -> None:
        self._ready()
        self._log.warning(event, **values)


def _prover_of(settings: AgentSettings, pair: AgentPair, now_s: Callable[[], float]) -> "Prover":
    from meetkeeper.agent.proving import Prover
    from meetkeeper.host.disk import RealDisk
    from meetkeeper.replication.seals import Sealer

    sealer = Sealer(pair.certificates.key, pair.certificates.certificate)
    return Prover(RealDisk(settings.home), settings.name, sealer.seal, now_s)


def run(settings: AgentSettings, limits: Limits = watch.LIMITS, prepare: Callable[[], None] = nothing) -> int:
    """Be the agent of a home until its node has stopped; the exit code."""
    return asyncio.run(_run(settings, limits, prepare))


async def _run(settings: AgentSettings, limits: Limits, prepare: Callable[[], None]) -> int:
    return await Agent(settings, limits, prepare).run()


def node_command(home: str) -> tuple[str, ...]:
    """What starts the node of a home: this program, by the interpreter that runs it now."""
    return (sys.executable, "-m", "meetkeeper.app.main", "node", home)
