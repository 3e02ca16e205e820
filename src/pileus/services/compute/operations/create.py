"""Building a server: claim a host, plug the ports, connect the volumes, start the guest.

Rule: all that the database can say at once is said in one step, so that a boot costs few transactions.  A host that
cannot build it makes room for the next one.
"""

import msgspec

from pileus.kernel import clock, ids
from pileus.kernel.agent import hosts as kernel_hosts
from pileus.kernel.context import Context
from pileus.kernel.db import Tx
from pileus.kernel.errors import NotFound
from pileus.kernel.operations import Operation, operation
from pileus.kernel.runtime import runtime_of
from pileus.services.compute import images, inventory, ports, volumes
from pileus.services.compute.acting import acting, seeing_as
from pileus.services.compute.commands import EnsureGuest, EnsureGuestGone
from pileus.services.compute.ending import fail, finish
from pileus.services.compute.guests import GuestPlan, PlannedDisk, plan_guest, spec_of
from pileus.services.compute.lifecycle import CREATE
from pileus.services.compute.model import RUNNING, BlockDevice, Server
from pileus.services.compute.operations.placing import place
from pileus.services.compute.scheduler import NoValidHost
from pileus.services.compute.settings import ComputeSettings
from pileus.services.compute.store import servers as store
from pileus.services.compute.wanted import CreateServer, WantedVolume

MOST_HOSTS = 3
"""Hosts that are tried before a server is given up: what fails on three would fail on the next."""


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
    # Also when it is being deleted already, since that may fail.
    store.touch(server, host=None)
    tx.flush()
    fail(tx, CREATE, server.id, reason, broken=True)


@operation("server.create", input=CreateServer, deadline_s=1800, on_failure=create_failed, queues=True)
async def create_server(op: Operation, input: CreateServer) -> None:
    """Build a server on the best host there is."""
    settings = runtime_of(op.db).config.get(ComputeSettings)
    claimed = await op.commit("claim", claim, input, settings)
    plan, refusals = claimed.plan, {}
    held = [await _held(op, input.server_id, volume) for volume in claimed.volumes]
    while True:
        number = len(refusals) + 1
        prefix = "" if number == 1 else f"host {number}: "
        made = await op.attempt(f"{prefix}build", _build_on, op, plan, held, prefix)
        if made.value is not None:
            break
        refusals[plan.host] = made.error or "it failed"
        plan = await op.commit(f"claim host {number + 1}", claim_next, input, settings, refusals)
    await op.finish(built, input.server_id, plan.host, made.value.monitor, made.value.disks)


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A guest that runs: its monitor for block storage, and where its disks were found."""

    monitor: str | None
    disks: list[PlannedDisk]


async def _build_on(op: Operation, plan: GuestPlan, held: list[Pending], prefix: str) -> Made:
    """Build the guest on the host of the plan; ``prefix`` tells the steps of one host from another's."""
    disks = [await _connect(op, plan.host, volume, prefix) for volume in held]
    path, wires = await op.together(
        images.ensure_on_host(op, plan.host, plan.image_id, step=f"{prefix}image"),
        ports.wire(op, plan.host, plan.port_ids, step=f"{prefix}ports"),
    )
    facts = await op.command(
        f"{prefix}guest",
        plan.host,
        EnsureGuest(spec=spec_of(plan, wires, path, disks)),
        undo=EnsureGuestGone(guest_id=plan.server_id),
    )
    return Made(monitor=facts.storage_monitor, disks=disks)


def claim(tx: Tx, input: CreateServer, settings: ComputeSettings) -> Claimed:
    """Choose a host, allocate its room, plug the ports and begin to make the volumes that are not there."""
    server = store.get_server(tx, input.server_id)
    if server is None:
        raise NotFound(f"Instance {input.server_id} could not be found: it was deleted.")
    place(tx, server, settings, host=input.host, forced=input.forced)
    sight = seeing_as(server, admin=input.by_admin)
    ports.plug_all(tx, sight, server, input.nics, input.group_ids)
    if server.image_id is not None:
        images.find(tx, sight, server.image_id)
    pending = tuple(_claim_volume(tx, sight, server, volume) for volume in input.volumes)
    tx.flush()
    plan = plan_guest(tx, server.id, input.admin_password, input.files, bind=True)
    return Claimed(plan=plan, volumes=pending)


def claim_next(tx: Tx, input: CreateServer, settings: ComputeSettings, refusals: dict[str, str]) -> GuestPlan:
    """Choose another host than those that could not build the server; raise NoValidHost, naming each, at the end."""
    server = store.get_server(tx, input.server_id)
    if server is None:
        raise NotFound(f"Instance {input.server_id} could not be found: it was deleted.")
    told = "; ".join(f"{host}: {reason}" for host, reason in refusals.items())
    others = kernel_hosts.running(tx, "compute").keys() - refusals.keys()
    if input.host is not None or len(refusals) == MOST_HOSTS or not others:
        raise NoValidHost(f"No host could build it. {told}")
    inventory.release(tx, server.id)
    try:
        place(tx, server, settings, exclude=frozenset(refusals))
    except NoValidHost as error:
        raise NoValidHost(f"No host could build it. {told}. {error.message}") from error
    tx.flush()
    return plan_guest(tx, server.id, input.admin_password, input.files, bind=True)


def _claim_volume(tx: Tx, sight: Context, server: Server, wanted: WantedVolume) -> Pending:
    found = {"boot_index": wanted.boot_index, "device": wanted.device}
    if wanted.attachment_id is not None and wanted.id is not None:
        _add_device(tx, server.id, wanted, wanted.id, wanted.attachment_id)
        return Pending(volume_id=wanted.id, attachment_id=wanted.attachment_id, **found)
    volume_id, operation_id = volumes.create(tx, sight, wanted, server.availability_zone)
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


async def _held(op: Operation, server_id: str, volume: Pending) -> Pending:
    """Wait for a volume that is being made, and hold it."""
    if volume.operation_id is not None:
        await op.wait(f"volume {volume.device} made", volume.operation_id)
    if volume.attachment_id is not None:
        return volume
    attachment_id = await op.commit(f"volume {volume.device} held", hold, server_id, volume)
    return msgspec.structs.replace(volume, attachment_id=attachment_id)


async def _connect(op: Operation, host: str, volume: Pending, prefix: str) -> PlannedDisk:
    assert volume.attachment_id is not None, "a volume is held before it is connected"
    source = await volumes.connect(op, volume.attachment_id, host, f"{prefix}volume {volume.device}")
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
    ports.mark_wired(tx, store.port_ids(tx, server_id), host)
    finish(tx, CREATE, server_id, power_state=RUNNING, launched_at=clock.now(), progress=100)
