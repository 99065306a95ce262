"""A DavMail that really runs, on loopback: it makes CalDAV of a mailbox that it reaches by EWS.

Debian's package `davmail-server`, started by its jar without a desktop; nothing outside the folder is written.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.calendars.davservers import running
from tests.ports import free_port

JAR = Path("/usr/share/davmail/davmail.jar")
INSTALL_HINT = "apt install davmail-server"


def is_installed() -> bool:
    """The program and a Java to run it."""
    return JAR.is_file() and shutil.which("java") is not None


@contextmanager
def davmail(folder: Path, ews_url: str) -> Iterator[str]:
    """DavMail before this EWS server; gives the address of its CalDAV side."""
    port = free_port()
    told = {
        "davmail.server": "true",
        "davmail.mode": "EWS",
        "davmail.url": ews_url,
        "davmail.caldavPort": str(port),
        **{f"davmail.{name}Port": "" for name in ("imap", "ldap", "pop", "smtp")},
        "davmail.bindAddress": "127.0.0.1",
        "davmail.allowRemote": "false",
        "davmail.ssl.nosecurecaldav": "true",
        "davmail.enableKeepAlive": "false",
        "davmail.disableUpdateCheck": "true",
        "davmail.enableProxy": "false",
        "davmail.useSystemProxies": "false",
        "davmail.caldavPastDelay": "0",
        "davmail.logFilePath": str(folder / "davmail.log"),
        "log4j.rootLogger": "WARN",
        "log4j.logger.davmail": "DEBUG",
    }
    settings = folder / "davmail.properties"
    settings.write_text("".join(f"{name}={value}\n" for name, value in told.items()))
    memory = ["-Xmx192m", "-XX:+UseSerialGC", "-Djava.awt.headless=true"]
    command = ["java", *memory, f"-Duser.home={folder}", "-jar", str(JAR), "-server", str(settings)]
    with running(command, port, folder / "output.log"):
        yield f"http://127.0.0.1:{port}"
