"""`meetkeeper ca` as a person uses it: an authority, a folder for each server, and two servers that link with them."""

import stat
import subprocess
import sys
from pathlib import Path

from msgspec.structs import replace

from meetkeeper.app.home import PairNode, PeerNode
from meetkeeper.replication.link import TlsLink
from tests.replication.lines import GREATER, LOWER, Relay, TlsPair


def meetkeeper(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """The command, as a process of its own."""
    command = [sys.executable, "-m", "meetkeeper.app.main", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


async def test_two_servers_link_with_what_the_commands_made(tmp_path: Path) -> None:
    """Copied to where node.json looks for them, the files of two servers make a link; a renewal needs nothing more."""
    ca = tmp_path / "ca"
    assert meetkeeper("ca", "init", ca).returncode == 0
    defaults = PairNode(cluster="", instance="", listen="", peer=PeerNode(name=LOWER, address=""))
    pair = TlsPair(await Relay().start(), tmp_path / "unused")
    for name, link in ((LOWER, "other"), (GREATER, "one")):
        tls = tmp_path / name / "local" / "tls"
        issued = meetkeeper("ca", "issue", ca, "--name", name, "--host", "10.0.0.1", "--into", tls)
        assert issued.returncode == 0, issued.stderr
        line = replace(
            pair.line(name),
            certificate=tmp_path / name / defaults.certificate,
            key=tmp_path / name / defaults.key,
            authority=tmp_path / name / defaults.authority,
        )
        setattr(pair, link, TlsLink(line))
    try:
        pair.start()
        await pair.linked()
        assert (
            meetkeeper(
                "ca", "issue", ca, "--name", LOWER, "--into", tmp_path / LOWER / "local/tls"
            ).returncode
            == 0
        )
        pair.one.drop("a test")
        await pair.linked(times=2)
    finally:
        await pair.close()


def test_keys_are_for_their_owner_alone_and_never_replaced_by_accident(tmp_path: Path) -> None:
    """Private keys are readable by their owner only; a second `ca init` leaves the authority as it is."""
    ca = tmp_path / "ca"
    meetkeeper("ca", "init", ca)
    issued = meetkeeper("ca", "issue", ca, "--name", "oslo", "--days", "10")
    assert "good for 10 days" in issued.stdout
    assert {path.name for path in (ca / "oslo").iterdir()} == {"node.key", "node.pem", "ca.pem"}
    for key in (ca / "ca.key", ca / "oslo" / "node.key"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = (ca / "ca.key").read_bytes()
    again = meetkeeper("ca", "init", ca)
    assert again.returncode != 0
    assert "holds an authority already" in again.stderr
    assert (ca / "ca.key").read_bytes() == before


def test_a_slip_is_answered_with_what_to_do(tmp_path: Path) -> None:
    """A folder without an authority, a name that no server can have and a host that is none end in one sentence."""
    missing = meetkeeper("ca", "issue", tmp_path, "--name", "oslo")
    assert missing.returncode != 0
    assert "meetkeeper ca init" in missing.stderr
    meetkeeper("ca", "init", tmp_path / "ca")
    for words in (
        ("--name", "two words"),
        ("--name", "oslo", "--host", "a..b"),
        ("--name", "oslo", "--days", "0"),
    ):
        wrong = meetkeeper("ca", "issue", tmp_path / "ca", *words)
        assert wrong.returncode != 0
        assert "Traceback" not in wrong.stderr
    assert not (tmp_path / "ca" / "oslo").exists()
