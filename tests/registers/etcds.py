"""Real etcd: some members on loopback, with TLS or a login if asked for; and a wire that loses and holds."""

import asyncio
import json
import shutil
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from base64 import b64decode, b64encode
from contextlib import suppress
from pathlib import Path
from typing import Any

import trustme

from tests.ports import free_port

INSTALL_HINT = "apt install etcd-server"
START_S = 20.0
PASSWORD = "a password"
USER = "meetkeeper"


def find_etcd() -> str | None:
    """The program."""
    return shutil.which("etcd")


class Tls:
    """An authority, a certificate for every member, one for a client."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.authority = str(folder / "ca.pem")
        authority.cert_pem.write_to_path(self.authority)
        self.member = self._issued(authority, folder / "member.pem")
        self.client = self._issued(authority, folder / "client.pem")
        stranger = trustme.CA()
        self.stranger = str(folder / "stranger-ca.pem")
        stranger.cert_pem.write_to_path(self.stranger)

    @staticmethod
    def _issued(authority: trustme.CA, path: Path) -> str:
        authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(str(path))
        return str(path)

    def context(self) -> ssl.SSLContext:
        """For a client."""
        context = ssl.create_default_context(cafile=self.authority)
        context.load_cert_chain(self.client)
        return context


class Member:
    """One etcd process, started again with the same ports and data."""

    def __init__(self, name: str, folder: Path, tls: Tls | None) -> None:
        self.name, self.data, self._tls = name, folder / name, tls
        self._scheme = "https" if tls else "http"
        self.url = f"{self._scheme}://127.0.0.1:{free_port()}"
        self.peer_url = f"http://127.0.0.1:{free_port()}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, cluster: str, token: str = "meetkeeper") -> None:
        """Start; `cluster` names all members' peer addresses."""
        command = [
            "etcd",
            *("--name", self.name, "--data-dir", str(self.data)),
            *("--listen-client-urls", self.url, "--advertise-client-urls", self.url),
            *("--listen-peer-urls", self.peer_url, "--initial-advertise-peer-urls", self.peer_url),
            *(
                "--initial-cluster",
                cluster,
                "--initial-cluster-state",
                "new",
                "--initial-cluster-token",
                token,
            ),
            *("--heartbeat-interval", "30", "--election-timeout", "300"),
            *("--logger", "zap", "--log-level", "error"),
        ]
        if self._tls:
            command += ["--cert-file", self._tls.member, "--key-file", self._tls.member]
            command += ["--client-cert-auth", "--trusted-ca-file", self._tls.authority]
        log = self.data.with_suffix(".log").open("ab")
        with log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def signal(self, number: int) -> None:
        """Send a signal to this process."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Etcds:
    """A cluster of so many members. `login` makes a user who may read and write everything, and asks for it."""

    def __init__(self, folder: Path, *, members: int = 1, tls: bool = False, login: bool = False) -> None:
        self.tls = Tls(folder) if tls else None
        self.wants_login = login
        self._auth = ""
        self.members = [Member(f"member-{number}", folder, self.tls) for number in range(members)]
        self._cluster = ",".join(f"{member.name}={member.peer_url}" for member in self.members)

    @property
    def urls(self) -> list[str]:
        """Every member's address for clients."""
        return [member.url for member in self.members]

    def start(self, token: str = "meetkeeper") -> None:
        """Start all; returns when they answer, with the login wanted."""
        for member in self.members:
            member.start(self._cluster, token)
        for member in self.members:
            self.wait_for(member)
        if self.wants_login:
            self._ask_for_a_login()

    def start_one(self, member: Member) -> None:
        """Start one that was killed."""
        member.start(self._cluster)
        self.wait_for(member)

    def wait_for(self, member: Member) -> None:
        """Return when this member answers a linearizable read."""
        until = time.monotonic() + START_S
        while True:
            try:
                self.ask("/v3/kv/range", {"key": text64(b"x")}, member)
                return
            except (OSError, urllib.error.URLError) as error:
                if isinstance(error, urllib.error.HTTPError) and error.code == 401:
                    self._log_in(member)
                assert time.monotonic() < until, f"{member.name} does not answer"
                time.sleep(0.02)

    def wipe(self, token: str) -> None:
        """Kill all, forget everything, start anew: another token makes another cluster id."""
        self.stop()
        for member in self.members:
            shutil.rmtree(member.data)
        self.start(token)

    def signal(self, number: int) -> None:
        """To every member."""
        for member in self.members:
            member.signal(number)

    def stop(self) -> None:
        """End all."""
        for member in self.members:
            member.kill()

    def ask(self, path: str, message: dict[str, object], member: Member | None = None) -> dict[str, Any]:
        """Ask the gateway as somebody else would."""
        request = urllib.request.Request((member or self.members[0]).url + path, json.dumps(message).encode())
        if self._auth:
            request.add_header("Authorization", self._auth)
        context = self.tls.context() if self.tls else None
        with urllib.request.urlopen(request, timeout=5, context=context) as answer:
            said: dict[str, Any] = json.load(answer)
            return said

    def value(self, key: str, revision: int = 0) -> tuple[bytes, int]:
        """What stands, or stood at a revision, and its own revision."""
        answer = self.ask("/v3/kv/range", {"key": text64(key.encode()), "revision": str(revision)})
        pair = answer["kvs"][0]
        return b64decode(pair.get("value", "")), int(pair["mod_revision"])

    def put(self, key: str, value: bytes) -> None:
        """Somebody writes."""
        self.ask("/v3/kv/put", {"key": text64(key.encode()), "value": text64(value)})

    def delete(self, key: str) -> None:
        """Somebody deletes."""
        self.ask("/v3/kv/deleterange", {"key": text64(key.encode())})

    def _ask_for_a_login(self) -> None:
        everything = {"permType": "READWRITE", "key": text64(b"\0"), "range_end": text64(b"\0")}
        for name in ("root", USER):
            self.ask("/v3/auth/user/add", {"name": name, "password": PASSWORD})
            self.ask("/v3/auth/role/add", {"name": name})
            self.ask("/v3/auth/user/grant", {"user": name, "role": name})
        self.ask("/v3/auth/role/grant", {"name": USER, "perm": everything})
        self.ask("/v3/auth/enable", {})
        self._log_in(self.members[0])

    def _log_in(self, member: Member) -> None:
        self._auth = ""
        self._auth = str(
            self.ask("/v3/auth/authenticate", {"name": "root", "password": PASSWORD}, member)["token"]
        )

    def forget_logins(self) -> None:
        """Every token given so far is worth nothing any more, as after five minutes or a restart."""
        self.ask("/v3/auth/user/changepw", {"name": USER, "password": PASSWORD})


