"""A private Janus in a folder of its own: for the demonstration, for tests, for a first look.

Beside the journey: a Janus in production is somebody's service and is only talked to. This starts Debian's `janus` as
a child process with the few settings that meetkeeper needs, waits until it answers, and stops it again. The file with
the rooms stays in the folder, so a second start finds them as Janus would on any host.

Blocking on purpose (a start takes about 0.1 s) and free of the event loop, so one process may serve many loops. Call it
from the main thread: where `setpriv` exists, Janus is told to go when the thread that started it goes.
"""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from meetkeeper.core.errors import NotFound, Unavailable

INSTALL_HINT = "apt install janus"
START_SECONDS_MAX = 10.0
STOP_SECONDS_MAX = 5.0
START_TRIES_MAX = 3
"""A free port may be taken by somebody else between looking and listening; then others are tried."""
LOG_TAIL_CHARS = 2_000
_LIBRARIES = (
    "/usr/lib/*/janus",
    "/usr/lib/janus",
    "/usr/lib64/janus",
    "/usr/local/lib/janus",
    "/opt/janus/lib/janus",
)
_PLUGINS_KEPT = frozenset({"libjanus_videoroom.so"})
_TRANSPORTS_KEPT = frozenset({"libjanus_http.so"})
_ROOMS_FILE = "janus.plugin.videoroom.jcfg"


class Install(Struct, frozen=True):
    """Where Janus is on this machine."""

    program: str
    library: Path


class Settings(Struct, frozen=True, kw_only=True):
    """What a private Janus is told. Ports 0: free ones are found. `address` is where both interfaces listen.

    `allow_origin` is the one web origin whose pages may call it (empty: every origin, as Janus does by itself).
    `media_interfaces` carry sound and pictures; none named: all but loopback, which Janus never uses for media. On a
    machine that has nothing but loopback people can join a room and hear nobody.
    """

    admin_secret: str
    admin_key: str
    client_secret: str = ""
    address: str = "127.0.0.1"
    admin_port: int = 0
    client_port: int = 0
    allow_origin: str = ""
    media_interfaces: tuple[str, ...] = ()


def find_janus() -> Install | None:
    """Janus with its VideoRoom plugin as installed on this machine; None when it is not."""
    program = shutil.which("janus")
    if program is None:
        return None
    for pattern in _LIBRARIES:
        for library in sorted(Path("/").glob(pattern.lstrip("/"))):
            if (library / "plugins" / "libjanus_videoroom.so").exists():
                return Install(program, library)
    return None


