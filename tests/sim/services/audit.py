"""What must hold of a whole fake cloud at rest: hosts hold what the database says, and nothing is in between."""

from typing import Any

from sqlalchemy import select

from pileus.kernel import clock
from pileus.kernel.db import Tx
from pileus.kernel.operations import alarms
from pileus.kernel.runtime import Runtime
from pileus.services.block_storage.model import Attachment, Snapshot, Volume
from pileus.services.compute.model import Migration, Server
from pileus.services.network.model import Port
from pileus.services.placement.model import Allocation, Inventory
from pileus.services.placement.store import allocations

SETTLE_S = 10.0
BROKEN = {"error", "error_deleting", "error_restoring"}
RESTING = {"active", "stopped", "paused", "suspended", "error", "resized", "rescued"}
VOLUME_RESTING = BROKEN | {"available", "in-use", "error_extending", "reserved"}


def picture(tx: Tx) -> dict[str, Any]:
    """Return what the database says hosts should hold, and what is wrong with the rows themselves."""
    servers = list(tx.scalars(select(Server).where(Server.vm_state != "deleted")))
    ports = list(tx.scalars(select(Port)))
    volumes = list(tx.scalars(select(Volume)))
    attachments = list(tx.scalars(select(Attachment)))
    ids = {server.id for server in servers}
    wrong = [
        f"server {s.id} is {s.vm_state}/{s.task_state}" for s in servers if s.vm_state not in RESTING or s.task_state
    ]
    wrong += [f"volume {v.id} is {v.status}" for v in volumes if v.status not in VOLUME_RESTING]
    wrong += [f"port {p.id} belongs to no server" for p in ports if _of_server(p) and p.device_id not in ids]
    held = {attachment.volume_id for attachment in attachments}
    odd = [volume for volume in volumes if (volume.status == "in-use") != (volume.id in held)]
    wrong += [f"volume {v.id} is {v.status}, attached: {v.id in held}" for v in odd]
    wrong += [f"attachment {a.id} belongs to no server" for a in attachments if a.server_id and a.server_id not in ids]
    placed = {server.id for server in servers if server.host and server.vm_state != "error"}
    consumers = set(tx.scalars(select(Allocation.consumer_uuid)))
    moving = set(tx.scalars(select(Migration.uuid).where(Migration.server_id.in_(ids))))
    wrong += [f"allocation of {consumer}, which is no server" for consumer in consumers - ids - moving]
    wrong += [f"server {id} has no allocation" for id in placed - consumers]
    sums = allocations.sums(tx)
    kept = {(i.provider_uuid, i.resource_class): i.used for i in tx.scalars(select(Inventory))}
    wrong += [f"inventory {key} says {kept.get(key)} used" for key in kept | sums if kept.get(key) != sums.get(key, 0)]
    snapshots = list(tx.scalars(select(Snapshot)))
    devices = {(a.server_id, a.volume_id) for a in attachments} | {(p.device_id, p.id) for p in ports if _of_server(p)}
    return {
        "wrong": wrong,
        "needed": {
            "guests": {(server.host, server.id) for server in servers if server.id in placed},
            "ports": {(port.binding_host, port.id) for port in ports if port.binding_host and _of_server(port)},
            "volumes": {volume.id for volume in volumes if volume.status not in BROKEN},
            "snapshots": {snapshot.id for snapshot in snapshots if snapshot.status not in BROKEN},
            "devices": {device for device in devices if device[0] in placed},
        },
        # What is in error may have left something on its host, as long as a row says so and deleting removes it.
        "allowed": {
            "guests": {(server.host, server.id) for server in servers},
            "ports": {(port.binding_host, port.id) for port in ports},
            "volumes": {volume.id for volume in volumes},
            "snapshots": {snapshot.id for snapshot in snapshots},
            "devices": devices,
        },
    }


def _rests(server: Server) -> bool:
    return server.vm_state in RESTING and not server.task_state


def _of_server(port: Port) -> bool:
    return port.device_owner.startswith("compute:")


async def audit(cloud: Runtime) -> None:
    """Compare hosts and rows; every difference that reconcilers do not settle in time is a line of the failure."""
    deadline = clock.monotonic() + SETTLE_S
    while wrong := await differences(cloud):
        assert clock.monotonic() < deadline, "\n" + "\n".join(wrong)
        await clock.sleep(0.05)


async def differences(cloud: Runtime) -> list[str]:
    """Return what does not fit, as sentences."""
    assert cloud.local_hosts is not None
    wanted = await cloud.db.read(picture)
    live = await cloud.db.read(alarms.list_operations)
    wrong = [*wanted["wrong"], *(f"operation {entry} is live" for entry in live)]
    found: dict[str, set[Any]] = {
        "guests": set(),
        "ports": set(),
        "volumes": set(),
        "snapshots": set(),
        "devices": set(),
    }
    for name, host in cloud.local_hosts.hosts.items():
        parts: dict[str, Any] = {part.service: part for part in host.parts}
        guests = await parts["compute"].driver.guests()
        found["guests"] |= {(name, guest.id) for guest in guests}
        found["devices"] |= {(g.id, device) for g in guests for device in (*g.disks, *g.nics) if device != "root"}
        found["ports"] |= {(name, port) for port in (await parts["network"].driver.inventory()).ports}
        kept = await parts["block_storage"].driver.inventory()
        found["volumes"] |= {volume.id for volume in kept.volumes}
        found["snapshots"] |= {snapshot.id for snapshot in kept.snapshots}
    for kind, here in found.items():
        wrong += [f"{kind}: {thing} is on a host and in no row" for thing in sorted(here - wanted["allowed"][kind])]
        wrong += [f"{kind}: {thing} is in a row and on no host" for thing in sorted(wanted["needed"][kind] - here)]
    return wrong
