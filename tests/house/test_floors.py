"""The floors hold: import-linter's contracts are kept, and importing the core loads nothing that ticks or talks."""

import subprocess
import sys
from pathlib import Path

from tests.house.source import ROOT

UNREST = {"asyncio", "httpx2", "icalendar", "litestar", "logging", "socket", "ssl", "subprocess"}
IMPORT_PURE_FLOORS = """
import importlib, importlib.util, pkgutil, sys
for floor in ("meetkeeper.core", "meetkeeper.ha", "meetkeeper.codec"):
    if importlib.util.find_spec(floor):
        for module in pkgutil.walk_packages(importlib.import_module(floor).__path__, floor + "."):
            importlib.import_module(module.name)
print(*sys.modules)
"""


def test_floors_are_kept() -> None:
    """No room imports upwards, sideways or out of its owner's hands (.importlinter says the rules)."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_importing_the_pure_floors_stays_quiet() -> None:
    """A fresh interpreter that imports all of core, ha and codec has loaded nothing that ticks or talks."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_PURE_FLOORS], capture_output=True, text=True, check=True
    )
    assert not UNREST & set(done.stdout.split())
