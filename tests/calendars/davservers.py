"""CalDAV servers that really run, on loopback, for as long as the tests that ask for them."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.calendars.venues import PASSWORD, USER
from tests.ports import free_port

START_S_MAX = 60.0
INSTALL_HINT = "pip install 'meetkeeper[dev]'"


@contextmanager
def running(command: list[str], port: int, log: Path) -> Iterator[None]:
    """The command as a process, from its first accepted connection until the end."""
    with open(log, "wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            _await_connection(process, port, log)
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def radicale(folder: Path) -> Iterator[str]:
    """Radicale with one user; gives the address of the user's home."""
    port = free_port()
    users = folder / "users"
    users.write_text(f"{USER}:{PASSWORD}\n")
    options = {
        "--config": "",
        "--server-hosts": f"127.0.0.1:{port}",
        "--auth-type": "htpasswd",
        "--auth-htpasswd-filename": str(users),
        "--auth-htpasswd-encryption": "plain",
        "--auth-delay": "0",
        "--storage-filesystem-folder": str(folder / "storage"),
    }
    command = [sys.executable, "-m", "radicale", *(f"{name}={value}" for name, value in options.items())]
    with running(command, port, folder / "log"):
        yield f"http://127.0.0.1:{port}/{USER}/"


@contextmanager
def xandikos(folder: Path) -> Iterator[str]:
    """Xandikos without logins; gives the address of the user's home."""
    port = free_port()
    command = [sys.executable, "-m", "xandikos", "serve", "--defaults", "--no-detect-systemd"]
    command += ["-d", str(folder / "storage"), "--state-dir", str(folder / "state")]
    command += ["--current-user-principal", f"/{USER}/", "-l", "127.0.0.1", "-p", str(port)]
    with running(command, port, folder / "log"):
        yield f"http://127.0.0.1:{port}/{USER}/calendars/"


def _await_connection(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S_MAX
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the server did not start:\n{log.read_text()[-3000:]}") from None
            time.sleep(0.02)
