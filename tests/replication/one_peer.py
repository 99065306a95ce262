"""One end of a line as a process of its own, to be killed: prints its port, and lives until then."""

import asyncio
import sys
from pathlib import Path

from meetkeeper.replication.link import Line, TlsLink
from meetkeeper.testing.contracts.peer import Recorder


async def _live(folder: Path) -> None:
    link = TlsLink(
        Line(
            me="alpha",
            peer="beta",
            listen_host="127.0.0.1",
            listen_port=0,
            peer_host="127.0.0.1",
            peer_port=1,
            certificate=folder / "node.pem",
            key=folder / "node.key",
            authority=folder / "ca.pem",
        )
    )
    link.start(Recorder("alpha", "beta"))
    print(link.port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_live(Path(sys.argv[1])))
