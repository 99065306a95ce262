"""Commands about the pair: standby check, switchover, failover, failback, drill, maintenance, register, the table.

Asked of either server: what the active alone can do is led there. Whatever changes who acts waits until it has come
about and says how long it took; said again after an interruption it goes on from how things stand.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rich_click as click
from click.exceptions import Exit

from meetkeeper.api.client import NotFound, Unavailable
from meetkeeper.api.counted import counted
from meetkeeper.cli import show
from meetkeeper.cli.session import Session, as_json, ask, json_option, pass_session, yes_option

Answer = dict[str, Any]
POLL_S = 0.05
SLOW_POLL_S = 0.5
CHANGE_S_MAX = 60.0
_SIGNS = {"ok": "✓", "note": "·", "warn": "▲", "bad": "■", "unknown": "?"}
_COLOURS = {"ok": "green", "note": None, "warn": "yellow", "bad": "red", "unknown": "yellow"}
_READY_COLOURS = {"ready": "green", "at risk": "yellow"}
dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would happen; do nothing.")


# --- how it stands -----------------------------------------------------------------------------------------------


def pair_facts(pair: Answer) -> None:
    """The pair on `status`."""
    both = f"{pair['me']} {pair['role']}, {pair['peer']} {pair['peer_role']}"
    sync = ", ".join(pair["in_sync"]) or "nobody"
    ready = pair["ready"] + (f": {' '.join(pair['reasons'])}" if pair["reasons"] else "")
    window = f"{pair['maintenance_left_s'] / 60:.0f} minutes left" if pair["maintenance_left_s"] else ""
    show.facts(
        [
            ("pair", both),
            ("link", f"heard {pair['heard_s']:.1f} s ago" if pair["linked"] else "down"),
            ("in sync", f"{sync}; {counted(pair['behind'], 'frame')} behind"),
            ("possible loss", counted(pair["loss"], "acknowledged frame") if pair["loss"] else "nothing"),
            (
                "mode",
                f"{pair['mode']}: an answer is on {'both disks' if pair['durability'] == 'both' else 'one disk'}",
            ),
            ("register", pair["register_trouble"] or pair["register"]),
            ("standby", ready),
            ("maintenance", window),
        ]
    )
    for name, text in pair["alarms"]:
        click.secho(f"■ {name}: {text}", fg="red")


def _pair(session: Session) -> Answer:
    """The pair as the asked server sees it. Raises `NotFound` on a server by itself."""
    pair: Answer | None = session.client.get("/cluster")["pair"]
    if pair is None:
        raise NotFound("no-pair", "This server has no partner. `meetkeeper pair HOME --with …` gives it one.")
    return pair


def _acting(session: Session) -> str:
    """Who acts now, as the asked server sees it; empty for nobody."""
    try:
        seen = session.client.get("/cluster")
    except Unavailable:
        return ""
    if seen["role"] == "active":
        return str(seen["server"])
    pair = seen["pair"] or {}
    return str(pair["peer"]) if pair.get("peer_role") == "active" and seen["role"] == "passive" else ""


@click.group()
def standby() -> None:
    """The passive server: could it take over now?"""


@standby.command("check")
@json_option
@pass_session
def standby_check(session: Session, *, json_out: bool) -> None:
    """Everything that was measured on the passive server. Exit code 0: ready; 1: at risk, not ready or unknown."""
    seen = session.client.get("/cluster/readiness")
    if json_out:
        as_json(seen)
    else:
        _readiness(seen)
    if seen["ready"] != "ready":
        raise Exit(1)


def _readiness(seen: Answer) -> None:
    measured = f"median of {seen['measured']}" if seen["measured"] else "not measured here yet"
    age = "" if seen["age_s"] is None else f", measured {seen['age_s']:.0f} s ago"
    click.secho(
        f"{seen['server']} is {seen['ready']}{age}.", fg=_READY_COLOURS.get(seen["ready"], "red"), bold=True
    )
    click.echo(f"Taking over would take {_span(seen['takes_s'])} ({measured}).")
    for one in seen["checks"]:
        click.secho(f"  {_SIGNS[one['state']]} {one['name']:<14}", fg=_COLOURS[one["state"]], nl=False)
        click.echo(one["text"])
    if not seen["checks"]:
        for reason in seen["reasons"]:
            click.echo(f"  ■ {reason}")
        click.secho(f"  Asked of {seen['server']} itself it shows every check.", dim=True)


# --- plans -------------------------------------------------------------------------------------------------------


def _show_plan(plan: Answer) -> None:
    measured = (
        f"median of {plan['measured']} before" if plan["measured"] else "a figure; not measured here yet"
    )
    click.echo(f"{plan['act']}: {plan['by']} → {plan['to']}, about {_span(plan['takes_s'])} ({measured}).")
    starts = plan["starts"]
    click.echo(f"  starts meanwhile  {len(starts) or 'no'} meeting{'' if len(starts) == 1 else 's'}")
    for one in starts:
        click.echo(f"                    {one['start']} {one['id']} {', '.join(one['rooms'])}")
    click.echo(
        f"  changes outside   {'; '.join(plan['outside']) or 'nothing: every URI stays, no mail goes out'}"
    )
    click.echo(f"  outbox            {plan['open_effects']} open; whoever acts then finishes them, each once")
    click.echo(
        f"  would be lost     {counted(plan['loss'], 'acknowledged frame') if plan['loss'] else 'nothing'}"
    )
    for remark in plan["remarks"]:
        click.secho(f"  ▲ {remark}", fg="yellow")
    for block in plan["blocks"]:
        click.secho(f"  ■ in the way: {block}", fg="red")


def _planned(session: Session, path: str, body: Answer, *, json_out: bool) -> Answer:
    """The plan; shown unless an answer in JSON is wanted."""
    plan: Answer = session.client.send("POST", path, body | {"dry_run": True})["plan"]
    if not json_out:
        _show_plan(plan)
    return plan


def _end_dry(plan: Answer, *, json_out: bool) -> None:
    if json_out:
        as_json(plan)
    else:
        click.echo("Nothing was done.")
    if plan["blocks"]:
        raise Exit(1)


def _until(true: Callable[[], bool], within_s: float, poll_s: float = POLL_S) -> float | None:
    """Seconds until it was so; None when it was not in time."""
    begun = time.monotonic()
    while time.monotonic() - begun < within_s:
        if true():
            return time.monotonic() - begun
        time.sleep(poll_s)
    return None


def _end_changed(session: Session, plan: Answer, *, json_out: bool) -> None:
    """Wait until the other one acts; say how long it took."""
    waited_s = _until(lambda: _acting(session) == plan["to"], CHANGE_S_MAX)
    if waited_s is None:
        pair = _pair(session)
        why = pair["register_trouble"] or "; ".join(text for _, text in pair["alarms"]) or "the log says more"
        raise Unavailable("not-yet", f"{plan['to']} does not act after {CHANGE_S_MAX:g} s: {why}.")
    took = session.client.get("/cluster/history")["took"]
    fresh = took and took[0]["act"] == plan["act"] and took[0]["to"] == plan["to"]
    seconds = (
        min(took[0]["seconds"], waited_s + POLL_S) if fresh and plan["act"] == "switchover" else waited_s
    )
    if json_out:
        as_json({"active": plan["to"], "seconds": round(seconds, 3), "plan": plan})
    else:
        click.secho(f"{plan['to']} acts. It took {_span(seconds)}.", fg="green")


def _span(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


# --- switchover, failover, failback -------------------------------------------------------------------------------


@click.command()
@click.option("--why", default="", help="Kept in the log and the register.")
@dry_run_option
@json_option
@pass_session
def switchover(session: Session, *, why: str, dry_run: bool, json_out: bool) -> None:
    """Hand over to the passive server, planned: nothing is lost, and callers wait a moment. Asked on either server."""
    _switch(session, why, dry_run=dry_run, json_out=json_out)


def _switch(session: Session, why: str, *, dry_run: bool, json_out: bool) -> None:
    path, body = "/cluster/switchover", {"reason": why}
    plan = _planned(session, path, body, json_out=json_out)
    if dry_run:
        _end_dry(plan, json_out=json_out)
        return
    session.client.send("POST", path, body)
    _end_changed(session, plan, json_out=json_out)


@click.command()
@click.option(
    "--proof", default="", metavar="TEXT", help="The other server has stopped: who made sure, when, how?"
)
@click.option("--accept-loss", default="", metavar="TEXT", help="Why what it alone holds may be lost.")
@dry_run_option
@yes_option
@json_option
@pass_session
def failover(
    session: Session, *, proof: str, accept_loss: str, dry_run: bool, yes: bool, json_out: bool
) -> None:
    """Make this server the active one. Only when the other has stopped and nothing happens by itself."""
    if not dry_run and not proof and not accept_loss:
        raise click.UsageError('Say --proof "who made sure that the other server has stopped, when, how".')
    body: Answer = {"accept_loss": accept_loss}
    if proof:
        body["proof"] = {"stopped": proof}
    plan = _planned(session, "/cluster/failover", body, json_out=json_out)
    if dry_run:
        _end_dry(plan, json_out=json_out)
        return
    ask(f"Make {plan['to']} the active server?", yes=yes)
    session.client.send("POST", "/cluster/failover", body)
    _end_changed(session, plan, json_out=json_out)


def fail_back(session: Session, *, to: str, wait_s: float, dry_run: bool, json_out: bool) -> None:
    """Wait until the server that is to act again holds everything, then switch over. Said again, it goes on."""
    pair = _pair(session)
    home = to or pair["home"]
    if home not in (pair["me"], pair["peer"]):
        raise NotFound("no-server", f"{home} is no server of this pair: {pair['me']}, {pair['peer']}.")
    if _acting(session) == home:
        if json_out:
            as_json({"active": home, "seconds": 0.0, "plan": None})
        else:
            click.echo(f"{home} acts already. Nothing was done.")
        return
    if not dry_run and not _is_whole(pair):
        click.echo(f"Waiting until {home} holds everything …", err=True)
        if _until(lambda: _is_whole(_pair(session)), wait_s, SLOW_POLL_S) is None:
            pair = _pair(session)
            why = (
                "; ".join(text for _, text in pair["alarms"]) or f"{counted(pair['behind'], 'frame')} behind"
            )
            raise Unavailable(
                "not-in-sync", f"{home} is not in sync after {wait_s:g} s: {why}. Say this again."
            )
    _switch(session, f"failback to {home}", dry_run=dry_run, json_out=json_out)


def _is_whole(pair: Answer) -> bool:
    acts = "active" in (pair["role"], pair["peer_role"])
    return bool(pair["linked"]) and len(pair["in_sync"]) > 1 and acts


# --- drill -------------------------------------------------------------------------------------------------------


@click.command()
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the report to this file, as JSON.",
)
@click.option("--show", "showing", is_flag=True, help="Show the last drill; begin none.")
@json_option
@pass_session
def drill(session: Session, *, report: Path | None, showing: bool, json_out: bool) -> None:
    """A real switchover there and back at a quiet time, measured, verified. An interrupted one is gone on with."""
    found: Answer | None
    if showing:
        found = next(iter(session.client.get("/cluster/drills")["drills"]), None)
        if found is None:
            raise NotFound("no-drill", "No drill was run from this server yet. `meetkeeper drill` runs one.")
    else:
        found = _follow_drill(session, session.client.send("POST", "/cluster/drill", {}), quiet=json_out)
    if report is not None:
        report.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if json_out:
        as_json(found)
    else:
        if showing:
            for step in found["steps"]:
                _drill_step(step)
        passed = found["state"] == "passed"
        click.secho(
            f"{found['id']} {found['state']}: {found['text']}", fg="green" if passed else "red", bold=True
        )
    if found["state"] in ("failed", "interrupted"):
        raise Exit(1)


def _follow_drill(session: Session, found: Answer, *, quiet: bool) -> Answer:
    shown = 0
    while True:
        if not quiet:
            for step in found["steps"][shown:]:
                _drill_step(step)
            shown = len(found["steps"])
        if found["state"] != "running":
            return found
        time.sleep(SLOW_POLL_S)
        try:
            drills = session.client.get("/cluster/drills")["drills"]
        except Unavailable:
            continue
        found = next((one for one in drills if one["id"] == found["id"]), found)


def _drill_step(step: Answer) -> None:
    click.secho(
        f"  {'✓' if step['ok'] else '■'} {step['name']:<22}", fg="green" if step["ok"] else "red", nl=False
    )
    click.echo(step["text"])


# --- maintenance, register, history -------------------------------------------------------------------------------


@click.group()
def maintenance() -> None:
    """A window in which no failover begins by itself, on either server. It ends by itself."""


@maintenance.command("on")
@click.option("--minutes", type=click.FloatRange(min=0, max=1440, min_open=True), required=True)
@click.option("--why", default="")
@json_option
@pass_session
def maintenance_on(session: Session, *, minutes: float, why: str, json_out: bool) -> None:
    """Open it for so many minutes."""
    _say_window(
        session.client.send("POST", "/cluster/maintenance", {"minutes": minutes, "reason": why}),
        json_out=json_out,
    )


@maintenance.command("off")
@json_option
@pass_session
def maintenance_off(session: Session, *, json_out: bool) -> None:
    """Close it now."""
    _say_window(session.client.send("POST", "/cluster/maintenance", {"minutes": 0}), json_out=json_out)


@maintenance.command("status")
@json_option
@pass_session
def maintenance_status(session: Session, *, json_out: bool) -> None:
    """Is one open?"""
    _say_window(session.client.get("/cluster/maintenance"), json_out=json_out)


def _say_window(window: Answer, *, json_out: bool) -> None:
    if json_out:
        as_json(window)
    elif not window["left_s"]:
        click.echo("No maintenance window is open: a stopped server is taken over by itself.")
    else:
        why = f" ({window['why']})" if window["why"] else ""
        click.echo(f"Until {show.second(window['until'])} UTC no failover begins by itself{why}.")


@click.group()
def register() -> None:
    """The small record at a third place that decides who may be active."""


@register.command("status")
@json_option
@pass_session
def register_status(session: Session, *, json_out: bool) -> None:
    """What it says, as the asked server knows it. Exit code 1 when it can't be used."""
    pair = _pair(session)
    names = ("register", "register_trouble", "epoch", "active", "in_sync", "mode")
    if json_out:
        as_json({name: pair[name] for name in names})
    else:
        show.facts(
            [
                ("place", pair["register"]),
                ("epoch", str(pair["epoch"])),
                ("active", pair["active"] or "not known"),
                ("in sync", ", ".join(pair["in_sync"])),
                ("mode", pair["mode"]),
                ("trouble", pair["register_trouble"]),
            ]
        )
    if pair["register_trouble"]:
        raise Exit(1)