class Wire:
    """A way to one port that can lose the answer of a change, or hold the change itself. One question a connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = ""
        self.loses = 0
        self.holds = 0
        self._go, self._through = asyncio.Event(), asyncio.Event()

    async def open(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def let_go(self) -> None:
        """What is held goes on; returns when it has been answered."""
        self._go.set()
        async with asyncio.timeout(10):
            await self._through.wait()

    async def close(self) -> None:
        """End everything."""
        assert self._server is not None
        self._server.close()
        self._go.set()
        await asyncio.gather(*self._tasks)
        await self._server.wait_closed()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._exchange(reader, writer)
        finally:
            await hung_up(writer)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        question = await self._message(reader)
        changes = b"/v3/kv/txn" in question
        held = changes and self.holds > 0
        if held:
            self.holds -= 1
            await self._go.wait()
        there, away = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            away.write(question)
            answer = await self._message(there)
        finally:
            await hung_up(away)
        if held:
            self._through.set()
        elif changes and self.loses:
            self.loses -= 1
        else:
            writer.write(answer)
            await writer.drain()

    @staticmethod
    async def _message(reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode().lower().split("\r\n")
        length = next(int(line.split(":")[1]) for line in lines if line.startswith("content-length:"))
        return head + await reader.readexactly(length)


async def hung_up(writer: asyncio.StreamWriter) -> None:
    """Close, and wait until it is."""
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


def text64(data: bytes) -> str:
    """As the gateway wants bytes."""
    return b64encode(data).decode()


STOP, GO_ON = signal.SIGSTOP, signal.SIGCONT
