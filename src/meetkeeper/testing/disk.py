"""A disk in memory that crashes: everything not flushed may be kept, lost, torn, trashed, flipped or out of order.

It implements `ports.disk` and passes the same contract as the real one. Every call has its label; a test may look at
the disk before each of them (`on_point`), make one fail (`fail`), and ask for every disk that could be found if the
power went now (`crashes`) or for the one a killed process leaves behind (`killed`).

The model. A file has what programs see (`live`), what the platter holds (`durable`) and the writes between them. A name
in a folder is durable only after the folder was flushed; each name made, moved or removed since then may have
reached the platter or not. A flush that fails drops the writes: programs still see them, the platter never will.
"""

import errno
import hashlib
import random
from collections.abc import Callable, Iterator
from typing import Self

from meetkeeper.ports.disk import OpenFile, Space

FREE_BYTES = 1 << 40

Files = dict[str, bytes]
"""Path → content."""


class _Node:
    """A file, whatever its name."""

    __slots__ = ("_frozen", "durable", "live", "pending")

    def __init__(self, live: bytes = b"", durable: bytes = b"") -> None:
        self.live = bytearray(live)
        self.durable = bytearray(durable)
        self.pending: list[tuple[int, bytes]] = []
        self._frozen: bytes | None = None

    def write(self, data: bytes) -> None:
        self.pending.append((len(self.live), bytes(data)))
        self.live += data

    def cut(self, size: int) -> None:
        del self.live[size:]
        del self.durable[size:]
        self._frozen = None
        self.pending = [(at, data[: size - at]) for at, data in self.pending if at < size]

    def flush(self) -> None:
        for at, data in self.pending:
            _put(self.durable, at, data)
        self.pending.clear()
        self._frozen = None

    def found(self, *, lucky: bool) -> bytes:
        """What a crash leaves when all of the writes, or none of them, have reached the platter."""
        if self._frozen is None:
            self._frozen = bytes(self.durable)
        if not lucky or not self.pending:
            return self._frozen
        whole = bytearray(self._frozen)
        for at, data in self.pending:
            _put(whole, at, data)
        return bytes(whole)

    def contents(self) -> Iterator[bytes]:
        """Everything a crash may leave: all kept, nothing kept, and what the writes may have become in between."""
        durable, kept = self.found(lucky=False), self.found(lucky=True)
        yield durable
        if kept != durable:
            yield kept
            first = min(at for at, _ in self.pending)
            base = durable[:first].ljust(first, b"\0")
            for flight in _damaged(kept[first:]):
                yield base + flight


class _Moved:
    """Something that happened to a folder's names and may not have reached the platter."""

    __slots__ = ("act", "name", "node", "to")

    def __init__(self, act: str, name: str, node: _Node | None = None, to: str = "") -> None:
        self.act, self.name, self.node, self.to = act, name, node, to

    def do(self, names: dict[str, _Node]) -> None:
        if self.act == "remove":
            names.pop(self.name, None)
        elif self.node is not None:
            names.pop(self.name, None)
            names[self.to or self.name] = self.node