@register.command("reset")
@click.option("--why", required=True, help="Kept in the register and the log.")
@yes_option
@pass_session
def register_reset(session: Session, *, why: str, yes: bool) -> None:
    """Put what the active server knows into a register that was lost or rolled back, under a higher epoch."""
    ask("Write the register anew from what the active server knows?", yes=yes)
    click.echo(session.client.send("POST", "/cluster/register/reset", {"reason": why})["text"])


@click.command("history")
@json_option
@pass_session
def history(session: Session, *, json_out: bool) -> None:
    """Who acted when, by which row of the table, and how long each change took. Newest first."""
    seen = session.client.get("/cluster/history")
    if json_out:
        as_json(seen)
        return
    rows = [
        (show.second(one["at"]), str(one["row"]), f"{one['was']} → {one['now']}", one["why"])
        for one in seen["moves"]
    ]
    show.table(("at (UTC)", "row", "role", "because"), rows, empty="Nothing has moved yet.")
    for one in seen["took"]:
        click.echo(f"{show.second(one['at'])}  {one['act']} to {one['to']} took {_span(one['seconds'])}")


def explain_table(*, json_out: bool) -> None:
    """The rows that decide who may act."""
    from meetkeeper.api import pairtable

    if json_out:
        as_json({"rows": pairtable.rows(), "ignored": pairtable.ignored()})
        return
    role = ""
    for row in pairtable.rows():
        if row["role"] != role:
            role = row["role"]
            click.secho(f"\n{role}", bold=True)
        then = f" → {row['then']}" if row["then"] else ""
        click.secho(f"{row['number']:>4}  {row['event']}", fg="cyan", nl=False)
        click.echo(f", {row['when']}: {row['does']}{then}")
        click.secho(f"      because {row['why']}", dim=True)


COMMANDS = (standby, switchover, failover, drill, maintenance, register, history)
