"""The register as numbered files in a folder on a third host's share: `reg-<20 digits>.json`, no locks.

Place in the journey: `app.wiring` hands it to the machine's shell. The version is the number. To change what stands is
to make the next number, which only one can. Everything that touches the share happens in a worker process with a
deadline; here it is decided what its bytes mean.

Rules of this file: a newest file that is not what was written is a reason not to know, never a reason to take the one
before it. What holds for every third place is in `careful`. NFS must be mounted with `actimeo=0` or `noac`, SMB with
`cache=none`.
"""

import asyncio
import re
from pathlib import Path

from meetkeeper.ha.words import Empty, Found, Outcome, Reading, Record, Unknown, Unreachable, Won
from meetkeeper.registers import fileworker
from meetkeeper.registers.careful import CarefulRegister, PutAnswer
from meetkeeper.registers.sheet import VERSION_MAX, Damaged, seal, unseal_as
from meetkeeper.registers.worker import Value, Worker, WorkerAway

PROGRAM = Path(fileworker.__file__)
WRITING_S = 0.2
"""A newest file that is not whole may be under somebody's pen for so long; after that it is damaged."""
LOOK_AGAIN_S = 0.02


class FileRegister:
    """A folder on a share."""

    arbitrates = True

    def __init__(
        self, folder: str | Path, *, me: str, deadline_s: float = 2.0, program: Path = PROGRAM
    ) -> None:
        """No I/O. `me` names this server in the names of unfinished files. `program` is the worker's file."""
        self._folder = Folder(Path(folder).absolute(), me, program)
        self._careful = CarefulRegister(self._folder, name=self.place, deadline_s=deadline_s)

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return f"The register in {self._folder.path}"

    async def read(self) -> Reading:
        """The newest number's record."""
        return await self._careful.read()

    async def change(self, expected: int, record: Record) -> Outcome:
        """Make the number after `expected`, unless something else stands by now."""
        return await self._careful.change(expected, record)

    def believe(self) -> None:
        """See `ports.register.Believing`."""
        self._careful.believe()

    async def close(self) -> None:
        """End the worker. A call under way ends with an answer of not knowing."""
        await self._folder.worker.close()


class Folder:
    """The folder as it is, asked through a worker. Whoever stops waiting for an answer leaves the worker behind."""

    def __init__(self, path: Path, me: str, program: Path) -> None:
        self.path = path
        self.worker = Worker(program, str(path))
        self._aside = f".new-{re.sub(r'[^A-Za-z0-9._-]', '_', me)}-"

    async def look(self, until: float) -> Reading:
        """The newest number's record. Where there are no links another server's file may be seen half-written."""
        loop = asyncio.get_running_loop()
        whole_by = min(until, loop.time() + WRITING_S)
        while True:
            try:
                answer = await self.worker.ask({"do": "read"})
            except WorkerAway as away:
                return Unreachable(self._away(str(away)))
            meaning = self._meaning(answer)
            if not _is_damaged(meaning, answer) or loop.time() + LOOK_AGAIN_S >= whole_by:
                return meaning
            await asyncio.sleep(LOOK_AGAIN_S)

    async def put(self, expected: int, record: Record, until: float) -> PutAnswer:
        """Make the number after `expected`."""
        data = seal(record, expected + 1).decode("latin-1")
        try:
            answer = await self.worker.ask(
                {"do": "change", "expected": expected, "data": data, "aside": self._aside}
            )
        except WorkerAway as away:
            return (Unknown if away.asked else Unreachable)(self._away(str(away)))
        if "won" in answer:
            return Won(expected + 1)
        if "undone" in answer:
            return Unreachable(self._away(str(answer["undone"])))
        if "unknown" in answer:
            return Unknown(self._away(str(answer["unknown"])))
        meaning = self._meaning(answer)
        return await self.look(until) if _is_damaged(meaning, answer) else meaning

    def _meaning(self, answer: dict[str, Value]) -> Reading:
        if "number" not in answer:
            return Unreachable(self._away(str(answer.get("trouble", "it answers in riddles"))))
        number, data = int(answer["number"]), str(answer["data"]).encode("latin-1")
        if number == 0:
            return Empty()
        try:
            if number > VERSION_MAX:
                raise Damaged("has a number that nobody counts up to")
            return Found(unseal_as(number, data), number)
        except Damaged as damage:
            return Unreachable(
                f"{self.path / fileworker.name_of(number)}, the newest in the register, {damage}. If no server is "
                "just writing it, look at what happened to the share: restore the file, or, if it never was whole, "
                "remove it."
            )

    def _away(self, why: str) -> str:
        return f"{self.path} can't be asked: {why}. Look at the share and its mount."


def _is_damaged(meaning: Reading, answer: dict[str, Value]) -> bool:
    """The share answered, and its newest file is not what somebody wrote."""
    return isinstance(meaning, Unreachable) and "number" in answer
