"""What must hold always, after every transaction.  What must hold at rest: ``rows``, ``holdings``, ``wiring``.

Rule: it asks the tables themselves, in its own words, not the code that it judges.
"""

import sqlite3
from collections.abc import Callable

from pileus.simulation.cloud import Cloud
from pileus.simulation.template import QUOTAS, Template
from pileus.simulation.trace import Violation

RUNS = "('active', 'stopped', 'paused', 'suspended')"
MAY_BEGIN = f"""
    task_state = 'spawning' and vm_state = 'building'
    or task_state = 'powering-on' and vm_state = 'stopped'
    or task_state = 'powering-off' and vm_state in ('active', 'error')
    or task_state in ('rebooting', 'pausing', 'suspending') and vm_state = 'active'
    or task_state = 'rebooting_hard' and (vm_state = 'error' or vm_state in {RUNS})
    or task_state = 'unpausing' and vm_state = 'paused'
    or task_state = 'resuming' and vm_state = 'suspended'
    or task_state = 'rebuilding' and vm_state in ('active', 'stopped', 'error')
    or task_state = 'resize_migrating' and vm_state in ('active', 'stopped')
    or task_state in ('resize_confirming', 'resize_reverting') and vm_state = 'resized'
    or task_state = 'image_uploading' and vm_state in {RUNS}
    or task_state = 'deleting'
"""
"""Which task a server may be at in which state, as the compute API promises its users."""

AT_WORK = (
    "({0}.epoch > 0 and {0}.state = 'running'"
    " or exists (select 1 from operation_steps where operation_id = {0}.id and not undone))"
)
"""That an operation has begun to change things; one that was given up while it waited never has."""

ALWAYS: dict[str, str] = {
    "a server is at a task that its state does not allow": (
        "select id, vm_state, task_state from compute_servers where task_state is not null and deleted_at is null"
        f" and not ({MAY_BEGIN})"
    ),
    "two operations live on one resource": (
        "select live_resource, count(*) from operations where live_resource is not null"
        " group by live_resource having count(*) > 1"
    ),
    "two operations change one thing at once": (
        "select a.kind, b.kind, a.resource from operations a join operations b on b.resource = a.resource"
        " and b.turn > a.turn and (a.part is null or b.part is null or a.part = b.part)"
        " where a.turn > 0 and a.live_resource is not null and b.live_resource is not null"
        f" and {AT_WORK.format('a')} and {AT_WORK.format('b')}"
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
    "an inventory's sums are not those of its allocations": (
        "select i.provider_uuid, i.resource_class, i.used, i.free, coalesce(sum(a.used), 0) as taken"
        " from placement_inventories i left join placement_allocations a"
        " on a.provider_uuid = i.provider_uuid and a.resource_class = i.resource_class group by 1, 2"
        " having i.used <> taken or i.free <> cast((i.total - i.reserved) * i.allocation_ratio as integer) - taken"
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
