"""`python -m bench.install`: get the neighbours' programs from the distribution, as root, without starting services.

Packages of servers start them when they are installed. While this runs, a policy file says no to that, unless the
machine has one already; afterwards it is taken away again, and what was installed is disabled for the next boot.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PACKAGES: Final = {
    "redis-server": "redis-server",
    "redis-benchmark": "redis-tools",
    "redis-sentinel": "redis-sentinel",
    "wrk": "wrk",
    "etcd": "etcd-server",
    "patroni": "patroni",
    "nft": "nftables",
    "ip": "iproute2",
}
"""Program → package; PostgreSQL is looked for in its own folder."""
SERVICES: Final = {"redis-server", "redis-sentinel", "postgresql", "etcd-server", "patroni"}
POSTGRESQL: Final = Path("/usr/lib/postgresql")
POLICY: Final = Path("/usr/sbin/policy-rc.d")
SAYS_NO: Final = "#!/bin/sh\nexit 101\n"
APT_S: Final = 900


def main() -> int:
    """0 when everything is there in the end."""
    wanted = missing()
    if not wanted:
        return 0
    if shutil.which("apt-get") is None:
        print(f"No apt-get here. Install by hand: {', '.join(wanted)}", file=sys.stderr)
        return 1
    become = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if become and subprocess.run([*become, "true"], check=False, capture_output=True).returncode:
        print(
            f"Neither root nor sudo without a password. Install by hand: {', '.join(wanted)}", file=sys.stderr
        )
        return 1
    with _no_services_started(become):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for argv in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", *wanted]):
            done = subprocess.run(
                [*become, "apt-get", *argv],
                check=False,
                timeout=APT_S,
                env=environment,
                capture_output=True,
                text=True,
            )
            if done.returncode:
                print(done.stderr.strip()[-500:], file=sys.stderr)
    _keep_off_at_boot(become, wanted)
    still = missing()
    told = (
        f"Still missing: {', '.join(still)}"
        if still
        else f"Installed for the benchmarks: {', '.join(wanted)}"
    )
    print(told, file=sys.stderr)
    return 1 if still else 0


def missing() -> list[str]:
    """Packages whose programs are not there."""
    packages = [package for name, package in PACKAGES.items() if shutil.which(name) is None]
    if not any(POSTGRESQL.glob("*/bin/pgbench")) and shutil.which("pgbench") is None:
        packages.append("postgresql")
    return packages


def _keep_off_at_boot(become: list[str], packages: list[str]) -> None:
    """What came for the benchmarks alone is not to run at the next boot either."""
    if shutil.which("systemctl") is None:
        return
    for package in set(packages) & SERVICES:
        subprocess.run([*become, "systemctl", "disable", package], check=False, capture_output=True)


@contextlib.contextmanager
def _no_services_started(become: list[str]) -> Iterator[None]:
    if POLICY.exists():
        yield
        return
    subprocess.run([*become, "tee", POLICY], input=SAYS_NO, text=True, check=True, stdout=subprocess.DEVNULL)
    subprocess.run([*become, "chmod", "755", POLICY], check=True)
    try:
        yield
    finally:
        subprocess.run([*become, "rm", "-f", POLICY], check=True)


if __name__ == "__main__":
    sys.exit(main())
