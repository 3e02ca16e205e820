"""Building a server: claim a host, plug the ports, connect the volumes, start the guest.

Rule: all that the database can say at once is said in one step, so that a boot costs few transactions.
"""

import msgspec

from pileus.kernel import clock, ids
from pileus.kernel.db import Tx
from pileus.kernel.errors import NotFound
from pileus.kernel.operations import Operation, operation
from pileus.kernel.runtime import runtime_of
from pileus.services.compute import images, inventory, ports, volumes
from pileus.services.compute.acting import acting
from pileus.services.compute.commands import EnsureGuest, EnsureGuestGone
from pileus.services.compute.ending import fail, finish
from pileus.services.compute.guests import GuestPlan, PlannedDisk, plan_guest, spec_of
from pileus.services.compute.lifecycle import CREATE
from pileus.services.compute.model import RUNNING, BlockDevice, Server
from pileus.services.compute.operations.placing import place
from pileus.services.compute.settings import ComputeSettings
from pileus.services.compute.store import servers as store
from pileus.services.compute.wanted import CreateServer, WantedVolume


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """A volume of the server: held (``attachment_id``), or in the making (``operation_id``)."""

    volume_id: str
    boot_index: int | None
    device: str
    attachment_id: str | None = None
    operation_id: str | None = None


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """What the first step has settled."""

    plan: GuestPlan
    volumes: tuple[Pending, ...] = ()


def create_failed(tx: Tx, input: CreateServer, reason: str) -> None:
    """Give back whatever the server was given; it stays, in error, for its owner to read why."""
    server = store.get_server(tx, input.server_id)
    if server is None:
        return
    for volume in input.volumes:
        if volume.attachment_id is not None:
            volumes.release(tx, volume.attachment_id)
    held = {volume.attachment_id for volume in input.volumes}
    for device in store.list_devices(tx, server.id):
        volumes.release(tx, device.attachment_id)
        if device.attachment_id not in held:
            volumes.delete(tx, acting(server), device.volume_id)
    store.delete_devices(tx, server.id)
    ports.unplug_all(tx, server)
    inventory.release(tx, server.id)
    # Its room there is given back: a rebuild or a hard reboot would run it where nothing is set aside for it.
    fail(tx, CREATE, server.id, reason, broken=True, host=None)


@operation("server.create", input=CreateServer, deadline_s=1800, on_failure=create_failed)
async def create_server(op: Operation, input: CreateServer) -> None:
    """Build a server on the best host there is."""
    settings = runtime_of(op.db).config.get(ComputeSettings)
    claimed = await op.commit("claim", claim, input, settings)
    plan = claimed.plan
    disks = [await _connect(op, input.server_id, plan.host, volume) for volume in claimed.volumes]
    path, wires = await op.together(
        images.ensure_on_host(op, plan.host, plan.image_id),
        ports.wire(op, plan.host, plan.wiring),
    )
    facts = await op.command(
        "guest",
        plan.host,
        EnsureGuest(spec=spec_of(plan, wires, path, disks)),
        undo=EnsureGuestGone(guest_id=input.server_id),
    )
    await op.finish(built, input.server_id, plan.host, facts.storage_monitor, disks)


def claim(tx: Tx, input: CreateServer, settings: ComputeSettings) -> Claimed:
    """Choose a host, allocate its room, plug the ports and begin to make the volumes that are not there."""
    server = store.get_server(tx, input.server_id)
    if server is None:
        raise NotFound(f"Instance {input.server_id} could not be found: it was deleted.")
    place(tx, server, settings, host=input.host, forced=input.forced)
    ports.plug_all(tx, server, input.nics, input.group_ids)
    pending = tuple(_claim_volume(tx, server, volume) for volume in input.volumes)
    tx.flush()
    plan = plan_guest(tx, server.id, input.admin_password, input.files, bind=True)
    return Claimed(plan=plan, volumes=pending)


def _claim_volume(tx: Tx, server: Server, wanted: WantedVolume) -> Pending:
    found = {"boot_index": wanted.boot_index, "device": wanted.device}
    if wanted.attachment_id is not None and wanted.id is not None:
        _add_device(tx, server.id, wanted, wanted.id, wanted.attachment_id)
        return Pending(volume_id=wanted.id, attachment_id=wanted.attachment_id, **found)
    volume_id, operation_id = volumes.create(tx, acting(server), wanted, server.availability_zone)
    _add_device(tx, server.id, wanted, volume_id, "")
    return Pending(volume_id=volume_id, operation_id=operation_id, **found)


def _add_device(tx: Tx, server_id: str, wanted: WantedVolume, volume_id: str, attachment_id: str) -> None:
    tx.add(
        BlockDevice(
            id=ids.new_id(),
            server_id=server_id,
            volume_id=volume_id,
            attachment_id=attachment_id,
            device=wanted.device,
            boot_index=wanted.boot_index,
            delete_on_termination=wanted.delete_on_termination,
            tag=wanted.tag,
            connection={},
        )
    )


async def _connect(op: Operation, server_id: str, host: str, volume: Pending) -> PlannedDisk:
    attachment_id = volume.attachment_id
    if volume.operation_id is not None:
        await op.wait(f"volume {volume.device} made", volume.operation_id)
    if attachment_id is None:
        attachment_id = await op.commit(f"volume {volume.device} held", hold, server_id, volume)
    source = await volumes.connect(op, attachment_id, host, f"volume {volume.device}")
    return PlannedDisk(volume_id=volume.volume_id, boot_index=volume.boot_index, source=source)


def hold(tx: Tx, server_id: str, volume: Pending) -> str:
    """Reserve a volume that has just been made."""
    server = store.get_server(tx, server_id)
    device = store.get_device(tx, server_id, volume.volume_id)
    if server is None or device is None:
        raise NotFound(f"Instance {server_id} could not be found: it was deleted.")
    device.attachment_id = volumes.reserve(tx, acting(server), volume.volume_id, server_id, volume.device)
    return device.attachment_id


def built(tx: Tx, server_id: str, host: str, monitor: str | None, disks: list[PlannedDisk]) -> None:
    """Write down that the guest runs."""
    for disk in disks:
        device = store.get_device(tx, server_id, disk.volume_id)
        if device is not None:
            device.connection = msgspec.to_builtins(disk.source)
            volumes.attached(tx, device.attachment_id, device.device, monitor)
    ports.mark_wired(tx, server_id, host)
    finish(tx, CREATE, server_id, power_state=RUNNING, launched_at=clock.now(), progress=100)
