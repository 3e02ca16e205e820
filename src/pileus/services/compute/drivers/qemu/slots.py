"""Which device sits behind which root port. One rule: a guest that runs is asked; its record only says it for sleepers.

Saved memory can only be read back by a process with the same devices in the same slots.
"""

import re

import msgspec

from pileus.kernel.errors import Conflict
from pileus.services.compute.commands import GuestSpec
from pileus.services.compute.drivers.qemu.monitor import Monitor

SPARE = 8
_PORT = re.compile(r"/port(\d+)$")


class Slots(msgspec.Struct, frozen=True):
    """`count` root ports, and the name of the device behind each one that is taken."""

    count: int
    taken: dict[str, int]


def disk_name(disk_id: str) -> str:
    return f"disk-{disk_id}"


def nic_name(port_id: str) -> str:
    return f"nic-{port_id}"


def port_name(index: int) -> str:
    return f"port{index}"


def first_slots(spec: GuestSpec) -> Slots:
    """Return the slots of a guest that starts afresh: its devices in order, then the spare ones."""
    names = [*(disk_name(disk.id) for disk in spec.disks), *(nic_name(nic.port_id) for nic in spec.nics)]
    return Slots(len(names) + SPARE, {name: index for index, name in enumerate(names)})


async def live_slots(monitor: Monitor) -> Slots:
    """Return the slots of a guest that has a process. The bus a device is on is known before firmware has seen it."""
    names = [item["name"] for item in await monitor.execute("qom-list", path="/machine/peripheral")]
    taken = {}
    for name in names:
        if name.startswith(("disk-", "nic-")):
            bus = await monitor.execute("qom-get", path=f"/machine/peripheral/{name}", property="parent_bus")
            if port := _PORT.search(bus):
                taken[name] = int(port[1])
    return Slots(sum(bool(_PORT.fullmatch(f"/{name}")) for name in names), taken)


async def free_port(guest_id: str, monitor: Monitor) -> str:
    """Return the name of a root port with nothing behind it."""
    slots = await live_slots(monitor)
    for index in range(slots.count):
        if index not in slots.taken.values():
            return port_name(index)
    raise Conflict(f"Guest {guest_id} has no free slot; stop and start it to get {SPARE} more, or detach something.")
