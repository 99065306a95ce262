"""Children of the benchmark: started on loopback with data in our own folder, ended at the end whatever happens."""

import atexit
import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from bench.figures import Failed, Unavailable

STOP_S: Final = 30.0
WORDS_CHARS_MAX: Final = 300
PROGRAM_FOLDERS: Final = ("/usr/sbin", "/usr/local/sbin")
UNPRIVILEGED: Final = ("postgres", "nobody")

Argv = Sequence[str | Path]
"""A program and its words."""

_children: list["Child"] = []


class Child:
    """One process group of ours."""

    def __init__(
        self,
        argv: Argv,
        log: Path,
        *,
        user: str | None = None,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.log = log
        self.name = Path(argv[0]).name
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [str(part) for part in argv],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **(environment or {})},
                cwd=cwd or log.parent,
                process_group=0,
                user=user,
                group=_group(user),
                extra_groups=None if user is None else [],
            )
        _children.append(self)

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until(self, is_ready: Callable[[], bool], seconds: float, every_s: float = 0.02) -> None:
        """Return as soon as `is_ready`; fail when the process ends before, or the time is over."""
        end_s = time.monotonic() + seconds
        while not is_ready():
            if self._process.poll() is not None:
                raise Failed(f"{self.name} ended with {self._process.returncode}: {self.last_words()}")
            if time.monotonic() > end_s:
                raise Failed(f"{self.name} was not ready after {seconds:.0f} s: {self.last_words()}")
            time.sleep(every_s)

    def wait(self, seconds: float) -> int:
        """Wait for its own end; what it returned. Raises `Failed` when it takes longer."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired as expired:
            raise Failed(f"{self.name} was not done after {seconds:.0f} s: {self.last_words()}") from expired

    def last_words(self) -> str:
        """The last line it said."""
        lines = self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
        return lines[-1][-WORDS_CHARS_MAX:] if lines else "it said nothing"

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it and all it has started; the hard way when it does not want to."""
        if self in _children:
            _children.remove(self)
        if self._process.poll() is None:
            self._process.send_signal(how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_S)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(STOP_S)


def stop_all() -> None:
    """End whatever is still running."""
    for child in list(_children):
        child.stop(signal.SIGKILL)


atexit.register(stop_all)


def call(argv: Argv, seconds: float, *, user: str | None = None, cwd: Path | None = None) -> str:
    """Run a short-lived program and return what it printed; a failure carries its words."""
    words = [str(part) for part in argv]
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            cwd=cwd,
            user=user,
            group=_group(user),
            extra_groups=None if user is None else [],
        )
    except subprocess.TimeoutExpired as expired:
        raise Failed(f"{words[0]} took more than {seconds:.0f} s") from expired
    if done.returncode:
        raise Failed(
            f"{words[0]} ended with {done.returncode}: {(done.stderr or done.stdout)[-800:].strip()}"
        )
    return done.stdout


def program(name: str, package: str, *folders: str) -> Path:
    """Where a program is, or why this row is empty."""
    path = os.pathsep.join([*folders, os.environ.get("PATH", os.defpath), *PROGRAM_FOLDERS])
    found = shutil.which(name, path=path)
    if found is None:
        raise Unavailable(f"{name} is not installed (package {package}; `python -m bench.install` gets it)")
    return Path(found)


def unprivileged_user() -> str | None:
    """Whom to run as what refuses to run as root; None where we are not root anyway."""
    if os.geteuid():
        return None
    for name in UNPRIVILEGED:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise Unavailable("running as root, and there is no unprivileged user to become")


def give_to(folder: Path, user: str | None) -> None:
    """Make the folder if need be and hand it over."""
    folder.mkdir(parents=True, exist_ok=True)
    if user is not None:
        shutil.chown(folder, user)


def free_port() -> int:
    """A loopback port nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """True once something accepts connections there."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def resident_bytes(pid: int) -> int:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise Failed(f"process {pid} shows no resident memory")


def _group(user: str | None) -> int | None:
    return None if user is None else pwd.getpwnam(user).pw_gid
