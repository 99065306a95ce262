"""A SOGo that really runs, with a MariaDB and a memcached of its own, on loopback.

Debian's packages `sogo mariadb-server memcached`. Everything it is told stands on its command line; nothing outside the
folder is written. Root may be neither of the two servers: they run as the package's own user.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.calendars.davservers import running
from tests.calendars.venues import PASSWORD, USER
from tests.ports import free_port

INSTALL_HINT = "apt install sogo mariadb-server memcached"
NAMES = ("sogod", "mariadbd", "mariadb-install-db", "mariadb", "memcached")
SLOW_S = 120.0


def is_installed() -> bool:
    """All three are there."""
    return all(_program(name) is not None for name in NAMES)


def _program(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


def _as_nobody_special() -> list[str]:
    if os.geteuid() != 0:
        return []
    user = ["setpriv", "--reuid=sogo", "--regid=sogo", "--clear-groups"]
    return [*user, "env", "USER=sogo", "LOGNAME=sogo"]


@contextmanager
def sogo() -> Iterator[str]:
    """SOGo with one user; gives the address of the user's calendars."""
    with ExitStack() as stack:
        # Not among pytest's folders: those are for their owner alone.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sogo-")))
        for name in ("db", "run"):
            (folder / name).mkdir()
        if os.geteuid() == 0:
            for path in (folder, folder / "db", folder / "run"):
                shutil.chown(path, "sogo", "sogo")
        database = stack.enter_context(_mariadb(folder))
        memory = free_port()
        command = [*_as_nobody_special(), "memcached", "-l", "127.0.0.1", "-p", str(memory)]
        stack.enter_context(running(command, memory, folder / "memcached.log"))
        port = free_port()
        stack.enter_context(running(_command(folder, port, memory, database), port, folder / "sogo.log"))
        yield f"http://127.0.0.1:{port}/SOGo/dav/{USER}/Calendar/"


def _command(folder: Path, port: int, memory: int, database: str) -> list[str]:
    users = (
        f'({{type=sql; id=users; viewURL="{database}/users"; canAuthenticate=YES; isAddressBook=NO; '
        "userPasswordAlgorithm=plain;})"
    )
    told = {
        "WOUseWatchDog": "NO",
        "WONoDetach": "YES",
        "WOPort": f"127.0.0.1:{port}",
        "WOWorkersCount": "2",
        "WOLogFile": "-",
        "WOPidFile": str(folder / "run" / "sogo.pid"),
        "SOGoMemcachedHost": f"127.0.0.1:{memory}",
        "SOGoProfileURL": f"{database}/sogo_user_profile",
        "OCSFolderInfoURL": f"{database}/sogo_folder_info",
        "OCSSessionsFolderURL": f"{database}/sogo_sessions_folder",
        "SOGoUserSources": users,
        "SOGoTimeZone": "UTC",
        "SOGoMailSpoolPath": str(folder / "run"),
        "SOGoAppointmentSendEMailNotifications": "NO",
        "SxVMemLimit": "512",
    }
    command = [*_as_nobody_special(), *([f"HOME={folder}"] if os.geteuid() == 0 else [])]
    command.append(_program("sogod") or "sogod")
    return command + [word for name, value in told.items() for word in (f"-{name}", value)]


@contextmanager
def _mariadb(folder: Path) -> Iterator[str]:
    """A database server with SOGo's user table; its address as SOGo writes it."""
    data, socket, port = folder / "db", folder / "run" / "db.sock", free_port()
    with open(folder / "install.log", "wb") as log:
        make = [_program("mariadb-install-db") or "", "--no-defaults", f"--datadir={data}"]
        make += ["--auth-root-authentication-method=normal", "--skip-test-db"]
        subprocess.run([*_as_nobody_special(), *make], check=True, stdout=log, stderr=log, timeout=SLOW_S)
    command = [_program("mariadbd") or "", "--no-defaults", f"--datadir={data}", f"--socket={socket}"]
    command += [f"--port={port}", "--bind-address=127.0.0.1", f"--pid-file={folder / 'run' / 'db.pid'}"]
    command += ["--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M", "--skip-name-resolve"]
    with running([*_as_nobody_special(), *command], port, folder / "mariadb.log"):
        sql = (
            "create database sogo character set utf8mb4; create user sogo@'127.0.0.1' identified by 'sogo'; "
            "grant all on sogo.* to sogo@'127.0.0.1'; use sogo; create table users (c_uid varchar(60) primary key, "
            "c_name varchar(60), c_password varchar(255), c_cn varchar(128), mail varchar(128)); "
            f"insert into users values ('{USER}', '{USER}', '{PASSWORD}', 'Room', 'room@example.org');"
        )
        client = ["mariadb", "--no-defaults", f"--socket={socket}", "-uroot", "-e", sql]
        deadline = time.monotonic() + SLOW_S
        while subprocess.run(client, check=False, capture_output=True).returncode:
            assert time.monotonic() < deadline, (folder / "mariadb.log").read_text()[-3_000:]
            time.sleep(0.2)
        yield f"mysql://sogo:sogo@127.0.0.1:{port}/sogo"
