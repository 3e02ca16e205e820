"""What every part of the driver shares: the names, the folder, the open netlink socket and nftables context.

One rule: a Host is made and used by one thread only, the driver's worker; so verbs never race for the kernel.
"""

import fcntl
import ipaddress
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

import msgspec

from pileus.services.network.drivers.linux import filters, namespaces
from pileus.services.network.drivers.linux.names import PREFIX, Names
from pileus.services.network.drivers.linux.netlink import Link, Netlink
from pileus.services.network.drivers.linux.nftables import Nft
from pileus.services.network.wanted import SecurityGroupSpec

RECORDS = Path("/run/pileus")
BRIDGE_FILTERS = ("net/bridge/bridge-nf-call-iptables", "net/bridge/bridge-nf-call-ip6tables")


@dataclass(frozen=True)
class Settings:
    """How an agent configures the driver.

    `tunnel_ip` is this host's address on the underlay (None: no VXLAN). `physical_interfaces` names the NIC of each
    physical network. `resolvers` answer guests' questions about the world's names (None: the host's own resolvers,
    empty: nobody). `host_netns` makes a namespace the host, for several simulated hosts on one machine.
    """

    folder: Path
    cloud_id: str
    host_tag: str = ""
    tunnel_ip: str | None = None
    tunnel_port: int = 4789
    physical_interfaces: dict[str, str] = field(default_factory=dict)
    resolvers: tuple[str, ...] | None = None
    host_netns: str | None = None
    guest_tcp_ports: tuple[int, ...] = ()
    """TCP ports of the host that guests may reach through an external network; otherwise none."""


Removal = Callable[[], None]
"""The slow end of a removal, which may run in any thread that stands on the host."""


class Host:
    def __init__(self, settings: Settings) -> None:
        if settings.host_netns is not None:
            namespaces.enter(settings.host_netns)
        self.settings = settings
        self.names = Names(settings.cloud_id, settings.host_tag)
        self.netlink = Netlink()
        self.nft = Nft()
        self.prepared = False
        self.numbers: dict[str, int] = {}
        """Which mark stands for which interface, as the kernel's tables have it."""
        self.port_groups: dict[str, set[str]] = {}
        """Which groups each interface is filtered by, likewise."""
        self.port_ips: dict[str, tuple[str, ...]] = {}
        """The addresses behind each interface, as this process last plugged it."""
        self.left_behind: dict[int, set[str]] = {}
        """Addresses by zone whose ports went, and whose connections nobody has cut yet."""

    def close(self) -> None:
        self.netlink.close()
        self.nft.close()

    @property
    def table(self) -> str:
        return self.names.table

    @property
    def resolvers(self) -> tuple[str, ...]:
        """Who answers guests' questions about the world's names."""
        chosen = self.settings.resolvers
        return host_resolvers() if chosen is None else chosen

    def prepare(self) -> None:
        """Make the tables (once in a driver's life) and learn which marks are taken. Nothing is made before a verb
        needs it, so that an agent that only looks leaves no trace."""
        if self.prepared:
            return
        self.settings.folder.mkdir(parents=True, exist_ok=True)
        self._filter_bridges()
        bridges = [link for link in self.links() if alias_id(link, "network") is not None]
        made = [filters.bridge(self.table, link.name, zone_of(link.index)) for link in bridges]
        self.nft.apply("\n".join([filters.tables(self.table), *made]))
        self._read_ports()
        self.prepared = True

    def doubt(self) -> None:
        """Believe nothing of what was read or written before: the next verb prepares the host anew."""
        self.prepared = False
        self.numbers.clear()
        self.port_groups.clear()

    def forget(self) -> None:
        """Start from nothing again: the tables are gone, and so shall be the files."""
        for name in ("dhcp", "groups"):
            if (self.settings.folder / name).is_dir():
                shutil.rmtree(self.settings.folder / name)
        self.prepared = False
        self.numbers.clear()
        self.port_groups.clear()
        self.port_ips.clear()
        self.left_behind.clear()

    def links(self) -> list[Link]:
        """List the interfaces of this cloud and host in the host's own namespace."""
        return [link for link in self.netlink.links() if self.names.owns_interface(link.name)]

    def removal(self, link: Link) -> Removal:
        """Silence an interface at once and return what deletes it.

        The kernel takes some 20 ms to let go of an interface, but of many at the same time.
        """
        self.netlink.set_link(link.index, up=False)
        return partial(_delete_link, link.name)

    def group_written(self, group_id: str) -> SecurityGroupSpec | None:
        """Return a group as it was last written by whichever process."""
        file = self.settings.folder / "groups" / group_id
        return msgspec.json.decode(file.read_bytes(), type=SecurityGroupSpec) if file.exists() else None

    def write_group(self, group: SecurityGroupSpec) -> None:
        file = self.settings.folder / "groups" / group.id
        file.parent.mkdir(exist_ok=True)
        fresh = file.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(group))
        fresh.rename(file)

    def groups_written(self) -> list[SecurityGroupSpec]:
        folder = self.settings.folder / "groups"
        files = [file for file in folder.iterdir() if file.suffix != ".new"] if folder.is_dir() else []
        return [msgspec.json.decode(file.read_bytes(), type=SecurityGroupSpec) for file in files]

    def forget_group(self, group_id: str) -> None:
        (self.settings.folder / "groups" / group_id).unlink(missing_ok=True)

    def change_sysctl(self, path: str, value: str) -> None:
        """Change one of the host's own settings, remembering what it was."""
        was = Path("/proc/sys", path).read_text().strip()
        if was == value:
            return
        with changed_sysctls() as changed:
            changed.setdefault(path, was)
        # Changed only once it is recorded, or a kill between the two would lose what it was.
        namespaces.set_sysctl(path, value)

    def restore_sysctls(self) -> None:
        """Give back what clouds changed on this host, but for what another cloud still needs."""
        tables = [entry["table"] for entry in self.nft.list("tables") if "table" in entry]
        others = [table["name"] for table in tables if table["name"].startswith(f"{PREFIX}_")]
        with changed_sysctls() as changed:
            for path in list(changed):
                needed = others if path in BRIDGE_FILTERS else [name for name in others if self._masquerades(name)]
                if not needed:
                    namespaces.set_sysctl(path, changed.pop(path))

    def _masquerades(self, table: str) -> bool:
        chains = (entry["chain"]["name"] for entry in self.nft.list(f"table inet {table}") if "chain" in entry)
        return any(name.startswith("masquerade_") for name in chains)

    def _filter_bridges(self) -> None:
        if not Path("/proc/sys", BRIDGE_FILTERS[0]).exists():
            namespaces.run("modprobe", "br_netfilter")
        for path in BRIDGE_FILTERS:
            self.change_sysctl(path, "1")

    def _read_ports(self) -> None:
        for entry in self.nft.list(f"table inet {self.table}"):
            if entry.get("map", {}).get("name") == "ingress":
                for mark, verdict in entry["map"].get("elem", []):
                    self.numbers[verdict["jump"]["target"].removeprefix("in_")] = int(mark)
            chain = entry.get("rule", {}).get("chain", "")
            if chain.startswith("in_"):
                jumps = (part["jump"]["target"] for part in entry["rule"]["expr"] if "jump" in part)
                ids = {filters.chain_group(target) for target in jumps}
                self.port_groups.setdefault(chain.removeprefix("in_"), set()).update(ids)


