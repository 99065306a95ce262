"""Whoever looks after config.json never ends the server, whatever the disk says."""

import asyncio
from pathlib import Path
from types import SimpleNamespace

from meetkeeper.app.confighooks import FileHooks
from meetkeeper.app.home import Home, pretty
from meetkeeper.core.configuration import ClusterConfig, Config

CONFIG = Config(cluster=ClusterConfig(secret="s" * 40, public_url="http://one.example"))


async def test_a_file_that_can_not_be_read_is_looked_after_again_later(tmp_path: Path) -> None:
    """Where config.json stands is a folder: no error ends the watch, and with it gone the file is there again."""
    home = Home(tmp_path)
    home.config_file.mkdir(parents=True)
    seat = SimpleNamespace(state=SimpleNamespace(config=CONFIG))
    hooks = FileHooks(home, seat)  # type: ignore[arg-type]
    stop = asyncio.Event()
    watching = asyncio.create_task(hooks.watch(stop))
    await asyncio.sleep(0.3)
    assert not watching.done()
    home.config_file.rmdir()
    for _ in range(200):
        if home.config_file.is_file():
            break
        await asyncio.sleep(0.05)
    assert home.config_file.read_bytes() == pretty(CONFIG)
    stop.set()
    await watching
