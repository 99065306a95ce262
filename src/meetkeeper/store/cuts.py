"""That frames which had been kept were cut from this journal for damage: `local/cut-back.json`, until they are back.

Place in the journey: recovery writes it before it cuts; a server with it never takes over by itself, because the other
one may have been told of what is missing; it goes when this server holds everything again, or a person lets it act.
"""

from contextlib import suppress

import msgspec
from msgspec import Struct

from meetkeeper.ha.words import Position
from meetkeeper.ports.disk import Disk
from meetkeeper.store.trouble import translated

PATH = "local/cut-back.json"
_PART = PATH + ".part"


class CutBack(Struct, frozen=True):
    """Where the journal ends since, and what was found behind it. For people: that the file is there says enough."""

    seq: int
    epoch: int
    why: str


def stands(disk: Disk) -> bool:
    """Frames were cut and are not back."""
    with translated(disk, "looking for a cut", PATH):
        return PATH.rpartition("/")[2] in disk.listing("cut:look", "local")


def write(disk: Disk, end: Position, why: str) -> None:
    """Durable before it returns. Raises what `trouble.meaning` makes of a failure."""
    with translated(disk, "noting a cut", PATH):
        disk.write_new("cut:write", _PART, msgspec.json.encode(CutBack(end.seq, end.epoch, why)) + b"\n")
        disk.rename("cut:rename", _PART, PATH)
        disk.flush_folder("cut:folder", "local")


def clear(disk: Disk) -> None:
    """They are back. Raises what `trouble.meaning` makes of a failure."""
    with translated(disk, "forgetting a cut", PATH):
        with suppress(FileNotFoundError):
            disk.remove("cut:clear", PATH)
        disk.flush_folder("cut:folder", "local")