class PrivateJanus:
    """One Janus process in one folder. `start`, `stop`, `kill` and `start` again; ports stay the same."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        """Nothing runs yet.

        Raises `NotFound` when Janus is not installed here.
        """
        install = find_janus()
        if install is None:
            raise NotFound("janus-missing", f"Janus is not on this machine; to get it: {INSTALL_HINT}.")
        self._install = install
        self._folder = folder
        self._settings = settings
        self._ports = (settings.admin_port, settings.client_port)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def admin_url(self) -> str:
        """What goes into the configuration as `admin_url`."""
        return f"http://{self._settings.address}:{self._ports[0]}/admin"

    @property
    def client_url(self) -> str:
        """What goes into the configuration as `client_url`: where browsers talk to Janus."""
        return f"http://{self._settings.address}:{self._ports[1]}/janus"

    @property
    def rooms_file(self) -> Path:
        """Where Janus keeps its permanent rooms."""
        return self._folder / _ROOMS_FILE

    @property
    def pid(self) -> int:
        """The process id; 0 when it does not run."""
        return self._process.pid if self._process is not None and self._process.poll() is None else 0

    def start(self) -> None:
        """Write the settings, start Janus and wait until it answers (at most `START_SECONDS_MAX`, three tries).

        Raises `Unavailable` with the end of its log when it does not come up.
        """
        for _ in range(START_TRIES_MAX):
            self._choose_ports()
            self._write_settings()
            self._spawn()
            if self._answers_in_time():
                return
            self.kill()
            self._ports = (self._settings.admin_port, self._settings.client_port)
        raise Unavailable(
            "janus-start",
            f"Janus did not start in {self._folder}. Its log ends with:\n{self.log_tail()}\nMend that and start again.",
        )

    def stop(self) -> None:
        """Ask it to go, wait at most `STOP_SECONDS_MAX`, then insist. Harmless when it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, as a crash would. Harmless when it does not run."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Freeze the process: connections are still taken, nothing is answered. Returns when every thread stands."""
        os.kill(self.pid, signal.SIGSTOP)
        tasks = Path(f"/proc/{self.pid}/task")
        until_s = time.monotonic() + STOP_SECONDS_MAX
        while tasks.is_dir() and not all(_stands(task) for task in tasks.iterdir()):
            if time.monotonic() > until_s:
                raise Unavailable("janus-pause", "Janus goes on after SIGSTOP. Look at what runs it.")
            time.sleep(0.01)

    def resume(self) -> None:
        """Let a frozen process go on with what it was asked meanwhile."""
        os.kill(self.pid, signal.SIGCONT)

    def log_tail(self) -> str:
        """The last lines Janus wrote."""
        with contextlib.suppress(FileNotFoundError):
            return (self._folder / "janus.log").read_text("utf-8", "replace")[-LOG_TAIL_CHARS:]
        return ""

    def _end(self, signal_number: int) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal_number)
            process.send_signal(signal.SIGCONT)
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _choose_ports(self) -> None:
        with socket.socket() as admin, socket.socket() as client:
            for listener, port in ((admin, self._ports[0]), (client, self._ports[1])):
                if not port:
                    listener.bind((self._settings.address, 0))
            self._ports = (
                self._ports[0] or admin.getsockname()[1],
                self._ports[1] or client.getsockname()[1],
            )

    def _write_settings(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        texts = settings_files(self._folder, self._install.library, self._settings, self._ports)
        for name, text in texts.items():
            path = self._folder / name
            if name == _ROOMS_FILE and self._rooms_file_is_ours():
                continue
            path.write_text(text, "utf-8")
            path.chmod(0o600)

    def _rooms_file_is_ours(self) -> bool:
        """Whether the rooms in it can be kept: made under our key, and not torn by a crash while Janus wrote it."""
        if not self.rooms_file.exists():
            return False
        text = self.rooms_file.read_text("utf-8", "replace").rstrip()
        return _quoted(self._settings.admin_key) in text and text.endswith(("}", "};"))

    def _spawn(self) -> None:
        command = [self._install.program, "-F", str(self._folder), "--disable-colors"]
        if setpriv := shutil.which("setpriv"):
            command = [setpriv, "--pdeathsig", "TERM", "--", *command]
        with (self._folder / "janus.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command, no shell
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._folder
            )

    def _answers_in_time(self) -> bool:
        until = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < until and self.pid:
            if self._pong():
                return True
            time.sleep(0.02)
        return False

    def _pong(self) -> bool:
        connection = http.client.HTTPConnection(self._settings.address, self._ports[0], timeout=1)
        try:
            connection.request("POST", "/admin", json.dumps({"janus": "ping", "transaction": "start"}))
            answer: object = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return False
        finally:
            connection.close()
        return isinstance(answer, dict) and answer.get("janus") == "pong"


def settings_files(folder: Path, library: Path, settings: Settings, ports: tuple[int, int]) -> dict[str, str]:
    """The text of each file in Janus' own form; `ports` are (admin, client)."""
    general = {
        "configs_folder": str(folder),
        "plugins_folder": str(library / "plugins"),
        "transports_folder": str(library / "transports"),
        "events_folder": str(library / "events"),
        "loggers_folder": str(library / "loggers"),
        "interface": settings.address,
        "admin_secret": settings.admin_secret,
        "server_name": "meetkeeper",
    }
    if settings.client_secret:
        general["api_secret"] = settings.client_secret
    media = settings.media_interfaces
    nat = {"ice_enforce_list": ",".join(media)} if media else {}
    main = _section("general", general) + _section("nat", nat)
    main += _section("plugins", {"disable": _others(library / "plugins", _PLUGINS_KEPT)})
    main += _section("transports", {"disable": _others(library / "transports", _TRANSPORTS_KEPT)})
    web = _section(
        "general",
        {"json": "compact", "base_path": "/janus", "http": True, "port": ports[1], "ip": settings.address},
    )
    web += _section(
        "admin",
        {
            "admin_base_path": "/admin",
            "admin_http": True,
            "admin_port": ports[0],
            "admin_ip": settings.address,
        },
    )
    if settings.allow_origin:
        web += _section("cors", {"allow_origin": settings.allow_origin})
    rooms = _section("general", {"admin_key": settings.admin_key, "string_ids": True})
    return {"janus.jcfg": main, "janus.transport.http.jcfg": web, _ROOMS_FILE: rooms}


def _others(folder: Path, kept: frozenset[str]) -> str:
    return ",".join(sorted(path.name for path in folder.glob("*.so") if path.name not in kept))


def _stands(task: Path) -> bool:
    """The thread is stopped, or gone."""
    try:
        return (task / "stat").read_text().rpartition(") ")[2].startswith(("T", "t", "Z"))
    except OSError:
        return True


def _section(name: str, values: Mapping[str, str | int | bool]) -> str:
    lines = []
    for key, value in values.items():
        said = _quoted(value) if isinstance(value, str) else str(value).lower()
        lines.append(f"  {key} = {said}\n")
    return f"{name}: {{\n{''.join(lines)}}}\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
