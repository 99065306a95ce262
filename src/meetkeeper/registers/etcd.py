"""The register as one key of an etcd cluster, by its JSON gateway: transactions and linearizable reads alone."""

from collections.abc import Sequence

from meetkeeper.ha.words import Outcome, Reading, Record

KEY = "/meetkeeper/register"


class EtcdRegister:
    """One key. Its version is etcd's mod_revision."""

    arbitrates = True

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        key: str = KEY,
        deadline_s: float = 2.0,
        user: str = "",
        password: str = "",
        authority: str = "",
        certificate: str = "",
        certificate_key: str = "",
    ) -> None:
        """No network I/O. `authority`, `certificate`, `certificate_key` are PEM files. Raises `TheirMistake` for them."""
        self._endpoints = tuple(endpoints)
        self._key = key
        self._deadline_s = deadline_s

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return f"etcd key {self._key} at {', '.join(self._endpoints)}"

    async def read(self) -> Reading:
        """A linearizable read of the key."""
        raise NotImplementedError

    async def change(self, expected: int, record: Record) -> Outcome:
        """One transaction that compares mod_revision."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close connections."""
