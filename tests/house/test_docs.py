"""The documentation says what the code says."""

import subprocess
import sys

from tests.house.source import ROOT


def test_generated_parts_are_current() -> None:
    """Every part of the documentation that is made from code is as the code would make it today."""
    done = subprocess.run(
        [sys.executable, "tools/docs.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
