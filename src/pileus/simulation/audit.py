"""What must hold: always, after every transaction; and at rest, between rows and hosts.

Rule: it asks the tables and the hosts themselves, in its own words, not the code that it judges.
"""

import sqlite3
from collections.abc import Callable
from typing import Any

from pileus.kernel.events import CONSUMERS
from pileus.simulation.cloud import Cloud
from pileus.simulation.template import QUOTAS, Template
from pileus.simulation.trace import Violation

Ask = Callable[..., list[Any]]

ALWAYS: dict[str, str] = {
    "two operations live on one resource": (
        "select live_resource, count(*) from operations where live_resource is not null"
        " group by live_resource having count(*) > 1"
    ),
    "an ended operation holds its resource": (
        "select id, kind, state from operations where (state in ('succeeded', 'failed')) <> (live_resource is null)"
    ),
    "one address has two owners": (
        "select network_id, ip, count(*) from network_addresses group by network_id, ip having count(*) > 1"
    ),
    "one floating address has two owners": (
        "select floating_network_id, floating_ip_address, count(*) from network_floating_ips"
        " group by 1, 2 having count(*) > 1"
    ),
    "one fixed address has two floating IPs": (
        "select port_id, fixed_ip_address, count(*) from network_floating_ips where port_id is not null"
        " group by 1, 2 having count(*) > 1"
    ),
    "one MAC address is there twice in a network": (
        "select network_id, mac_address, count(*) from network_ports group by 1, 2 having count(*) > 1"
    ),
    "an address belongs to no port": (
        "select a.ip, a.port_id from network_addresses a left join network_ports p on p.id = a.port_id"
        " where p.id is null"
    ),
    "a volume is attached twice": (
        "select a.volume_id, count(*) from block_storage_attachments a join block_storage_volumes v"
        " on v.id = a.volume_id where not v.multiattach group by 1 having count(*) > 1"
    ),
    "a volume is the device of two servers": (
        "select d.volume_id, count(*) from compute_block_devices d join block_storage_volumes v on v.id = d.volume_id"
        " where not v.multiattach group by 1 having count(*) > 1"
    ),
    "an attachment of no volume": (
        "select a.id, a.volume_id from block_storage_attachments a left join block_storage_volumes v"
        " on v.id = a.volume_id where v.id is null"
    ),
    "allocations beyond the inventory": (
        "select i.provider_uuid, i.resource_class, sum(a.used) as taken, i.total from placement_inventories i"
        " join placement_allocations a on a.provider_uuid = i.provider_uuid and a.resource_class = i.resource_class"
        " group by 1, 2 having taken > (i.total - i.reserved) * i.allocation_ratio"
    ),
    "a deleted server has a port": (
        "select n.port_id, n.server_id from compute_nics n join compute_servers s on s.id = n.server_id"
        " where s.deleted_at is not null"
    ),
}
"""What never may be found, and the query that finds it."""

USAGE: dict[tuple[str, str], str] = {
    ("compute", "instances"): "select project_id, count(*) from compute_servers where deleted_at is null group by 1",
    ("compute", "cores"): "select project_id, sum(vcpus) from compute_servers where deleted_at is null group by 1",
    ("compute", "ram"): "select project_id, sum(memory_mb) from compute_servers where deleted_at is null group by 1",
    ("volume", "volumes"): "select project_id, count(*) from block_storage_volumes group by 1",
    ("volume", "snapshots"): "select project_id, count(*) from block_storage_snapshots group by 1",
    ("volume", "backups"): "select project_id, count(*) from block_storage_backups group by 1",
    ("volume", "gigabytes"): (
        "select project_id, sum(size) from (select project_id, size from block_storage_volumes"
        " union all select project_id, size from block_storage_snapshots) group by 1"
    ),
    ("network", "network"): "select project_id, count(*) from network_networks group by 1",
    ("network", "subnet"): "select project_id, count(*) from network_subnets group by 1",
    ("network", "port"): "select project_id, count(*) from network_ports group by 1",
    ("network", "router"): "select project_id, count(*) from network_routers group by 1",
    ("network", "floatingip"): "select project_id, count(*) from network_floating_ips group by 1",
    ("network", "security_group"): "select project_id, count(*) from network_security_groups group by 1",
}
"""What a project uses, counted from the rows."""