class _File:
    """A file open for appending."""

    def __init__(self, disk: "CrashDisk", path: str, node: _Node) -> None:
        self._disk, self._path, self._node = disk, path, node

    def append(self, label: str, data: bytes) -> None:
        """Write at the end; with a fault, half of it."""
        fault = self._disk.called(label, self._path)
        if fault is not None:
            self._node.write(data[: len(data) // 2])
        else:
            self._node.write(data)
        self._disk.changes += 1
        if fault is not None:
            raise fault

    def flush(self, label: str) -> None:
        """Make durable; with a fault, lose for good what was not."""
        fault = self._disk.called(label, self._path)
        self._disk.changes += bool(self._node.pending)
        if fault is not None:
            self._node.pending.clear()
            raise fault
        self._node.flush()

    def close(self, label: str) -> None:
        """Nothing to do."""
        self._disk.called_or_raise(label, self._path)


class CrashDisk:
    """One server's home folder in memory."""

    def __init__(self) -> None:
        self.on_point: Callable[[str], None] | None = None
        """Called with the label before everything that changes something: the disk is as a crash would find it."""
        self.labels: list[str] = []
        """Every call made so far."""
        self.changes = 0
        """Grows with everything that a crash now could leave behind differently."""
        self._names: dict[str, _Node] = {}
        self._durable_names: dict[str, _Node] = {}
        self._moved: dict[str, list[_Moved]] = {}
        self._folders: set[str] = {""}
        self._faults: list[tuple[str, int, int]] = []
        self._locks: set[str] = set()

    # --- what goes wrong -------------------------------------------------------------------------------------------

    def fail(self, label: str, error_number: int, *, skip: int = 0) -> None:
        """The next call with this label, after `skip` of them, fails with this errno, and so does every later one."""
        self._faults.append((label, skip, error_number))

    def heal(self) -> None:
        """No call fails any more."""
        self._faults.clear()

    def crashes(self, unread: Callable[[str], bool] = lambda _: False) -> Iterator[Files]:
        """Everything that may be found when the power goes now; `holding` makes a disk of it.

        Each folder and each file not flushed goes through all that may have become of it, once while all the others
        were lucky and once while all of them were not. Files that are `unread` by anybody come without their content.
        """
        folders = [moved for _, moved in sorted(self._moved.items()) if moved]
        for lucky in (False, True):
            usual = [moved if lucky else [] for moved in folders]
            names = self._names_after(usual)
            read = {name: node for name, node in names.items() if not unread(name)}
            others = dict.fromkeys(names.keys() - read.keys(), b"")
            yield from _with_contents(read, others, lucky=lucky)
            for place, moved in enumerate(folders):
                for some in _some_of(moved):
                    names = self._names_after([*usual[:place], some, *usual[place + 1 :]])
                    yield {
                        name: b"" if unread(name) else node.found(lucky=lucky) for name, node in names.items()
                    }

    def crash(self, dice: random.Random) -> Self:
        """A disk after a crash, every folder and every file by a throw of its own."""
        chosen = [dice.choice(_some_of(moved)) for _, moved in sorted(self._moved.items()) if moved]
        names = self._names_after(chosen)
        return self.holding(
            {name: dice.choice(list(node.contents())) for name, node in sorted(names.items())}
        )

    def killed(self) -> Self:
        """What a killed process leaves behind on a system that lives on: everything, flushed or not."""
        left = type(self)()
        copies = {id(node): _copy(node) for node in self._all_nodes()}
        left._names = {name: copies[id(node)] for name, node in self._names.items()}
        left._durable_names = {name: copies[id(node)] for name, node in self._durable_names.items()}
        left._moved = {
            folder: [
                _Moved(one.act, one.name, None if one.node is None else copies[id(one.node)], one.to)
                for one in moved
            ]
            for folder, moved in self._moved.items()
            if moved
        }
        left._folders = self._folders.copy()
        return left

    @classmethod
    def holding(cls, files: Files) -> Self:
        """A disk with these files, all of them durable."""
        disk = cls()
        for path, data in files.items():
            disk._names[path] = disk._durable_names[path] = _Node(data, data)
            disk._add_folders(path.rpartition("/")[0])
        return disk

    def files(self) -> Files:
        """What programs see now."""
        return {path: bytes(node.live) for path, node in sorted(self._names.items())}

    def fingerprint(self, unread: Callable[[str], bool] = lambda _: False) -> bytes:
        """Equal for disks that can't be told apart, now or after a crash, by whoever never reads the `unread` files."""
        read = [
            [(name, node) for name, node in sorted(names.items()) if not unread(name)]
            for names in (self._names, self._durable_names)
        ]
        moved = [
            one for _, some in sorted(self._moved.items()) for one in some if not unread(one.to or one.name)
        ]
        nodes = [node for names in read for _, node in names] + [
            one.node for one in moved if one.node is not None
        ]
        numbers = {
            id(node): number for number, node in enumerate({id(node): node for node in nodes}.values())
        }
        digest = hashlib.sha256()
        for node in {id(node): node for node in nodes}.values():
            digest.update(b"%d %d " % (len(node.live), len(node.durable)) + node.live + node.durable)
            digest.update(repr(node.pending).encode())
        told = [[(name, numbers[id(node)]) for name, node in names] for names in read]
        acts = [
            (one.act, one.name, one.to, -1 if one.node is None else numbers[id(one.node)]) for one in moved
        ]
        digest.update(repr((told, acts)).encode())
        return digest.digest()

    # --- the port --------------------------------------------------------------------------------------------------

    def open_append(self, label: str, path: str) -> OpenFile:
        """Open for appending, creating the file where missing."""
        self.called_or_raise(label, path)
        return _File(self, path, self._names.get(path) or self._created(path))

    def read(self, label: str, path: str) -> bytes:
        """The whole file."""
        return bytes(self._looked_up(label, path).live)

    def read_part(self, label: str, path: str, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset` on."""
        return bytes(self._looked_up(label, path).live[offset : offset + size])

    def listing(self, label: str, folder: str) -> list[str]:
        """Names in the folder, sorted."""
        self.called_or_raise(label, folder, changes=False)
        start = f"{folder}/" if folder else ""
        return sorted(
            {path[len(start) :].partition("/")[0] for path in self._names if path.startswith(start)}
        )

    def size(self, label: str, path: str) -> int:
        """Bytes in the file."""
        return len(self._looked_up(label, path).live)

    def truncate(self, label: str, path: str, size: int) -> None:
        """Cut the file and flush it."""
        self.called_or_raise(label, path)
        node = self._names[path]
        node.cut(size)
        node.flush()
        self.changes += 1

    def write_new(self, label: str, path: str, data: bytes) -> None:
        """Write a whole new file and flush it; with a fault, half of it stands there."""
        fault = self.called(label, path)
        node = self._names.get(path) or self._created(path)
        node.cut(0)
        node.write(data if fault is None else data[: len(data) // 2])
        self.changes += 1
        if fault is not None:
            raise fault
        self.called_or_raise(f"{label}/flush", path)
        node.flush()
        self.changes += 1

    def rename(self, label: str, path: str, to: str) -> None:
        """Put `path` in the place of `to`."""
        self.called_or_raise(label, path)
        if path not in self._names:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        self._move(_Moved("rename", path, self._names[path], to))

    def remove(self, label: str, path: str) -> None:
        """Remove a file."""
        self.called_or_raise(label, path)
        if path not in self._names:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        self._move(_Moved("remove", path))

    def make_folder(self, label: str, folder: str) -> None:
        """Create the folder. Folders themselves never get lost here, only the names in them."""
        self.called_or_raise(label, folder)
        self._add_folders(folder)

    def flush_folder(self, label: str, folder: str) -> None:
        """Make the folder's names durable."""
        self.called_or_raise(label, folder)
        if folder not in self._folders:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", folder)
        for one in self._moved.pop(folder, []):
            one.do(self._durable_names)
            self.changes += 1

    def lock(self, label: str, path: str) -> str | None:
        """Take the lock; a crash and a kill let go of it."""
        self.called_or_raise(label, path, changes=False)
        if path in self._locks:
            return "process 1"
        self._locks.add(path)
        return None

    def unlock(self, label: str, path: str) -> None:
        """Let go of the lock."""
        self._locks.discard(path)

    def space(self, label: str) -> Space:
        """Nearly nothing left when a call fails for want of room, else plenty."""
        full = any(number == errno.ENOSPC for _, _, number in self._faults)
        return Space("the crash disk", 0 if full else FREE_BYTES, FREE_BYTES)

    # --- inside ----------------------------------------------------------------------------------------------------

    def called(self, label: str, path: str, *, changes: bool = True) -> OSError | None:
        """Note the call, let `on_point` look; the error it is to fail with, if any."""
        self.labels.append(label)
        if changes and self.on_point is not None:
            self.on_point(label)
        for place, (named, skip, number) in enumerate(self._faults):
            if named == label:
                if skip:
                    self._faults[place] = (named, skip - 1, number)
                    continue
                return OSError(number, errno.errorcode[number], path)
        return None

    def called_or_raise(self, label: str, path: str, *, changes: bool = True) -> None:
        """`called` for calls that do nothing when they fail."""
        fault = self.called(label, path, changes=changes)
        if fault is not None:
            raise fault

    def _looked_up(self, label: str, path: str) -> _Node:
        self.called_or_raise(label, path, changes=False)
        node = self._names.get(path)
        if node is None:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        return node

    def _created(self, path: str) -> _Node:
        folder = path.rpartition("/")[0]
        if folder not in self._folders:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        node = _Node()
        self._move(_Moved("create", path, node))
        return node

    def _move(self, one: _Moved) -> None:
        one.do(self._names)
        self.changes += 1
        self._moved.setdefault((one.to or one.name).rpartition("/")[0], []).append(one)

    def _add_folders(self, folder: str) -> None:
        while folder:
            self._folders.add(folder)
            folder = folder.rpartition("/")[0]

    def _all_nodes(self) -> list[_Node]:
        moved = [one.node for _, some in sorted(self._moved.items()) for one in some if one.node is not None]
        nodes = [node for names in (self._names, self._durable_names) for _, node in sorted(names.items())]
        return list({id(node): node for node in [*nodes, *moved]}.values())

    def _names_after(self, chosen: list[list[_Moved]]) -> dict[str, _Node]:
        names = self._durable_names.copy()
        for some in chosen:
            for one in some:
                one.do(names)
        return names


def _with_contents(names: dict[str, _Node], others: Files, *, lucky: bool) -> Iterator[Files]:
    usual = {name: node.found(lucky=lucky) for name, node in names.items()} | others
    yield usual
    for name, node in names.items():
        if node.pending:
            for content in node.contents():
                yield {**usual, name: content}


def _some_of(moved: list[_Moved]) -> list[list[_Moved]]:
    beginnings = [moved[:count] for count in range(len(moved) + 1)]
    if len(moved) < 2:
        return beginnings
    return [*beginnings, *([one for one in moved if one is not lost] for lost in moved[:-1])]


def _damaged(flight: bytes) -> Iterator[bytes]:
    size = len(flight)
    if not size:
        return
    ends = {place + 1 for place in range(size) if flight[place] == 0x0A}
    for end in sorted({1, size // 3, size - 1, *ends} & set(range(1, size))):
        yield flight[:end]
    yield bytes(size)
    yield bytes(byte ^ 0x55 for byte in flight)
    for place in sorted({0, size // 2, size - 1}):
        yield flight[:place] + bytes([flight[place] ^ 0x04]) + flight[place + 1 :]
    for end in sorted({size // 2, *ends} & set(range(1, size))):
        yield bytes(end) + flight[end:]


def _put(content: bytearray, at: int, data: bytes) -> None:
    if len(content) < at:
        content.extend(bytes(at - len(content)))
    content[at : at + len(data)] = data


def _copy(node: _Node) -> _Node:
    copied = _Node(bytes(node.live), bytes(node.durable))
    copied.pending = list(node.pending)
    return copied
