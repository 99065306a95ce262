"""A real pair as people work it: switchover, failback, failover, drill, maintenance, hooks, from the command line."""

import json
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from meetkeeper.app.commands import build
from meetkeeper.core.configuration import PairConfig, ScriptHook
from tests.pair.servers import Client, Load, Pair, Server, laid_down, until

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pair")]


def say(server: Server, *words: str) -> Result:
    """A command on this server's machine."""
    return CliRunner().invoke(build(), ["--home", str(server.home.path), *words])


def told(server: Server, *words: str) -> Any:
    """The same, as JSON."""
    done = say(server, *words, "--json")
    assert done.exit_code == 0, done.output + done.stderr
    return json.loads(done.stdout)


def ready(server: Server) -> bool:
    """It says of itself that it could take over now."""
    return say(server, "standby", "check").exit_code == 0


def wait_ready(pair: Pair) -> None:
    """Until the passive server is."""
    until(
        lambda: ready(pair.passive()), 30.0, "ready", lambda: say(pair.passive(), "standby", "check").output
    )


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Running, in sync, ready; every notice is written to `told` in each home."""
    policy = PairConfig(hooks=(ScriptHook(name="tell"),), alert_after_s=1.0)
    with laid_down(tmp_path, policy=policy) as two:
        for one in two.both:
            script = one.home.path / "local" / "hooks" / "tell"
            script.parent.mkdir(parents=True)
            script.write_text('#!/bin/sh\necho "$MEETKEEPER_KIND $MEETKEEPER_NAME" >> told\n')
            script.chmod(script.stat().st_mode | stat.S_IXUSR)
        two.start()
        wait_ready(two)
        yield two


def notices(server: Server) -> list[str]:
    """What its hook was told."""
    path = server.home.path / "told"
    return path.read_text().splitlines() if path.exists() else []


def test_people_switch_over_drill_and_fail_back(pair: Pair) -> None:
    """Plans change nothing; asked on either server it happens; a drill comes home; each step is told and remembered."""
    client = Client(pair)
    for _ in range(5):
        client.book()
    a, b = pair.a, pair.b
    alarmed = [one for one in notices(a) + notices(b) if one.startswith("alarm")]
    plan = told(b, "switchover", "--dry-run")
    assert (plan["by"], plan["to"], plan["blocks"], plan["outside"], plan["loss"]) == ("a", "b", [], [], 0)
    assert a.acts()
    refused = say(b, "failover", "--proof", "nobody made sure")
    assert refused.exit_code == 1
    assert "use `meetkeeper switchover`" in refused.stderr
    with Load(client):
        done = told(b, "switchover", "--why", "a test")
        assert done["active"] == "b"
        pair.wait_in_sync(active=b)
        assert told(b, "failback")["active"] == "a"
        pair.wait_in_sync(active=a)
    assert told(b, "failback")["seconds"] == 0.0
    wait_ready(pair)
    drill = told(a, "drill", "--report", str(a.home.path / "report.json"))
    assert drill["state"] == "passed", drill
    assert drill["there_s"] < 2.0
    assert drill["back_s"] < 2.0
    assert json.loads((a.home.path / "report.json").read_text())["id"] == drill["id"]
    assert drill["id"] in say(a, "drill", "--show").output
    assert a.acts()
    client.check()
    seen = told(a, "history")
    assert {one["act"] for one in seen["took"]} == {"switchover"}
    assert [one["row"] for one in seen["moves"]].count(73) >= 2
    until(
        lambda: notices(a).count("role active") >= 3 and notices(a)[-1] == "role active",
        5.0,
        "told",
        pair.tails,
    )
    assert [one for one in notices(a) + notices(b) if one.startswith("alarm")] == alarmed


def test_a_drill_waits_for_a_quiet_time_and_goes_on_after_a_crash(pair: Pair) -> None:
    """Refused while a meeting starts soon; killed in the middle and said again it comes home and says what happened."""
    a = pair.a
    client = Client(pair)
    client.book()
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 300))
    booked = say(a, "book", "--room", "room1", "--subject", "Soon", "--organizer", "kari@demo.example",
                 "--start", soon, "--minutes", "30", "--json")  # fmt: skip
    assert booked.exit_code == 0, booked.output + booked.stderr
    blocked = say(a, "drill")
    assert blocked.exit_code == 1
    assert "needs 900 s without one" in blocked.stderr
    assert say(a, "cancel", json.loads(booked.stdout)["id"]).exit_code == 0
    begun = subprocess.Popen(
        [sys.executable, "-m", "meetkeeper.app.main", "drill", "--home", str(a.home.path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    folder = a.home.path / "local" / "drills"
    until(lambda: any(folder.glob("*.json")), 30.0, "a drill has begun", pair.tails)
    a.kill_node()
    assert begun.wait(30) != 0
    pair.wait_in_sync()
    wait_ready(pair)
    found = told(a, "drill")
    assert found["state"] == "passed", found
    assert len(list(folder.glob("*.json"))) == 1
    assert pair.wait_in_sync() is a
    client.check()


def test_in_a_maintenance_window_nothing_is_taken_over_until_it_ends(pair: Pair) -> None:
    """Said to one server, honoured by the other, kept over its restart; closed early, the failover follows."""
    a, b = pair.a, pair.b
    assert told(a, "maintenance", "on", "--minutes", "30", "--why", "a new kernel")["left_s"] > 1700
    until(lambda: told(b, "maintenance", "status")["left_s"] > 1700, 5.0, "the other one knows", pair.tails)
    b.kill_node()
    until(lambda: b.health("live")[0] == 200 and b.follows(), 20.0, "b is back", pair.tails)
    pair.wait_in_sync(active=a)
    assert told(b, "maintenance", "status")["why"] == "a new kernel"
    a.kill()
    time.sleep(5.0)  # what must not happen takes its time: without the window it took less than one second
    assert not b.acts()
    plan = told(b, "failover", "--dry-run", "--proof", "I unplugged it")
    assert plan["blocks"] == []
    assert told(b, "maintenance", "off")["left_s"] == 0
    pair.wait_active(b)
    until(lambda: "alarm peer" in notices(b), 10.0, "an alarm", pair.tails)
    a.start()
    pair.wait_in_sync(active=b)
    until(lambda: "clear peer" in notices(b), 10.0, "all clear", pair.tails)
    took = told(b, "history")["took"]
    assert [one["act"] for one in took] == ["failover"]


def test_without_a_register_a_person_fails_over(tmp_path: Path) -> None:
    """Both processes of the active's host are gone and nobody can prove it: a person's word makes the other one act."""
    with laid_down(tmp_path, register="") as pair:
        pair.start()
        wait_ready(pair)
        client = Client(pair)
        client.book()
        pair.a.kill()
        until(lambda: told(pair.b, "status")["pair"]["linked"] is False, 20.0, "b misses a", pair.tails)
        assert not pair.b.acts()
        plan = told(pair.b, "failover", "--dry-run")
        assert (plan["to"], plan["blocks"]) == ("b", [])
        asked = say(pair.b, "failover")
        assert asked.exit_code == 2
        done = told(pair.b, "failover", "--proof", "power is off, seen by kari", "--yes")
        assert done["active"] == "b"
        client.check()
        client.book()


@pytest.mark.parametrize("on_stop", ["wait", "hand_over"])
def test_an_announced_stop_is_no_failure(tmp_path: Path, on_stop: str) -> None:
    """`wait`: the passive does not act for `back_after_s`, then it does. `hand_over`: it acts at once."""
    policy = PairConfig(
        on_stop="wait" if on_stop == "wait" else "hand_over", back_after_s=8.0, alert_after_s=0.5
    )
    with laid_down(tmp_path, policy=policy) as pair:
        pair.start()
        begun_s = time.monotonic()
        pair.a.stop()
        pair.wait_active(pair.b, within_s=30.0)
        took_s = time.monotonic() - begun_s
        assert (took_s >= 7.0) if on_stop == "wait" else (took_s < 6.0), f"{took_s} s\n{pair.tails()}"


def test_patience_and_alert_are_policy(tmp_path: Path) -> None:
    """With `failover_after_s` 6 a killed active is taken over no sooner; the alarm came before."""
    policy = PairConfig(failover_after_s=6.0, alert_after_s=1.0)
    with laid_down(tmp_path, policy=policy) as pair:
        pair.start()
        until(lambda: pair.b.home.cli_token() is not None, 5.0, "b's command line may ask", pair.tails)
        begun_s = time.monotonic()
        pair.a.kill()
        until(
            lambda: [n for n, _ in told(pair.b, "status")["pair"]["alarms"]].count("peer"),
            5.0,
            "alarm",
            pair.tails,
        )
        assert not pair.b.acts()
        pair.wait_active(pair.b, within_s=30.0)
        assert time.monotonic() - begun_s >= 5.5


def test_configuration_is_led_to_the_active(pair: Pair) -> None:
    """On the passive `config` shows and deploys what is the active's; an edit there waits, and is not lost."""
    a, b = pair.a, pair.b
    until(lambda: say(b, "config", "show").exit_code == 0, 10.0, "shown", pair.tails)
    assert told(b, "config", "show")["revision"] == told(a, "config", "show")["revision"]
    path = b.home.path / "config" / "config.json"
    config = json.loads(path.read_text())
    config["pair"]["alert_after_s"] = 2.5
    path.write_text(json.dumps(config))
    staged = path.with_name("staged.json")
    until(staged.exists, 5.0, "the edit waits", b.tail)
    assert "alert_after_s" in say(b, "config", "diff").output
    done = say(b, "config", "deploy", "--yes")
    assert done.exit_code == 0, done.output + done.stderr
    for one in pair.both:
        until(lambda: '"alert_after_s": 2.5' in (one.home.path / "config" / "config.json").read_text(), 5.0)  # noqa: B023
    until(lambda: not staged.exists(), 5.0, "it waits no more", b.tail)
