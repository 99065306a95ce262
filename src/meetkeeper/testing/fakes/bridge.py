"""A conference bridge in memory, faithful to its contract, that can be slow, away, silent, occupied or forgetful.

One `FakeBridge` is the bridge itself; each server talks to it through a `client` of its own, as both servers of a pair
talk to the same Janus. The simulated world, which has its own time, calls the `..._now` verbs and delays by itself.
"""

import asyncio
from collections.abc import Awaitable, Callable

from msgspec import Struct

from meetkeeper.core.effects import Phase
from meetkeeper.core.errors import Refused, Unavailable
from meetkeeper.core.vmr import marker_lineage
from meetkeeper.core.words import Alias
from meetkeeper.ports.bridge import AliasTaken, Door, Ensured, FoundVmr, Health, WantedVmr


class Call(Struct, frozen=True):
    """One verb that reached the bridge. `created`: it made a VMR; `answered`: the caller heard of it."""

    verb: str
    by: str
    alias: Alias | None = None
    phase: Phase | None = None
    created: bool = False
    answered: bool = True


class FakeBridge:
    """The bridge. Its switches are plain attributes; turn them at any time.

    `slow_s` seconds from having done the work to the answer; `away` nothing arrives; `silent` what is asked is done and
    no answer comes; `objects` a reason to refuse everything; `taken` aliases that somebody else holds, and what it says
    there; `calls` every verb that arrived.
    """

    def __init__(self) -> None:
        self.slow_s = 0.0
        self.away = False
        self.silent = False
        self.objects = ""
        self.taken: dict[Alias, str] = {}
        self.calls: list[Call] = []
        self.vmrs: dict[Alias, WantedVmr] = {}
        self.guests: dict[Alias, list[str]] = {}
        self.starts = 1

    def client(
        self, by: str = "a", sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> "FakeClient":
        """What one server uses. `sleep` waits in the caller's time."""
        return FakeClient(self, by, sleep)

    def restart(self, *, forget: bool = True) -> None:
        """Everybody is out and `instance` changes; `forget`: the VMRs are gone too, strangers' ones as well."""
        self.starts += 1
        self.guests.clear()
        if forget:
            self.vmrs.clear()
            self.taken.clear()

    # --- people ----------------------------------------------------------------------------------------------------

    def join(self, alias: Alias, pin: str, name: str = "guest") -> bool:
        """Somebody tries the door; True when they got in."""
        vmr = self.vmrs.get(alias)
        if self.away or vmr is None or vmr.phase is not Phase.OPEN or vmr.pin != pin:
            return False
        self.guests.setdefault(alias, []).append(name)
        return True

    # --- the verbs, in nobody's time -------------------------------------------------------------------------------

    def ensure_now(self, wanted: WantedVmr, by: str = "") -> Ensured | AliasTaken:
        """`Bridge.ensure`."""
        self._reach()
        stands = self.vmrs.get(wanted.alias)
        created = stands is None and wanted.alias not in self.taken
        self._record(Call("ensure", by, wanted.alias, wanted.phase, created))
        if wanted.alias in self.taken:
            self._answer()
            return AliasTaken(self.taken[wanted.alias])
        self.vmrs[wanted.alias] = wanted
        if wanted.phase is Phase.CLOSED:
            self.guests.pop(wanted.alias, None)
        self._answer()
        return Ensured(None if stands is None else stands.marker)

    def retire_now(self, alias: Alias, by: str = "") -> None:
        """`Bridge.retire`."""
        self._reach()
        self._record(Call("retire", by, alias))
        self.vmrs.pop(alias, None)
        self.guests.pop(alias, None)
        self._answer()

    def survey_now(self, by: str = "") -> tuple[FoundVmr, ...]:
        """`Bridge.survey`."""
        self._reach()
        self._record(Call("survey", by))
        self._answer()
        return tuple(
            FoundVmr(alias, vmr.marker, len(self.guests.get(alias, ())), vmr.phase)
            for alias, vmr in self.vmrs.items()
            if marker_lineage(vmr.marker, alias) is not None
        )

    def probe_now(self, by: str = "") -> Health:
        """`Bridge.probe`."""
        self._reach()
        self._record(Call("probe", by))
        self._answer()
        return Health(f"fake-{self.starts}", "A bridge in memory answers.")

    def _reach(self) -> None:
        if self.away:
            raise Unavailable("fake-away", "The bridge in memory is away; it is asked again by itself.")
        if self.objects:
            raise Refused(
                "fake-objects", f"The bridge in memory refuses: {self.objects}. Let it be willing again."
            )

    def _record(self, call: Call) -> None:
        answered = not self.silent
        self.calls.append(Call(call.verb, call.by, call.alias, call.phase, call.created, answered))

    def _answer(self) -> None:
        if self.silent:
            raise Unavailable(
                "fake-silent",
                "The bridge in memory did as asked and does not answer; it is asked again by itself.",
            )


class FakeClient:
    """A `ports.Bridge` on a `FakeBridge`."""

    def __init__(self, bridge: FakeBridge, by: str, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._bridge = bridge
        self._by = by
        self._sleep = sleep

    async def ensure(self, wanted: WantedVmr) -> Ensured | AliasTaken:
        """Done at once; the answer takes `slow_s`."""
        answer = self._bridge.ensure_now(wanted, self._by)
        await self._sleep(self._bridge.slow_s)
        return answer

    async def retire(self, alias: Alias) -> None:
        """Done at once; the answer takes `slow_s`."""
        self._bridge.retire_now(alias, self._by)
        await self._sleep(self._bridge.slow_s)

    async def survey(self) -> tuple[FoundVmr, ...]:
        """As it was when the question arrived."""
        found = self._bridge.survey_now(self._by)
        await self._sleep(self._bridge.slow_s)
        return found

    async def probe(self) -> Health:
        """The instance grows with every restart."""
        health = self._bridge.probe_now(self._by)
        await self._sleep(self._bridge.slow_s)
        return health

    def door(self, wanted: WantedVmr) -> Door:
        """An address that nobody opens."""
        return Door("redirect", f"https://bridge.example/{wanted.alias}")

    async def close(self) -> None:
        """Nothing to let go of."""
