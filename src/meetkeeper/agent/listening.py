"""The agent's ear: the other server's agent connection asks "has it stopped?", and gets one line back.

Place in the house: `parent` starts it when there is a pair. Rules: only the peer by its certificate is answered; one
question, one answer, and the connection ends; whatever goes wrong here never touches the node. A port that is taken or
a certificate that can't be read is said once and tried again, because certificates are renewed while an agent lives. An
agent that ends finishes what it was asked before: its last word may be the proof that the other server waits for.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import msgspec

from meetkeeper.agent.words import LINE_BYTES_MAX, AgentPair, Answer, Question, Refused, host_and_port
from meetkeeper.core.errors import MeetkeeperError
from meetkeeper.replication.trust import Trust, names_of, says_name

HEAR_S_MAX = 3.0
"""Handshake and question take no longer, or the connection is dropped."""
LAST_WORD_S_MAX = 1.0
"""So long an agent that ends may take for an answer it owes; whoever asked waits no longer (`client.ASK_S_MAX`)."""
AGAIN_S = 2.0
CONNECTIONS_MAX = 16

Ask = Callable[[Question], Awaitable[Answer]]
Say = Callable[[str, str], None]


class Listener:
    """Listens for as long as it lives. `answer` decides, `say` tells people of trouble."""

    def __init__(self, name: str, pair: AgentPair, answer: Ask, say: Say, again_s: float = AGAIN_S) -> None:
        self._name, self._pair, self._answer, self._say, self._again_s = name, pair, answer, say, again_s
        self._server: asyncio.Server | None = None
        self._trust = Trust(pair.certificates.certificate, pair.certificates.key, pair.certificates.authority)
        self._context: ssl.SSLContext | None = None
        self._open: set[asyncio.Task[None]] = set()
        self._asked: set[asyncio.Task[None]] = set()
        """Of these the ones that owe an answer."""
        self._trouble = ""

    async def run(self) -> None:
        """Listen until cancelled, then answer what was asked; listen anew when the certificates have changed."""
        try:
            while True:
                await self._look()
                await asyncio.sleep(self._again_s)
        finally:
            self._stop()
            if self._asked:
                await asyncio.wait(self._asked, timeout=LAST_WORD_S_MAX)
            for talk in self._open:
                talk.cancel()
            await asyncio.gather(*self._open, return_exceptions=True)

    @property
    def port(self) -> int:
        """Where it listens; 0 while it does not."""
        return int(self._server.sockets[0].getsockname()[1]) if self._server and self._server.sockets else 0

    async def _look(self) -> None:
        try:
            context = self._trust.listening()
            if self._server is not None and context is self._context:
                return
            self._stop()
            host, port = host_and_port(self._pair.listen)
            self._server = await asyncio.start_server(
                self._meet,
                host or None,
                port,
                ssl=context,
                ssl_handshake_timeout=HEAR_S_MAX,
                limit=LINE_BYTES_MAX,
            )
            self._context, self._trouble = context, ""
        except (OSError, ValueError, MeetkeeperError) as wrong:
            said = f"{self._pair.listen}: {wrong}"
            if said != self._trouble:  # once, not at every try
                self._trouble = said
                self._say("agent.deaf", said)

    def _stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A task of ours for each connection: one that asyncio makes is reported as a fault when the agent ends."""
        if len(self._open) >= CONNECTIONS_MAX:
            writer.transport.abort()
            return
        talk = asyncio.get_running_loop().create_task(self._hear(reader, writer))
        self._open.add(talk)
        talk.add_done_callback(self._open.discard)

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.current_task()
        assert talk is not None
        try:
            async with asyncio.timeout(HEAR_S_MAX):
                said = await reader.readline()
            self._asked.add(talk)
            answer = await self._judge(said, writer.get_extra_info("peercert"))
            writer.write(msgspec.json.encode(answer) + b"\n")
            async with asyncio.timeout(HEAR_S_MAX):
                await writer.drain()
        except (OSError, TimeoutError, ValueError):
            pass  # it did not ask, or did not wait for the answer: it will ask again
        finally:
            self._asked.discard(talk)
            writer.close()
            with suppress(OSError, ssl.SSLError):
                await writer.wait_closed()

    async def _judge(self, said: bytes, certificate: Mapping[str, object] | None) -> Answer:
        peer = self._pair.peer
        if not says_name(certificate, peer):
            names = ", ".join(names_of(certificate)) or "nobody"
            self._say("agent.stranger", f"asked by {names}, who is not {peer}")
            return Refused(server=self._name, why=f"this agent answers {peer} alone")
        try:
            question = msgspec.json.decode(said, type=Question)
        except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
            return Refused(server=self._name, why=f"not a question: {wrong}")
        if question.from_ != peer:
            return Refused(server=self._name, why=f"{question.from_} asks with {peer}'s certificate")
        return await self._answer(question)
