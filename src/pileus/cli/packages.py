"""The Debian packages a real cloud needs on its host, why, and how they are installed.

Rule: nothing is installed unasked: ``demo`` and ``test`` say what and why first, ``up`` and ``doctor`` only tell.
"""

import importlib
import os
import shutil
import subprocess
from dataclasses import dataclass

from pileus.cli.terminal import Problem, Step


@dataclass(frozen=True)
class Need:
    """Packages and the reason for them."""

    why: str
    packages: tuple[str, ...]


DRIVERS = (
    ("guests", "pileus.services.compute.drivers.qemu", "PACKAGES"),
    ("networks", "pileus.services.network.drivers.linux", "PACKAGES"),
    ("volumes", "pileus.services.block_storage.drivers.qcow2.driver", "PACKAGES"),
    ("building the guest image", "pileus.services.image.mini.build", "HOST_PACKAGES"),
)
"""Where each driver names its packages; imported only when somebody asks."""


def host_needs() -> list[Need]:
    """Return what the drivers of a real cloud need."""
    needs = [Need(why, getattr(importlib.import_module(module), name)) for why, module, name in DRIVERS]
    return [*needs, Need("the console in the browser", ("novnc",)), Need("logging in to guests", ("openssh-client",))]


OPTIONAL_NEEDS = [
    Need("federation by SAML", ("xmlsec1",)),
    Need("backups of a cloud on PostgreSQL", ("postgresql-client",)),
    Need("backups of a cloud on MariaDB", ("mariadb-client",)),
    Need("installing packages as a normal user", ("sudo",)),
    Need("starting at boot, from the Debian package", ("systemd",)),
]
"""What some clouds need; asked for without it, the error names the package."""
TEST_NEEDS = [
    *OPTIONAL_NEEDS[:3],
    Need("guests of network tests", ("busybox", "iputils-ping", "python3")),
    Need("finding processes in tests", ("procps",)),
    Need("a second opinion on our certificates", ("openssl",)),
    Need("tests on PostgreSQL", ("postgresql",)),
    Need("tests of directories (LDAP)", ("slapd", "ldap-utils")),
    Need("tests on MariaDB", ("mariadb-server",)),
    Need("tests of power failures", ("gcc", "libc6-dev")),
    Need("tests of the dashboard in a real browser", ("chromium", "chromium-driver")),
    Need("a second opinion on our archives", ("cpio",)),
]
FRESH_NEEDS = [Need("tests on a fresh Debian", ("debootstrap", "git", "slirp4netns"))]
"""What ``python -m tests.fresh`` needs, which is no part of `./pileus test`."""


def missing(needs: list[Need]) -> list[Need]:
    """Return what is not installed."""
    names = sorted({name for need in needs for name in need.packages})
    answer = subprocess.run(
        ["dpkg-query", "-W", "-f=${Package} ${db:Status-Status}\n", *names], capture_output=True, text=True, check=False
    )
    here = {line.split()[0] for line in answer.stdout.splitlines() if line.endswith(" installed")}
    lacking = [Need(need.why, tuple(name for name in need.packages if name not in here)) for need in needs]
    return [need for need in lacking if need.packages]


def install(needs: list[Need], step: Step) -> None:
    """Install packages by apt, with sudo when not root; raise Problem with apt's own words when it fails."""
    names = sorted({name for need in needs for name in need.packages})
    remedy = f"Install them yourself: apt-get install {' '.join(names)}"
    if shutil.which("apt-get") is None:
        raise Problem("apt-get is not here: packages can only be installed on Debian and its kin.", remedy)
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    if sudo and shutil.which("sudo") is None:
        raise Problem("Installing packages needs root, and sudo is not here.", remedy)
    quiet = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]
    for words in (["update"], ["install", "-y", "--no-install-recommends", *names]):
        step.note(f"apt-get {words[0]}: {len(names)} packages")
        done = subprocess.run([*sudo, *quiet, *words], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Problem(f"apt-get {words[0]} failed: {done.stderr.strip()[-600:]}", remedy)
    step.note(f"{len(names)} packages")
