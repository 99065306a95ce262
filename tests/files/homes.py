"""Two homes without servers: an active one that has kept meetings, a standby whose files were copied."""

import shutil
from pathlib import Path

from meetkeeper.app.files_commands import init_standby
from meetkeeper.app.home import Home, NodeConfig, init
from meetkeeper.app.server import open_database
from meetkeeper.core.commands import Book
from meetkeeper.core.configuration import ClusterConfig, Config, LinkBridge, RoomConfig
from meetkeeper.core.state import State
from meetkeeper.core.words import MeetingId, Person, RoomId
from meetkeeper.engine.node import Node
from meetkeeper.ha.words import Position
from meetkeeper.host.clock import RealClock
from meetkeeper.host.disk import RealDisk
from meetkeeper.store.database import Database

NOW_S = 1_900_000_000.0
KARI = Person("kari@demo.example", "Kari")


def config() -> Config:
    """A small cluster."""
    return Config(
        cluster=ClusterConfig(secret="s" * 40),
        rooms=(RoomConfig(id="oslo"), RoomConfig(id="bergen")),
        bridges=(LinkBridge(id="link", url="http://bridge.example/{alias}"),),
    )


def booking(number: int, room: str = "oslo", subject: str = "", uid: str | None = None) -> Book:
    """A meeting that collides with no other number in its room."""
    start_s = int(NOW_S) + 86_400 + number * 3_600
    return Book(
        rooms=(RoomId(room),),
        subject=subject or f"Meeting {number}",
        organizer=KARI,
        start_s=start_s,
        end_s=start_s + 1_800,
        time_zone="UTC",
        nonce=f"{room}-{number}-{subject}",
        uid=uid,  # type: ignore[arg-type]
    )


class Reign:
    """A home that acts for a while, without the asyncio shell."""

    def __init__(self, home: Home) -> None:
        self.database: Database = open_database(home, RealClock())
        self.node = Node(self.database)
        self.epoch = self.node.open_reign("test", "1", "1", NOW_S)
        self.database.flush_now()

    def book(self, *commands: Book) -> list[MeetingId]:
        """Decide and keep, one flush each."""
        made = []
        for command in commands:
            made.append(MeetingId(self.node.handle(command, NOW_S).decision.answer))
            self.database.flush_now()
        return made

    def end(self) -> Position:
        """Stop in good order."""
        position = self.database.flush_now()
        self.database.close()
        return position


def active(path: Path, name: str = "a") -> Home:
    """A new home that may act."""
    home = Home(path / name)
    init(home, NodeConfig(name=name), config())
    return home


def standby(path: Path, name: str = "b", of: str = "a") -> Home:
    """A standby by files."""
    home = Home(path / name)
    init_standby(home, NodeConfig(name=name, files_standby_of=of))
    return home


def copy(source: Home, to: Home) -> None:
    """What `rsync -a --delete` does, once, undisturbed."""
    shutil.rmtree(to.path / "databases", ignore_errors=True)
    shutil.copytree(source.path / "databases", to.path / "databases")
    (to.path / "config").mkdir(exist_ok=True)
    shutil.copy2(source.config_file, to.config_file)


def state_of(home: Home) -> State:
    """What the home's files say."""
    return Database.inspect(RealDisk(home.path)).state


def meetings_of(home: Home) -> dict[str, str]:
    """Alias by meeting: what must never change."""
    state = state_of(home)
    return {kept.id: kept.alias or "" for kept in state.meetings.values()}
