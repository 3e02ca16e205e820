"""What rows must say of each other when nothing is under way.

Rule: it asks the tables themselves, in its own words, not the code that it judges.
"""

from collections.abc import Callable
from typing import Any

from pileus.kernel.events import CONSUMERS
from pileus.simulation.cloud import Cloud

Ask = Callable[..., list[Any]]

SERVER_RESTS = {"active", "stopped", "paused", "suspended", "error", "resized"}
VOLUME_RESTS = {"available", "in-use", "error", "error_deleting", "error_extending", "error_restoring", "reserved"}


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
        "select p.id, p.holder_id from network_ports p left join compute_servers s"
        " on s.id = p.holder_id and s.deleted_at is null where p.role = 'compute' and s.id is null"
    ),
    "a port and its server's cards differ": (
        "select p.id, p.holder_id, n.server_id from network_ports p left join compute_nics n on n.port_id = p.id"
        " where p.role = 'compute' and n.server_id is not p.holder_id"
    ),
    "a card of no port": (
        "select n.port_id, n.server_id from compute_nics n left join network_ports p on p.id = n.port_id"
        " where p.id is null"
    ),
    "a port is bound elsewhere than its server runs": (
        "select p.id, p.binding_host, s.host from network_ports p join compute_servers s on s.id = p.holder_id"
        " where p.role = 'compute' and s.deleted_at is null and s.vm_state not in ('error')"
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
        " left join compute_migrations m on m.uuid = a.consumer_uuid and m.status = 'finished'"
        " left join compute_servers o on o.id = m.server_id and o.deleted_at is null"
        " where s.id is null and o.id is null"
    ),
    "the quota counts a volume otherwise than by its size": (
        "select id, size, quota_gib from block_storage_volumes where size <> quota_gib"
    ),
    "the quota counts a server otherwise than by its size": (
        "select s.id, s.vcpus, s.quota_vcpus, s.memory_mb, s.quota_memory_mb from compute_servers s"
        " left join compute_migrations m on m.server_id = s.id and m.status = 'finished'"
        " where s.deleted_at is null and m.id is null"
        " and (s.vcpus <> s.quota_vcpus or s.memory_mb <> s.quota_memory_mb)"
    ),
    "a server's allocation is not what its flavor takes": (
        "select s.id, s.vcpus, a.used from compute_servers s left join placement_allocations a"
        " on a.consumer_uuid = s.id and a.resource_class = 'VCPU'"
        " where s.deleted_at is null and s.host is not null and s.vm_state <> 'error' and s.vcpus is not a.used"
    ),
    "a server is on a host where nothing is set aside for it": (
        "select s.id, s.vm_state, s.host from compute_servers s left join placement_allocations a"
        " on a.consumer_uuid = s.id where s.deleted_at is null and s.host is not null and a.consumer_uuid is null"
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
        "select p.id, p.status from network_ports p join compute_servers s on s.id = p.holder_id"
        " where s.vm_state = 'active' and p.status <> 'ACTIVE' and p.admin_state_up and s.deleted_at is null"
    )
    return [f"port {id} of an active server is {status}" for id, status in ask(query)]


def _images(ask: Ask) -> list[str]:
    return [
        f"image {id} is {status}"
        for id, status in ask("select id, status from image_images")
        if status not in ("active", "queued", "killed", "deactivated")
    ]
