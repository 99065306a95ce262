"""A room's calendar as a folder of .ics files: what changed since the last look, everything, write, remove.

Asked by `engine.poll` and the outbox through `ports.calendar`. Rules: a file written within the last moment is left to
settle; one written within the last tick of the coarsest clock is read and looked at again, so that a second write in
the same tick is seen too; nothing outside the folder is opened, however it is linked; a folder that can't be listed is
an error and never an empty one. A share that hangs holds up its own room and nobody else: each source has a thread.
"""

import asyncio
import errno
import os
import stat
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from meetkeeper.calendars.ics import mapping
from meetkeeper.core.configuration import IcsCalendar
from meetkeeper.core.errors import MeetkeeperError, NotFound, Refused, TheirMistake, Unavailable
from meetkeeper.core.identity import normalise_uid
from meetkeeper.core.joinblock import JoinBlock
from meetkeeper.core.words import CalendarItem
from meetkeeper.itemtext.annotating import annotated
from meetkeeper.itemtext.lines import ITEM_BYTES_MAX, Unreadable
from meetkeeper.itemtext.portions import portions
from meetkeeper.itemtext.reading import Problem, read_item
from meetkeeper.ports.calendar import CookieRefused, Page

BATCH = 25
"""Files read for one page."""
FILES_MAX = 100_000
QUIET_S = 0.5
"""How long a file must have been left alone before it is read."""
TICK_S = 2.5
"""A file younger than this is looked at again: more than the coarsest clock of a file system, which is two seconds."""
ANNOTATE_TRIES = 3
CALL_S_MAX = 60.0
"""Longest wait for the file system; then the share counts as away."""

T = TypeVar("T")


class _Seen(Struct, frozen=True):
    """A file of the folder. `why_not` says why it can't be read now; `mark` is "" when it is to be looked at again."""

    name: str
    mark: str
    why_not: str = ""
    size: int = 0