def host_resolvers() -> tuple[str, ...]:
    """Return the name servers this host uses, as far as others can reach them too."""
    for path in ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"):
        file = Path(path)
        words = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
        found = [word[1] for word in words if len(word) > 1 and word[0] == "nameserver" and "%" not in word[1]]
        reachable = tuple(ip for ip in found if not ipaddress.ip_address(ip).is_loopback)
        if reachable:
            return reachable
    return ()


def _delete_link(name: str) -> None:
    with Netlink() as netlink:
        netlink.delete_link(name)


@contextmanager
def changed_sysctls() -> Iterator[dict[str, str]]:
    """Open the record of what this machine's settings were before the first cloud changed them.

    It lasts as long as the settings themselves (until a reboot), for all clouds and agents of one host together.
    """
    path = RECORDS / f"sysctls-{os.stat('/proc/thread-self/ns/net').st_ino}"
    RECORDS.mkdir(exist_ok=True)
    with _locked(path) as record:
        text = record.read()
        changed: dict[str, str] = json.loads(text) if text else {}
        yield changed
        record.seek(0)
        record.truncate()
        record.write(json.dumps(changed))
        if not changed:
            path.unlink()


def _locked(path: Path) -> IO[str]:
    """Open a file that nobody else has open, and that nobody removed while we waited for it."""
    while True:
        record = open(path, "a+")  # noqa: SIM115
        fcntl.flock(record, fcntl.LOCK_EX)
        if path.exists() and path.stat().st_ino == os.fstat(record.fileno()).st_ino:
            record.seek(0)
            return record
        record.close()


def zone_of(bridge_index: int) -> int:
    """Tell a bridge's conntrack zone: its index, which no other bridge here has (zones have 16 bits)."""
    return bridge_index % 65535 + 1


def alias(kind: str, id: str) -> str:
    """Say in the interface's alias what it is, so that `ip link` and the inventory can read it."""
    return f"{PREFIX} {kind} {id}"


def alias_id(link: Link, kind: str) -> str | None:
    owner = link.alias.split(" ")
    return owner[2] if len(owner) == 3 and owner[:2] == [PREFIX, kind] else None
