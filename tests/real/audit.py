"""What a real host holds against what the rows say: processes, interfaces, filters, leases, files, down to the bytes.

Rule: it looks for itself, at the kernel and the files, and asks neither the APIs nor the drivers that it judges.
"""

import json
import os
import sqlite3
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OFF = {"stopped", "shelved_offloaded", "suspended", "error"}
"""States of servers in which no process need run."""
RESTING = {"active", "paused", "resized", *OFF}
VOLUME_RESTING = {"available", "in-use", "error", "error_deleting", "error_extending", "error_restoring"}


@dataclass
class Rows:
    """What the database says, read by a connection of the auditor's own."""

    operations: list[str]
    servers: dict[str, dict[str, Any]]
    volumes: dict[str, dict[str, Any]]
    attachments: list[dict[str, Any]]
    snapshots: dict[str, str]
    ports: list[dict[str, Any]]
    routers: set[str]
    addresses: dict[str, set[str]]
    consumers: set[str]
    migrations: set[str]
    blobs: set[str]
    work: int

    @classmethod
    def read(cls, state: Path) -> "Rows":
        connection = sqlite3.connect(f"file:{state / 'pileus.db'}?mode=ro", uri=True, timeout=30)
        connection.row_factory = sqlite3.Row
        try:

            def rows(query: str) -> list[dict[str, Any]]:
                return [dict(row) for row in connection.execute(query)]

            def column(query: str) -> set[str]:
                return {row[0] for row in connection.execute(query)}

            connection.execute("begin")  # all of it at one moment
            addresses: dict[str, set[str]] = {}
            for row in rows("select port_id, ip from network_addresses"):
                addresses.setdefault(row["port_id"], set()).add(row["ip"])
            return cls(
                operations=[
                    f"{row['kind']} of {row['resource']} is {row['state']}: {row['alarm'] or row['error'] or 'at work'}"
                    for row in rows("select * from operations where live_resource is not null")
                ],
                servers={row["id"]: row for row in rows("select * from compute_servers where vm_state != 'deleted'")},
                volumes={row["id"]: row for row in rows("select * from block_storage_volumes")},
                attachments=rows("select * from block_storage_attachments"),
                snapshots={row["id"]: row["status"] for row in rows("select * from block_storage_snapshots")},
                ports=rows("select * from network_ports"),
                routers=column("select id from network_routers"),
                addresses=addresses,
                consumers=column("select distinct consumer_uuid from placement_allocations"),
                migrations=column("select uuid from compute_migrations where status = 'finished'"),
                blobs=column("select blob from object_store_objects where blob is not null"),
                work=len(column("select id from network_host_work")),
            )
        finally:
            connection.close()


@dataclass
class Found:
    """What is on the host."""

    guests: set[str]
    processes: dict[str, list[int]]
    open_volumes: dict[str, set[str]]
    taps: set[str]
    plugged: set[str]
    filters: set[str]
    namespaces: set[str]
    dhcp_servers: set[str]
    leases: dict[str, set[str]]
    volumes: set[str]
    snapshots: set[str]
    blobs: set[str]
    litter: list[str] = field(default_factory=list)

    @classmethod
    def look(cls, state: Path) -> "Found":
        cloud_id = json.loads((state / "cloud.json").read_text())["cloud_id"]
        running = processes_of(state)
        qemus = {pid: words for pid, words in running if words[0].startswith("qemu-system")}
        dnsmasqs = [words for _, words in running if words[0] == "dnsmasq"]
        processes: dict[str, list[int]] = {}
        held: dict[str, set[str]] = {}
        for pid, words in qemus.items():
            guest = words[words.index("-uuid") + 1]
            processes.setdefault(guest, []).append(pid)
            held.setdefault(guest, set()).update(_open_volumes(pid, state))
        guests = state / "compute" / "guests"
        files = state / "block_storage"
        return cls(
            guests={path.name for path in guests.iterdir()} if guests.is_dir() else set(),
            processes=processes,
            open_volumes=held,
            taps=_taps(cloud_id),
            plugged=_taps(cloud_id, "LOWER_UP"),
            filters=_filters(cloud_id),
            namespaces={name for name in _lines("ip", "netns", "list") if name.startswith(f"pileus-{cloud_id}-")},
            dhcp_servers={Path(words[1]).parent.name for words in dnsmasqs},
            leases=_leases(state / "network" / "dhcp"),
            volumes={path.stem for path in (files / "volumes").glob("*.qcow2")},
            snapshots={path.stem for path in (files / "snapshots").glob("*.qcow2")},
            blobs=_blobs(state / "object_store"),
            litter=_litter(state),
        )