class IcsSource:
    """One room's folder."""

    def __init__(
        self,
        config: IcsCalendar,
        *,
        own_email: str = "",
        room_emails: frozenset[str] = frozenset(),
        quiet_s: float = QUIET_S,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """No I/O. `own_email` is this room's address, `room_emails` those of all rooms, in lower case.

        `quiet_s`: how long a file must have been left alone, by the clock `now_s` (seconds since 1970).
        """
        self._config = config
        self._folder = Path(config.folder)
        self._read = partial(read_item, own_email=own_email, room_emails=room_emails)
        self._quiet_s = quiet_s
        self._now_s = now_s
        self._closed = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="calendar-folder")

    async def changes(self, cookie: str) -> AsyncIterator[Page]:
        """Pages of what changed since `cookie`; a complete pass for "". Raises what `ports.calendar` says."""
        before = mapping.unseal(str(self._folder), cookie) if cookie else {}
        if before is None:
            raise CookieRefused
        seen = await self._in_thread(self._look)
        marks = {file.name: file.mark for file in seen}
        changed = [file for file in seen if not file.mark or before.get(file.name) != file.mark]
        empty: set[str] = set()
        for portion in portions(((file, file.size) for file in changed), BATCH):
            page = await self._in_thread(partial(self._page, portion, marks))
            empty.update(page.gone)
            yield Page(items=page.items, problems=page.problems)
        gone = before.keys() - marks.keys()
        yield Page(
            gone=tuple(sorted(gone | empty)) if cookie else (),
            cookie=mapping.seal(str(self._folder), marks),
            listing=None if cookie else frozenset(marks.keys() - empty),
        )

    async def write(self, uid: str, calendar_text: bytes) -> None:
        """Create or replace the file of this UID: written aside, flushed, renamed. Raises `Refused`."""
        self._check_may_write()
        await self._in_thread(partial(self._write, uid, calendar_text))

    async def remove(self, uid: str) -> None:
        """Remove the file of this UID; one that is not there is removed already."""
        self._check_may_write()
        await self._in_thread(partial(self._remove, uid))

    async def annotate(self, uid: str, block: JoinBlock | None) -> bool:
        """`Annotating.annotate`: the file is replaced, unless somebody has changed it in between."""
        for _ in range(ANNOTATE_TRIES):
            done = await self._in_thread(partial(self._annotate, uid, block))
            if done is not None:
                return done
        raise Unavailable(
            "calendar.busy", f"A file in {self._folder} changes all the time; it is tried again."
        )

    async def probe(self) -> str:
        """Look at the folder; a sentence about what is there."""
        seen = await self._in_thread(self._look)
        return f"The folder {self._folder} can be read and holds {len(seen)} calendar files."

    async def close(self) -> None:
        """Let go of the thread; what it is doing is left to end."""
        self._closed = True
        self._thread.shutdown(wait=False, cancel_futures=True)

    # --- in a thread -----------------------------------------------------------------------------------------------

    def _look(self) -> list[_Seen]:
        """Every calendar file by name, unread."""
        seen: list[_Seen] = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if not mapping.is_item_name(entry.name):
                    continue
                file = self._see(entry.name)
                if file is not None:
                    seen.append(file)
                if len(seen) > FILES_MAX:
                    raise TheirMistake(
                        "calendar.too-many",
                        f"{self._folder} holds more than {FILES_MAX} files; move old ones away.",
                    )
        return sorted(seen, key=lambda file: file.name)

    def _see(self, name: str) -> _Seen | None:
        try:
            name.encode()
        except UnicodeEncodeError:
            return None  # bytes that are no text can't be a name in a record; the file was not made for us
        try:
            found = os.stat(self._inside(name), follow_symlinks=False)
        except FileNotFoundError:
            return None
        except (OSError, Refused) as trouble:
            return _Seen(
                name, "", f"It can't be opened ({_words(trouble)}); correct its rights or what it links to."
            )
        if not stat.S_ISREG(found.st_mode):
            return None if stat.S_ISDIR(found.st_mode) else _Seen(name, "", "It is not a file; remove it.")
        age_s = self._now_s() - max(found.st_mtime, found.st_ctime)
        if abs(age_s) < self._quiet_s:
            return _Seen(name, "", "It has just been written and is left to settle; it is read shortly.")
        mark = "" if abs(age_s) < TICK_S else _mark(found)
        if found.st_size > ITEM_BYTES_MAX:
            return _Seen(
                name, mark, f"It is larger than {ITEM_BYTES_MAX // 1024} KiB; take attachments out of it."
            )
        return _Seen(name, mark, size=found.st_size)

    def _page(self, files: list[_Seen], marks: dict[str, str]) -> Page:
        """Read these files. One that changes while it is read has its mark taken away, to be read again."""
        items: list[CalendarItem] = []
        problems: list[tuple[str, str]] = []
        empty: list[str] = []
        for file in files:
            if file.why_not:
                problems.append((file.name, file.why_not))
                continue
            try:
                data, mark = self._load(file.name)
            except (OSError, Refused) as trouble:
                marks[file.name] = ""
                problems.append((file.name, f"It can't be read ({_words(trouble)}); it is tried again."))
                continue
            if file.mark and mark != file.mark:
                marks[file.name] = ""
                problems.append((file.name, "It is being written; it is read shortly."))
                continue
            read = self._read(file.name, data, etag=mark)
            if read is None:
                empty.append(file.name)
            elif isinstance(read, Problem):
                problems.append((read.href, read.sentence))
            else:
                items.append(read)
        return Page(items=tuple(items), gone=tuple(empty), problems=tuple(problems))

    def _load(self, name: str) -> tuple[bytes, str]:
        """The bytes, at most one more than an item may have, and the file's mark after they were read."""
        flags = (
            os.O_RDONLY
            | getattr(os, "O_NOFOLLOW", 0)
            | getattr(os, "O_NONBLOCK", 0)
            | getattr(os, "O_BINARY", 0)
        )
        descriptor = os.open(self._inside(name), flags)
        with open(descriptor, "rb") as file:
            data = file.read(ITEM_BYTES_MAX + 1)
            found = os.fstat(descriptor)
        return data, _mark(found)

    def _inside(self, name: str) -> Path:
        """Where the name leads; a link may lead to another place in the folder and nowhere else."""
        path = self._folder / name
        if not path.is_symlink():
            return path
        target = Path(os.path.realpath(path, strict=True))
        if not target.is_relative_to(self._folder.resolve()):
            raise Refused("calendar.link", "it links out of the folder")
        return target

    def _write(self, uid: str, calendar_text: bytes) -> None:
        self._replace(self._folder / (self._name_of(uid) or mapping.name_for(uid)), calendar_text)

    def _replace(self, target: Path, calendar_text: bytes) -> None:
        """Written aside, flushed, renamed."""
        aside = self._folder / f".{target.name}.tmp"
        try:
            with open(aside, "wb") as file:
                file.write(calendar_text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(aside, target)
        except OSError:
            with suppress(OSError):
                aside.unlink()
            raise
        _flush_folder(self._folder)

    def _annotate(self, uid: str, block: JoinBlock | None) -> bool | None:
        """None when the file was changed while it was read."""
        name = self._name_of(uid)
        if name is None:
            return False
        path = self._inside(name)
        mark = _mark(os.stat(path))
        data = self._load(name)[0]
        try:
            new = annotated(data, block)
        except Unreadable as unreadable:
            raise Refused("calendar.unreadable", f"{name} can't be written to. {unreadable}") from None
        if _mark(os.stat(path)) != mark:
            return None
        if new != data:
            self._replace(path, new)
        return True

    def _remove(self, uid: str) -> None:
        name = self._name_of(uid)
        if name is not None:
            (self._folder / name).unlink(missing_ok=True)
            _flush_folder(self._folder)

    def _name_of(self, uid: str) -> str | None:
        """The file that has this UID: ours by its name, else whichever says so."""
        wanted = normalise_uid(uid)
        own = mapping.name_for(uid)
        files = sorted(
            (entry.name for entry in os.scandir(self._folder)), key=lambda name: (name != own, name)
        )
        for name in files:
            if not mapping.is_item_name(name):
                continue
            with suppress(OSError, Refused):
                item = self._read(name, self._load(name)[0])
                if isinstance(item, CalendarItem) and item.uid == wanted:
                    return name
        return None

    def _check_may_write(self) -> None:
        if not self._config.write:
            raise Refused(
                "calendar.read-only",
                f"{self._folder} is not to be written; allow it (write) in the configuration.",
            )

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Run in our thread; what the system says becomes one of our errors."""
        if self._closed:
            raise Unavailable(
                "calendar.closed", f"The folder {self._folder} is no longer used by this configuration."
            )
        try:
            async with asyncio.timeout(CALL_S_MAX):
                return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except TimeoutError:
            raise Unavailable(
                "calendar.slow", f"The folder {self._folder} does not answer; it is tried again."
            ) from None
        except OSError as trouble:
            raise _to_error(trouble, self._folder) from None


def _to_error(trouble: OSError, folder: Path) -> MeetkeeperError:
    shown = f"The calendar folder {folder} can't be used ({_words(trouble)})"
    if isinstance(trouble, FileNotFoundError | NotADirectoryError):
        return NotFound("calendar.not-found", f"{shown}: make it, or correct the configuration.")
    if isinstance(trouble, PermissionError) or trouble.errno == errno.EROFS:
        return Refused("calendar.forbidden", f"{shown}: give meetkeeper's user rights on it.")
    return Unavailable("calendar.away", f"{shown}; it is tried again.", retry_after_s=30.0)


def _mark(found: os.stat_result) -> str:
    return mapping.mark_of(found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)


def _words(trouble: Exception) -> str:
    return (trouble.strerror or type(trouble).__name__) if isinstance(trouble, OSError) else str(trouble)


def _flush_folder(folder: Path) -> None:
    """Make a rename last, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