SERVER_RESTS = {"active", "stopped", "paused", "suspended", "error", "resized"}
VOLUME_RESTS = {"available", "in-use", "error", "error_deleting", "error_extending", "error_restoring", "reserved"}
BROKEN = {"error", "error_deleting", "error_restoring"}


class Auditor:
    """Looks after every commit."""

    def __init__(self, cloud: Cloud, template: Template, violated: Callable[[Violation], None]) -> None:
        self._connection: sqlite3.Connection = cloud.store.connection
        self._projects = {project.id for project in template.projects}
        self._violated = violated
        self._changes = 0
        self._number = 0
        self._always = list(ALWAYS.items())
        self._usage = list(USAGE.items())
        self.looks = 0

    def look(self) -> None:
        """Look at what a commit may have broken: a few questions each time, in turn, all of them again and again."""
        changes = self._connection.total_changes
        if changes == self._changes:
            return
        self._changes = changes
        self._number += 1
        self.looks += 1
        number = self._number
        self._never(*self._always[number % len(self._always)])
        self._quota(*self._usage[number % len(self._usage)])

    def look_at_all(self) -> None:
        """Ask every question."""
        for name, query in self._always:
            self._never(name, query)
        for what, query in self._usage:
            self._quota(what, query)

    def _never(self, name: str, query: str) -> None:
        if found := self._connection.execute(query).fetchall():
            self._violated(Violation(f"{name}: {found[:5]}"))

    def _quota(self, what: tuple[str, str], query: str) -> None:
        limit = QUOTAS[what[0]][what[1]]
        for project, used in self._connection.execute(query):
            if project in self._projects and used > limit:
                self._violated(Violation(f"project {project} uses {used} {what[1]} of {limit}"))


def rows_at_rest(cloud: Cloud) -> list[str]:
    """Return what is wrong with the rows of a cloud that should be at rest, as sentences."""

    def ask(query: str) -> list[Any]:
        return cloud.store.connection.execute(query).fetchall()

    wrong = [f"operation {kind} on {on} is {state}: {alarm or error}" for kind, on, state, alarm, error in ask(
        "select kind, live_resource, state, alarm, error from operations where live_resource is not null"
    )]  # fmt: skip
    wrong += _servers(ask) + _volumes(ask) + _ports(ask) + _images(ask)
    wrong += [f"{name}: {found[:5]}" for name, query in AT_REST.items() if (found := ask(query))]
    newest = ask("select coalesce(max(sequence), 0) from events")[0][0]
    wrong += [
        f"consumer {name} has read {sequence} of {newest} events"
        for name, sequence in ask("select consumer, sequence from event_cursors")
        if sequence < newest and _relevant(ask, name, sequence)
    ]
    return wrong


def _relevant(ask: Ask, consumer: str, sequence: int) -> bool:
    kinds = {kind for (kind,) in ask(f"select distinct kind from events where sequence > {sequence}")}
    return not kinds.isdisjoint(CONSUMERS[consumer].kinds)


