"""What every test may rely on: real neighbours asked for by name, and properties that try the same cases in CI.

A test that needs a real neighbour (a CalDAV server, a bridge, a browser) asks `require_real` for it. On a laptop
without it the test is skipped with a line that says what to install; with MEETKEEPER_REQUIRE_REAL=1, as in CI, it
fails. Asking for the fixture marks the test `real`, so `-m "not real"` leaves it out.
"""

import os
from collections.abc import Callable

import hypothesis
import pytest

RequireReal = Callable[[str, bool, str], None]

hypothesis.settings.register_profile("laptop", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "laptop")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever asks for a real neighbour, even through another fixture, is marked `real`."""
    for item in items:
        if "require_real" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.real)


@pytest.fixture(scope="session")
def require_real() -> RequireReal:
    """`require_real("janus", shutil.which("janus") is not None, "apt install janus")` before using it."""

    def require(name: str, available: bool, install_hint: str) -> None:
        if available:
            return
        missing = f"{name} is not on this machine; to run this test: {install_hint}"
        if os.environ.get("MEETKEEPER_REQUIRE_REAL") == "1":
            pytest.fail(missing)
        pytest.skip(missing)

    return require
