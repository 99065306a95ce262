"""docs/operating/failover.md, typed command by command on two homes: what the page shows is what is seen."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from meetkeeper.app.home import Home, pretty
from meetkeeper.core.configuration import Config
from tests.conftest import RequireReal
from tests.files.homes import config
from tests.files.living import HAS_LSYNCD, HAS_RSYNC, contents, end_group, until
from tests.ports import free_port

PAGE = Path(__file__).parents[2] / "docs" / "operating" / "failover.md"
BLOCK = re.compile(r"```(?P<kind>\w+)\n(?P<text>.*?)```|<!-- meanwhile: (?P<meanwhile>[^>]+) -->", re.DOTALL)
PROMPT = re.compile(r"^(?P<host>[ab])\$ (?P<command>.+)$")
STOPPED = re.compile(r"stopped at epoch (?P<EPOCH>\d+), seq (?P<SEQ>\d+), hash (?P<HASH>\w+)\.")
HOME = "/srv/meetkeeper"
SETTLE_S = "0.4"
"""The page waits three seconds, its test less."""

SYSTEMCTL = """#!/bin/sh
# systemctl (enable|disable|start|stop) [--now] UNIT: this host's services, as processes
for word; do unit=$word; done
pid=$HOST_HOME.$unit.pid
case $1 in
  disable|stop)
    [ -f $pid ] || exit 0
    kill $(cat $pid)
    while kill -0 $(cat $pid) 2>/dev/null; do sleep 0.05; done
    rm $pid ;;
  *)
    set -- sh $COPY
    if [ $unit = meetkeeper ]; then set -- meetkeeper run $HOST_HOME; rm -f $HOST_HOME/local/address; fi
    setsid "$@" >>$HOST_HOME.$unit.log 2>&1 </dev/null &
    echo $! >$pid
    while [ $unit = meetkeeper ] && [ ! -f $HOST_HOME/local/address ]; do
      kill -0 $(cat $pid) || exit 1
      sleep 0.05
    done ;;
esac
"""


class Hosts:
    """Two hosts on this machine: their homes, their services, and what the page's words stand for."""

    def __init__(self, path: Path, copy: str) -> None:
        self.path = path
        self.homes = {"a": Home(path / "a"), "b": Home(path / "b")}
        self.ports = {"a": free_port(), "b": free_port()}
        self.words: dict[str, str] = {}
        tools = path / "tools"
        tools.mkdir()
        self.copy = path / "meetkeeper-copy"
        self.copy.write_text(self.real(copy, "a"))
        for name, text in (
            ("systemctl", SYSTEMCTL),
            ("meetkeeper", f'#!/bin/sh\nexec {sys.executable} -m meetkeeper.app.main "$@"\n'),
        ):
            (tools / name).write_text(text)
            (tools / name).chmod(0o755)
        self.search = f"{tools}:{os.environ['PATH']}"

    def real(self, text: str, host: str) -> str:
        """The page's words as they are here."""
        for word, value in self.words.items():
            text = re.sub(rf"\b{word}\b", value, text)
        text = text.replace(f"b:{HOME}", str(self.homes["b"].path)).replace(
            "/mnt/b", str(self.homes["b"].path)
        )
        return text.replace(HOME, str(self.homes[host].path))

    def shown(self, text: str, host: str) -> str:
        """What is seen here, in the page's words."""
        text = text.replace(str(self.homes[host].path), HOME).replace(f":{self.ports[host]}", ":8080")
        return text.replace(f"for {SETTLE_S} s", "for 3 s")

    def type(self, host: str, command: str) -> str:
        """Type a command on a host; what it shows."""
        command = self.real(command, host)
        if " init " in command:
            command += f" --listen 127.0.0.1:{self.ports[host]}"
        environment = {
            **os.environ,
            "PATH": self.search,
            "HOST_HOME": str(self.homes[host].path),
            "COPY": str(self.copy),
            "MEETKEEPER_SETTLE_S": SETTLE_S,
        }
        done = subprocess.run(
            ["sh", "-c", command],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=60,
            check=False,
        )
        if stopped := STOPPED.search(done.stdout):
            self.words |= stopped.groupdict()
        if item := re.search(r"^(\d+-\w+) .*replaced by a failback$", done.stdout, re.MULTILINE):
            self.words["ITEM"] = item.group(1)
        return self.shown(done.stdout, host)

    def book(self, host: str, *hours: int) -> None:
        """Meetings that nobody sees on the page."""
        for hour in hours:
            words = f"--room oslo --subject 'Meeting {hour}' --organizer kari@demo.example"
            said = self.type(
                host, f"meetkeeper --home {HOME} book {words} --start 2090-01-01T{hour:02}:00 --minutes 30"
            )
            assert "PIN" in said, said

    def end(self, unit: str, number: signal.Signals = signal.SIGKILL) -> None:
        """End what runs on either host."""
        for home in self.homes.values():
            pid = Path(f"{home.path}.{unit}.pid")
            if pid.exists():
                with suppress(ProcessLookupError):
                    os.killpg(int(pid.read_text()), number)

    def meanwhile(self, what: str) -> None:
        """What happens between two blocks."""
        happens: dict[str, Callable[[], None]] = {
            "configure": self._configure,
            "book": self._first,
            "book on b": lambda: self.book("b", 11),
            "the copying breaks, two more are booked, host a stops": self._breaks,
            "somebody takes one of the two slots on b": lambda: self.book("b", 13),
        }
        happens[what]()

    def _configure(self) -> None:
        file = self.homes["a"].config_file
        made = msgspec.json.decode(file.read_bytes(), type=Config)
        small = config()
        file.write_bytes(pretty(msgspec.structs.replace(made, rooms=small.rooms, bridges=small.bridges)))

    def _first(self) -> None:
        self.book("a", 8, 9, 10)
        self._copied()

    def _copied(self) -> None:
        until(lambda: contents(self.homes["a"].path) == contents(self.homes["b"].path), "nothing was copied")

    def _breaks(self) -> None:
        self._copied()
        self.type("a", "systemctl stop meetkeeper-copy")
        self.book("a", 12, 13)
        self.type("a", "systemctl disable --now meetkeeper")


