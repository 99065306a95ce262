"""A folder that some file tool writes: what is in it, whether it is at rest, and a verified copy of it.

Place in the journey: before a copy is taken over, and before files are carried back, nothing may still be writing them.
A tool that has nothing to do cannot be seen; one that runs in a loop and deletes what its source does not hold can: it
removes the probe that is laid here while we watch. So a good answer is evidence, and the operator's word stays needed.
"""

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from meetkeeper.core.errors import Corrupt, Refused
from meetkeeper.ops.durable import Hands, sha256_of

DATABASES = "databases"
CONFIG = "config/config.json"
PROBE = "meetkeeper-probe"
SETTLE_S = 3.0
"""How long nothing may move before a folder counts as at rest."""
LOOK_S = 0.1
_TEMPORARY = re.compile(r"^\.(?P<name>.+)\.[A-Za-z0-9]{6}$")
"""rsync, and lsyncd with it: .NAME.XXXXXX until the file is whole."""
_TEMPORARY_ENDS = (".part", ".partial", ".filepart", ".tmp", ".lock", ".crdownload", "~")
_TEMPORARY_FOLDERS = (".~tmp~", ".rsync-partial")

Sleep = Callable[[float], None]


class Seen(Struct, frozen=True, order=True):
    """A file as the folder lists it. `changed_ns` is its modification time."""

    path: str
    size: int
    changed_ns: int


def listed(home: Path) -> list[Seen]:
    """Everything that is copied between servers: the files under databases/, and config.json. Sorted by path."""
    found = []
    for folder, _, names in os.walk(home / DATABASES):
        for name in names:
            path = Path(folder) / name
            if name == PROBE:
                continue
            try:
                stat = path.stat()
            except FileNotFoundError:
                continue
            found.append(Seen(path.relative_to(home).as_posix(), stat.st_size, stat.st_mtime_ns))
    try:
        stat = (home / CONFIG).stat()
        found.append(Seen(CONFIG, stat.st_size, stat.st_mtime_ns))
    except FileNotFoundError:
        pass
    return sorted(found)


def leftovers(home: Path) -> list[str]:
    """Files that a copying tool or a killed server left half-written, by path."""
    return [one.path for one in listed(home) if _is_temporary(one.path)]


def newest(home: Path) -> tuple[str, str]:
    """The newest segment's path and the SHA-256 of its bytes; empty where there is none."""
    names = sorted(one.path for one in listed(home) if one.path.endswith(".log"))
    if not names:
        return "", ""
    try:
        return names[-1], sha256_of(home / names[-1])
    except FileNotFoundError:
        return names[-1], ""


def check_at_rest(
    home: Path, settle_s: float, *, probe: bool, what: str, halves: bool = True, sleep: Sleep = time.sleep
) -> None:
    """Watch the folder for `settle_s`; return when nothing has moved.

    With `probe` a file is laid into databases/ that only a running tool would take away; with `halves` half-written
    files are refused. Raises `Refused`: `files.leftovers`, `files.moving`, `files.probe`.
    """
    left = leftovers(home) if halves else []
    if left:
        raise Refused(
            "files.leftovers",
            f"{', '.join(left[:3])}{' …' if len(left) > 3 else ''} in {home} is half-written: the file tool works, or "
            f"was ended in the middle. Stop it ({what}). If it is stopped, say --remove-leftovers.",
            detail={"files": left},
        )
    before, mark = listed(home), home / DATABASES / PROBE
    content = newest(home)
    try:
        if probe:
            mark.touch()
        deadline = time.monotonic() + settle_s
        while (left_s := deadline - time.monotonic()) > 0:
            sleep(min(LOOK_S, left_s))
            _compare(home, before, what)
            if probe and not mark.exists():
                raise Refused(
                    "files.probe",
                    f"A file that was laid into {home / DATABASES} as a test was taken away: the file tool still runs "
                    f"and deletes what it does not know. Stop it ({what}), then do this again.",
                )
    finally:
        if probe:
            mark.unlink(missing_ok=True)
    if newest(home) != content:
        raise _moving(content[0], what)


def _compare(home: Path, before: list[Seen], what: str) -> None:
    now = listed(home)
    if now != before:
        changed = sorted({one.path for one in set(now) ^ set(before)})
        raise _moving(", ".join(changed[:3]), what)


def _moving(files: str, what: str) -> Refused:
    return Refused(
        "files.moving",
        f"{files} changed while it was watched: somebody still writes these files. Stop the server and the file tool "
        f"({what}), then do this again.",
    )


def remove_leftovers(home: Path, hands: Hands) -> list[str]:
    """Remove what `leftovers` names; the paths."""
    found = leftovers(home)
    for path in found:
        hands.remove(home / path)
    return found


class Copied(Struct, frozen=True):
    """A file that was copied and read back."""

    path: str
    size: int
    sha256: str


class Manifest(Struct, frozen=True):
    """Every file of a copy."""

    source: str
    files: tuple[Copied, ...]

    @property
    def size(self) -> int:
        """Bytes in all of them."""
        return sum(one.size for one in self.files)


def copy_aside(source: Path, to: Path, hands: Hands) -> Manifest:
    """Copy databases/ and config.json into an empty side folder. Raises `Refused` where there is nothing to copy."""
    files = [one for one in listed(source) if not _is_temporary(one.path)]
    if not any(one.path.startswith(DATABASES) for one in files):
        raise Refused(
            "files.empty", f"There is no database in {source}. Name the other server's home folder."
        )
    if all(one.path != CONFIG for one in files):
        raise Refused("files.empty", f"{source / CONFIG} is missing. Copy it beside databases/ first.")
    hands.remove(to)
    copied = [Copied(one.path, one.size, hands.copy(source / one.path, to / one.path)) for one in files]
    return Manifest(str(source), tuple(copied))


def verify(manifest: Manifest, at: Path) -> None:
    """Read every file of the manifest back, here and at its source.

    Raises `Corrupt` (`files.checksum`) for a copy that is not what was read, `Refused` (`files.moving`) for a source
    that has changed since.
    """
    wanted = {one.path for one in manifest.files}
    for one in manifest.files:
        if sha256_of(at / one.path) != one.sha256:
            raise Corrupt(
                "files.checksum",
                f"{at / one.path} is not what was copied. Look at this disk; do the step again to copy anew.",
                detail={"file": one.path},
            )
        source = Path(manifest.source) / one.path
        if not source.exists() or sha256_of(source) != one.sha256:
            raise _moving(one.path, f"whatever writes {manifest.source}")
    strange = [one.path for one in listed(at) if one.path not in wanted]
    if strange:
        raise Corrupt("files.checksum", f"{at} holds {strange[0]}, which nobody copied. Do the step again.")


def _is_temporary(path: str) -> bool:
    *folders, name = path.split("/")
    return (
        bool(_TEMPORARY.match(name))
        or name.endswith(_TEMPORARY_ENDS)
        or any(folder in _TEMPORARY_FOLDERS for folder in folders)
    )
