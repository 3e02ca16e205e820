"""Disks and network cards that come and go while a guest runs, and copies of its disks.

One rule: QEMU itself is asked what is plugged in; the record only says what shall be plugged in at the next start.
"""

import asyncio
import contextlib
import os
from typing import Any
from uuid import uuid4

from pileus.kernel.errors import Conflict, Unavailable
from pileus.services.compute.commands import Disk, Nic
from pileus.services.compute.drivers.qemu import arguments
from pileus.services.compute.drivers.qemu.guest import Guest, open_tap
from pileus.services.compute.drivers.qemu.monitor import Event, Monitor, Refused
from pileus.services.compute.drivers.qemu.slots import disk_name, free_port, nic_name

_ASK_AGAIN_S = 3.0


async def plugged(monitor: Monitor) -> set[str]:
    """Return the names of the devices that are plugged in."""
    return {item["name"] for item in await monitor.execute("qom-list", path="/machine/peripheral")}


async def attach_disk(guest: Guest, disk: Disk) -> None:
    """Plug a disk into a running guest."""
    monitor = guest.living("slots")
    if disk_name(disk.id) in await plugged(monitor):
        return
    node = arguments.block_node(disk, guest.folder.disk_file(disk.id, disk.source))
    bus = await free_port(guest.id, monitor) if disk.bus == "virtio" else None
    await _drop_node(monitor, disk.id)
    await monitor.execute("blockdev-add", **node)
    try:
        await monitor.execute("device_add", **_without_none(arguments.disk_device(disk, bus)))
    except BaseException:
        await _drop_node(monitor, disk.id)
        raise


async def detach_disk(guest: Guest, disk_id: str, timeout_s: float) -> None:
    """Take a disk out of a running guest; raise Conflict if the guest holds on to it."""
    monitor = guest.living("slots")
    await _unplug(guest, monitor, disk_name(disk_id), f"disk {disk_id}", timeout_s)
    await _drop_node(monitor, disk_id)


async def attach_nic(guest: Guest, nic: Nic) -> None:
    """Plug a network card into a running guest."""
    monitor = guest.living("slots")
    if nic_name(nic.port_id) in await plugged(monitor):
        return
    bus, backend = await free_port(guest.id, monitor), arguments.netdev_name(nic.port_id)
    with contextlib.suppress(Refused):  # left by a life that was cut short
        await monitor.execute("netdev_del", id=backend)
    fd = open_tap(nic.tap)
    try:
        await monitor.send_file(backend, fd)
    finally:
        os.close(fd)
    await monitor.execute("netdev_add", type="tap", id=backend, fd=backend)
    try:
        await monitor.execute("device_add", **arguments.nic_device(nic, bus))
    except BaseException:
        await monitor.execute("netdev_del", id=backend)
        raise


async def detach_nic(guest: Guest, port_id: str, timeout_s: float) -> None:
    """Take a network card out of a running guest; raise Conflict if the guest holds on to it."""
    monitor = guest.living("slots")
    await _unplug(guest, monitor, nic_name(port_id), f"network card {port_id}", timeout_s)
    with contextlib.suppress(Refused):
        await monitor.execute("netdev_del", id=arguments.netdev_name(port_id))


async def _unplug(guest: Guest, monitor: Monitor, name: str, what: str, timeout_s: float) -> None:
    def is_gone(event: Event) -> bool:
        return event["event"] == "DEVICE_DELETED" and event["data"].get("device") == name

    loop = asyncio.get_running_loop()
    until = loop.time() + timeout_s
    while name in await plugged(monitor):
        left = until - loop.time()
        if left <= 0:
            raise Conflict(
                f"Guest {guest.id} does not let go of {what}; release it inside the guest, or stop the guest."
            )
        # A guest that is still booting does not hear the request; it is made again.
        waiting = asyncio.create_task(guest.next_event(is_gone, min(left, _ASK_AGAIN_S)))
        await asyncio.sleep(0)
        try:
            with contextlib.suppress(Refused):  # already asked, or gone this moment
                await monitor.execute("device_del", id=name)
            await waiting
        except TimeoutError:
            continue
        finally:
            waiting.cancel()


async def _drop_node(monitor: Monitor, disk_id: str) -> None:
    """Close a disk's file; it may be busy for a moment after its device has gone."""
    node = arguments.node_name(disk_id)
    for _ in range(50):
        names = {item["node-name"] for item in await monitor.execute("query-named-block-nodes", flat=True)}
        if node not in names:
            return
        with contextlib.suppress(Refused):
            await monitor.execute("blockdev-del", **{"node-name": node})
            return
        await asyncio.sleep(0.1)
    raise Conflict(f"Disk {disk_id} is still in use by a job of its guest; wait for that job and detach again.")


def _without_none(device: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in device.items() if value is not None}


async def live_size(guest: Guest, disk_id: str) -> int:
    """Return the size in bytes that a running guest sees."""
    monitor, node = guest.living("disks"), arguments.node_name(disk_id)
    for item in await monitor.execute("query-named-block-nodes", flat=True):
        if item["node-name"] == node:
            return item["image"]["virtual-size"]
    raise Conflict(f"Disk {disk_id} is not plugged into guest {guest.id}.")


async def resize(guest: Guest, disk_id: str, size_bytes: int) -> None:
    """Let a running guest see its disk at another size."""
    await guest.living("disks").execute(
        "block_resize", 60.0, **{"node-name": arguments.node_name(disk_id), "size": size_bytes}
    )


async def copy_live(guest: Guest, disk_id: str, target: str, timeout_s: float = 3600.0) -> None:
    """Copy a running guest's disk, as it is now, into an empty qcow2 file of the same size."""
    monitor, job = guest.living("disks"), f"copy-{uuid4().hex[:20]}"

    def is_over(event: Event) -> bool:
        return event["event"] in ("BLOCK_JOB_COMPLETED", "BLOCK_JOB_CANCELLED") and event["data"]["device"] == job

    await monitor.execute(
        "blockdev-add",
        **{
            "driver": "qcow2",
            "node-name": job,
            "discard": "unmap",
            "detect-zeroes": "unmap",
            "file": {"driver": "file", "filename": target},
        },
    )
    try:
        waiting = asyncio.create_task(guest.next_event(is_over, timeout_s))
        await asyncio.sleep(0)
        try:
            source = arguments.node_name(disk_id)
            await monitor.execute("blockdev-backup", **{"job-id": job, "device": source, "target": job, "sync": "full"})
            over = await waiting
        except BaseException:
            waiting.cancel()
            with contextlib.suppress(Refused, Unavailable):
                await monitor.execute("block-job-cancel", device=job, force=True)
            raise
        if over["event"] == "BLOCK_JOB_CANCELLED" or "error" in over["data"]:
            raise Unavailable(
                f"Disk {disk_id} of guest {guest.id} could not be copied: {over['data'].get('error', 'stopped')}"
            )
    finally:
        with contextlib.suppress(Refused, Unavailable):
            await monitor.execute("blockdev-del", **{"node-name": job})