def differences(state: Path) -> list[str]:
    """Return what does not fit, as sentences."""
    rows, found = Rows.read(state), Found.look(state)
    wrong = [*rows.operations, *(f"{path} is left over" for path in found.litter)]
    wrong += _of_servers(rows, found) + _of_volumes(rows, found) + _of_networks(rows, found)
    wrong += compare("object", rows.blobs, found.blobs)
    return wrong


def settled(state: Path, patience_s: float = 60) -> None:
    """Wait until host and rows agree; fail with every difference that does not go away in time."""
    deadline = time.monotonic() + patience_s
    while wrong := differences(state):
        assert time.monotonic() < deadline, f"after {patience_s:.0f} s:\n" + "\n".join(wrong)
        time.sleep(0.2)


def compare(kind: str, wanted: Iterable[str], found: Iterable[str]) -> list[str]:
    """Return sentences on what is missing and what is too much."""
    wanted, found = set(wanted), set(found)
    missing = [f"{kind} {one} is in a row and not on the host" for one in sorted(wanted - found)]
    return missing + [f"{kind} {one} is on the host and in no row" for one in sorted(found - wanted)]


def _of_servers(rows: Rows, found: Found) -> list[str]:
    wrong = [
        f"server {id} is {server['vm_state']}/{server['task_state']}"
        for id, server in rows.servers.items()
        if server["vm_state"] not in RESTING or server["task_state"]
    ]
    built = {id for id, server in rows.servers.items() if server["vm_state"] != "error"}
    wrong += [f"guest {id} is on the host and in no row" for id in sorted(found.guests - rows.servers.keys())]
    wrong += [f"guest {id} is in a row and not on the host" for id in sorted(built - found.guests)]
    placed = {id for id, server in rows.servers.items() if server["host"]}  # one in error may still be there
    wrong += compare("allocation of", placed, rows.consumers - rows.migrations)
    for id in sorted(found.processes.keys() | rows.servers.keys()):
        count = len(found.processes.get(id, []))
        state = rows.servers[id]["vm_state"] if id in rows.servers else "deleted"
        if count > 1 or (count == 0 and state not in OFF) or (count == 1 and state in {"stopped", "deleted"}):
            wrong.append(f"server {id} is {state} and has {count} processes")
    return wrong


def _of_volumes(rows: Rows, found: Found) -> list[str]:
    wrong = [
        f"volume {id} is {row['status']}" for id, row in rows.volumes.items() if row["status"] not in VOLUME_RESTING
    ]
    attached = {(row["server_id"], row["volume_id"]) for row in rows.attachments if row["server_id"]}
    holders = {row["volume_id"] for row in rows.attachments}
    for id, row in rows.volumes.items():
        if (row["status"] == "in-use") != (id in holders):
            wrong.append(f"volume {id} is {row['status']} with {'an' if id in holders else 'no'} attachment")
    running = {(server, volume) for server, volume in attached if server in found.processes}
    held = {(server, volume) for server, volumes in found.open_volumes.items() for volume in volumes}
    wrong += [f"volume {volume} should be open in guest {server}" for server, volume in sorted(running - held)]
    wrong += [f"volume {volume} is open in guest {server}, unsaid" for server, volume in sorted(held - attached)]
    broken = {id for id, row in rows.volumes.items() if row["status"].startswith("error")}
    wrong += compare("volume", rows.volumes.keys() - broken, found.volumes - broken)
    lost = {id for id, status in rows.snapshots.items() if status.startswith("error")}
    return wrong + compare("snapshot", rows.snapshots.keys() - lost, found.snapshots - lost)


