"""What the passive server finds out about itself on a real pair, and a register that is lost and put right."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from meetkeeper.app.configfile import read
from meetkeeper.app.home import pretty
from meetkeeper.core.configuration import IcsCalendar, MailConfig, RoomConfig, Secret
from tests.pair.servers import Client, Pair, Server, alive, laid_down, until
from tests.pair.test_operations import say, told, wait_ready

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pair")]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Running and in sync."""
    with laid_down(tmp_path) as two:
        two.start()
        wait_ready(two)
        yield two


def deploy(pair: Pair, **changed: object) -> None:
    """Another configuration, from the active server's command line."""
    active = pair.active()
    config = read((active.home.path / "config" / "config.json").read_bytes())
    file = active.home.path / "new.json"
    file.write_bytes(pretty(msgspec.structs.replace(config, **changed)))
    done = say(active, "config", "deploy", str(file), "--yes")
    assert done.exit_code == 0, done.output + done.stderr


def verdict_is(server: Server, ready: str, says: str) -> bool:
    """Its verdict, with this among the reasons."""
    seen = json.loads(say(server, "standby", "check", "--json").stdout)
    return seen["ready"] == ready and (not says or any(says in one for one in seen["reasons"]))


def wait_verdict(server: Server, ready: str, says: str = "") -> None:
    """Until it says so."""
    until(
        lambda: verdict_is(server, ready, says),
        30.0,
        f"{ready}: {says}",
        lambda: say(server, "standby", "check").output,
    )


def test_a_neighbour_that_can_t_be_reached_from_here_is_named(pair: Pair, tmp_path: Path) -> None:
    """A calendar folder that is not there and a mail server that is not: at risk, on both servers; mended: ready."""
    active, passive = pair.active(), pair.passive()
    folder = tmp_path / "calendar"
    rooms = (RoomConfig(id="room0", calendar=IcsCalendar(folder=str(folder))),)
    folder.mkdir()
    deploy(pair, rooms=rooms, mail=MailConfig(host="127.0.0.1", port=1, tls="none"))
    wait_verdict(passive, "at risk", "mail server")
    until(lambda: told_ready(active) == "at risk", 5.0, "the active knows", pair.tails)
    risks = told(active, "risk")["risks"]
    assert any(one["kind"] == "standby" and one["about"] == passive.name for one in risks)
    deploy(pair, mail=MailConfig())
    wait_verdict(passive, "ready")


def told_ready(server: Server) -> str:
    """The passive server's verdict, asked of this one."""
    return str(told(server, "status")["pair"]["ready"])


def test_a_secret_that_is_missing_on_its_host_makes_it_not_ready(pair: Pair, tmp_path: Path) -> None:
    """The configuration works on the active's host and not here: said now, and not at the failover; no switchover."""
    secret = tmp_path / "mail.password"
    secret.write_text("word\n")
    mail = MailConfig(host="127.0.0.1", port=1, tls="none", username="mk", password=Secret(file=str(secret)))
    deploy(pair, mail=mail)
    passive = pair.passive()
    wait_verdict(passive, "at risk")
    secret.unlink()
    killed = passive.kill_node()
    until(lambda: not alive(killed), 5.0, "it is gone")
    until(passive.follows, 30.0, "it is back", pair.tails)
    wait_verdict(passive, "not ready", "mail.password")
    pair.wait_in_sync()
    refused = say(pair.active(), "switchover")
    assert refused.exit_code == 1
    assert "mail.password" in refused.stdout + refused.stderr
    code, word = passive.health("passive?ready")
    assert (code, word) == (503, "not ready")
    secret.write_text("word\n")
    wait_verdict(passive, "at risk")


def test_a_register_that_was_emptied_is_put_right_by_a_person(pair: Pair) -> None:
    """Believed by nobody: an alarm; the active goes on; reset writes it anew, and a kill is taken over again."""
    client = Client(pair)
    client.book()
    assert say(pair.a, "register", "reset", "--why", "just so", "--yes").exit_code == 1
    assert pair.register is not None
    for path in pair.register.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    until(lambda: say(pair.a, "register", "status").exit_code == 1, 30.0, "noticed", pair.tails)
    client.book()
    done = say(pair.b, "register", "reset", "--why", "the share was formatted", "--yes")
    assert done.exit_code == 0, done.output + done.stderr
    until(lambda: say(pair.a, "register", "status").exit_code == 0, 10.0, "well again", pair.tails)
    pair.wait_in_sync(active=pair.a)
    pair.a.kill()
    pair.wait_active(pair.b)
    client.check()


def test_with_register_and_active_lost_a_person_decides(pair: Pair) -> None:
    """Nothing happens by itself, and nothing while the share is away; once it is back, empty, a word is enough."""
    client = Client(pair)
    client.book()
    assert pair.register is not None
    away = pair.register.with_name("away")
    pair.register.rename(away)
    until(lambda: say(pair.b, "register", "status").exit_code == 1, 30.0, "noticed", pair.tails)
    pair.a.kill()
    until(lambda: not told(pair.b, "status")["pair"]["linked"], 20.0, "b misses a", pair.tails)
    asked = say(pair.b, "failover", "--proof", "power is off", "--yes")
    assert asked.exit_code == 4, asked.output + asked.stderr
    assert "Nothing was changed" in asked.stderr
    pair.register.mkdir()
    assert not pair.b.acts()
    done = told(pair.b, "failover", "--proof", "power is off; the share is new", "--yes")
    assert done["active"] == "b"
    client.check()