AT_REST: dict[str, str] = {
    "a port belongs to no server": (
        "select p.id, p.device_id from network_ports p left join compute_servers s"
        " on s.id = p.device_id and s.deleted_at is null where p.device_owner like 'compute:%' and s.id is null"
    ),
    "a port and its server's cards differ": (
        "select p.id, p.device_id, n.server_id from network_ports p left join compute_nics n on n.port_id = p.id"
        " where p.device_owner like 'compute:%' and n.server_id is not p.device_id"
    ),
    "a card of no port": (
        "select n.port_id, n.server_id from compute_nics n left join network_ports p on p.id = n.port_id"
        " where p.id is null"
    ),
    "a port is bound elsewhere than its server runs": (
        "select p.id, p.binding_host, s.host from network_ports p join compute_servers s on s.id = p.device_id"
        " where p.device_owner like 'compute:%' and s.deleted_at is null and s.vm_state not in ('error')"
        " and p.binding_host is not s.host"
    ),
    "an attachment belongs to no server": (
        "select a.id, a.server_id from block_storage_attachments a left join compute_servers s"
        " on s.id = a.server_id and s.deleted_at is null where a.server_id is not null and s.id is null"
    ),
    "a volume's device and its attachment differ": (
        "select d.volume_id, d.server_id, a.server_id from compute_block_devices d"
        " left join block_storage_attachments a on a.volume_id = d.volume_id"
        " join compute_servers s on s.id = d.server_id where s.vm_state <> 'error' and a.server_id is not d.server_id"
    ),
    "a device of a deleted server": (
        "select d.volume_id, d.server_id from compute_block_devices d left join compute_servers s"
        " on s.id = d.server_id and s.deleted_at is null where s.id is null"
    ),
    "a consumer of placement that is no server": (
        "select distinct a.consumer_uuid from placement_allocations a"
        " left join compute_servers s on s.id = a.consumer_uuid and s.deleted_at is null"
        " left join compute_migrations m on m.uuid = a.consumer_uuid"
        " left join compute_servers o on o.id = m.server_id and o.vm_state = 'resized' and o.deleted_at is null"
        " where s.id is null and o.id is null"
    ),
    "a server's allocation is not what its flavor takes": (
        "select s.id, s.vcpus, a.used from compute_servers s left join placement_allocations a"
        " on a.consumer_uuid = s.id and a.resource_class = 'VCPU'"
        " where s.deleted_at is null and s.host is not null and s.vm_state <> 'error' and s.vcpus is not a.used"
    ),
    "a server is allocated on another host than it runs": (
        "select s.id, s.host, r.name from compute_servers s join placement_allocations a on a.consumer_uuid = s.id"
        " join placement_providers r on r.uuid = a.provider_uuid"
        " where s.deleted_at is null and s.host is not null and s.vm_state <> 'error' and r.name <> s.host"
    ),
    "a host has not been told": "select host, kind, resource_id from network_host_work",
    "an image's bytes of no image": (
        "select o.name from object_store_objects o join object_store_containers c on c.id = o.container_id"
        " left join image_images i on o.name like i.id || '%' where c.name in ('data', 'staging', 'images')"
        " and i.id is null"
    ),
    "bytes that are to go are still there": "select blob from object_store_discards",
    "a floating IP points at a port that is not there": (
        "select f.id, f.port_id from network_floating_ips f left join network_ports p on p.id = f.port_id"
        " where f.port_id is not null and p.id is null"
    ),
}
"""What may not be found when nothing is under way."""


def _servers(ask: Ask) -> list[str]:
    return [
        f"server {id} is {state}/{task}"
        for id, state, task in ask("select id, vm_state, task_state from compute_servers where deleted_at is null")
        if state not in SERVER_RESTS or task is not None
    ]


def _volumes(ask: Ask) -> list[str]:
    wrong = []
    for id, status, held in ask(
        "select v.id, v.status, count(a.id) from block_storage_volumes v left join block_storage_attachments a"
        " on a.volume_id = v.id group by 1, 2"
    ):
        if status not in VOLUME_RESTS:
            wrong.append(f"volume {id} is {status}")
        elif status in ("available", "in-use") and (status == "in-use") != bool(held):
            wrong.append(f"volume {id} is {status} with {held} attachments")
    for table in ("snapshots", "backups"):
        wrong += [
            f"{table[:-1]} {id} is {status}"
            for id, status in ask(f"select id, status from block_storage_{table}")
            if status not in ("available", "error", "error_deleting")
        ]
    return wrong