def _of_networks(rows: Rows, found: Found) -> list[str]:
    guests = {p["id"]: p for p in rows.ports if p["device_owner"].startswith("compute:") and p["binding_host"]}
    wrong = [f"port {id} belongs to no server" for id, p in guests.items() if p["device_id"] not in rows.servers]
    wrong += compare("tap of port", guests, found.taps)
    in_use = {id for id, port in guests.items() if port["device_id"] in found.processes}
    wrong += [f"port {id} should be plugged into its guest" for id in sorted(in_use - found.plugged)]
    wrong += compare("filter of port", guests, found.filters)
    served = {p["network_id"] for p in rows.ports if p["device_owner"] == "network:dhcp"}
    spaces = {f"dhcp-{id}" for id in served} | {f"router-{id}" for id in rows.routers}
    wrong += compare("namespace", spaces, {name.split("-", 2)[2] for name in found.namespaces})
    wrong += compare("DHCP server of network", served, found.dhcp_servers)
    for network in served:
        wanted = {p["mac_address"] for p in guests.values() if p["network_id"] == network}
        wrong += compare(f"DHCP entry on {network} for", wanted, found.leases.get(network, set()))
    if rows.work:
        wrong.append(f"{rows.work} changes of networks have not been told to the host")
    return wrong


def processes_of(state: Path) -> list[tuple[int, list[str]]]:
    """Return the processes whose words name the cloud's directory, by id, the program without its folder."""
    found: list[tuple[int, list[str]]] = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if any(str(state) in word for word in words):
            found.append((int(entry.name), [Path(words[0]).name, *words[1:]]))
    return found


def _open_volumes(pid: int, state: Path) -> set[str]:
    volumes = set()
    for descriptor in _descriptors(pid):
        try:
            path = Path(os.readlink(descriptor))
        except OSError:
            continue
        if path.parent == state / "block_storage" / "volumes":
            volumes.add(path.stem)
    return volumes


def _descriptors(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:  # it has ended meanwhile
        return []


def _lines(*words: str) -> list[str]:
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return [line.split()[0] for line in done.stdout.splitlines() if line.strip()]


def _json(*words: str) -> Any:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 and done.stdout else []


def _taps(cloud_id: str, flag: str = "BROADCAST") -> set[str]:
    """Return the ports that have a tap; with ``LOWER_UP``, those whose tap a process holds open."""
    links = [link for link in _json("ip", "-j", "link") if flag in link.get("flags", ())]
    ours = (link for link in links if link.get("ifname", "").startswith(f"t{cloud_id}"))
    return {str(link.get("ifalias", link["ifname"])).rpartition(" ")[2] for link in ours}


def _filters(cloud_id: str) -> set[str]:
    """Return the ports that have both their chains; a chain is named after an interface, which holds the id's start."""
    told = _json("nft", "-j", "list", "table", "inet", f"pileus_{cloud_id}")
    entries: list[dict[str, Any]] = told["nftables"] if told else []
    chains: set[str] = {entry["chain"]["name"] for entry in entries if "chain" in entry}
    names = {chain.partition("_")[2] for chain in chains if chain.startswith((f"in_t{cloud_id}", f"out_t{cloud_id}"))}
    by_name: dict[str, str] = {f"t{cloud_id}{port.replace('-', '')}"[:15]: port for port in _taps(cloud_id)}
    return {by_name.get(name, name) for name in names if {f"in_{name}", f"out_{name}"} <= chains}


def _leases(folder: Path) -> dict[str, set[str]]:
    files = [path / "hosts" for path in folder.iterdir()] if folder.is_dir() else []
    return {
        file.parent.name: {line.split(",")[0] for line in file.read_text().splitlines() if line}
        for file in files
        if file.exists()
    }


def _blobs(root: Path) -> set[str]:
    """Return the blobs kept, by ``hash/version``."""
    return {f"{path.parent.name}/{path.stem}" for path in root.glob("*/objects/*/*/*/*.data")}


def _litter(state: Path) -> list[str]:
    """Return files that nothing at rest leaves behind."""
    patterns = [
        "object_store/*/tmp/*",
        "block_storage/work/*",
        "block_storage/exports/*",
        "block_storage/quarantine/*",
        "compute/images/*.part",
        "compute/guests/*/*.part",
        "network/**/*.new",
    ]
    return sorted(str(path.relative_to(state)) for pattern in patterns for path in state.glob(pattern))
