"""Every third-party package has an owner: the folders that may import it, so that replacing one is a day's work.

To add a dependency: name it in pyproject.toml, give it its owner here, and run `make lock`. To let another folder
in, write it into the table and be ready to say why the owner could not do it for you.
"""

import ast
import importlib.util
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.source import PACKAGE, ROOT, product_files, shown, tree_of

ANYWHERE = {"*"}
ADAPTERS = {"calendars", "bridges", "registers", "mail", "replication", "host"}

# import name → the folders that own it; `testing` may import everything
OWNERS: dict[str, set[str]] = {
    "aiosmtpd": {"app"},  # the demonstration's mail sink
    "aiosmtplib": {"mail"},
    "argon2": {"api"},
    "click": {"cli", "app"},
    "cryptography": {
        "app",
        "api",
        "agent",
        "ops",
        "replication",
        "calendars",
    },  # calendars: the app's certificate
    "defusedxml": set(),  # `testing` alone: what the fakes are sent
    "exchangelib": {"calendars"},
    "httpx2": {"api", "bounded", "calendars", "bridges", "registers", "ops"},  # ops: webhooks
    "icalendar": {"calendars", "itemtext", "mail"},
    "jinja2": {"web", "mail"},
    "joserfc": {"calendars"},  # signs the assertion for Microsoft 365
    "litestar": {"api", "web"},
    "msgspec": ANYWHERE,  # one record serves journal, wire, API and configuration
    "nh3": {"calendars", "itemtext", "web", "mail"},
    "prometheus_client": {"api", "engine"},
    "radicale": {"app"},  # the demonstration's calendar
    "rich": {"cli", "app"},
    "rich_click": {"cli", "app"},
    "stamina": ADAPTERS,
    "structlog": {"engine", "api", "app", "agent", "ops", "cli"} | ADAPTERS,
    "tzlocal": {"calendars", "itemtext", "mail", "app"},
    "uvicorn": {"api", "app"},
    "uvloop": {"app"},
    "watchfiles": {"app", "calendars", "registers"},
}
NEVER_IMPORTED = {
    "httptools": "uvicorn parses HTTP with it",
    "tzdata": "zoneinfo reads its files where the system has none",
}
OWN_EXTRAS = {"demo", "speed", "exchange"}
UNWANTED = {
    "urllib3_future": "replaces urllib3 in place, under everybody's feet",
    "niquests": "brings urllib3_future",
}


def test_each_package_is_imported_by_its_owner_alone() -> None:
    """A third-party import stands only in the folders that the table names for it."""
    strangers = []
    for path in product_files():
        parts = path.relative_to(PACKAGE).parts
        if parts[0] == "testing":
            continue
        for name, line in _third_party(path):
            owners = OWNERS.get(name, set())
            if owners is not ANYWHERE and parts[0] not in owners:
                allowed = ", ".join(sorted(owners)) or "nobody yet: give it an owner"
                strangers.append(f"{shown(path)}:{line} imports {name}, which belongs to {allowed}")
    assert not strangers, "\n".join(strangers)


def test_every_declared_package_has_an_owner() -> None:
    """What pyproject.toml asks for at run time is in the table, so nothing is carried along unused and unseen."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = list(project["dependencies"])
    for extra in OWN_EXTRAS:
        declared += project["optional-dependencies"][extra]
    import_names = {"argon2_cffi": "argon2"}
    names = {re.split(r"[\[<>=!~; ]", line)[0].lower().replace("-", "_") for line in declared}
    unknown = {import_names.get(name, name) for name in names} - OWNERS.keys() - NEVER_IMPORTED.keys()
    assert not unknown, f"no owner in the table: {sorted(unknown)}"


@pytest.mark.parametrize("name", sorted(UNWANTED))
def test_unwanted_packages_stay_out(name: str) -> None:
    """Packages that overwrite other packages have not crept into the environment."""
    assert importlib.util.find_spec(name) is None, f"{name}: {UNWANTED[name]}"


def _third_party(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        else:
            continue
        for name in names:
            top = name.partition(".")[0]
            if top != "meetkeeper" and top not in sys.stdlib_module_names:
                yield top, node.lineno