def _ports(ask: Ask) -> list[str]:
    query = (
        "select p.id, p.status from network_ports p join compute_servers s on s.id = p.device_id"
        " where s.vm_state = 'active' and p.status <> 'ACTIVE' and p.admin_state_up and s.deleted_at is null"
    )
    return [f"port {id} of an active server is {status}" for id, status in ask(query)]


def _images(ask: Ask) -> list[str]:
    return [
        f"image {id} is {status}"
        for id, status in ask("select id, status from image_images")
        if status not in ("active", "queued", "killed", "deactivated")
    ]


async def hosts_at_rest(cloud: Cloud) -> list[str]:
    """Return how the hosts differ from what the rows say they hold, as sentences."""

    def ask(query: str) -> list[Any]:
        return cloud.store.connection.execute(query).fetchall()

    wrong: list[str] = []
    for name, machine in cloud.machines.items():
        wrong += _compare(f"guest on {name}", await _guests(machine), _wanted_guests(ask, name), _erring_guests(ask))
        network = machine.drivers["network"]
        wanted = {id for (id,) in ask(f"select id from network_ports where binding_host = '{name}'"
                                      " and device_owner like 'compute:%'")}  # fmt: skip
        wrong += _compare(f"tap on {name}", set(network.ports), wanted, _erring_ports(ask))
        wrong += _specs(ask, name, network)
        kept = await machine.drivers["block_storage"].inventory()
        for kind in ("volume", "snapshot"):
            there = {one.id for one in getattr(kept, f"{kind}s")}
            rows = ask(f"select id, status from block_storage_{kind}s")
            wanted = {id for id, status in rows if status not in BROKEN}
            if len(cloud.machines) == 1:
                wrong += _compare(f"{kind} on {name}", there, wanted, {id for id, _ in rows})
            else:
                wrong += [f"{kind} on {name}: {id} is in no row" for id in sorted(there - {id for id, _ in rows})]
    return wrong


async def _guests(machine: Any) -> dict[str, Any]:
    return {guest.id: guest for guest in await machine.drivers["compute"].guests()}


def _wanted_guests(ask: Ask, host: str) -> set[str]:
    query = f"select id from compute_servers where host = '{host}' and deleted_at is null and vm_state <> 'error'"
    return {id for (id,) in ask(query)}


def _erring_guests(ask: Ask) -> set[str]:
    """What is in error may have left something on its host, as long as a row says so and deleting removes it."""
    query = "select id from compute_servers where deleted_at is null and vm_state = 'error' and host is not null"
    erring = {id for (id,) in ask(query)}
    resized = "select s.id from compute_servers s where s.vm_state = 'resized' and s.deleted_at is null"
    return erring | {id for (id,) in ask(resized)}


def _erring_ports(ask: Ask) -> set[str]:
    query = (
        "select p.id from network_ports p join compute_servers s on s.id = p.device_id"
        " where s.vm_state in ('error', 'resized') and s.deleted_at is null"
    )
    return {id for (id,) in ask(query)}


def _specs(ask: Ask, host: str, network: Any) -> list[str]:
    """Compare what a host's driver was told of ports with the rows."""
    wrong = []
    for id, spec in network.ports.items():
        addresses = {ip for (ip,) in ask(f"select ip from network_addresses where port_id = '{id}'")}
        if addresses != set(spec.ips):
            wrong.append(f"tap on {host}: {id} has {sorted(spec.ips)}, and the rows say {sorted(addresses)}")
    return wrong


def _compare(what: str, there: Any, wanted: set[str], allowed: set[str]) -> list[str]:
    wrong = [f"{what}: {id} is in no row" for id in sorted(set(there) - wanted - allowed)]
    return wrong + [f"{what}: {id} is in a row and not there" for id in sorted(wanted - set(there) - allowed)]
