"""The register as one key of an etcd cluster, by its JSON gateway: transactions and linearizable reads alone.

Place in the journey: `app.wiring` hands it to the machine's shell. The version is the key's mod_revision. No lease, no
lock, no watch: those are where etcd's faults were.

Rules of this file: a change that may have reached one endpoint is `Unknown`, never sent to another. A cluster with
another id is a reason not to know. What holds for every third place is in `careful`.
"""

from collections.abc import Sequence

from meetkeeper.ha.words import Empty, Found, Outcome, Reading, Record, Unknown, Unreachable, Won
from meetkeeper.registers import etcdwords
from meetkeeper.registers.careful import CarefulRegister, PutAnswer
from meetkeeper.registers.etcdgateway import Access, Gateway, GatewayAway
from meetkeeper.registers.sheet import UNNUMBERED, Damaged, seal, unseal_as

KEY = "/meetkeeper/register"


class EtcdRegister:
    """One key."""

    arbitrates = True

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        key: str = KEY,
        deadline_s: float = 2.0,
        access: Access | None = None,
    ) -> None:
        """Asks nobody yet. Endpoints are like https://etcd-1:2379. Raises `TheirMistake` for unusable certificates."""
        self._gateway = Gateway(endpoints, access or Access())
        self.place = f"The register {key} in etcd at {', '.join(endpoints)}"
        cell = Cell(self._gateway, key, self.place)
        self._careful = CarefulRegister(cell, name=self.place, deadline_s=deadline_s)

    async def read(self) -> Reading:
        """A linearizable read of the key."""
        return await self._careful.read()

    async def change(self, expected: int, record: Record) -> Outcome:
        """Look, then one transaction that compares mod_revision."""
        return await self._careful.change(expected, record)

    def believe(self) -> None:
        """See `ports.register.Believing`."""
        self._careful.believe()

    async def close(self) -> None:
        """Close connections. A call under way ends with an answer of not knowing."""
        await self._gateway.close()


class Cell:
    """The key as it is."""

    def __init__(self, gateway: Gateway, key: str, name: str) -> None:
        self._gateway, self._key, self._name = gateway, key, name
        self._cluster = ""

    async def look(self, until: float) -> Reading:
        """The key's value and mod_revision."""
        try:
            answer = await self._gateway.ask(etcdwords.RANGE, etcdwords.range_of(self._key), until=until)
            return self._meaning(etcdwords.kept(answer))
        except GatewayAway as away:
            return Unreachable(self._away(str(away)))
        except etcdwords.NotEtcd as wrong:
            return Unreachable(self._away(f"its answer {wrong}"))

    async def put(self, expected: int, record: Record, until: float) -> PutAnswer:
        """One transaction at one endpoint."""
        question = etcdwords.txn_of(self._key, expected, seal(record))
        try:
            answer = etcdwords.done(await self._gateway.ask(etcdwords.TXN, question, until=until, once=True))
        except GatewayAway as away:
            return (Unknown if away.done is None else Unreachable)(self._away(str(away)))
        except etcdwords.NotEtcd as wrong:
            return Unknown(self._away(f"its answer {wrong}"))
        if isinstance(answer, etcdwords.Kept):
            return self._meaning(answer)
        elsewhere = self._elsewhere(answer.cluster)
        return Unknown(elsewhere) if elsewhere else Won(answer.version)

    def _meaning(self, kept: etcdwords.Kept) -> Reading:
        elsewhere = self._elsewhere(kept.cluster)
        if elsewhere:
            return Unreachable(elsewhere)
        if kept.version == 0:
            return Empty()
        try:
            return Found(unseal_as(UNNUMBERED, kept.value), kept.version)
        except Damaged as damage:
            return Unreachable(
                f"{self._name} is damaged: what stands there, revision {kept.version}, {damage}. Somebody else has "
                "written there: bring back what stood, or stop both servers and decide by hand who is active."
            )

    def _elsewhere(self, cluster: str) -> str:
        if self._cluster in {"", cluster}:
            self._cluster = cluster
            return ""
        return (
            f"{self._name} is in another etcd cluster than before (id {cluster} instead of {self._cluster}): it was "
            "made anew or restored, or the endpoints belong to two. Stop both servers and decide who is active."
        )

    def _away(self, why: str) -> str:
        return f"{self._name} can't be asked ({why}). Look at etcd and the network to it."
