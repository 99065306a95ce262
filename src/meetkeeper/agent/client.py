"""Asking the other server's agent whether its node has stopped.

Place in the house: `app` hands an `AgentProver` to the node, which asks whenever it wants a proof. One call is one
question within one second; whoever wants to know keeps asking.
"""

import asyncio
import datetime
from collections.abc import Callable
from contextlib import suppress

import msgspec
import structlog

from meetkeeper.agent.words import (
    LINE_BYTES_MAX,
    Answer,
    Certificates,
    Question,
    Running,
    Stopped,
    host_and_port,
)
from meetkeeper.core.errors import MeetkeeperError
from meetkeeper.ha.words import Proof, Witness
from meetkeeper.replication.seals import verify
from meetkeeper.replication.trust import Trust, says_name, wrong_name

log = structlog.get_logger("agent.client")

ASK_S_MAX = 1.0
_decoder: "msgspec.json.Decoder[Answer]" = msgspec.json.Decoder(Answer)


class AgentProver:
    """`ports.peer.StopProver` by the agent on the other host."""

    def __init__(
        self,
        *,
        me: str,
        peer: str,
        address: str,
        certificates: Certificates,
        now_s: Callable[[], float],
        deadline_s: float = ASK_S_MAX,
    ) -> None:
        """`address` is the other agent's HOST:PORT, `now_s` the wall clock."""
        self._me, self._peer, self._address = me, peer, address
        self._authority, self._now_s, self._deadline_s = certificates.authority, now_s, deadline_s
        self._trust = Trust(certificates.certificate, certificates.key, certificates.authority)
        self.last = "not asked yet"
        """What came of the last question, for people."""

    async def ask(self, epoch: int) -> Proof | None:
        """A proof for this epoch or a higher one, its seal verified; None when it can't be had now. Never raises."""
        try:
            async with asyncio.timeout(self._deadline_s):
                answer = await self._talk(Question(ask="stop-proof", epoch=epoch, from_=self._me))
        except TimeoutError:
            return self._no("no answer in time")
        except (OSError, ValueError, EOFError, MeetkeeperError) as wrong:  # msgspec's errors are ValueErrors
            return self._no(str(wrong) or type(wrong).__name__)
        if isinstance(answer, Running):
            return self._no(f"its node runs{f' as {answer.role}' if answer.role else ''}")
        if not isinstance(answer, Stopped):
            return self._no(f"refused: {answer.why}")
        return self._verified(answer.proof, epoch)

    def _verified(self, proof: Proof, epoch: int) -> Proof | None:
        if proof.witness is not Witness.AGENT or proof.epoch < epoch or proof.accept_loss:
            return self._no(f"a proof by {proof.witness} for epoch {proof.epoch}, not for {epoch}")
        now = datetime.datetime.fromtimestamp(self._now_s(), datetime.UTC)
        try:
            verify(proof, self._authority, self._peer, now)
        except MeetkeeperError as wrong:
            return self._no(wrong.message)
        self.last = f"stopped, epoch {proof.epoch}"
        return proof

    async def _talk(self, question: Question) -> Answer:
        host, port = host_and_port(self._address)
        reader, writer = await asyncio.open_connection(
            host, port, ssl=self._trust.dialling(), server_hostname="", limit=LINE_BYTES_MAX
        )
        try:
            certificate = writer.get_extra_info("peercert")
            if not says_name(certificate, self._peer):
                raise ValueError(wrong_name(certificate, self._peer).text)
            writer.write(msgspec.json.encode(question) + b"\n")
            await writer.drain()
            return _decoder.decode(await reader.readuntil(b"\n"))
        finally:
            with suppress(OSError):
                writer.transport.abort()

    def _no(self, why: str) -> Proof | None:
        if why != self.last:  # asked twice a second: a line for every new answer, not for every question
            log.info("agent.no_proof", peer=self._peer, why=why)
        self.last = why
        return None
