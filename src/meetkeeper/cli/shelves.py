"""The commands' places in `meetkeeper --help`: by what somebody is about to do, not by the alphabet."""

from rich_click import rich_click

SHELVES: dict[str, tuple[str, ...]] = {
    "To begin": ("demo", "init", "run", "pair", "ca", "config", "token"),
    "To look": (
        "status", "risk", "today", "rooms", "meetings", "meeting", "explain", "outbox", "history", "check",
    ),
    "To act on meetings": ("book", "move", "extend", "cancel", "resend", "mail", "links"),
    "To mend": ("resync", "room", "brake", "set-aside"),
    "Two servers": ("standby", "switchover", "failback", "failover", "drill", "maintenance", "register"),
    "A second server by copied files": ("start", "stop-proof"),
}  # fmt: skip


def shelve(program: str) -> None:
    """Tell the help of this program's group what stands where. A command on no shelf comes last, by itself."""
    rich_click.COMMAND_GROUPS[program] = [
        {"name": name, "commands": list(commands)} for name, commands in SHELVES.items()
    ]
