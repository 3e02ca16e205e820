"""Real networks on this host: each test has a cloud of its own and must leave the host as it found it."""

import os
import re
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from secrets import token_hex

import pytest

from pileus.services.network.drivers.linux.driver import LinuxNetworkDriver
from pileus.services.network.drivers.linux.host import Settings
from tests.host.network.guests import Guests

FOREIGN = re.compile(r"\b[tvgbxhp](?P<link>[0-9a-f]{4})[0-9a-f]{10}\b|pileus[-_](?P<name>[0-9a-f]{4})")
SETTINGS = ("net.ipv4.ip_forward", "net.bridge.bridge-nf-call-iptables")
ours: set[str] = set()


def new_cloud_id() -> str:
    """Name a cloud of the tests; those of other programs on this machine are no business of theirs."""
    ours.add(cloud_id := token_hex(2))
    return cloud_id


def _concerns_us(line: str) -> bool:
    """Tell whether the tests could have made this. On a machine of its own (CI) that is everything."""
    match = FOREIGN.search(line)
    if match is None:
        return "CI" in os.environ or "pnt-" in line
    return (match["link"] or match["name"]) in ours


def host_state() -> dict[str, list[str]]:
    """What the driver could have changed: interfaces, namespaces, rules, routes, servers, settings."""

    def lines(*command: str) -> list[str]:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

    def mine(*command: str) -> list[str]:
        return sorted(line for line in lines(*command) if _concerns_us(line))

    tables = [line.removeprefix("table ") for line in mine("nft", "list", "tables")]
    base = str(Path(tempfile.gettempdir()) / "pytest-of-")
    return {
        "links": [line.split()[0] for line in mine("ip", "-br", "link")],
        "namespaces": [line.split()[0] for line in mine("ip", "netns")],
        "rules": [line for table in tables for line in lines("nft", "list", "table", *table.split())],
        "routes": mine("ip", "route"),
        "servers": [line for line in lines("ps", "-eo", "args") if line.startswith("dnsmasq") and base in line],
        # Other programs' clouds change these when they please.
        "settings": lines("sysctl", *SETTINGS) if "CI" in os.environ else [],
    }


@pytest.fixture(autouse=True)
def host_as_it_was() -> Iterator[None]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    before = host_state()
    yield
    assert host_state() == before


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o711)  # as state directories are: DHCP servers run as nobody
    return Settings(folder=tmp_path / "network", cloud_id=new_cloud_id(), resolvers=("203.0.113.2",))


@pytest.fixture
async def driver(settings: Settings) -> AsyncIterator[LinuxNetworkDriver]:
    driver = LinuxNetworkDriver(settings)
    await driver.start()
    yield driver
    await driver.ensure_all_gone()
    await driver.close()


@pytest.fixture
def guests(driver: LinuxNetworkDriver) -> Iterator[Guests]:
    guests = Guests(driver)
    yield guests
    guests.remove()
