"""The lock files: hash-pinned, free of addresses, and of one mind about every version."""

import re

import pytest

from tests.house.source import ROOT

LOCKS = ["requirements.lock", "requirements-dev.lock", "requirements-bench.lock", "requirements-uv.lock"]
PIN = re.compile(r"^([a-z0-9-]+)==(\S+)(?: ; .*)? \\$")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")


def pins_of(name: str) -> dict[str, str]:
    """Package → version."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return {match[1]: match[2] for line in lines if (match := PIN.match(line))}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_pins_and_hashes_only(name: str) -> None:
    """Every line is a public version with its marker, or a hash: no address, no path, no local version."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not PIN.match(line) and not HASH.match(line)] == []
    assert all("+" not in version for version in pins_of(name).values())


def test_locks_agree() -> None:
    """A package in two locks has one version, so that all of them live in one environment."""
    whole = pins_of("requirements-dev.lock")
    for name in LOCKS:
        differing = {p: v for p, v in pins_of(name).items() if whole.get(p, v) != v}
        assert not differing, name
    assert pins_of("requirements.lock").keys() <= whole.keys()