def parts() -> Iterator[tuple[str, str]]:
    """The page's blocks and what happens between them, in order."""
    for found in BLOCK.finditer(PAGE.read_text(encoding="utf-8")):
        if found["meanwhile"]:
            yield "meanwhile", found["meanwhile"]
        else:
            yield found["kind"], found["text"]


def typed(text: str) -> Iterator[tuple[str, str, list[str]]]:
    """Host, command and the lines shown below it."""
    host, command, shown = "", "", list[str]()
    for line in text.splitlines():
        if prompt := PROMPT.match(line):
            if command:
                yield host, command, shown
            host, command, shown = prompt["host"], prompt["command"], []
        else:
            shown.append(line)
    yield host, command, shown


def fits(wanted: list[str], seen: list[str]) -> bool:
    """True when what is seen is what the page shows; … stands for anything in a line, alone for any lines."""
    if not wanted:
        return not seen
    if wanted[0] == "…":
        return any(fits(wanted[1:], seen[skip:]) for skip in range(len(seen) + 1))
    pattern = r"\s*".join(
        ".*".join(re.escape(word) for word in part.split("…")) for part in wanted[0].split()
    )
    return bool(seen) and bool(re.fullmatch(pattern, seen[0].strip())) and fits(wanted[1:], seen[1:])


@pytest.fixture
def hosts(tmp_path: Path, require_real: RequireReal) -> Iterator[Hosts]:
    """Two hosts with rsync."""
    require_real("rsync", HAS_RSYNC, "apt install rsync")
    require_real("setsid", shutil.which("setsid") is not None, "apt install util-linux")
    made = Hosts(tmp_path, next(text for kind, text in parts() if kind == "sh"))
    yield made
    for unit in ("meetkeeper", "meetkeeper-copy"):
        made.end(unit)


@pytest.mark.slow
def test_the_page_does_what_it_shows(hosts: Hosts) -> None:
    """Every command of the page, in its order; every line it shows."""
    commands = 0
    for kind, text in parts():
        if kind == "meanwhile":
            hosts.meanwhile(text)
        if kind != "console":
            continue
        for host, command, shown in typed(text):
            seen = hosts.type(host, command)
            wanted = [
                re.sub(r"\b(EPOCH|SEQ|HASH|ITEM)\b", lambda one: hosts.words[one[0]], line) for line in shown
            ]
            lines = [line for line in seen.splitlines() if line.strip()]
            assert fits(wanted, lines), (
                f"{host}$ {command}\n--- the page\n" + "\n".join(wanted) + "\n--- seen\n" + seen
            )
            commands += 1
    assert commands > 25


def test_the_judge_of_pages_is_not_blind() -> None:
    """A page that shows another word, a line too many or too few does not fit."""
    assert fits(["one … three", "…", "end"], ["one two three", "x", "y", "end"])
    assert not fits(["one … four"], ["one two three"])
    assert not fits(["one"], ["one", "two"])
    assert not fits(["one", "two"], ["one"])


def test_the_pages_lsyncd_settings_copy(tmp_path: Path, require_real: RequireReal) -> None:
    """lsyncd takes them, and brings databases/ and config.json, and nothing else."""
    require_real("rsync", HAS_RSYNC, "apt install rsync")
    require_real("lsyncd", HAS_LSYNCD, "apt install lsyncd")
    source, to = tmp_path / "a", tmp_path / "b"
    for folder in ("databases/journal", "config", "local"):
        (source / folder).mkdir(parents=True)
        (to / folder).mkdir(parents=True)
    (source / "databases" / "journal" / "1.log").write_text("one\n")
    (source / "config" / "config.json").write_text("{}\n")
    (source / "config" / "staged.json").write_text("{}\n")
    text = next(text for kind, text in parts() if kind == "lua")
    settings = tmp_path / "lsyncd.lua"
    settings.write_text(text.replace(f"b:{HOME}", str(to)).replace(HOME, str(source)))
    process = subprocess.Popen(
        ["lsyncd", "-nodaemon", str(settings)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        until((to / "config" / "config.json").exists, "config.json did not come")
        with (source / "databases" / "journal" / "1.log").open("a") as file:
            file.write("two\n")
        until(lambda: contents(source) == contents(to), "the segment did not come")
        (source / "databases" / "journal" / "1.log").unlink()
        until(lambda: contents(to) == {}, "the segment was not removed")
    finally:
        end_group(process, signal.SIGTERM)
    assert not (to / "config" / "staged.json").exists()
